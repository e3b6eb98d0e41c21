package sessiondata_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// runner runs scripts over one store and holds every answer to a model that
// copies maps. Where the store is faulty what it may hide it must hide, and what
// it shows must be true: the model goes the way that was told, or, where the
// outcome is unknown, the one that is then found in the store.
type runner struct {
	t      *rapid.T
	ctx    context.Context
	faulty *storetest.Faulty // nil: nothing fails
	cs     []*sd.Container
	direct []*sd.Container // the same, past the faults
	clock  *clock
	ticks  int

	stored []storedModel
	births int
	trace  []string
	shown  int // length of trace when the first fault showed; -1: none has
	counts map[string]int

	// Of the transaction.
	tx       *sd.Txn
	opened   []*sd.Session
	now      []*openModel // nil: not opened
	saves    []*modelSave
	parts    []*joiner
	last     *joiner
	before   []step
	told     []error // by the hooks after the end
	hooks    int
	doomed   bool
	ending   bool // Commit runs the hooks
	foreign  []bool
	injected int // faults when the transaction began
}

// modelSave is a savepoint and what it goes back to.
type modelSave struct {
	sp       *sd.Savepoint // nil: that of an atomic step, to which the script has no handle
	now      []*modelSession
	parts    []*joiner
	work     []int
	valid    bool
	released bool
}

// joiner is a participant that counts what it is asked for.
type joiner struct {
	how                        string
	work                       int // comes and goes with savepoints
	wants                      int // the work in the model
	prepared, committed, undid int
}

func (l *joiner) Prepare(context.Context) error {
	l.prepared++
	if l.how == "fails" {
		return errTwo
	}
	return nil
}

func (l *joiner) Commit(context.Context) error   { l.committed++; return nil }
func (l *joiner) Rollback(context.Context) error { l.undid++; return nil }

// savingJoiner is one that takes savepoints.
type savingJoiner struct{ *joiner }

func (l savingJoiner) Savepoint() (func() error, error) {
	was := l.work
	return func() error { l.work = was; return nil }, nil
}

func (w *runner) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

// kindOf names an error without what differs from store to store.
func kindOf(err error) string {
	if err == nil {
		return "ok"
	}
	for _, kind := range []error{
		sd.ErrOutcomeUnknown, sd.ErrUnavailable, sd.ErrGone, sd.ErrConflict, sd.ErrDoomed, sd.ErrTxnDone, sd.ErrSavepointInvalid, sd.ErrNoSavepoint,
		sd.ErrKeyNotFound, sd.ErrInvalid, errOne, errTwo, errThree,
	} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return "another error: " + err.Error()
}

// fault notes that a fault shows, and allows that only where one was injected.
func (w *runner) fault(err error) {
	require.NotNil(w.t, w.faulty, "%v", err)
	require.Greater(w.t, w.faulty.Count(), w.injected, "no fault was injected: %v", err)
	w.show()
	w.counts["shown"]++
}

// show notes that from here on the answers need not be those of other stores.
func (w *runner) show() {
	if w.shown < 0 {
		w.shown = len(w.trace)
	}
}

func (w *runner) begin() {
	w.tx = sd.Begin()
	w.opened = make([]*sd.Session, modelSessions)
	w.now = make([]*openModel, modelSessions)
	w.foreign = make([]bool, modelSessions)
	w.saves, w.parts, w.last, w.before, w.told, w.hooks, w.doomed = nil, nil, nil, nil, nil, 0, false
	if w.faulty != nil {
		w.injected = w.faulty.Count()
	}
}

// open returns a session, loading it at its first use; nil: a fault shows.
func (w *runner) open(i int) (*sd.Session, *openModel) {
	if w.opened[i] != nil {
		return w.opened[i], w.now[i]
	}
	st := w.stored[i]
	s, err := w.cs[i/modelIDs].Session(w.ctx, w.tx, st.id)
	if err != nil {
		require.ErrorIs(w.t, err, sd.ErrUnavailable)
		w.fault(err)
		return nil, nil
	}
	base := newModelSession()
	if st.there {
		base = st.is.live(w.clock.Now().UnixNano())
	}
	w.opened[i], w.now[i] = s, &openModel{isNew: !st.there, birth: st.birth, base: base, now: base.clone()}
	return s, w.now[i]
}

// gone notes the answer to a change, and holds it to whether it is allowed.
func (w *runner) gone(o *openModel, err error) bool {
	w.note("%s", kindOf(err))
	if o.now.destroyed {
		require.ErrorIs(w.t, err, sd.ErrGone)
		return true
	}
	require.NoError(w.t, err)
	return false
}

// do runs one step. An error is one of those that the script makes.
func (w *runner) do(s step) {
	w.counts[s.Do]++
	switch s.Do {
	case "savepoint", "back", "release", "atomic", "doom":
		w.doSavepoint(s)
	case "join", "bump", "before", "after":
		w.doParticipant(s)
	case "foreign":
		w.doForeign(s)
	case "tick":
		if w.ticks < modelTicks {
			w.ticks++
			w.clock.move(modelTick)
		}
	case "end":
		w.end(s.How)
	default:
		w.doSession(s)
	}
}

func (w *runner) doSession(s step) {
	sess, o := w.open(s.Session)
	if sess == nil {
		return
	}
	p := sess.Pkg(s.Pkg)
	vals := o.now.pkg(s.Pkg)
	if o.now.destroyed {
		vals = map[string]modelValue{}
	}
	was, there := vals[s.Key]
	switch s.Do {
	case "set":
		if !w.gone(o, p.Set(s.Key, s.N)) {
			vals[s.Key] = modelValue{n: s.N}
		}
	case "set for":
		d := modelLives[s.N%len(modelLives)]
		if !w.gone(o, p.SetFor(s.Key, s.N, d)) {
			vals[s.Key] = modelValue{s.N, w.clock.Now().Add(d).UnixNano()}
		}
	case "delete":
		if !w.gone(o, p.Delete(s.Key)) {
			delete(vals, s.Key)
		}
	case "clear":
		if !w.gone(o, p.Clear()) {
			clear(vals)
		}
	case "delete package":
		if !w.gone(o, sess.DeletePkg(s.Pkg)) {
			clear(vals)
		}
	case "modify":
		if !w.gone(o, sd.Modify(p, s.Key, func(n *int) error { *n++; return nil })) {
			vals[s.Key] = modelValue{was.n + 1, was.end}
		}
	case "modify in vain":
		err := sd.Modify(p, s.Key, func(n *int) error { *n = 100; return errOne })
		w.note("%s", kindOf(err))
		if o.now.destroyed {
			require.ErrorIs(w.t, err, sd.ErrGone)
		} else {
			require.Equal(w.t, errOne, err)
		}
	case "pop":
		got, err := sd.Pop[int](p, s.Key)
		switch {
		case o.now.destroyed:
			require.ErrorIs(w.t, err, sd.ErrGone)
		case !there:
			require.ErrorIs(w.t, err, sd.ErrKeyNotFound)
		default:
			require.NoError(w.t, err)
			require.Equal(w.t, was.n, got)
			delete(vals, s.Key)
		}
		w.note("%d %s", got, kindOf(err))
	case "set default":
		got, err := sd.SetDefault(p, s.Key, s.N)
		if w.gone(o, err) {
			return
		}
		if !there {
			was = modelValue{n: s.N}
			vals[s.Key] = was
		}
		require.Equal(w.t, was.n, got)
	case "get":
		got, err := sd.Get[int](p, s.Key)
		w.note("%d %s", got, kindOf(err))
		if there {
			require.NoError(w.t, err)
			require.Equal(w.t, was.n, got)
		} else {
			require.ErrorIs(w.t, err, sd.ErrKeyNotFound)
		}
		require.Equal(w.t, there, p.Has(s.Key))
	case "look":
		w.look(s.Session)
	case "set timeout":
		d := modelTimeouts[s.N%len(modelTimeouts)]
		if !w.gone(o, sess.SetTimeout(d)) {
			o.now.timeout = d
		}
	case "renew":
		id, err := sess.Renew()
		if !w.gone(o, err) {
			o.now.renewed = id
		}
	case "destroy":
		require.NoError(w.t, sess.Destroy())
		o.now.destroyed = true
	default:
		w.t.Fatalf("step %q", s.Do)
	}
}

// contentOf returns all values of a session.
func (w *runner) contentOf(s *sd.Session) modelSession {
	got := newModelSession()
	for _, name := range s.Packages() {
		for key, v := range s.Pkg(name).All() {
			var val modelValue
			require.NoError(w.t, v.Decode(&val.n))
			if end := v.Expires(); !end.IsZero() {
				val.end = end.UnixNano()
			}
			got.pkg(name)[key] = val
		}
	}
	return got
}

// look holds all that can be seen of an opened session to the model.
func (w *runner) look(i int) {
	s, o := w.opened[i], w.now[i]
	if s == nil {
		return
	}
	require.Equal(w.t, o.isNew, s.IsNew())
	got, want := w.contentOf(s), o.now
	if want.destroyed {
		want = newModelSession()
	}
	require.Equal(w.t, want.packages(), got.packages())
	for _, name := range append(slices.Clone(modelPkgs), "f") {
		require.Equal(w.t, len(want.vals[name]), len(got.vals[name]))
		for key, v := range want.vals[name] {
			require.Equal(w.t, v, got.vals[name][key])
		}
		require.Equal(w.t, len(want.vals[name]), s.Pkg(name).Len())
		require.Len(w.t, s.Pkg(name).Keys(), len(want.vals[name]))
	}
	if o.now.renewed != "" {
		require.Equal(w.t, o.now.renewed, s.ID())
	} else {
		require.Equal(w.t, w.stored[i].id, s.ID())
	}
	timeout := o.now.timeout
	if timeout == 0 {
		timeout = 3 * time.Hour
	}
	require.Equal(w.t, timeout, s.Timeout())
	status := sd.Unmodified
	switch {
	case o.now.destroyed:
		status = sd.Destroyed
	case o.changes():
		status = sd.Modified
	}
	require.Equal(w.t, status, s.Status())
	for _, p := range append(slices.Clone(w.parts), w.last) {
		if p != nil {
			require.Equal(w.t, p.wants, p.work)
			require.Zero(w.t, p.undid+p.committed)
		}
	}
	w.note("%v %v %v", got.vals, timeout, status)
}
