package sessiondata_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

func TestHooks_RunInOrderBeforePrepareAndAfterTheEnd(t *testing.T) {
	d := new(diary)
	tx := sd.Begin()
	require.NoError(t, tx.Join(&member{name: "a", diary: d}))
	for _, name := range []string{"1", "2"} {
		require.NoError(t, tx.BeforeCommit(func(context.Context) error {
			d.note("before " + name)
			return nil
		}))
		require.NoError(t, tx.AfterEnd(func(err error) {
			require.NoError(t, err)
			require.ErrorIs(t, tx.Err(), sd.ErrTxnDone)
			require.Equal(t, sd.Committed, tx.State())
			d.note("after " + name)
		}))
	}
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []string{"before 1", "before 2", "a prepare", "a commit", "after 1", "after 2"}, d.lines)
}

func TestHooks_BeforeCommitMayWorkJoinAndAddHooks(t *testing.T) {
	w := newWire()
	c := container(t, w)
	d := new(diary)
	tx := sd.Begin()
	note := func(line string) func(context.Context) error {
		return func(context.Context) error { d.note(line); return nil }
	}
	require.NoError(t, tx.BeforeCommit(func(ctx context.Context) error {
		d.note("first")
		require.NoError(t, tx.Err(), "still open for work")
		require.NoError(t, tx.BeforeCommit(note("added by first")))
		s, err := c.Session(ctx, tx, "id")
		require.NoError(t, err)
		sp, err := tx.Savepoint()
		require.NoError(t, err)
		require.NoError(t, s.Pkg("p").Set("wrong", 1))
		require.NoError(t, sp.Rollback())
		require.NoError(t, s.Pkg("p").Set("k", 1))
		require.NoError(t, tx.AfterEnd(func(error) { d.note("after") }))
		return nil
	}))
	require.NoError(t, tx.BeforeCommit(note("second")))
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []string{"first", "second", "added by first", "after"}, d.lines)
	require.Equal(t, pkg("p", map[string]any{"k": int64(1)}), stored(t, c, "id"))
}

func TestHooks_ParticipantJoinedByAHookTakesPart(t *testing.T) {
	d := new(diary)
	tx := sd.Begin()
	require.NoError(t, tx.BeforeCommit(func(context.Context) error {
		require.NoError(t, tx.Join(&member{name: "a", diary: d}))
		return tx.JoinLast(&member{name: "z", diary: d})
	}))
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []string{"a prepare", "z prepare", "z commit", "a commit"}, d.lines)
}

func TestHooks_ErrorBeforeCommitRollsBackAndStopsTheLaterHooks(t *testing.T) {
	w := newWire()
	c := container(t, w)
	d := new(diary)
	tx, s := begin(t, c, "id")
	require.NoError(t, s.Pkg("p").Set("k", 1))
	require.NoError(t, tx.BeforeCommit(func(context.Context) error { return errOne }))
	require.NoError(t, tx.BeforeCommit(func(context.Context) error { d.note("second"); return nil }))
	var told error
	require.NoError(t, tx.AfterEnd(func(err error) { told = err }))
	require.Equal(t, errOne, tx.Commit(t.Context()))
	require.Equal(t, errOne, told)
	require.Empty(t, d.lines)
	require.Equal(t, sd.RolledBack, tx.State())
	require.Empty(t, w.writes())
}

func TestHooks_CannotEndTheTransaction(t *testing.T) {
	tx := sd.Begin()
	require.NoError(t, tx.BeforeCommit(func(ctx context.Context) error {
		require.Error(t, tx.Commit(ctx))
		require.Error(t, tx.Rollback())
		require.NoError(t, tx.Err())
		return nil
	}))
	require.NoError(t, tx.AfterEnd(func(error) {
		require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrTxnDone)
		require.ErrorIs(t, tx.Rollback(), sd.ErrTxnDone)
		require.ErrorIs(t, tx.AfterEnd(func(error) {}), sd.ErrTxnDone)
	}))
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, sd.Committed, tx.State())
}

func TestHooks_DoomedByAHookDoesNotCommit(t *testing.T) {
	tx := sd.Begin()
	require.NoError(t, tx.BeforeCommit(func(context.Context) error { tx.Doom(); return nil }))
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrDoomed)
}

func TestHooks_AfterEndIsToldOfARollback(t *testing.T) {
	tx := sd.Begin()
	n := 0
	require.NoError(t, tx.AfterEnd(func(err error) {
		n++
		require.ErrorIs(t, err, sd.ErrTxnDone)
	}))
	require.NoError(t, tx.Rollback())
	require.ErrorIs(t, tx.Rollback(), sd.ErrTxnDone)
	require.Equal(t, 1, n)

	err := sd.Run(t.Context(), func(tx *sd.Txn) error {
		require.NoError(t, tx.AfterEnd(func(err error) {
			n++
			require.Equal(t, errOne, err)
		}))
		return errOne
	})
	require.Equal(t, errOne, err)
	require.Equal(t, 2, n)
}

func TestHooks_MayBeginAnotherTransactionOnTheSameSession(t *testing.T) {
	c := container(t, newWire())
	tx, s := begin(t, c, "id")
	require.NoError(t, s.Pkg("p").Set("k", 1))
	require.NoError(t, tx.AfterEnd(func(error) { set(t, c, "id", "p", "after", 2) }))
	require.NoError(t, tx.BeforeCommit(func(context.Context) error {
		set(t, c, "id", "p", "before", 0)
		return nil
	}))
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, pkg("p", map[string]any{"before": int64(0), "k": int64(1), "after": int64(2)}), stored(t, c, "id"))
}
