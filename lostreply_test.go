package sessiondata_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// The rules of a lost reply, one by one: what the store does with a write, and
// what stands there when the commit asks. w is the wire of the commit alone;
// the others use the store behind it.

var errNoReply = fmt.Errorf("%w: no reply", sd.ErrOutcomeUnknown)

// commitOver stores p/k under "id", opens it, lets change work on it, and
// commits that with on answering.
func commitOver(t *testing.T, change func(s *sd.Session), on func(others *sd.Container, c call, pass func() error) error) (w *wire, others *sd.Container, tx *sd.Txn, err error) {
	t.Helper()
	w = newWire()
	others = container(t, w.Store)
	set(t, others, "id", "p", "k", 1)
	tx, s := begin(t, container(t, w), "id")
	change(s)
	w.answer(func(c call, pass func() error) error { return on(others, c, pass) })
	err = tx.Commit(t.Context())
	w.answer(nil)
	return w, others, tx, err
}

func setMine(s *sd.Session) { _ = s.Pkg("p").Set("mine", 1) }

var (
	both = pkg("p", map[string]any{"k": int64(1), "mine": int64(1)})
	only = pkg("p", map[string]any{"k": int64(1)})
)

func TestLostReply_MyIDIsThere_Done(t *testing.T) {
	_, others, tx, err := commitOver(t, setMine, func(_ *sd.Container, c call, pass func() error) error {
		if c.op == "swap" {
			require.Equal(t, 1, c.n, "the write is not repeated")
			require.NoError(t, pass())
			return errNoReply
		}
		return pass()
	})
	require.NoError(t, err)
	require.Equal(t, sd.Committed, tx.State())
	require.Equal(t, both, stored(t, others, "id"))
}

func TestLostReply_MyIDIsAmongTheAncestors_Done(t *testing.T) {
	for later := range 17 {
		_, others, _, err := commitOver(t, setMine, func(others *sd.Container, c call, pass func() error) error {
			if c.op == "swap" {
				require.NoError(t, pass())
				for i := range later {
					set(t, others, "id", "theirs", "n", i)
				}
				return errNoReply
			}
			return pass()
		})
		require.NoError(t, err, "%d commits later", later)
		require.Equal(t, both["p"], stored(t, others, "id")["p"])
	}
}

func TestLostReply_AncestorsDoNotReachSoFar_Unknown(t *testing.T) {
	for _, applied := range []bool{true, false} {
		_, _, tx, err := commitOver(t, setMine, func(others *sd.Container, c call, pass func() error) error {
			if c.op == "swap" {
				if applied {
					require.NoError(t, pass())
				}
				for i := range 17 {
					set(t, others, "id", "theirs", "n", i)
				}
				return errNoReply
			}
			return pass()
		})
		require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
		require.Equal(t, sd.Unknown, tx.State())
	}
}

func TestLostReply_StillTheVersionComparedAgainst_TheSameIsSentAgain(t *testing.T) {
	w, others, _, err := commitOver(t, setMine, func(_ *sd.Container, c call, pass func() error) error {
		if c.op == "swap" && c.n < 3 {
			return errNoReply
		}
		return pass()
	})
	require.NoError(t, err)
	require.Equal(t, both, stored(t, others, "id"))
	_ = w
}

func TestLostReply_TheSameIsSentAgainByteForByte(t *testing.T) {
	var sent [][]byte
	_, _, _, err := commitOver(t, setMine, func(_ *sd.Container, c call, pass func() error) error {
		if c.op == "swap" {
			if sent = append(sent, c.value); len(sent) == 1 {
				return errNoReply
			}
		}
		return pass()
	})
	require.NoError(t, err)
	require.Len(t, sent, 2)
	require.Equal(t, sent[0], sent[1])
}

func TestLostReply_AnotherThatReachesBackWithoutMe_ConflictIsMerged(t *testing.T) {
	for later := 1; later <= 16; later++ {
		_, others, _, err := commitOver(t, setMine, func(others *sd.Container, c call, pass func() error) error {
			if c.op == "swap" && c.n == 1 {
				for i := range later {
					set(t, others, "id", "p", "theirs", i)
				}
				return errNoReply
			}
			return pass()
		})
		require.NoError(t, err, "%d commits later", later)
		require.Equal(t, pkg("p", map[string]any{"k": int64(1), "mine": int64(1), "theirs": int64(later - 1)}), stored(t, others, "id"))
	}
}

func TestLostReply_AnotherThatReachesBackAndChangedTheSame_Conflict(t *testing.T) {
	_, others, tx, err := commitOver(t, setMine, func(others *sd.Container, c call, pass func() error) error {
		if c.op == "swap" && c.n == 1 {
			set(t, others, "id", "p", "mine", 2)
			return errNoReply
		}
		return pass()
	})
	require.ErrorIs(t, err, sd.ErrConflict)
	require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
	require.Equal(t, sd.RolledBack, tx.State())
	require.Equal(t, int64(2), stored(t, others, "id")["p"]["mine"])
}

func TestLostReply_OnlyAnAccessWasRecorded_ConflictIsMerged(t *testing.T) {
	clock := newClock()
	w := newWire()
	c, others := container(t, w, sd.Config{Now: clock.Now}), container(t, w.Store, sd.Config{Now: clock.Now})
	set(t, others, "id", "p", "k", 1)
	tx, s := begin(t, c, "id")
	setMine(s)
	w.answer(func(c call, pass func() error) error {
		if c.op == "swap" && c.n == 1 {
			clock.move(30 * time.Minute)
			require.NoError(t, others.View(t.Context(), "id", func(s *sd.Session) error {
				require.True(t, s.AccessDue())
				return nil
			}))
			return errNoReply
		}
		return pass()
	})
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, both, stored(t, others, "id"))
}

func TestLostReply_DestroyedAndMadeAnew_Unknown(t *testing.T) {
	for _, applied := range []bool{true, false} {
		_, others, _, err := commitOver(t, setMine, func(others *sd.Container, c call, pass func() error) error {
			if c.op == "swap" && c.n == 1 {
				if applied {
					require.NoError(t, pass())
				}
				update(t, others, "id", func(s *sd.Session) { require.NoError(t, s.Destroy()) })
				set(t, others, "id", "anew", "k", 2)
				return errNoReply
			}
			return pass()
		})
		require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
		require.Equal(t, pkg("anew", map[string]any{"k": int64(2)}), stored(t, others, "id"))
	}
}

func TestLostReply_AbsentAfterCompareAndSwap_Unknown(t *testing.T) {
	_, others, _, err := commitOver(t, setMine, func(others *sd.Container, c call, pass func() error) error {
		if c.op == "swap" {
			update(t, others, "id", func(s *sd.Session) { require.NoError(t, s.Destroy()) })
			return errNoReply
		}
		return pass()
	})
	require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
	require.Nil(t, stored(t, others, "id"))
}

func TestLostReply_DelayedCopyThatArrivesLaterIsHarmless(t *testing.T) {
	var late func() error
	_, others, _, err := commitOver(t, setMine, func(_ *sd.Container, c call, pass func() error) error {
		if c.op == "swap" && c.n == 1 {
			late = pass
			return errNoReply
		}
		return pass()
	})
	require.NoError(t, err)
	set(t, others, "id", "p", "mine", "changed since")
	require.ErrorIs(t, late(), sd.ErrConflict)
	require.Equal(t, "changed since", stored(t, others, "id")["p"]["mine"])
}

func TestLostReply_RefusalOfTheSecondCopyMayBeTheEchoOfTheFirst(t *testing.T) {
	var late func() error
	_, others, _, err := commitOver(t, setMine, func(_ *sd.Container, c call, pass func() error) error {
		switch {
		case c.op == "swap" && c.n == 1:
			late = pass
			return errNoReply
		case c.op == "swap" && c.n == 2:
			require.NoError(t, late())
		}
		return pass()
	})
	require.NoError(t, err)
	require.Equal(t, both, stored(t, others, "id"))
}

// Were that refusal believed, a counter would be merged with itself: a conflict,
// and the next run would count a second time.
func TestLostReply_ACountThatMeetsItsOwnEchoIsCountedOnce(t *testing.T) {
	var late func() error
	_, others, _, err := commitOver(t, func(s *sd.Session) {
		_ = sd.Modify(s.Pkg("p"), "k", func(n *int) error { *n++; return nil })
	}, func(_ *sd.Container, c call, pass func() error) error {
		switch {
		case c.op == "swap" && c.n == 1:
			late = pass
			return errNoReply
		case c.op == "swap" && c.n == 2:
			require.NoError(t, late())
		}
		return pass()
	})
	require.NoError(t, err)
	require.Equal(t, pkg("p", map[string]any{"k": int64(2)}), stored(t, others, "id"))
}

func TestLostReply_AFailureOfTheSecondCopyDoesNotSettleTheFirst(t *testing.T) {
	for _, failure := range []error{sd.ErrUnavailable, sd.ErrTooLarge, sd.ErrNotFound, sd.ErrExists} {
		var late func() error
		_, others, _, err := commitOver(t, setMine, func(_ *sd.Container, c call, pass func() error) error {
			switch {
			case c.op == "swap" && c.n == 1:
				late = pass
				return errNoReply
			case c.op == "swap" && c.n == 2:
				require.NoError(t, late())
				return failure
			}
			return pass()
		})
		require.NoError(t, err, failure)
		require.Equal(t, both, stored(t, others, "id"))
	}
}

func TestLostReply_AnErrorThatMatchesNoneOfThePackageCountsAsLost(t *testing.T) {
	for _, odd := range []error{errors.New("connection reset"), context.DeadlineExceeded, fmt.Errorf("%w: %w", sd.ErrConflict, sd.ErrOutcomeUnknown)} {
		_, others, _, err := commitOver(t, setMine, func(_ *sd.Container, c call, pass func() error) error {
			if c.op == "swap" && c.n == 1 {
				require.NoError(t, pass())
				return odd
			}
			return pass()
		})
		require.NoError(t, err, odd)
		require.Equal(t, both, stored(t, others, "id"))
	}
}

func TestLostReply_UnavailableIsCertainlyNotApplied(t *testing.T) {
	w := newWire()
	c := container(t, w)
	tx, s := begin(t, c, "id")
	setMine(s)
	w.answer(func(call, func() error) error { return sd.ErrUnavailable })
	err := tx.Commit(t.Context())
	require.ErrorIs(t, err, sd.ErrUnavailable)
	require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
	require.Equal(t, sd.RolledBack, tx.State())
	require.Equal(t, []string{"add"}, w.ops())
}

func TestLostReply_NoAnswerWithinCommitTimeout_Unknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, change := range []func(s *sd.Session){
			setMine, func(s *sd.Session) { _ = s.Destroy() }, func(s *sd.Session) { _, _ = s.Renew() },
		} {
			w := newWire()
			c := container(t, w, sd.Config{CommitTimeout: 3 * time.Second})
			set(t, c, "id", "p", "k", 1)
			tx, s := begin(t, c, "id")
			change(s)
			w.answer(func(c call, pass func() error) error {
				if c.write() {
					return errNoReply
				}
				return sd.ErrUnavailable
			})
			start := time.Now()
			require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrOutcomeUnknown)
			require.Equal(t, sd.Unknown, tx.State())
			require.Equal(t, 3*time.Second, time.Since(start))
		}
	})
}

func TestLostReply_AnswerThatComesWhileAsking(t *testing.T) {
	asked := 0
	_, others, _, err := commitOver(t, setMine, func(_ *sd.Container, c call, pass func() error) error {
		switch {
		case c.op == "swap":
			require.NoError(t, pass())
			return errNoReply
		case asked < 3:
			asked++
			return sd.ErrUnavailable
		}
		return pass()
	})
	require.NoError(t, err)
	require.Equal(t, 3, asked)
	require.Equal(t, both, stored(t, others, "id"))
}

func TestLostReply_WhatIsThereCannotBeRead_Unknown(t *testing.T) {
	w, _, _, err := commitOver(t, setMine, func(_ *sd.Container, c call, pass func() error) error {
		return pass()
	})
	require.NoError(t, err)
	key := keys(t, w.Store)[0]
	tx, s := begin(t, container(t, w), "id")
	require.NoError(t, s.Pkg("p").Set("k", 2))
	w.answer(func(c call, pass func() error) error {
		if c.op == "swap" {
			it, err := w.Store.Get(t.Context(), key)
			require.NoError(t, err)
			require.NoError(t, w.Store.CompareAndSwap(t.Context(), key, []byte("garbage"), 0, it.Version))
			return errNoReply
		}
		return pass()
	})
	err = tx.Commit(t.Context())
	require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
	require.ErrorIs(t, err, sd.ErrCorrupt)
}
