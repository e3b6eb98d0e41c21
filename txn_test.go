package sessiondata_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

func TestRule07_UncommittedChangesAreInvisible(t *testing.T) {
	w := newWire()
	c := container(t, w)
	set(t, c, "id", "p", "k", "old")
	before := stored(t, c, "id")
	w.forget()
	tx, s := begin(t, c, "id")
	require.NoError(t, s.Pkg("p").Set("k", "new"))
	require.NoError(t, s.Pkg("q").Set("k", "new"))
	require.Equal(t, before, stored(t, c, "id"))
	require.NoError(t, c.View(t.Context(), "id", func(s *sd.Session) error {
		require.Equal(t, before, contents(t, s))
		return nil
	}))
	require.NoError(t, tx.Rollback())
	require.Equal(t, before, stored(t, c, "id"))
	require.Empty(t, w.writes())
	require.Equal(t, sd.RolledBack, tx.State())
}

func TestRule07_ErrorOfTheFunctionLeavesTheStoreAsItWas(t *testing.T) {
	w := newWire()
	c := container(t, w)
	set(t, c, "id", "p", "k", "old")
	w.forget()
	change := func(s *sd.Session) error {
		require.NoError(t, s.Pkg("p").Set("k", "new"))
		_, err := s.Renew()
		require.NoError(t, err)
		return errOne
	}
	require.Equal(t, errOne, c.Update(t.Context(), "id", change))
	require.Equal(t, errOne, sd.Run(t.Context(), func(tx *sd.Txn) error {
		s, err := c.Session(t.Context(), tx, "id")
		require.NoError(t, err)
		return change(s)
	}))
	require.Equal(t, errOne, c.Update(t.Context(), "id", func(s *sd.Session) error {
		require.NoError(t, s.Destroy())
		return errOne
	}))
	require.Empty(t, w.writes())
	require.Equal(t, pkg("p", map[string]any{"k": "old"}), stored(t, c, "id"))
}

func TestRule07_ValuesThatTheCallerHoldsCannotAlterWhatIsStored(t *testing.T) {
	c := container(t, newWire())
	in := []byte("abc")
	m := map[string][]int{"x": {1, 2}}
	update(t, c, "id", func(s *sd.Session) {
		require.NoError(t, s.Pkg("p").Set("bytes", in))
		require.NoError(t, s.Pkg("p").Set("map", m))
		in[0], m["x"][0] = 'X', 99
		out, err := sd.Get[[]byte](s.Pkg("p"), "bytes")
		require.NoError(t, err)
		require.Equal(t, []byte("abc"), out)
		out[0] = 'Y'
		for _, v := range s.Pkg("p").All() {
			got, err := v.Any()
			require.NoError(t, err)
			if b, ok := got.([]byte); ok {
				b[0] = 'Z'
			}
		}
	})
	require.Equal(t, pkg("p", map[string]any{
		"bytes": []byte("abc"), "map": map[string]any{"x": []any{int64(1), int64(2)}},
	}), stored(t, c, "id"))
}

func TestRule08_CommitAndRollbackInsideTheFunctionAreRefused(t *testing.T) {
	c := container(t, newWire())
	try := func(tx *sd.Txn) {
		require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrInvalid)
		require.ErrorIs(t, tx.Rollback(), sd.ErrInvalid)
		require.NoError(t, tx.Err())
	}
	var tx *sd.Txn
	update(t, c, "id", func(s *sd.Session) {
		tx = s.Txn()
		require.NoError(t, s.Pkg("p").Set("k", 1))
		try(tx)
		require.NoError(t, tx.BeforeCommit(func(context.Context) error { try(tx); return nil }))
		require.NoError(t, s.Pkg("p").Set("k2", 2))
	})
	require.Equal(t, pkg("p", map[string]any{"k": int64(1), "k2": int64(2)}), stored(t, c, "id"))
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrTxnDone)
	require.ErrorIs(t, tx.Rollback(), sd.ErrTxnDone)

	require.NoError(t, c.View(t.Context(), "id", func(s *sd.Session) error { try(s.Txn()); return nil }))
	require.NoError(t, sd.Run(t.Context(), func(tx *sd.Txn) error { try(tx); return nil }))
}

func TestRule08_RollbackAfterCommitIsHarmlessAndASecondCommitIsErrTxnDone(t *testing.T) {
	w := newWire()
	c := container(t, w)
	tx, s := begin(t, c, "id")
	require.NoError(t, s.Pkg("p").Set("k", 1))
	require.NoError(t, tx.Commit(t.Context()))
	w.forget()
	require.ErrorIs(t, tx.Rollback(), sd.ErrTxnDone)
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrTxnDone)
	require.Equal(t, sd.Committed, tx.State())
	require.Empty(t, w.ops())
	require.Equal(t, pkg("p", map[string]any{"k": int64(1)}), stored(t, c, "id"))
}

func TestRule08_ParallelCommitsEndTheTransactionOnce(t *testing.T) {
	w := newWire()
	c := container(t, w)
	tx, s := begin(t, c, "id")
	require.NoError(t, s.Pkg("p").Set("k", 1))
	errs := make(chan error)
	for i := range 8 {
		go func() {
			if i%2 == 0 {
				errs <- tx.Commit(context.Background())
			} else {
				errs <- tx.Rollback()
			}
		}()
	}
	won := 0
	for range 8 {
		if err := <-errs; err == nil {
			won++
		} else {
			require.ErrorIs(t, err, sd.ErrTxnDone)
		}
	}
	require.Equal(t, 1, won)
}

func TestView_RefusesChangesAndStoresNone(t *testing.T) {
	w := newWire()
	c := container(t, w)
	set(t, c, "id", "p", "k", 1)
	w.forget()
	require.NoError(t, c.View(t.Context(), "id", func(s *sd.Session) error {
		p := s.Pkg("p")
		_, renew := s.Renew()
		_, setDefault := sd.SetDefault(p, "new", 1)
		_, pop := sd.Pop[int](p, "k")
		for name, err := range map[string]error{
			"Set": p.Set("k", 2), "Delete": p.Delete("k"), "Clear": p.Clear(), "DeletePkg": s.DeletePkg("p"),
			"SetTimeout": s.SetTimeout(1), "Destroy": s.Destroy(), "Renew": renew, "SetDefault": setDefault, "Pop": pop,
			"Modify": sd.Modify(p, "k", func(*int) error { panic("not called") }),
		} {
			require.ErrorIs(t, err, sd.ErrReadOnly, name)
		}
		other := open(t, c, s.Txn(), "other")
		require.ErrorIs(t, other.Pkg("p").Set("k", 1), sd.ErrReadOnly, "another session of the same transaction")
		require.Equal(t, pkg("p", map[string]any{"k": int64(1)}), contents(t, s))
		return nil
	}))
	require.Empty(t, w.writes())
	require.Equal(t, errOne, c.View(t.Context(), "id", func(*sd.Session) error { return errOne }))
}

func TestContext_CarriesATransaction(t *testing.T) {
	tx := sd.Begin()
	got, ok := sd.FromContext(sd.NewContext(t.Context(), tx))
	require.True(t, ok)
	require.Same(t, tx, got)
	_, ok = sd.FromContext(t.Context())
	require.False(t, ok)
	_, ok = sd.FromContext(sd.NewContext(t.Context(), nil))
	require.False(t, ok)
}

func TestContext_EndedBeforeTheCommitSendsNothing(t *testing.T) {
	w := newWire()
	c := container(t, w)
	set(t, c, "old", "p", "k", 1)
	for name, change := range map[string]func(s *sd.Session) error{
		"set":     func(s *sd.Session) error { return s.Pkg("p").Set("k", 2) },
		"destroy": (*sd.Session).Destroy,
		"renew":   func(s *sd.Session) error { _, err := s.Renew(); return err },
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		tx, s := begin(t, c, "old")
		require.NoError(t, change(s))
		w.forget()
		cancel(errTwo)
		err := tx.Commit(ctx)
		require.ErrorIs(t, err, context.Canceled, name)
		require.ErrorIs(t, err, errTwo, name)
		require.Equal(t, sd.RolledBack, tx.State(), name)
		require.Empty(t, w.ops(), name)

		err = c.Update(ctx, "old", func(*sd.Session) error { panic("not called") })
		require.ErrorIs(t, err, context.Canceled, name)
		require.Empty(t, w.ops(), name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := c.Update(ctx, "old", func(s *sd.Session) error { cancel(); return s.Pkg("p").Set("k", 3) })
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, pkg("p", map[string]any{"k": int64(1)}), stored(t, c, "old"))
}

func TestContext_EndedDuringTheCommitDoesNotAbandonIt(t *testing.T) {
	w := newWire()
	c := container(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	w.answer(func(call call, pass func() error) error {
		if !call.write() {
			return pass()
		}
		cancel()
		if err := call.ctx.Err(); err != nil {
			return err // as a store does that heeds its context
		}
		return pass()
	})
	require.NoError(t, c.Update(ctx, "id", func(s *sd.Session) error { return s.Pkg("p").Set("k", 1) }))
	require.Equal(t, pkg("p", map[string]any{"k": int64(1)}), stored(t, c, "id"))
}

func TestContext_EndedDuringAConflictStopsWhereNothingIsWritten(t *testing.T) {
	w := newWire()
	c := container(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	tx, s := begin(t, c, "id")
	require.NoError(t, s.Pkg("p").Set("mine", 1))
	set(t, c, "id", "p", "theirs", 2)
	w.answer(func(call call, pass func() error) error {
		if call.write() {
			cancel()
		}
		return pass()
	})
	require.ErrorIs(t, tx.Commit(ctx), context.Canceled)
	require.Equal(t, sd.RolledBack, tx.State())
	require.Equal(t, pkg("p", map[string]any{"theirs": int64(2)}), stored(t, c, "id"))
}

func TestState_HasNames(t *testing.T) {
	require.Equal(t, "active doomed committed rolled back unknown State(9)",
		sd.Active.String()+" "+sd.Doomed.String()+" "+sd.Committed.String()+" "+sd.RolledBack.String()+" "+sd.Unknown.String()+" "+sd.State(9).String())
	require.Equal(t, "unmodified modified destroyed Status(9)",
		sd.Unmodified.String()+" "+sd.Modified.String()+" "+sd.Destroyed.String()+" "+sd.Status(9).String())
}
