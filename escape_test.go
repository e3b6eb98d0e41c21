package sessiondata_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// An escape leaves a function without returning.
type escape struct {
	name string
	out  func()
}

var escapes = []escape{
	{"panic", func() { panic("escape") }},
	{"Goexit", runtime.Goexit},
}

// during runs fn in a goroutine of its own, and reports whether it escaped.
func during(fn func()) (escaped bool) {
	done := make(chan bool)
	go func() {
		returned := false
		defer func() {
			_ = recover()
			done <- !returned
		}()
		fn()
		returned = true
	}()
	return <-done
}

func eachEscape(t *testing.T, fn func(t *testing.T, out func() error)) {
	for _, e := range escapes {
		t.Run(e.name, func(t *testing.T) {
			fn(t, func() error { e.out(); return nil })
		})
	}
}

// requireEnded checks that tx is over in every respect.
func requireEnded(t *testing.T, tx *sd.Txn, state sd.State) {
	t.Helper()
	require.Equal(t, state, tx.State())
	require.ErrorIs(t, tx.Err(), sd.ErrTxnDone)
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrTxnDone)
	require.ErrorIs(t, tx.Rollback(), sd.ErrTxnDone)
	require.ErrorIs(t, tx.BeforeCommit(func(context.Context) error { return nil }), sd.ErrTxnDone)
}

func TestRule07_EscapeFromUpdateRollsBack(t *testing.T) {
	eachEscape(t, func(t *testing.T, out func() error) {
		w := newWire()
		c := container(t, w)
		set(t, c, "id", "p", "k", 1)
		w.forget()
		var tx *sd.Txn
		told := 0
		require.True(t, during(func() {
			_ = c.Update(context.Background(), "id", func(s *sd.Session) error {
				tx = s.Txn()
				_ = tx.AfterEnd(func(err error) {
					if err != nil {
						told++
					}
				})
				_ = s.Pkg("p").Set("k", 2)
				return out()
			})
		}))
		requireEnded(t, tx, sd.RolledBack)
		require.Equal(t, 1, told)
		require.Empty(t, w.writes())
	})
}

func TestRule07_EscapeFromAHookBeforeCommitRollsBack(t *testing.T) {
	eachEscape(t, func(t *testing.T, out func() error) {
		w := newWire()
		c := container(t, w)
		d := new(diary)
		tx, s := begin(t, c, "id")
		require.NoError(t, tx.Join(&member{name: "a", diary: d}))
		require.NoError(t, s.Pkg("p").Set("k", 2))
		require.NoError(t, tx.BeforeCommit(func(context.Context) error { return out() }))
		told := 0
		require.NoError(t, tx.AfterEnd(func(err error) {
			require.Error(t, err)
			told++
		}))
		require.True(t, during(func() { _ = tx.Commit(context.Background()) }))
		requireEnded(t, tx, sd.RolledBack)
		require.ErrorIs(t, s.Pkg("p").Set("k", 3), sd.ErrTxnDone)
		require.Equal(t, []string{"a rollback"}, d.lines)
		require.Equal(t, 1, told)
		require.Empty(t, w.writes())
	})
}

func TestRule12_EscapeFromPrepareRollsBackEveryParticipantOnce(t *testing.T) {
	eachEscape(t, func(t *testing.T, out func() error) {
		d := new(diary)
		tx := sd.Begin()
		require.NoError(t, tx.Join(&member{name: "a", diary: d}))
		require.NoError(t, tx.Join(&member{name: "b", diary: d, prepare: out}))
		require.NoError(t, tx.JoinLast(&member{name: "z", diary: d}))
		require.True(t, during(func() { _ = tx.Commit(context.Background()) }))
		requireEnded(t, tx, sd.RolledBack)
		require.Equal(t, []string{"a prepare", "b prepare", "z rollback", "b rollback", "a rollback"}, d.lines)
	})
}

func TestRule12_EscapeFromTheDecidingCommitIsUnknown(t *testing.T) {
	eachEscape(t, func(t *testing.T, out func() error) {
		d := new(diary)
		tx := sd.Begin()
		require.NoError(t, tx.Join(&member{name: "a", diary: d}))
		require.NoError(t, tx.JoinLast(&member{name: "z", diary: d, commit: out}))
		var told error
		require.NoError(t, tx.AfterEnd(func(err error) { told = err }))
		require.True(t, during(func() { _ = tx.Commit(context.Background()) }))
		requireEnded(t, tx, sd.Unknown)
		require.ErrorIs(t, told, sd.ErrOutcomeUnknown)
		require.Contains(t, d.lines, "a rollback")
	})
}

func TestRule12_EscapeFromCommitLetsTheOthersGoOn(t *testing.T) {
	eachEscape(t, func(t *testing.T, out func() error) {
		d := new(diary)
		tx := sd.Begin()
		require.NoError(t, tx.Join(&member{name: "a", diary: d}))
		require.NoError(t, tx.Join(&member{name: "b", diary: d, commit: out}))
		require.NoError(t, tx.Join(&member{name: "c", diary: d}))
		var told error
		require.NoError(t, tx.AfterEnd(func(err error) { told = err }))
		require.True(t, during(func() { _ = tx.Commit(context.Background()) }))
		requireEnded(t, tx, sd.Unknown)
		require.ErrorIs(t, told, sd.ErrOutcomeUnknown)
		require.Equal(t, []string{"a prepare", "b prepare", "c prepare", "a commit", "b commit", "c commit"}, d.lines)
	})
}

func TestRule12_EscapeFromRollbackLetsTheOthersBeRolledBack(t *testing.T) {
	eachEscape(t, func(t *testing.T, out func() error) {
		for _, end := range []string{"Commit", "Rollback"} {
			d := new(diary)
			tx := sd.Begin()
			require.NoError(t, tx.Join(&member{name: "a", diary: d}))
			require.NoError(t, tx.Join(&member{name: "b", diary: d, rollback: out}))
			require.NoError(t, tx.Join(&member{name: "c", diary: d, prepare: fails(errOne)}))
			told := 0
			require.NoError(t, tx.AfterEnd(func(err error) {
				require.Error(t, err)
				told++
			}))
			require.True(t, during(func() {
				if end == "Commit" {
					_ = tx.Commit(context.Background())
				} else {
					_ = tx.Rollback()
				}
			}))
			requireEnded(t, tx, sd.RolledBack)
			require.Equal(t, []string{"c rollback", "b rollback", "a rollback"}, d.lines[len(d.lines)-3:])
			require.Equal(t, 1, told)
		}
	})
}

func TestHooks_EscapeFromAfterEndLetsTheOtherHooksRun(t *testing.T) {
	eachEscape(t, func(t *testing.T, out func() error) {
		d := new(diary)
		tx := sd.Begin()
		require.NoError(t, tx.AfterEnd(func(error) { d.note("1") }))
		require.NoError(t, tx.AfterEnd(func(error) { _ = out() }))
		require.NoError(t, tx.AfterEnd(func(err error) {
			require.NoError(t, err)
			d.note("3")
		}))
		require.True(t, during(func() { _ = tx.Commit(context.Background()) }))
		requireEnded(t, tx, sd.Committed)
		require.Equal(t, []string{"1", "3"}, d.lines)
	})
}

func TestRule07_EscapeFromAtomicTakesBackTheStepAlone(t *testing.T) {
	eachEscape(t, func(t *testing.T, out func() error) {
		c := container(t, newWire())
		tx, s := begin(t, c, "id")
		require.NoError(t, s.Pkg("p").Set("k", 1))
		require.True(t, during(func() {
			_ = tx.Atomic(func() error {
				_ = s.Pkg("p").Set("k", 2)
				return out()
			})
		}))
		require.NoError(t, tx.Err())
		require.NoError(t, tx.Commit(t.Context()))
		require.Equal(t, pkg("p", map[string]any{"k": int64(1)}), stored(t, c, "id"))
	})
}

func TestRule11_EscapeFromSavepointTouchesNothing(t *testing.T) {
	eachEscape(t, func(t *testing.T, out func() error) {
		d := new(diary)
		tx := sd.Begin()
		require.NoError(t, tx.Join(&saver{member: member{name: "a", diary: d}, savepoint: out}))
		require.True(t, during(func() { _, _ = tx.Savepoint() }))
		require.Equal(t, sd.Active, tx.State())
		require.NoError(t, tx.Commit(t.Context()))
	})
}

func TestRule11_EscapeFromRestoreDoomsTheTransaction(t *testing.T) {
	eachEscape(t, func(t *testing.T, out func() error) {
		c := container(t, newWire())
		d := new(diary)
		tx, s := begin(t, c, "id")
		require.NoError(t, tx.Join(&saver{member: member{name: "a", diary: d}, restore: out}))
		sp, err := tx.Savepoint()
		require.NoError(t, err)
		require.NoError(t, s.Pkg("p").Set("k", 1))
		require.True(t, during(func() { _ = sp.Rollback() }))
		require.Equal(t, sd.Doomed, tx.State())
		require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrDoomed)
		require.Nil(t, stored(t, c, "id"))
	})
}

func TestRule11_EscapeFromTheRollbackOfALateParticipantDoomsTheTransaction(t *testing.T) {
	eachEscape(t, func(t *testing.T, out func() error) {
		c := container(t, newWire())
		d := new(diary)
		tx, s := begin(t, c, "id")
		sp, err := tx.Savepoint()
		require.NoError(t, err)
		require.NoError(t, s.Pkg("p").Set("k", 1))
		require.NoError(t, tx.Join(&member{name: "a", diary: d, rollback: out}))
		require.True(t, during(func() { _ = sp.Rollback() }))
		require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrDoomed)
		require.Nil(t, stored(t, c, "id"))
	})
}

func TestRule07_EscapeFromACodecLeavesTheTransactionUsable(t *testing.T) {
	eachEscape(t, func(t *testing.T, out func() error) {
		codec := &faultyCodec{Codec: sd.JSON()}
		c := container(t, newWire(), sd.Config{Codec: codec})
		tx, s := begin(t, c, "id")
		require.NoError(t, s.Pkg("p").Set("k", 1))
		codec.out = out
		var n int
		for name, fn := range map[string]func(){
			"Set":        func() { _ = s.Pkg("p").Set("k", 2) },
			"Get":        func() { _ = s.Pkg("p").Get("k", &n) },
			"Modify":     func() { _ = sd.Modify(s.Pkg("p"), "k", func(n *int) error { *n = 3; return nil }) },
			"Pop":        func() { _, _ = sd.Pop[int](s.Pkg("p"), "k") },
			"SetDefault": func() { _, _ = sd.SetDefault(s.Pkg("p"), "other", 4) },
		} {
			require.True(t, during(fn), name)
		}
		codec.out = nil
		require.NoError(t, tx.Commit(t.Context()))
		require.Equal(t, pkg("p", map[string]any{"k": int64(1)}), stored(t, c, "id"))
	})
}

// faultyCodec is a user's codec that fails on request.
type faultyCodec struct {
	sd.Codec
	out func() error
}

func (*faultyCodec) ID() uint8 { return 200 }

func (f *faultyCodec) Marshal(v any) ([]byte, error) {
	if f.out != nil {
		if err := f.out(); err != nil {
			return nil, err
		}
	}
	return f.Codec.Marshal(v)
}

func (f *faultyCodec) Unmarshal(data []byte, dst any) error {
	if f.out != nil {
		if err := f.out(); err != nil {
			return err
		}
	}
	return f.Codec.Unmarshal(data, dst)
}

func TestRule07_EscapeFromAResolverEndsTheTransactionAndWritesNothing(t *testing.T) {
	eachEscape(t, func(t *testing.T, out func() error) {
		w := newWire()
		c := container(t, w, sd.Config{Resolve: func(*sd.Collision) error { return out() }})
		tx, s := begin(t, c, "id")
		require.NoError(t, s.Pkg("p").Set("k", 1))
		set(t, c, "id", "p", "k", 2)
		require.True(t, during(func() { _ = tx.Commit(context.Background()) }))
		require.ErrorIs(t, tx.Err(), sd.ErrTxnDone)
		require.Equal(t, pkg("p", map[string]any{"k": int64(2)}), stored(t, c, "id"))
		require.ErrorIs(t, s.Pkg("p").Set("k", 3), sd.ErrTxnDone)
	})
}

func TestRule08_RunFunctionsThatEscapeInAParticipantDoNotCommit(t *testing.T) {
	eachEscape(t, func(t *testing.T, out func() error) {
		d := new(diary)
		require.True(t, during(func() {
			_ = sd.Run(context.Background(), func(tx *sd.Txn) error {
				_ = tx.Join(&member{name: "a", diary: d})
				return out()
			})
		}))
		require.Equal(t, []string{"a rollback"}, d.lines)
	})
}
