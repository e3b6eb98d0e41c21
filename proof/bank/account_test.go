package bank

import (
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// sound is a closed audit of three sessions on three servers, after one transfer
// of 5 from the first to the second and one of 7 and 1 from the third.
func sound() *audit {
	x := entry{Sessions: []int{0, 1}, Amounts: []int{-5, 5}}
	y := entry{Sessions: []int{2, 0, 1}, Amounts: []int{-8, 7, 1}}
	done := []int{0, 0, 0}
	return &audit{
		accounts: []account{
			{there: true, money: 1002, log: map[string]entry{"x": x, "y": y}},
			{there: true, money: 1006, log: map[string]entry{"x": x, "y": y}},
			{there: true, money: 992, log: map[string]entry{"y": y}},
		},
		transfers: map[string]transfer{"x": {entry: x, done: done, over: true}, "y": {entry: y, done: done, over: true}},
		on:        []int{0, 1, 2}, opened: done, begun: []int{0, 0, 0}, closed: true,
	}
}

// lose takes a session away, with its server or without.
func (a *audit) lose(i int, restarted bool) {
	a.accounts[i] = account{}
	if restarted {
		a.begun[i]++
	}
}

// undo takes a transfer out of one session.
func (a *audit) undo(name string, at int) {
	e := a.transfers[name].entry
	delete(a.accounts[e.Sessions[at]].log, name)
	a.accounts[e.Sessions[at]].money -= e.Amounts[at]
}

func TestAnAuditAcceptsWhatARestartExplains(t *testing.T) {
	r := sound().check()
	require.Empty(t, r.faults)
	require.Equal(t, 3*opening, r.sum)

	a := sound()
	a.lose(2, true)
	r = a.check()
	require.Empty(t, r.faults)
	require.Equal(t, 1, r.lost)
	require.Equal(t, 992, r.money, "what the lost session held")
	require.Equal(t, 2008, r.sum)

	a.undo("y", 1) // decided on the server that was lost, and not installed in one of the others
	r = a.check()
	require.Empty(t, r.faults)
	require.Equal(t, 1, r.window)

	a = sound()
	a.transfers["z"] = transfer{entry: entry{Sessions: []int{0, 1}, Amounts: []int{-1, 1}}, done: []int{0, 0, 0}, over: true, err: sd.ErrOutcomeUnknown}
	require.Empty(t, a.check().faults, "it may not have happened")
}

func TestAnAuditFindsWhatNothingExplains(t *testing.T) {
	with := func(name string, edit func(tr *transfer)) func(a *audit) {
		return func(a *audit) {
			tr := a.transfers[name]
			edit(&tr)
			a.transfers[name] = tr
		}
	}
	for name, c := range map[string]struct {
		edit func(a *audit)
		want string
	}{
		"money from nowhere":     {func(a *audit) { a.accounts[0].money++ }, "by its log"},
		"a half":                 {func(a *audit) { a.undo("x", 0) }, "a half"},
		"a half of unknown":      {func(a *audit) { a.undo("x", 0); with("x", func(tr *transfer) { tr.err = sd.ErrOutcomeUnknown })(a) }, "a half"},
		"a half, another's fate": {func(a *audit) { a.lose(2, true); a.undo("x", 0) }, "a half"},
		"lost although committed": {func(a *audit) {
			a.undo("x", 0)
			a.undo("x", 1)
		}, "answered nil"},
		"done although refused": {with("x", func(tr *transfer) { tr.err = sd.ErrUnavailable }), "answered sessiondata: store is unavailable"},
		"a session vanished":    {func(a *audit) { a.lose(2, false) }, "not restarted"},
		"a restart before it": {func(a *audit) {
			a.lose(2, true)
			a.undo("y", 1)
			with("y", func(tr *transfer) { tr.done = a.begun })(a)
		}, "a half"},
		"of nobody":      {func(a *audit) { delete(a.transfers, "x") }, "nobody has made"},
		"logged wrongly": {with("x", func(tr *transfer) { tr.Amounts = []int{-6, 6} }), "is logged as"},
	} {
		a := sound()
		c.edit(a)
		faults := a.check().faults
		require.NotEmpty(t, faults, name)
		require.ErrorContains(t, faults[0], c.want, name)
	}
}
