package sessiondata_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// written commits q/w = 7 to a session and returns how long that took.
func written(t testing.TB, c *sd.Container, id string) time.Duration {
	t.Helper()
	start := time.Now()
	require.NoError(t, sd.Retry{Attempts: 100}.Run(t.Context(), func(tx *sd.Txn) error {
		return open(t, c, tx, id).Pkg("q").Set("w", 7)
	}))
	return time.Since(start)
}

// Whoever wants to write waits until the deadline of the primary, not longer,
// and for a JoinLast intent past it by the allowance for clocks that differ.
func TestIntents_WritersWaitForTheDeadlineOfThePrimary(t *testing.T) {
	for who := range 2 {
		synctest.Test(t, func(t *testing.T) {
			w, c := storeA(t)
			ids := ascending(t, 2)
			fill(t, c, 0, ids...)
			go left(t, w, false, ids...) // its client goes on trying for a while
			time.Sleep(time.Second)
			took := written(t, c, ids[who])
			require.InDelta(t, (4 * time.Second).Seconds(), took.Seconds(), 0.2)
			require.Equal(t, []any{int64(0), int64(0)}, holding(t, c, ids...))
			time.Sleep(later)
		})
	}
}

// joinedLast begins a transaction that sets v to 1 in each session, and whose
// decision is that of a last participant, by fn.
func joinedLast(t testing.TB, c *sd.Container, fn func() error, ids ...string) *sd.Txn {
	t.Helper()
	tx := writing(t, c, 1, ids...)
	require.NoError(t, tx.JoinLast(&member{diary: new(diary), commit: fn}))
	return tx
}

// The clock of another may be ahead by less than the allowance: it must not undo
// what a last participant may still commit, at the very end of its time.
func TestIntents_LastParticipantHasItsTimeWhateverOthersClocksSay(t *testing.T) {
	const allowance = 5 * time.Second
	for _, slow := range []time.Duration{0, 3 * time.Second} { // the write that moves the deadline
		synctest.Test(t, func(t *testing.T) {
			w, c := storeA(t)
			ids := ascending(t, 3)
			fill(t, c, 0, ids...)
			w.answer(func(c call, pass func() error) error {
				if c.op == "swap" && c.n == 4 {
					time.Sleep(slow)
				}
				return pass()
			})
			last := &inTime{}
			tx := writing(t, c, 1, ids...)
			require.NoError(t, tx.JoinLast(last))
			require.NoError(t, tx.Join(&member{diary: new(diary), prepare: func() error {
				time.Sleep(time.Second) // so that the others' deadlines are earlier than the primary's
				return nil
			}}))
			early := containerA(t, w.Store, sd.Config{Now: ahead(allowance), CommitTimeout: time.Minute})
			for _, id := range ids {
				go func() {
					time.Sleep(500 * time.Millisecond)
					written(t, early, id)
				}()
			}
			require.NoError(t, tx.Commit(t.Context()))
			time.Sleep(later)
			require.Equal(t, []any{int64(1), int64(1), int64(1)}, holding(t, c, ids...))
			require.Equal(t, map[string]any{"w": int64(7)}, stored(t, c, ids[0])["q"])
		})
	}
}

// inTime is a last participant that takes all the time that it is given.
type inTime struct{ _ byte } // not of size zero: it is told apart by its address

func (p *inTime) Prepare(context.Context) error  { return nil }
func (p *inTime) Rollback(context.Context) error { return nil }

func (p *inTime) Commit(ctx context.Context) error {
	end, _ := ctx.Deadline()
	time.Sleep(time.Until(end) - time.Millisecond)
	return nil
}

// The deadline of the primary alone counts: that of another item is earlier
// where the primary's has been moved.
func TestIntents_OnlyThePrimarysDeadlineCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := storeA(t)
		ids := ascending(t, 2)
		fill(t, c, 0, ids...)
		tx := joinedLast(t, c, func() error {
			time.Sleep(4500 * time.Millisecond)
			return nil
		}, ids...)
		require.NoError(t, tx.Join(&member{diary: new(diary), prepare: func() error {
			time.Sleep(4500 * time.Millisecond) // within CommitTimeout
			return nil
		}}))
		// At 7 s its clock says 11 s: the deadline of the second was 5 s, 10 s
		// with the allowance; that of the first has become 10.5 s.
		other := containerA(t, w, sd.Config{Now: ahead(4 * time.Second), CommitTimeout: time.Minute})
		go func() {
			time.Sleep(7 * time.Second)
			written(t, other, ids[1])
		}()
		require.NoError(t, tx.Commit(t.Context()))
		time.Sleep(later)
		require.Equal(t, []any{int64(1), int64(1)}, holding(t, c, ids...))
	})
}

// The primary's intent is taken away first, so that a decision that comes late
// is refused: the others are as undone as it is.
func TestIntents_ThePrimarysIntentGoesFirstSoThatALateDecisionFails(t *testing.T) {
	for who := range 2 {
		synctest.Test(t, func(t *testing.T) {
			w, c := storeA(t)
			ids := ascending(t, 2)
			fill(t, c, 0, ids...)
			slow := hold(t, writing(t, c, 1, ids...))
			early := containerA(t, w, sd.Config{Now: ahead(10 * time.Second)})
			w.forget()
			require.Zero(t, written(t, early, ids[who]).Round(time.Second))
			require.Equal(t, keyOf(t, "a", ids[0]), w.placed(1)[0])
			require.ErrorIs(t, slow.release(), sd.ErrConflict)
			require.Equal(t, []any{int64(0), int64(0)}, holding(t, c, ids...))
			require.Equal(t, map[string]any{"w": int64(7)}, stored(t, c, ids[who])["q"])
		})
	}
}

// Several who settle at once, and one who comes late, do no harm.
func TestIntents_SettledBySeveralAtOnce(t *testing.T) {
	for _, decided := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, c := storeA(t)
			ids := ascending(t, 4)
			fill(t, c, 0, ids...)
			left(t, w, decided, ids...)
			time.Sleep(later)
			done := make(chan time.Duration)
			for client := range 8 {
				c := containerA(t, slowed{w})
				go func() { done <- written(t, c, ids[client%4]) }()
			}
			for range 8 {
				require.Less(t, <-done, time.Second)
			}
			want := int64(0)
			if decided {
				want = 1
			}
			require.Equal(t, []any{want, want, want, want}, holding(t, c, ids...))
			for _, id := range ids {
				require.Equal(t, map[string]any{"w": int64(7)}, stored(t, c, id)["q"])
			}
		})
	}
}

// An access alone is not recorded over an intent that is undecided.
func TestIntents_AccessAloneIsNotRecordedOverAnIntent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := storeA(t)
		ids := ascending(t, 2)
		fill(t, c, 0, ids...)
		time.Sleep(10 * time.Minute)
		other := hold(t, writing(t, c, 1, ids...))
		w.forget()
		for _, id := range ids {
			require.NoError(t, c.View(t.Context(), id, func(s *sd.Session) error {
				require.True(t, s.AccessDue())
				return nil
			}))
		}
		require.Empty(t, w.writes())
		require.NoError(t, other.release())
		require.Equal(t, []any{int64(1), int64(1)}, holding(t, c, ids...))
	})
}

// But what a client has left behind does not make a session end that is used,
// if only to read.
func TestIntents_SessionThatIsOnlyReadOutlivesWhatWasLeftOnIt(t *testing.T) {
	for _, decided := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, c := storeA(t)
			ids := ascending(t, 2)
			fill(t, c, 0, ids...)
			left(t, w, decided, ids...)
			for range 30 {
				time.Sleep(10 * time.Minute)
				for _, id := range ids {
					require.NoError(t, c.View(t.Context(), id, func(s *sd.Session) error {
						require.False(t, s.IsNew(), "decided: %v", decided)
						return nil
					}))
				}
			}
		})
	}
}

// A participant that prepares for longer than CommitTimeout has used up the time
// in which the sessions could be decided: nothing happened, and nothing stays.
func TestIntents_BudgetThatRunsOutWhileOthersPrepare(t *testing.T) {
	for _, last := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, c := storeA(t)
			ids := ascending(t, 2)
			fill(t, c, 0, ids...)
			d := new(diary)
			tx := writing(t, c, 1, ids...)
			require.NoError(t, tx.Join(&member{name: "slow", diary: d, prepare: func() error {
				time.Sleep(7 * time.Second)
				return nil
			}}))
			want := []string{"slow prepare", "slow rollback"}
			if last {
				require.NoError(t, tx.JoinLast(&member{name: "last", diary: d}))
				want = []string{"slow prepare", "last prepare", "last rollback", "slow rollback"}
			}
			err := tx.Commit(t.Context())
			require.ErrorIs(t, err, sd.ErrUnavailable)
			require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
			require.Equal(t, want, d.lines)
			w.forget()
			fill(t, c, 2, ids...)
			require.Equal(t, []string{"get", "swap", "get", "swap"}, w.ops(), "no intent is left")
		})
	}
}

// A context that ends before the first write stops the commit; after that the
// commit goes on, whichever call it ends at.
func TestIntents_ContextThatEndsAtEachCall(t *testing.T) {
	for at := 0; ; at++ {
		w, c := storeA(t)
		ids := ascending(t, 3)
		fill(t, c, 0, ids...)
		tx := writing(t, c, at+1, ids...)
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		w.answer(func(_ call, pass func() error) error {
			w.mu.Lock()
			calls++
			if calls == at {
				cancel()
			}
			w.mu.Unlock()
			return pass()
		})
		if at == 0 {
			cancel()
			require.ErrorIs(t, tx.Commit(ctx), context.Canceled)
			require.Empty(t, w.ops())
			continue
		}
		require.NoError(t, tx.Commit(ctx), at)
		w.answer(nil)
		require.Equal(t, []any{int64(at + 1), int64(at + 1), int64(at + 1)}, holding(t, c, ids...))
		if ctx.Err() == nil {
			require.Equal(t, 11, calls)
			cancel()
			return
		}
	}
}
