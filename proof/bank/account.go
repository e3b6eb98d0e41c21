// Package bank moves money among sessions on three memcached servers that are
// killed, and from which app servers are cut off, and keeps an account of every
// unit of it.
//
// The sessions of one generation are shared by all workers for a few seconds, and
// then closed. Each holds its balance and a log of the transfers that it has
// taken part in, so that whatever is missing can be named.
package bank

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// opening is what is paid into each session.
const opening = 1000

// entry is a transfer as each of its sessions logs it.
type entry struct {
	Sessions []int
	Amounts  []int // for each of Sessions; they sum up to 0
}

// account is a session as it was read.
type account struct {
	there bool
	money int
	log   map[string]entry
}

// readAccount reads a session.
func readAccount(s *sd.Session) (a account, err error) {
	if s.IsNew() {
		return account{}, nil
	}
	a = account{there: true, log: map[string]entry{}}
	if a.money, err = sd.Get[int](s.Pkg("bank"), "money"); err != nil {
		return a, err
	}
	log := s.Pkg("log")
	for _, name := range log.Keys() {
		if a.log[name], err = sd.Get[entry](log, name); err != nil {
			return a, err
		}
	}
	return a, nil
}

// transfer is what its worker knows of a transfer.
type transfer struct {
	entry
	done []int // restarts of each server that were over when it began
	over bool  // err is known
	err  error // what the transaction said
}

// audit is all sessions of a generation as they were at one moment.
type audit struct {
	accounts  []account
	transfers map[string]transfer
	on        []int // the server of each session
	opened    []int // restarts of each server that were over when the sessions were opened
	begun     []int // restarts of each server that had begun when the sessions had been read
	closed    bool  // nothing is under way any more
}

// result is what an audit found.
type result struct {
	sum    int // of the sessions that are there
	lost   int // sessions that are not, and whose server was restarted
	money  int // that was in them, as the logs of the others have it
	window int // transfers of which a part was lost with another of their servers
	faults []error
}

func (r *result) fault(format string, args ...any) {
	r.faults = append(r.faults, fmt.Errorf(format, args...))
}

// restarted reports whether the server of a session was restarted after the
// moment at which these restarts were over.
func (a *audit) restarted(session int, done []int) bool {
	return a.begun[a.on[session]] > done[a.on[session]]
}

// check checks that every session agrees with its log; that every transfer is in
// all of its sessions or in none, and as its worker was told; that only a session
// whose server was restarted is not there; and that the money which is missing
// was in those.
func (a *audit) check() result {
	var r result
	names := map[string]bool{}
	for i, acc := range a.accounts {
		if !acc.there {
			r.lost++
			r.money += opening
			if !a.restarted(i, a.opened) {
				r.fault("session %d is not there, and its server was not restarted", i)
			}
			continue
		}
		r.sum += acc.money
		want := opening
		for name, e := range acc.log {
			names[name] = true
			if at := slices.Index(e.Sessions, i); at >= 0 {
				want += e.Amounts[at]
			}
		}
		if acc.money != want {
			r.fault("session %d holds %d, and %d by its log", i, acc.money, want)
		}
	}
	if a.closed {
		for name := range a.transfers {
			names[name] = true
		}
	}
	elsewhere := 0 // what lost parts of transfers have added to the sum
	for _, name := range slices.Sorted(maps.Keys(names)) {
		elsewhere += a.transfer(&r, name)
	}
	if missing := len(a.accounts)*opening - r.sum; missing != r.money+elsewhere {
		r.fault("%d is missing, of which %d was in sessions that were lost, and %d in lost parts of transfers", missing, r.money, elsewhere)
	}
	return r
}

// transfer checks one transfer. It returns what its sessions that are there, but
// do not have it, should have got.
func (a *audit) transfer(r *result, name string) (elsewhere int) {
	t, ok := a.transfers[name]
	if !ok {
		r.fault("transfer %s is in a log, and nobody has made it", name)
		return 0
	}
	in, out, lost, restarted := 0, 0, 0, false
	for at, i := range t.Sessions {
		restarted = restarted || a.restarted(i, t.done)
		acc := a.accounts[i]
		switch logged, ok := acc.log[name]; {
		case ok:
			in++
			if !slices.Equal(logged.Sessions, t.Sessions) || !slices.Equal(logged.Amounts, t.Amounts) {
				r.fault("transfer %s is logged as %v, and was %v", name, logged, t.entry)
			}
		case acc.there:
			out++
			elsewhere += t.Amounts[at]
		default:
			lost += t.Amounts[at]
		}
	}
	where := fmt.Sprintf("transfer %s over %d sessions is in %d, and not in %d that are there", name, len(t.Sessions), in, out)
	switch {
	case in == 0:
		elsewhere = 0 // it has not happened, as far as can be seen
	case out > 0 && !restarted:
		r.fault("%s: a half, and none of their servers was restarted", where)
	case out > 0:
		r.window++
	}
	if in > 0 {
		r.money += lost
	}
	if !t.over {
		return elsewhere
	}
	switch {
	case t.err == nil && out > 0 && in == 0 && !restarted:
		r.fault("%s: it was answered nil", where)
	case t.err != nil && !errors.Is(t.err, sd.ErrOutcomeUnknown) && in > 0:
		r.fault("%s: it was answered %v", where, t.err)
	}
	return elsewhere
}
