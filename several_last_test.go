package sessiondata_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// What the last participant says decides; each of the others is told once.
func TestJoinLast_Decides(t *testing.T) {
	errSQL := errors.New("deadlock detected")
	stories := map[string]struct {
		commit func() error
		said   []error // that Commit matches; nil: it is nil
		diary  []string
		state  sd.State
		holds  int // v in the sessions, once all is settled
	}{
		"succeeds": {
			func() error { return nil }, nil,
			[]string{"one prepare", "last prepare", "last commit", "one commit"},
			sd.Committed, 1,
		},
		"fails": {
			fails(errSQL),
			[]error{errSQL},
			[]string{"one prepare", "last prepare", "last commit", "last rollback", "one rollback"},
			sd.RolledBack, 0,
		},
		"does not know": {
			fails(errNoReply),
			[]error{sd.ErrOutcomeUnknown},
			[]string{"one prepare", "last prepare", "last commit", "last rollback", "one rollback"},
			sd.Unknown, 0,
		},
		"takes nearly all of its time": {
			func() error { time.Sleep(4900 * time.Millisecond); return nil }, nil,
			[]string{"one prepare", "last prepare", "last commit", "one commit"},
			sd.Committed, 1,
		},
		"is slow beyond the deadline": {
			func() error { time.Sleep(20 * time.Second); return nil },
			[]error{sd.ErrOutcomeUnknown, sd.ErrConflict},
			[]string{"one prepare", "last prepare", "last commit", "one commit"},
			sd.Unknown, 0,
		},
	}
	for what, s := range stories {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprint(what, ", sessions: ", n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					_, c := storeA(t)
					ids := ascending(t, n)
					fill(t, c, 0, ids...)
					d := new(diary)
					tx := writing(t, c, 1, ids...)
					require.NoError(t, tx.Join(&member{name: "one", diary: d}))
					require.NoError(t, tx.JoinLast(&member{name: "last", diary: d, commit: s.commit}))
					done := make(chan error, 1)
					go func() { done <- tx.Commit(t.Context()) }()
					for range 30 { // somebody who reads and writes all the while
						time.Sleep(time.Second)
						written(t, c, ids[n-1])
					}
					err := <-done
					if s.said == nil {
						require.NoError(t, err)
					}
					for _, want := range s.said {
						require.ErrorIs(t, err, want)
					}
					require.Equal(t, s.state == sd.Unknown, errors.Is(err, sd.ErrOutcomeUnknown))
					require.Equal(t, s.diary, d.lines)
					require.Equal(t, s.state, tx.State())
					for _, v := range holding(t, c, ids...) {
						require.EqualValues(t, s.holds, v)
					}
				})
			})
		}
	}
}

// A panic in its Commit may have come after the commit: the outcome is unknown,
// and the intents are left to lapse.
func TestJoinLast_ThatPanicsLeavesTheOutcomeUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := storeA(t)
		ids := ascending(t, 2)
		fill(t, c, 0, ids...)
		d := new(diary)
		tx := writing(t, c, 1, ids...)
		require.NoError(t, tx.Join(&member{name: "one", diary: d}))
		require.NoError(t, tx.JoinLast(&member{name: "last", diary: d, commit: func() error { panic("x") }}))
		require.PanicsWithValue(t, "x", func() { _ = tx.Commit(t.Context()) })
		require.Equal(t, sd.Unknown, tx.State())
		require.Equal(t, []string{"one prepare", "last prepare", "last commit", "last rollback", "one rollback"}, d.lines)
		require.Equal(t, []any{int64(0), int64(0)}, holding(t, c, ids...))
		took := written(t, c, ids[1])
		require.InDelta(t, 11, took.Seconds(), 0.2, "6 s, and the allowance of 5 s")
		require.Equal(t, []any{int64(0), int64(0)}, holding(t, c, ids...))
	})
}

// Before its Commit the primary's deadline is moved, which is a last look at
// whether the sessions can still be decided.
func TestJoinLast_IsNotAskedWhereTheSessionsHaveBeenUndone(t *testing.T) {
	for _, fate := range []error{nil, errNoReply} {
		synctest.Test(t, func(t *testing.T) {
			w, c := storeA(t)
			ids := ascending(t, 2)
			fill(t, c, 0, ids...)
			d := new(diary)
			tx := writing(t, c, 1, ids...)
			require.NoError(t, tx.JoinLast(&member{name: "last", diary: d, prepare: func() error {
				w.answer(at(1, func(_ call, pass func() error) error { return errors.Join(fate, pass()) }))
				written(t, containerA(t, w.Store, sd.Config{Now: ahead(time.Minute)}), ids[0])
				return nil
			}}))
			require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrConflict)
			require.Equal(t, sd.RolledBack, tx.State())
			require.Equal(t, []string{"last prepare", "last rollback"}, d.lines)
		})
	}
}

// The replies of the write that moves the deadline, and of the decision, can be
// lost as those of any other.
func TestJoinLast_WhenRepliesAreLost(t *testing.T) {
	for _, n := range []int{1, 2} {
		for _, swap := range []int{n + 1, n + 2} { // the deadline, the decision
			for _, arrives := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					w, c := storeA(t)
					ids := ascending(t, n)
					fill(t, c, 0, ids...)
					d := new(diary)
					tx := writing(t, c, 1, ids...)
					require.NoError(t, tx.JoinLast(&member{name: "last", diary: d}))
					w.answer(at(swap, func(_ call, pass func() error) error {
						if arrives {
							_ = pass()
						}
						return errNoReply
					}))
					require.NoError(t, tx.Commit(t.Context()))
					require.Equal(t, []string{"last prepare", "last commit"}, d.lines)
					for _, v := range holding(t, c, ids...) {
						require.EqualValues(t, 1, v)
					}
				})
			}
		}
	}
}

// Once it has committed there is no way back: a decision that the store does not
// take yet is sent again.
func TestJoinLast_TheDecisionIsInsistedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := storeA(t)
		ids := ascending(t, 2)
		fill(t, c, 0, ids...)
		var since time.Time
		tx := joinedLast(t, c, func() error { since = time.Now(); return nil }, ids...)
		w.answer(func(_ call, pass func() error) error {
			if !since.IsZero() && time.Since(since) < 4*time.Second {
				return sd.ErrUnavailable
			}
			return pass()
		})
		require.NoError(t, tx.Commit(t.Context()))
		require.Equal(t, []any{int64(1), int64(1)}, holding(t, c, ids...))
	})
}

// The window that no protocol over a cache can close: the process dies, or is
// cut off, between the Commit of the last participant and the decision. The
// participant has committed and the sessions have not.
func TestJoinLast_WindowBetweenItsCommitAndTheDecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := storeA(t)
		c := containerA(t, w)
		ids := ascending(t, 2)
		fill(t, c, 0, ids...)
		faulty := storetest.NewFaulty(w, storetest.FaultConfig{Shared: true})
		booked := false
		tx := joinedLast(t, containerA(t, faulty), func() error {
			booked = true
			faulty.Kill()
			return nil
		}, ids...)
		require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrOutcomeUnknown)
		require.Equal(t, sd.Unknown, tx.State())
		require.True(t, booked)
		time.Sleep(20 * time.Second)
		fillOther := func(id string) { set(t, c, id, "q", "w", 1) }
		fillOther(ids[1])
		fillOther(ids[0])
		require.Equal(t, []any{int64(0), int64(0)}, holding(t, c, ids...), "all or none of the sessions, still")
	})
}

// A process that dies at any of its writes, with a last participant: the
// sessions go all or none; and never all where the participant did not commit.
func TestJoinLast_AClientThatDiesAtAnyWrite(t *testing.T) {
	const n = 3
	for _, fate := range []storetest.Fault{storetest.DieBefore, storetest.DieAfter} {
		died := true
		for k := 1; died; k++ {
			synctest.Test(t, func(t *testing.T) {
				w, c := storeA(t)
				ids := ascending(t, n)
				fill(t, c, 0, ids...)
				faulty := storetest.NewFaulty(w, storetest.FaultConfig{Shared: true, Plan: map[int]storetest.Fault{k: fate}})
				booked := false
				tx := joinedLast(t, containerA(t, faulty), func() error { booked = true; return nil }, ids...)
				err := tx.Commit(t.Context())
				died = faulty.Died()
				time.Sleep(20 * time.Second)
				got := holding(t, c, ids...)
				require.Equal(t, []any{got[0], got[0], got[0]}, got)
				happened := got[0] == int64(1)
				switch {
				case err == nil:
					require.True(t, happened && booked)
				case !errors.Is(err, sd.ErrOutcomeUnknown):
					require.False(t, happened || booked)
				default:
					require.True(t, booked)
					require.Equal(t, n+2, k, "the window is the decision alone")
					require.Equal(t, fate == storetest.DieAfter, happened)
				}
				fill(t, c, 2, ids...)
			})
		}
	}
}

// The write that moves the deadline is sent again where it did not arrive.
func TestIntents_LastParticipantMovesTheDeadlineAlsoWhenTheRequestIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := storeA(t)
		ids := ascending(t, 2)
		fill(t, c, 0, ids...)
		tx := writing(t, c, 1, ids...)
		require.NoError(t, tx.JoinLast(new(inTime)))
		require.NoError(t, tx.Join(&member{diary: new(diary), prepare: func() error {
			time.Sleep(4 * time.Second)
			return nil
		}}))
		w.answer(at(3, func(call, func() error) error { return errNoReply }))
		early := containerA(t, w.Store, sd.Config{Now: ahead(4 * time.Second), CommitTimeout: time.Minute})
		go func() {
			time.Sleep(time.Second)
			written(t, early, ids[1])
		}()
		require.NoError(t, tx.Commit(t.Context()))
		time.Sleep(later)
		require.Equal(t, []any{int64(1), int64(1)}, holding(t, c, ids...))
	})
}
