package sessiondata_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// reads returns v of a session within tx.
func reads(t testing.TB, c *sd.Container, tx *sd.Txn, id string) int {
	t.Helper()
	v, err := sd.GetOr(open(t, c, tx, id).Pkg("p"), "v", 0)
	require.NoError(t, err)
	return v
}

func puts(t testing.TB, c *sd.Container, tx *sd.Txn, id string, v int) {
	t.Helper()
	require.NoError(t, open(t, c, tx, id).Pkg("p").Set("v", v))
}

// Write skew: each reads what the other writes. Under Merge both commit, under
// Serializable one.
func TestRule16_WriteSkewOverTwoSessions(t *testing.T) {
	for _, policy := range []sd.ConflictPolicy{sd.Merge, sd.Serializable} {
		_, c := storeA(t, sd.Config{Conflict: policy})
		ids := ascending(t, 2)
		fill(t, c, 1, ids...)
		one, two := sd.Begin(), sd.Begin()
		puts(t, c, one, ids[1], -reads(t, c, one, ids[0]))
		puts(t, c, two, ids[0], -reads(t, c, two, ids[1]))
		require.NoError(t, one.Commit(t.Context()))
		if policy == sd.Merge {
			require.NoError(t, two.Commit(t.Context()))
			continue
		}
		err := two.Commit(t.Context())
		var conflict *sd.ConflictError
		require.ErrorAs(t, err, &conflict)
		require.Equal(t, []sd.PkgKey{{Pkg: "p", Key: "v"}}, conflict.Keys)
		require.Equal(t, []any{int64(1), int64(-1)}, holding(t, c, ids...))
	}
}

// Two that validate each other's sessions at the same time: they conflict, and
// by Retry both get through.
func TestRule16_TransactionsThatValidateEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := storeA(t, serializable)
		ids := ascending(t, 2)
		fill(t, c, 1, ids...)
		one, two := sd.Begin(), sd.Begin()
		puts(t, c, one, ids[1], -reads(t, c, one, ids[0]))
		puts(t, c, two, ids[0], -reads(t, c, two, ids[1]))
		held := hold(t, one) // prepared and validated, while two was not there yet
		w.forget()
		require.ErrorIs(t, two.Commit(t.Context()), sd.ErrConflict)
		require.NoError(t, held.release())
		require.Equal(t, []any{int64(1), int64(-1)}, holding(t, c, ids...))

		done := make(chan error)
		for i := range 2 {
			c := containerA(t, slowed{w}, serializable)
			go func() {
				done <- sd.Run(t.Context(), func(tx *sd.Txn) error {
					puts(t, c, tx, ids[i], reads(t, c, tx, ids[1-i])+1)
					return nil
				})
			}()
		}
		require.NoError(t, <-done)
		require.NoError(t, <-done)
		// One after the other, in either order.
		require.Contains(t, [][]any{{int64(0), int64(1)}, {int64(3), int64(2)}}, holding(t, c, ids...))
	})
}

// Phantoms: what appears in a set that was listed, counted, or probed for an
// absent key, in a session that is only read.
func TestRule16_PhantomsOverTwoSessions(t *testing.T) {
	probes := map[string]func(t *testing.T, s *sd.Session){
		"counted":         func(t *testing.T, s *sd.Session) { s.Pkg("q").Len() },
		"listed":          func(t *testing.T, s *sd.Session) { s.Pkg("q").Keys() },
		"probed":          func(t *testing.T, s *sd.Session) { s.Pkg("q").Has("w") },
		"packages listed": func(t *testing.T, s *sd.Session) { s.Packages() },
		"read as absent": func(t *testing.T, s *sd.Session) {
			_, err := sd.GetOr(s.Pkg("q"), "w", 0)
			require.NoError(t, err)
		},
	}
	for what, probe := range probes {
		t.Run(what, func(t *testing.T) {
			for _, exists := range []bool{false, true} {
				_, c := storeA(t, serializable)
				ids := ascending(t, 2)
				if exists {
					fill(t, c, 0, ids...)
				}
				tx := writing(t, c, 1, ids[0])
				probe(t, open(t, c, tx, ids[1]))
				set(t, c, ids[1], "q", "w", 1)
				require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrConflict)
				require.NotEqual(t, []any{int64(1)}, holding(t, c, ids[0]))
			}
		})
	}
}

// The read-only anomaly (Fekete, O'Neil and O'Neil, 2004): a transaction that
// only reads, over two sessions, validates as well.
func TestRule16_ReadOnlyTransactionOverTwoSessionsIsValidated(t *testing.T) {
	for _, policy := range []sd.ConflictPolicy{sd.Merge, sd.Serializable} {
		w, c := storeA(t, sd.Config{Conflict: policy})
		ids := ascending(t, 2)
		fill(t, c, 1, ids...)
		tx := sd.Begin()
		before := reads(t, c, tx, ids[0])
		require.NoError(t, writing(t, c, 2, ids...).Commit(t.Context()))
		after := reads(t, c, tx, ids[1])
		w.forget()
		err := tx.Commit(t.Context())
		require.Empty(t, w.writes())
		// Merge: it has read one session before another's commit and one after.
		require.Equal(t, []int{1, 2}, []int{before, after})
		if policy == sd.Merge {
			require.NoError(t, err)
			require.Empty(t, w.ops())
		} else {
			require.ErrorIs(t, err, sd.ErrConflict)
		}
	}
}

// A foreign undecided intent on what was only read is a conflict: it might be
// decided before this transaction is.
func TestRule16_UndecidedIntentOnWhatWasReadIsAConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := storeA(t, serializable)
		ids := ascending(t, 3)
		fill(t, c, 0, ids...)
		for _, write := range []bool{false, true} {
			other := hold(t, writing(t, c, 1, ids[:2]...))
			tx := sd.Begin()
			reads(t, c, tx, ids[1])
			reads(t, c, tx, ids[2])
			if write {
				puts(t, c, tx, ids[2], 1)
			}
			require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrConflict)
			require.NoError(t, other.release())
			require.Equal(t, []any{int64(0)}, holding(t, c, ids[2]))
			fill(t, c, 0, ids...)
		}
	})
}

// But one that a dead client has left is not in the way for ever.
func TestRule16_IntentThatWasLeftOnWhatIsOnlyReadIsSettled(t *testing.T) {
	for _, decided := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, c := storeA(t, serializable)
			ids := ascending(t, 3)
			fill(t, c, 0, ids...)
			left(t, w, decided, ids...)
			time.Sleep(later)
			for i := range ids {
				tx := sd.Begin()
				reads(t, c, tx, ids[i])
				reads(t, c, tx, ids[(i+1)%3])
				require.NoError(t, tx.Commit(t.Context()))
			}
		})
	}
}

// Destroying a session after reading it is like popping what is in it: where
// somebody has changed or destroyed it since, what was read is not so any more.
func TestRule16_SessionReadAndDestroyedByTwo(t *testing.T) {
	for _, alone := range []bool{false, true} {
		t.Run(fmt.Sprint("alone: ", alone), func(t *testing.T) {
			w, c := storeA(t, serializable)
			ids := ascending(t, 3)
			take := func(into string) *sd.Txn {
				tx := sd.Begin()
				v := reads(t, c, tx, ids[1])
				if !alone {
					puts(t, c, tx, into, v)
				}
				require.NoError(t, open(t, c, tx, ids[1]).Destroy())
				return tx
			}
			fill(t, c, 5, ids[1])
			one, two := take(ids[0]), take(ids[2])
			require.NoError(t, one.Commit(t.Context()))
			require.ErrorIs(t, two.Commit(t.Context()), sd.ErrConflict)
			require.Equal(t, sd.RolledBack, two.State())
			require.Equal(t, []any{nil, nil}, holding(t, c, ids[1:]...))

			// After a lost reply it may have been this one that has destroyed it.
			fill(t, c, 5, ids[1])
			two = take(ids[2])
			w.answer(func(c call, pass func() error) error {
				if c.op == "delete" {
					_ = pass()
					return errNoReply
				}
				return pass()
			})
			err := two.Commit(t.Context())
			if alone {
				require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
			} else {
				require.NoError(t, err) // an intent tells
			}
			w.answer(nil)

			// Nobody who has not read it cares who did.
			fill(t, c, 5, ids[1])
			tx, s := begin(t, c, ids[1])
			require.NoError(t, s.Destroy())
			update(t, c, ids[1], func(s *sd.Session) { require.NoError(t, s.Destroy()) })
			require.NoError(t, tx.Commit(t.Context()))
		})
	}
}

// With more than one session touched it goes by intents, also where one is
// changed: after all are prepared, what was only read is loaded once more.
func TestRule16_ReadsAreValidatedWhenAllIsPrepared(t *testing.T) {
	w, c := storeA(t, serializable)
	ids := ascending(t, 4)
	fill(t, c, 0, ids...)
	tx := writing(t, c, 1, ids[0])
	for _, id := range ids[1:] {
		reads(t, c, tx, id)
	}
	w.forget()
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []string{"swap", "get", "get", "get", "get", "swap"}, w.ops())

	// A change that comes between the intent and the validation is found, in
	// whatever container.
	b := container(t, w, sd.Config{Name: "b", Conflict: sd.Serializable})
	fill(t, b, 0, "x")
	tx = writing(t, c, 2, ids[:2]...)
	reads(t, b, tx, "x")
	w.answer(func(call call, pass func() error) error {
		if call.op == "swap" && call.n == 1 {
			fill(t, container(t, w.Store, sd.Config{Name: "b"}), 3, "x")
		}
		return pass()
	})
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrConflict)
	w.answer(nil)
	require.Equal(t, []any{int64(1), int64(0)}, holding(t, c, ids[:2]...))
}

// Under Merge a session that is gone is destroyed, whoever did it, also after a
// lost reply.
func TestDestroy_WhoseReplyIsLostIsDoneWhenTheSessionIsGone(t *testing.T) {
	w, c := storeA(t)
	fill(t, c, 5, "x")
	tx := sd.Begin()
	reads(t, c, tx, "x")
	require.NoError(t, open(t, c, tx, "x").Destroy())
	w.answer(func(c call, pass func() error) error {
		if c.op == "delete" {
			_ = pass()
			return errNoReply
		}
		return pass()
	})
	require.NoError(t, tx.Commit(t.Context()))
}

// Sessions whose periodic renewal is left to another time are validated as any
// that was only read.
func TestRule16_SessionsDueForRenewalAreValidated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := storeA(t, sd.Config{Conflict: sd.Serializable, RenewEvery: time.Minute})
		ids := ascending(t, 3)
		fill(t, c, 0, ids...)
		time.Sleep(2 * time.Minute)
		tx := writing(t, c, 1, ids[0])
		reads(t, c, tx, ids[1])
		reads(t, c, tx, ids[2])
		fill(t, containerA(t, w.Store), 7, ids[2])
		require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrConflict)
		require.Equal(t, []any{int64(0), int64(0), int64(7)}, holding(t, c, ids...))
	})
}
