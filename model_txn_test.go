package sessiondata_test

import (
	"context"
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
