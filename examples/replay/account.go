package main

import (
	"context"
	"time"
)

// The account of a replay: what each request was answered, and what became of
// those that were answered as committed. A committed request must be found in
// its visitor's session, unless the server that held the session was restarted
// afterwards.

// fate is what a request was answered.
type fate int

const (
	committed fate = iota
	refused        // certainly not stored: the store was unavailable, or had lost the session
	unknown        // it may have been stored or not
)

// entry is one request in the account.
type entry struct {
	request
	fate  fate
	isNew bool      // its transaction found no session
	added bool      // its transaction made the session
	boot  uint64    // of the server that stored it; 0 where that is not known
	at    time.Time // when it was answered, on a real clock
}

// held is a session as it was read, and the boot of the server that had it.
type held struct {
	visit
	boot uint64
}

// account is what a worker adds up.
type account struct {
	Committed, Refused, Unknown int64
	Settled                     int64     // of unknown outcome, and found to be stored
	Kept                        []request // that the sessions must have held
	Lost                        []request // committed, and lost with a restarted server
	Visits                      []visit   // as read
}

func (a *account) add(o account) {
	a.Committed += o.Committed
	a.Refused += o.Refused
	a.Unknown += o.Unknown
	a.Settled += o.Settled
	a.Kept = append(a.Kept, o.Kept...)
	a.Lost = append(a.Lost, o.Lost...)
	a.Visits = append(a.Visits, o.Visits...)
}

// count takes note of an answer.
func (a *account) count(e entry) {
	switch e.fate {
	case committed:
		a.Committed++
	case refused:
		a.Refused++
	default:
		a.Unknown++
	}
}

// maxDoubts bounds the combinations that are tried of what may or may not have
// been stored in one session.
const maxDoubts = 12

// doubt is a group of entries that were all stored in the session that was
// found, or none of them.
type doubt struct {
	entries []entry
	lost    bool // if they were not, a restart explains it
}

// close takes the requests of one visit into the account, with the session that
// was found in the end, if any.
//
// A committed request must be in it. There is doubt about a request of unknown
// outcome, and about those that were stored by a boot which has ended since: a
// warm restart keeps them. The session shows which of them it held: all its sums
// must be met by one combination.
func (a *account) close(ctx context.Context, entries []entry, found *held, b *boots) error {
	sure, doubts, err := sortOut(ctx, entries, found, b)
	if err != nil {
		return err
	}
	stored := 0 // as bits: none of them
	if found != nil {
		a.Visits = append(a.Visits, found.visit)
		for m := range 1 << min(len(doubts), maxDoubts) {
			if held := expectedVisits(keep(sure, doubts, m, found.boot), limit); len(held) == 1 && held[0].equal(found.visit) {
				stored = m
				break
			}
		}
		a.Kept = append(a.Kept, keep(sure, doubts, stored, found.boot)...)
	} else {
		a.Kept = append(a.Kept, keep(sure, nil, 0, 0)...)
	}
	for i, d := range doubts {
		for _, e := range d.entries {
			switch {
			case stored>>i&1 == 1 && e.fate == unknown:
				a.Settled++
			case stored>>i&1 == 1, e.fate == unknown:
			case d.lost:
				a.Lost = append(a.Lost, e.request)
			default:
				a.Kept = append(a.Kept, e.request) // missing: the check will say so
			}
		}
	}
	return nil
}

// sortOut tells what must be in the session found from what may be.
func sortOut(ctx context.Context, entries []entry, found *held, b *boots) (sure []entry, doubts []doubt, err error) {
	if b != nil && found == nil && len(entries) > 0 {
		if err := b.look(ctx); err != nil {
			return nil, nil, err
		}
	}
	ofBoot := make(map[uint64]int)
	for _, e := range entries {
		switch {
		case e.fate == unknown:
			doubts = append(doubts, doubt{entries: []entry{e}})
		case b == nil, found != nil && e.boot == found.boot:
			sure = append(sure, e)
		case e.boot == 0: // nobody read it since
			doubts = append(doubts, doubt{[]entry{e}, found != nil || b.someEndedAfter(e.at)})
		case found == nil && !b.hasEnded(e.boot):
			sure = append(sure, e)
		default: // the same key is on another boot now
			i, ok := ofBoot[e.boot]
			if !ok {
				i = len(doubts)
				ofBoot[e.boot] = i
				doubts = append(doubts, doubt{lost: true})
			}
			doubts[i].entries = append(doubts[i].entries, e)
		}
	}
	return sure, doubts, nil
}

// keep is the requests of sure, and of those doubts whose bit is set.
func keep(sure []entry, doubts []doubt, stored int, boot uint64) []request {
	var kept []request
	take := func(entries []entry) {
		for _, e := range entries {
			e.request.Boot = boot
			// Without a loss the log alone says when a visit began.
			e.request.Began = e.added && len(doubts) > 0
			kept = append(kept, e.request)
		}
	}
	take(sure)
	for i, d := range doubts {
		if stored>>i&1 == 1 {
			take(d.entries)
		}
	}
	return kept
}
