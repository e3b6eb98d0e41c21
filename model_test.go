package sessiondata_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// modelSession is a session as copies of maps. A savepoint copies it whole.
type modelSession struct {
	vals      map[string]map[string]int
	timeout   time.Duration // as set; 0: the container's
	destroyed bool
	renewed   string
}

func (m modelSession) clone() modelSession {
	vals := map[string]map[string]int{}
	for name, p := range m.vals {
		vals[name] = maps.Clone(p)
	}
	m.vals = vals
	return m
}

// packages returns the names of those that hold something.
func (m modelSession) packages() []string {
	names := []string{}
	for name, p := range m.vals {
		if len(p) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (m modelSession) equal(o modelSession) bool {
	return m.timeout == o.timeout && m.destroyed == o.destroyed && m.renewed == o.renewed &&
		slices.Equal(m.packages(), o.packages()) && !slices.ContainsFunc(m.packages(), func(name string) bool { return !maps.Equal(m.vals[name], o.vals[name]) })
}

// modelTxn is a transaction over two sessions, and its model.
type modelTxn struct {
	t     *rapid.T
	c     *sd.Container
	w     *wire
	tx    *sd.Txn
	ids   []string
	base  []modelSession // as stored; nil values: not there
	there []bool
	now   []modelSession
	opens []*sd.Session
	saves []modelSave
}

type modelSave struct {
	sp    *sd.Savepoint
	state []modelSession
	valid bool
}

var (
	modelPkgs = rapid.SampledFrom([]string{"p", "q", ""})
	modelKeys = rapid.SampledFrom([]string{"a", "b", "c", ""})
	modelVals = rapid.IntRange(1, 3)
)

func (m *modelTxn) begin() {
	m.tx = sd.Begin()
	m.opens = make([]*sd.Session, len(m.ids))
	m.now = make([]modelSession, len(m.ids))
	for i, b := range m.base {
		m.now[i] = b.clone()
	}
	m.saves = nil
}

// pick draws a session, opening it at its first use.
func (m *modelTxn) pick() (*sd.Session, *modelSession) {
	i := rapid.IntRange(0, len(m.ids)-1).Draw(m.t, "session")
	if m.opens[i] == nil {
		s, err := m.c.Session(m.t.Context(), m.tx, m.ids[i])
		require.NoError(m.t, err)
		m.opens[i] = s
	}
	return m.opens[i], &m.now[i]
}

func (m *modelTxn) pkg() (*sd.PkgData, string, *modelSession, map[string]int) {
	s, now := m.pick()
	name := modelPkgs.Draw(m.t, "pkg")
	vals := now.vals[name]
	if vals == nil {
		vals = map[string]int{}
		now.vals[name] = vals
	}
	if now.destroyed {
		vals = nil
	}
	return s.Pkg(name), modelKeys.Draw(m.t, "key"), now, vals
}

// gone checks that a change is refused where the session is destroyed.
func (m *modelTxn) gone(now *modelSession, err error) bool {
	if now.destroyed {
		require.ErrorIs(m.t, err, sd.ErrGone)
		return true
	}
	require.NoError(m.t, err)
	return false
}

func (m *modelTxn) Set(*rapid.T) {
	p, key, now, vals := m.pkg()
	v := modelVals.Draw(m.t, "value")
	if !m.gone(now, p.Set(key, v)) {
		vals[key] = v
	}
}

func (m *modelTxn) Delete(*rapid.T) {
	p, key, now, vals := m.pkg()
	if !m.gone(now, p.Delete(key)) {
		delete(vals, key)
	}
}

func (m *modelTxn) Clear(*rapid.T) {
	p, _, now, vals := m.pkg()
	if !m.gone(now, p.Clear()) {
		clear(vals)
	}
}

func (m *modelTxn) Modify(*rapid.T) {
	p, key, now, vals := m.pkg()
	err := sd.Modify(p, key, func(n *int) error { *n++; return nil })
	if !m.gone(now, err) {
		vals[key]++
	}
}

func (m *modelTxn) PopAndSetDefault(*rapid.T) {
	p, key, now, vals := m.pkg()
	before, there := vals[key]
	got, err := sd.Pop[int](p, key)
	switch {
	case now.destroyed:
		require.ErrorIs(m.t, err, sd.ErrGone)
		return
	case !there:
		require.ErrorIs(m.t, err, sd.ErrKeyNotFound)
	default:
		require.NoError(m.t, err)
		require.Equal(m.t, before, got)
	}
	delete(vals, key)
	got, err = sd.SetDefault(p, key, 2)
	require.NoError(m.t, err)
	require.Equal(m.t, 2, got)
	vals[key] = 2
}

func (m *modelTxn) Get(*rapid.T) {
	p, key, _, vals := m.pkg()
	want, there := vals[key]
	got, err := sd.Get[int](p, key)
	if there {
		require.NoError(m.t, err)
		require.Equal(m.t, want, got)
	} else {
		require.ErrorIs(m.t, err, sd.ErrKeyNotFound)
	}
	require.Equal(m.t, there, p.Has(key))
}

func (m *modelTxn) SetTimeout(*rapid.T) {
	s, now := m.pick()
	d := rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour, sd.NoTimeout}).Draw(m.t, "timeout")
	if !m.gone(now, s.SetTimeout(d)) {
		now.timeout = d
	}
}

func (m *modelTxn) Renew(*rapid.T) {
	s, now := m.pick()
	id, err := s.Renew()
	if !m.gone(now, err) {
		now.renewed = id
	}
}

func (m *modelTxn) Destroy(*rapid.T) {
	s, now := m.pick()
	require.NoError(m.t, s.Destroy())
	now.destroyed = true
}

func (m *modelTxn) Savepoint(*rapid.T) {
	sp, err := m.tx.Savepoint()
	require.NoError(m.t, err)
	m.saves = append(m.saves, modelSave{sp, m.snapshot(), true})
}

func (m *modelTxn) snapshot() []modelSession {
	state := make([]modelSession, len(m.now))
	for i := range m.now {
		state[i] = m.now[i].clone()
	}
	return state
}

func (m *modelTxn) RollbackTo(t *rapid.T) {
	if len(m.saves) == 0 {
		t.Skip("no savepoint")
	}
	i := rapid.IntRange(0, len(m.saves)-1).Draw(t, "savepoint")
	err := m.saves[i].sp.Rollback()
	if !m.saves[i].valid {
		require.ErrorIs(t, err, sd.ErrSavepointInvalid)
		return
	}
	require.NoError(t, err)
	for j := range m.now {
		m.now[j] = m.saves[i].state[j].clone()
	}
	m.invalidate(i + 1)
}

func (m *modelTxn) Release(t *rapid.T) {
	if len(m.saves) == 0 {
		t.Skip("no savepoint")
	}
	i := rapid.IntRange(0, len(m.saves)-1).Draw(t, "savepoint")
	err := m.saves[i].sp.Release()
	if !m.saves[i].valid {
		require.ErrorIs(t, err, sd.ErrSavepointInvalid)
		return
	}
	require.NoError(t, err)
	m.invalidate(i)
}

func (m *modelTxn) invalidate(from int) {
	for i := from; i < len(m.saves); i++ {
		m.saves[i].valid = false
	}
}

func (m *modelTxn) FailedStep(t *rapid.T) {
	before := m.snapshot()
	err := m.tx.Atomic(func() error {
		m.Set(t)
		m.Delete(t)
		m.SetTimeout(t)
		return errOne
	})
	require.Equal(t, errOne, err)
	m.now = before
}

func (m *modelTxn) End(t *rapid.T) {
	commit := rapid.IntRange(0, 3).Draw(t, "commit") > 0
	m.w.forget()
	if !commit {
		require.NoError(t, m.tx.Rollback())
		require.Empty(t, m.w.writes())
		m.begin()
		return
	}
	changed := false
	for i := range m.now {
		before, now := m.base[i], m.now[i]
		isNew := !m.there[i]
		switch {
		case now.destroyed:
			changed = changed || !isNew
			m.base[i], m.there[i] = modelSession{}, false
		case isNew && now.timeout == 0 && len(now.packages()) == 0, now.equal(before):
			// As it was; renewed or not, a new one is not stored.
		default:
			changed = true
			if now.renewed != "" {
				m.ids[i] = now.renewed
			}
			now.renewed = ""
			m.base[i], m.there[i] = now.clone(), true
		}
	}
	require.NoError(t, m.tx.Commit(t.Context()))
	if !changed {
		require.Empty(t, m.w.writes())
	}
	m.begin()
}

func (m *modelTxn) Check(t *rapid.T) {
	for i, s := range m.opens {
		if s == nil {
			continue
		}
		now := m.now[i]
		require.Equal(t, !m.there[i], s.IsNew())
		got := map[string]map[string]int{}
		for _, name := range s.Packages() {
			got[name] = map[string]int{}
			for key, v := range s.Pkg(name).All() {
				var n int
				require.NoError(t, v.Decode(&n))
				got[name][key] = n
			}
		}
		want := map[string]map[string]int{}
		for _, name := range now.packages() {
			if !now.destroyed {
				want[name] = now.vals[name]
			}
		}
		require.Equal(t, want, got)
		for _, name := range []string{"p", "q", ""} {
			require.Equal(t, len(want[name]), s.Pkg(name).Len())
			require.True(t, slices.Equal(slices.Sorted(maps.Keys(want[name])), s.Pkg(name).Keys()))
		}
		if now.renewed != "" {
			require.Equal(t, now.renewed, s.ID())
		} else {
			require.Equal(t, m.ids[i], s.ID())
		}
		timeout := now.timeout
		if timeout == 0 {
			timeout = 3 * time.Hour
		}
		require.Equal(t, timeout, s.Timeout())
		status := sd.Unmodified
		asStored := m.base[i]
		if !m.there[i] {
			asStored.renewed = now.renewed // of a new one, it changes nothing
		}
		switch {
		case now.destroyed:
			status = sd.Destroyed
		case !now.equal(asStored):
			status = sd.Modified
		}
		require.Equal(t, status, s.Status())
	}
}

func TestRule10_ATransactionIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWire()
		c, err := sd.NewContainer(w, sd.Config{Timeout: 3 * time.Hour})
		require.NoError(t, err)
		m := &modelTxn{t: t, c: c, w: w, base: make([]modelSession, 2), there: make([]bool, 2)}
		for i := range 2 {
			m.ids = append(m.ids, fmt.Sprint("id", i))
		}
		m.begin()
		actions := rapid.StateMachineActions(m)
		for name, action := range actions {
			actions[name] = func(t *rapid.T) { m.t = t; action(t) }
		}
		t.Repeat(actions)
	})
}
