package sessiondata_test

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// What the steps of a script do to the transaction as such.

func (w *runner) snapshot(sp *sd.Savepoint) *modelSave {
	save := &modelSave{sp: sp, valid: true, now: make([]*modelSession, modelSessions)}
	for i, o := range w.now {
		if o != nil {
			state := o.now.clone()
			save.now[i] = &state
		}
	}
	for _, p := range w.all() {
		save.parts, save.work = append(save.parts, p), append(save.work, p.wants)
	}
	return save
}

// all returns the participants.
func (w *runner) all() []*joiner {
	all := slices.Clone(w.parts)
	if w.last != nil {
		all = append(all, w.last)
	}
	return all
}

// canSave reports whether every participant takes savepoints.
func (w *runner) canSave() bool {
	return !slices.ContainsFunc(w.all(), func(l *joiner) bool { return l.how == "plain" || l.how == "fails" })
}

// back goes back to a savepoint, in the model.
func (w *runner) back(save *modelSave) {
	for i, o := range w.now {
		switch {
		case o == nil:
		case save.now[i] != nil:
			o.now = save.now[i].clone()
		default: // loaded since: it stays, without changes
			o.now = o.base.clone()
		}
	}
	for _, p := range w.all() {
		if i := slices.Index(save.parts, p); i >= 0 {
			p.wants = save.work[i]
			continue
		}
		require.Equal(w.t, 1, p.undid, "who joined since is rolled back, and leaves")
		require.Zero(w.t, p.committed)
	}
	w.parts = slices.DeleteFunc(w.parts, func(p *joiner) bool { return !slices.Contains(save.parts, p) })
	if w.last != nil && !slices.Contains(save.parts, w.last) {
		w.last = nil
	}
	w.invalidate(slices.Index(w.saves, save)+1, false)
}

func (w *runner) invalidate(from int, released bool) {
	for _, save := range w.saves[from:] {
		save.released = save.released || released && save.valid
		save.valid = false
	}
}

// handles returns the savepoints that the script holds.
func (w *runner) handles() []*modelSave {
	return slices.DeleteFunc(slices.Clone(w.saves), func(s *modelSave) bool { return s.sp == nil })
}

func (w *runner) doSavepoint(s step) {
	switch s.Do {
	case "doom":
		w.tx.Doom()
		w.doomed = true
		require.Equal(w.t, sd.Doomed, w.tx.State())
	case "savepoint":
		sp, err := w.tx.Savepoint()
		w.note("%s", kindOf(err))
		if !w.canSave() {
			require.ErrorIs(w.t, err, sd.ErrNoSavepoint)
			return
		}
		require.NoError(w.t, err)
		w.saves = append(w.saves, w.snapshot(sp))
	case "atomic":
		w.atomic(s)
	case "back", "release":
		held := w.handles()
		if len(held) == 0 {
			return
		}
		save := held[(s.N+4*s.Session)%len(held)]
		call := save.sp.Rollback
		if s.Do == "release" {
			call = save.sp.Release
		}
		err := call()
		w.note("%s", kindOf(err))
		if !save.valid {
			require.ErrorIs(w.t, err, sd.ErrSavepointInvalid)
			return
		}
		require.NoError(w.t, err)
		if s.Do == "back" {
			w.back(save)
			for i := range w.opened {
				w.look(i)
			}
		} else {
			w.invalidate(slices.Index(w.saves, save), true)
		}
	}
}

func (w *runner) atomic(s step) {
	run := false
	var save *modelSave
	var err error
	var panicked any
	func() {
		defer func() {
			if panicked = recover(); panicked != nil && panicked != "as the script says" {
				panic(panicked)
			}
		}()
		err = w.tx.Atomic(func() error {
			run = true
			save = w.snapshot(nil)
			w.saves = append(w.saves, save)
			for _, inner := range s.Steps {
				w.do(inner)
			}
			switch s.How {
			case "fails":
				return errOne
			case "panics":
				panic("as the script says")
			}
			return nil
		})
	}()
	w.note("%s %v", kindOf(err), panicked)
	if !run {
		require.False(w.t, w.canSave())
		require.ErrorIs(w.t, err, sd.ErrNoSavepoint)
		return
	}
	require.Equal(w.t, s.How == "panics", panicked != nil)
	if s.How == "done" {
		require.NoError(w.t, err)
		if save.valid {
			w.invalidate(slices.Index(w.saves, save), true)
		}
		return
	}
	if s.How == "fails" {
		require.ErrorIs(w.t, err, errOne)
	}
	switch {
	case save.valid:
		w.back(save)
		for i := range w.opened {
			w.look(i)
		}
	case save.released: // by the step itself, with an earlier one: it cannot be taken back
		w.doomed = true
		require.Equal(w.t, sd.Doomed, w.tx.State())
		if s.How == "fails" {
			require.ErrorIs(w.t, err, sd.ErrSavepointInvalid)
		}
	}
}

func (w *runner) doParticipant(s step) {
	switch s.Do {
	case "join":
		l := &joiner{how: s.How}
		var p sd.Participant = l
		if s.How == "saver" || s.How == "last" {
			p = savingJoiner{l}
		}
		if s.How != "last" {
			require.NoError(w.t, w.tx.Join(p))
			w.parts = append(w.parts, l)
			return
		}
		err := w.tx.JoinLast(p)
		w.note("%s", kindOf(err))
		if w.last != nil {
			require.ErrorIs(w.t, err, sd.ErrInvalid)
			return
		}
		require.NoError(w.t, err)
		w.last = l
	case "bump":
		if all := w.all(); len(all) > 0 {
			l := all[s.N%len(all)]
			l.work++
			l.wants++
		}
	case "after":
		w.hooks++
		require.NoError(w.t, w.tx.AfterEnd(func(err error) { w.told = append(w.told, err) }))
	case "before":
		require.NoError(w.t, w.tx.BeforeCommit(func(context.Context) error {
			for _, inner := range s.Steps {
				w.do(inner)
			}
			if s.How == "fails" {
				return errThree
			}
			return nil
		}))
		w.before = append(w.before, s)
	}
}

// doForeign lets another transaction commit on a session that is there, once
// within this transaction: it sets a value where this one sets none, or destroys.
func (w *runner) doForeign(s step) {
	st := &w.stored[s.Session]
	if !st.there || w.foreign[s.Session] || w.ending {
		return
	}
	w.foreign[s.Session] = true
	err := w.direct[s.Session/modelIDs].Update(w.ctx, st.id, func(sess *sd.Session) error {
		if s.How == "destroys" {
			return sess.Destroy()
		}
		return sess.Pkg("f").Set(s.Key, s.N)
	})
	require.NoError(w.t, err)
	st.is = st.is.clone()
	if s.How == "destroys" {
		st.there = false
		st.is = newModelSession()
	} else {
		st.is.pkg("f")[s.Key] = modelValue{n: s.N}
	}
}

// expected is what a commit must answer where no fault shows.
func (w *runner) expected() error {
	for _, o := range w.before {
		if o.How == "fails" {
			return errThree
		}
	}
	if w.doomed {
		return sd.ErrDoomed
	}
	for i, o := range w.now {
		// A session that is destroyed here and by another is destroyed.
		if o != nil && o.changes() && !o.isNew && !o.now.destroyed && (!w.stored[i].there || w.stored[i].birth != o.birth) {
			return sd.ErrGone
		}
	}
	for _, l := range w.all() {
		if l.how == "fails" {
			return errTwo
		}
	}
	return nil
}

// after is what is stored of a session once the transaction has committed.
func (w *runner) after(i int) storedModel {
	st, o := w.stored[i], w.now[i]
	if o == nil || !o.changes() {
		return st
	}
	if o.now.destroyed {
		return storedModel{id: st.id, is: newModelSession()}
	}
	out := storedModel{id: st.id, there: true, birth: o.birth, is: o.now.clone()}
	if o.now.renewed != "" {
		out.id = o.now.renewed
	}
	out.is.renewed = ""
	if o.isNew {
		out.birth = -1 // a new one
	}
	// What another commit set meanwhile stays.
	if w.foreign[i] && st.there {
		for key, v := range st.is.vals["f"] {
			out.is.pkg("f")[key] = v
		}
	}
	return out
}

func (w *runner) end(how string) {
	handles, saves := w.opened, w.handles()
	var err error
	if how == "rollback" {
		require.NoError(w.t, w.tx.Rollback())
		err = sd.ErrTxnDone
		require.Equal(w.t, sd.RolledBack, w.tx.State())
		w.undone()
	} else {
		w.ending = true
		err = w.tx.Commit(w.ctx)
		w.ending = false
		w.settle(err)
	}
	w.note("end %s", kindOf(err))
	require.Len(w.t, w.told, w.hooks)
	for _, told := range w.told {
		require.Equal(w.t, kindOf(err), kindOf(told))
	}
	for _, s := range handles {
		if s != nil {
			require.ErrorIs(w.t, s.Pkg("p").Set("k", 1), sd.ErrTxnDone)
			require.Empty(w.t, s.Packages())
		}
	}
	for _, save := range saves {
		require.ErrorIs(w.t, save.sp.Rollback(), sd.ErrTxnDone)
	}
	if err != nil && w.faulty != nil && w.faulty.Count() > w.injected {
		// Intents that could not be taken away lapse. The clock is another one
		// from here on.
		w.show()
		w.clock.move(time.Minute)
	}
	w.begin()
}

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
