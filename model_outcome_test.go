package sessiondata_test

import (
	"errors"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// What becomes of a commit: as it was told, or, where that is unknown, as it is
// found.

// undone holds the participants to a rollback.
func (w *runner) undone() {
	for _, l := range w.all() {
		require.Equal(w.t, 1, l.undid)
		require.Zero(w.t, l.committed)
	}
}

// settle holds the outcome of a commit to the model, and brings that up to it.
func (w *runner) settle(err error) {
	expected := w.expected()
	unknown := errors.Is(err, sd.ErrOutcomeUnknown)
	switch {
	case err == nil:
		require.NoError(w.t, expected)
		require.Equal(w.t, sd.Committed, w.tx.State())
		for _, l := range w.all() {
			require.Equal(w.t, []int{1, 1, 0}, []int{l.prepared, l.committed, l.undid})
		}
		for i := range w.stored {
			w.stored[i] = w.born(w.after(i))
		}
	case unknown:
		w.fault(err)
		w.counts["unknown"]++
		require.Equal(w.t, sd.Unknown, w.tx.State())
		for _, l := range w.all() {
			require.LessOrEqual(w.t, l.committed+l.undid, 1)
		}
		w.resolve(expected)
	default:
		if expected == nil || !errors.Is(err, expected) {
			// The store does not answer, or what a client had sent before it
			// seemed to have failed has come between.
			require.True(w.t, errors.Is(err, sd.ErrUnavailable) || errors.Is(err, sd.ErrConflict), "%v, expected %v", err, expected)
			w.fault(err)
		}
		require.Equal(w.t, sd.RolledBack, w.tx.State())
		w.undone()
	}
}

// born gives a session that a commit has made its birth.
func (w *runner) born(st storedModel) storedModel {
	if st.birth < 0 {
		w.births++
		st.birth = w.births
	}
	return st
}

// resolve finds out by reading what has become of a commit of unknown outcome:
// each session is as before or as after, and all of them are the one or the
// other.
func (w *runner) resolve(expected error) {
	w.faulty.Flush()
	w.clock.move(2 * w.cs[0].Config().CommitTimeout) // past the deadline of what was not decided
	changed := 0
	for i := range w.stored {
		if o := w.now[i]; o != nil && o.changes() {
			changed++
		}
	}
	alone := changed == 1 && len(w.all()) == 0
	befores, afters := 0, 0
	for i := range w.stored {
		o := w.now[i]
		if o == nil || !o.changes() {
			continue
		}
		before, after := w.stored[i], w.after(i)
		isBefore, isAfter := w.holds(i, before), expected == nil && w.holds(i, after)
		switch {
		case isAfter && isBefore && o.now.renewed == "": // they say the same
			w.stored[i] = w.born(after)
		case isAfter: // renewed, the old one may still be there: nobody has its id any more
			afters++
			w.stored[i] = w.born(after)
		case isBefore:
			befores++
		default:
			// A window that is stated: the reply to the delete of a renewal was lost,
			// and the renewal was taken back.
			require.True(w.t, alone && o.now.renewed != "", "neither as before nor as after: session %d", i)
			require.False(w.t, w.isThere(i, before.id))
			w.stored[i] = storedModel{id: before.id, is: newModelSession()}
		}
	}
	require.True(w.t, befores == 0 || afters == 0, "%d of the sessions are as before, %d as after", befores, afters)
}

// holds reports whether what is stored is what the model says.
func (w *runner) holds(i int, st storedModel) (same bool) {
	err := w.direct[i/modelIDs].View(w.ctx, st.id, func(s *sd.Session) error {
		if s.IsNew() || !st.there {
			same = s.IsNew() && !st.there
			return nil
		}
		got := w.contentOf(s)
		if got.timeout = s.Timeout(); got.timeout == 3*time.Hour {
			got.timeout = 0
		}
		same = got.same(st.is.live(w.clock.Now().UnixNano()))
		return nil
	})
	require.NoError(w.t, err)
	return same
}

func (w *runner) isThere(i int, id string) (there bool) {
	require.NoError(w.t, w.direct[i/modelIDs].View(w.ctx, id, func(s *sd.Session) error {
		there = !s.IsNew()
		return nil
	}))
	return there
}
