package sessiondata_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// The windows that no protocol over a cache can close, each by its shortest
// history, as the package comment and docs/guarantees.md state them: a test here
// fails where one is closed, or another one opens. That of a last participant is
// TestJoinLast_WindowBetweenItsCommitAndTheDecision.

// evict drops what is stored of a session.
func evict(t testing.TB, store sd.Store, name, id string) {
	t.Helper()
	key := keyOf(t, name, id)
	item, err := store.Get(t.Context(), key)
	require.NoError(t, err)
	require.NoError(t, store.CompareAndDelete(t.Context(), key, item.Version))
}

// add1 (lost, under way), add2, destroy, and then add1 arrives. A swap that comes
// late does nothing: TestLostReply_DelayedCopyThatArrivesLaterIsHarmless.
func TestWindow_AnAddThatArrivesAfterTheSessionWasDestroyed(t *testing.T) {
	w := newWire()
	others := container(t, w.Store)
	faulty := storetest.NewFaulty(w.Store, storetest.FaultConfig{Shared: true, Plan: map[int]storetest.Fault{1: storetest.Delay}})
	tx, s := begin(t, container(t, faulty), "id")
	setMine(s)
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrOutcomeUnknown, "whoever sent it was not told that it failed")
	set(t, others, "id", "p", "theirs", 1)
	update(t, others, "id", func(s *sd.Session) { require.NoError(t, s.Destroy()) })
	require.Nil(t, stored(t, others, "id"))
	faulty.Flush()
	require.Equal(t, pkg("p", map[string]any{"mine": int64(1)}), stored(t, others, "id"), "the window")
}

// add under the new id, and the process dies: both ids lead to the session, the
// new one known to nobody.
func TestWindow_ARenewalHalfWayLeavesBothIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		others := container(t, w.Store)
		set(t, others, "id", "p", "k", 1)
		faulty := storetest.NewFaulty(w.Store, storetest.FaultConfig{Shared: true, Plan: map[int]storetest.Fault{2: storetest.DieBefore}})
		tx, s := begin(t, container(t, faulty), "id")
		next, err := s.Renew()
		require.NoError(t, err)
		require.Error(t, tx.Commit(t.Context()))
		require.Equal(t, only, stored(t, others, "id"))
		require.Equal(t, only, stored(t, others, next), "the window")
	})
}

// decide, evict the primary, and the process dies: the others, which nobody has
// installed, are rolled back.
func TestWindow_ThePrimaryIsEvictedBetweenDecisionAndInstall(t *testing.T) {
	for _, evicted := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w, c := storeA(t)
			ids := ascending(t, 2)
			fill(t, c, 0, ids...)
			left(t, w, true, ids...)
			if !evicted { // the control
				require.Equal(t, []any{int64(1), int64(1)}, holding(t, c, ids...))
				return
			}
			evict(t, w.Store, "a", ids[0])
			require.Equal(t, []any{nil, int64(0)}, holding(t, c, ids...), "the window")
		})
	}
}

// The same before the decision is no window: the transaction is refused whole.
func TestThePrimaryThatIsEvictedBeforeTheDecisionUndoesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := storeA(t)
		ids := ascending(t, 2)
		fill(t, c, 0, ids...)
		held := hold(t, writing(t, c, 1, ids...))
		evict(t, w.Store, "a", ids[0])
		require.ErrorIs(t, held.release(), sd.ErrConflict)
		require.Equal(t, []any{nil, int64(0)}, holding(t, c, ids...))
	})
}

// While the server of a primary does not answer, the others of its transaction
// cannot be read: nobody can tell what they hold. Others than those can.
func TestWindow_WhileThePrimaryCannotBeReadTheOthersCannotEither(t *testing.T) {
	for _, decided := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, c := storeA(t)
			ids := ascending(t, 3)
			fill(t, c, 0, ids...)
			left(t, w, decided, ids[:2]...)
			primary := keyOf(t, "a", ids[0])
			w.answer(func(c call, pass func() error) error {
				if c.key == primary {
					return sd.ErrUnavailable
				}
				return pass()
			})
			nothing := func(*sd.Session) error { return nil }
			require.ErrorIs(t, c.View(t.Context(), ids[1], nothing), sd.ErrUnavailable, "the window")
			require.NoError(t, c.View(t.Context(), ids[2], nothing))
			w.answer(nil)
			want := int64(0)
			if decided {
				want = 1
			}
			require.Equal(t, []any{want, want}, holding(t, c, ids[:2]...))
		})
	}
}

// revoke, evict the index (the epoch with it): a session that was not listed, so
// was not removed, is accepted again.
func TestWindow_AnEvictedEpochRevokesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		c := oneHour(t, store)
		login(t, c, "id", "alice")
		loseIndexes(t, store) // from here on it is not listed
		require.NoError(t, c.Revoke(t.Context(), "shop", "alice"))
		require.False(t, visit(t, oneHour(t, keepsAll{store}), "id"), "the epoch ends it")
		loseIndexes(t, store)
		require.True(t, visit(t, oneHour(t, store), "id"), "the window")
	})
}

// keepsAll is a store through which nothing is removed, so that looking at a
// revoked session leaves it where it is.
type keepsAll struct{ sd.Store }

func (keepsAll) CompareAndDelete(context.Context, string, sd.Version) error { return sd.ErrUnavailable }

// login, evict the index, login: the limit counts only the sessions that are
// listed.
func TestWindow_MaxSessionsCountsOnlyWhatIsListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		c := oneHour(t, store, atMost(1, sd.RefuseNew))
		login(t, c, "first", "alice")
		require.ErrorIs(t, c.Update(t.Context(), "second", loginAs("alice", "second")), sd.ErrTooMany)
		loseIndexes(t, store)
		login(t, c, "second", "alice")
		require.True(t, visit(t, c, "first"), "the window")
		require.True(t, visit(t, c, "second"))
	})
}
