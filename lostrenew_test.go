package sessiondata_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// renewOver renews the session "id", in which mine is set, with on answering.
func renewOver(t *testing.T, on func(others *sd.Container, c call, pass func() error) error) (w *wire, others *sd.Container, next string, err error) {
	t.Helper()
	w, others, _, err = commitOver(t, func(s *sd.Session) {
		setMine(s)
		next, _ = s.Renew()
	}, on)
	return w, others, next, err
}

// requireOnlyNew and requireOnlyOld check which of the two ids leads to a session.
func requireOnlyNew(t *testing.T, others *sd.Container, next string, want map[string]map[string]any) {
	t.Helper()
	require.Nil(t, stored(t, others, "id"), "the old id")
	require.Equal(t, want, stored(t, others, next), "the new id")
}

func requireOnlyOld(t *testing.T, w *wire, others *sd.Container, next string, want map[string]map[string]any) {
	t.Helper()
	require.Equal(t, want, stored(t, others, "id"), "the old id")
	require.Nil(t, stored(t, others, next), "the new id")
	require.Len(t, keys(t, w.Store), 1)
}

func TestRule18_RenewMovesTheDataWithoutAMomentWithoutASession(t *testing.T) {
	w, others, next, err := renewOver(t, func(others *sd.Container, c call, pass func() error) error {
		if c.op == "delete" {
			require.Equal(t, only, stored(t, others, "id"), "the old one is there until the new one is")
		}
		return pass()
	})
	require.NoError(t, err)
	requireOnlyNew(t, others, next, both)
	require.Len(t, keys(t, w.Store), 1)
}

func TestRule18_RenewTakesWhatAnotherCommitChangedWithIt(t *testing.T) {
	_, others, next, err := renewOver(t, func(others *sd.Container, c call, pass func() error) error {
		if c.op == "delete" && c.n <= 3 {
			set(t, others, "id", "p", "theirs", c.n)
		}
		return pass()
	})
	require.NoError(t, err)
	requireOnlyNew(t, others, next, pkg("p", map[string]any{"k": int64(1), "mine": int64(1), "theirs": int64(3)}))
}

func TestRule18_RenewThatConflictsIsTakenBack(t *testing.T) {
	w, others, next, err := renewOver(t, func(others *sd.Container, c call, pass func() error) error {
		if c.op == "delete" && c.n == 1 {
			set(t, others, "id", "p", "mine", "theirs")
		}
		return pass()
	})
	require.ErrorIs(t, err, sd.ErrConflict)
	require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
	requireOnlyOld(t, w, others, next, pkg("p", map[string]any{"k": int64(1), "mine": "theirs"}))
}

func TestRule18_RenewOfASessionThatIsGoneIsTakenBack(t *testing.T) {
	for name, anew := range map[string]bool{"destroyed": false, "made anew": true} {
		_, others, next, err := renewOver(t, func(others *sd.Container, c call, pass func() error) error {
			if c.op == "delete" && c.n == 1 {
				update(t, others, "id", func(s *sd.Session) { require.NoError(t, s.Destroy()) })
				if anew {
					set(t, others, "id", "p", "anew", 1)
				}
			}
			return pass()
		})
		require.ErrorIs(t, err, sd.ErrGone, name)
		require.NotErrorIs(t, err, sd.ErrOutcomeUnknown, name)
		require.Nil(t, stored(t, others, next), name)
		if anew {
			require.Equal(t, pkg("p", map[string]any{"anew": int64(1)}), stored(t, others, "id"))
		}
	}
}

func TestRule18_RenewThatTheStoreRefusesIsTakenBack(t *testing.T) {
	for _, op := range []string{"add", "delete"} {
		w, others, next, err := renewOver(t, func(_ *sd.Container, c call, pass func() error) error {
			if c.op == op && c.n == 1 {
				return sd.ErrUnavailable
			}
			return pass()
		})
		require.ErrorIs(t, err, sd.ErrUnavailable, op)
		require.NotErrorIs(t, err, sd.ErrOutcomeUnknown, op)
		requireOnlyOld(t, w, others, next, only)
	}
}

func TestRule18_RenewWhoseContextEndsWhileItConflictsIsTakenBack(t *testing.T) {
	w := newWire()
	others := container(t, w.Store)
	set(t, others, "id", "p", "k", 1)
	tx, s := begin(t, container(t, w), "id")
	next, err := s.Renew()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	w.answer(func(c call, pass func() error) error {
		if c.op == "delete" && c.n == 1 {
			set(t, others, "id", "p", "k", 2)
			cancel()
		}
		return pass()
	})
	require.ErrorIs(t, tx.Commit(ctx), context.Canceled)
	require.Equal(t, sd.RolledBack, tx.State())
	requireOnlyOld(t, w, others, next, pkg("p", map[string]any{"k": int64(2)}))
}

func TestLostReply_OfARenewsAdd_MyIDIsThere_GoesOn(t *testing.T) {
	_, others, next, err := renewOver(t, func(_ *sd.Container, c call, pass func() error) error {
		if c.op == "add" {
			require.NoError(t, pass())
			return errNoReply
		}
		return pass()
	})
	require.NoError(t, err)
	requireOnlyNew(t, others, next, both)
}

func TestLostReply_OfARenewsAdd_Absent_UnknownAndTheOldOneStays(t *testing.T) {
	w, others, next, err := renewOver(t, func(_ *sd.Container, c call, pass func() error) error {
		if c.op == "add" {
			require.Equal(t, 1, c.n, "an Add is not sent twice")
			return errNoReply
		}
		return pass()
	})
	require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
	requireOnlyOld(t, w, others, next, only)
}

func TestLostReply_OfARenewsDelete_StillThere_TheSameIsSentAgain(t *testing.T) {
	_, others, next, err := renewOver(t, func(_ *sd.Container, c call, pass func() error) error {
		if c.op == "delete" && c.n <= 2 {
			return errNoReply
		}
		return pass()
	})
	require.NoError(t, err)
	requireOnlyNew(t, others, next, both)
}

func TestLostReply_OfARenewsDelete_AnotherCommitIsMerged(t *testing.T) {
	_, others, next, err := renewOver(t, func(others *sd.Container, c call, pass func() error) error {
		if c.op == "delete" && c.n == 1 {
			set(t, others, "id", "p", "theirs", 1)
			return errNoReply
		}
		return pass()
	})
	require.NoError(t, err)
	requireOnlyNew(t, others, next, pkg("p", map[string]any{"k": int64(1), "mine": int64(1), "theirs": int64(1)}))
}

func TestLostReply_OfARenewsDelete_Absent_TakenBackAndUnknown(t *testing.T) {
	_, others, next, err := renewOver(t, func(_ *sd.Container, c call, pass func() error) error {
		if c.op == "delete" && c.n == 1 {
			require.NoError(t, pass())
			return errNoReply
		}
		return pass()
	})
	require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
	require.Nil(t, stored(t, others, next), "it may have been a logout")
}

// The first copy is delayed and applied just before the second, which is then
// answered as if another had destroyed the session.
func TestLostReply_OfARenewsDelete_TheSecondCopyMeetsTheFirst_Unknown(t *testing.T) {
	for name, anew := range map[string]bool{"absent": false, "made anew": true} {
		var late func() error
		_, others, next, err := renewOver(t, func(others *sd.Container, c call, pass func() error) error {
			switch {
			case c.op == "delete" && c.n == 1:
				late = pass
				return errNoReply
			case c.op == "delete" && c.n == 2:
				require.NoError(t, late())
				if anew {
					set(t, others, "id", "p", "anew", 1)
				}
			}
			return pass()
		})
		require.ErrorIs(t, err, sd.ErrOutcomeUnknown, name)
		require.NotErrorIs(t, err, sd.ErrGone, name)
		require.Nil(t, stored(t, others, next), name)
	}
}

func TestLostReply_OfARenewsDelete_AFailureOfTheSecondCopyDoesNotSettleTheFirst(t *testing.T) {
	_, others, next, err := renewOver(t, func(_ *sd.Container, c call, pass func() error) error {
		switch {
		case c.op == "delete" && c.n == 1:
			return errNoReply // delayed: it may still arrive
		case c.op == "delete" && c.n == 2:
			return sd.ErrUnavailable
		}
		return pass()
	})
	require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
	require.ErrorIs(t, err, sd.ErrUnavailable)
	require.Nil(t, stored(t, others, next))
}

func TestLostReply_OfARewriteUnderTheNewID_IsSentAgain(t *testing.T) {
	for _, applied := range []bool{true, false} {
		_, others, next, err := renewOver(t, func(others *sd.Container, c call, pass func() error) error {
			switch {
			case c.op == "delete" && c.n == 1:
				set(t, others, "id", "p", "theirs", 1)
			case c.op == "swap" && c.n == 1:
				if applied {
					require.NoError(t, pass())
				}
				return errNoReply
			}
			return pass()
		})
		require.NoError(t, err)
		requireOnlyNew(t, others, next, pkg("p", map[string]any{"k": int64(1), "mine": int64(1), "theirs": int64(1)}))
	}
}

func TestRule18_RenewWhoseNewSessionIsEvictedHalfWayIsAConflict(t *testing.T) {
	w := newWire()
	others := container(t, w.Store)
	set(t, others, "id", "p", "k", 1)
	tx, s := begin(t, container(t, w), "id")
	_, err := s.Renew()
	require.NoError(t, err)
	w.answer(func(c call, pass func() error) error {
		if c.op == "delete" && c.n == 1 {
			set(t, others, "id", "p", "k", 2)
			for _, key := range keys(t, w.Store) { // but for the old one
				if it, err := w.Store.Get(t.Context(), key); err == nil && key != c.key {
					require.NoError(t, w.Store.CompareAndDelete(t.Context(), key, it.Version))
				}
			}
		}
		return pass()
	})
	err = tx.Commit(t.Context())
	require.ErrorIs(t, err, sd.ErrConflict, "it is safe to run again")
	require.Equal(t, sd.RolledBack, tx.State())
	require.Equal(t, pkg("p", map[string]any{"k": int64(2)}), stored(t, others, "id"))
}

func TestLostReply_OfATakingBack(t *testing.T) {
	for name, fate := range map[string]func(pass func() error){"applied": func(pass func() error) { _ = pass() }, "not applied": func(func() error) {}} {
		w, others, next, err := renewOver(t, func(others *sd.Container, c call, pass func() error) error {
			switch {
			case c.op == "delete" && c.n == 1:
				return sd.ErrUnavailable
			case c.op == "delete" && c.n == 2:
				fate(pass)
				return errNoReply
			}
			return pass()
		})
		require.ErrorIs(t, err, sd.ErrUnavailable, name)
		require.NotErrorIs(t, err, sd.ErrOutcomeUnknown, name)
		requireOnlyOld(t, w, others, next, only)
	}
}

// A new id is drawn at random, but if anything else stands there by now it is
// another's: it is neither overwritten nor taken back.
func TestRule18_RenewLeavesWhatAnotherHasUnderTheNewID(t *testing.T) {
	var next string
	_, others, _, err := commitOver(t, func(s *sd.Session) {
		setMine(s)
		next, _ = s.Renew()
	}, func(others *sd.Container, c call, pass func() error) error {
		if c.op == "delete" && c.n == 1 {
			update(t, others, next, func(s *sd.Session) { require.NoError(t, s.Destroy()) })
			set(t, others, next, "p", "another", 1)
			set(t, others, "id", "p", "theirs", 1)
		}
		return pass()
	})
	require.ErrorIs(t, err, sd.ErrConflict)
	require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
	require.Equal(t, pkg("p", map[string]any{"another": int64(1)}), stored(t, others, next))
	require.Equal(t, pkg("p", map[string]any{"k": int64(1), "theirs": int64(1)}), stored(t, others, "id"))
}
