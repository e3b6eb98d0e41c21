package histories

import (
	"fmt"
	"math"
)

// life is what is known of one life of a session.
type life struct {
	born      int64 // when the transaction that made it began
	seen      int64 // when the last transaction began that found it
	firstSeen int64 // when the first transaction ended that found it
	seenBy    int   // the one of seen
	ended     int64 // when the first Destroy that committed had ended
	endedBy   int
	destroyed bool // by one that committed or may have
}

// lives checks that no life is found after its end, or before and after
// another one, and that none has ended for no reason.
func (c *checker) lives() {
	for session := range c.h.Final {
		found := map[int]*life{}
		at := func(n int) *life {
			if found[n] == nil {
				found[n] = &life{seen: -1, firstSeen: math.MaxInt64, ended: math.MaxInt64}
			}
			return found[n]
		}
		for i, t := range c.h.Txns {
			for _, v := range t.Visits {
				if v.Session == session && v.Life != 0 {
					c.visit(at(v.Life), i, t, v)
				}
			}
		}
		last := c.h.Final[session].Life
		if last != 0 {
			l := at(last)
			l.seen, l.seenBy = math.MaxInt64, -1
		}
		c.ends(session, found, last)
		c.returns(session, found)
	}
}

func (c *checker) visit(l *life, i int, t Txn, v Visit) {
	if v.Made {
		if !c.happened[i] || t.Excused {
			return // perhaps it was not made after all
		}
		l.born = t.Start
	} else if t.Start > l.seen {
		// An attempt that aborted has seen it as well.
		l.seen, l.seenBy = t.Start, t.ID
	}
	if t.Outcome != Unknown || !v.Made {
		l.firstSeen = min(l.firstSeen, t.End)
	}
	if v.Destroyed && t.Outcome != Aborted {
		l.destroyed = true
		if t.Outcome == Committed && !t.Excused && t.End < l.ended {
			l.ended, l.endedBy = t.End, t.ID
		}
	}
}

// ends checks each life by itself.
func (c *checker) ends(session int, found map[int]*life, last int) {
	for _, n := range sortedKeys(found) {
		l := found[n]
		if l.seen > l.ended {
			c.found(Resurrection, "session %d, which transaction %d made, was destroyed by transaction %d and is there when %s looks", session, n, l.endedBy, reader(l.seenBy))
		}
		// Who found a life that nobody made has been reported with its mark.
		src, ok := c.from[n]
		if !ok || n == last || l.destroyed || !c.happened[src.txn] {
			continue
		}
		switch {
		case c.h.Lost[session]:
			c.report.Lost++
			continue
		case c.h.Txns[src.txn].Excused:
			c.report.Window++ // it was made by a transaction that lost a part
			continue
		}
		c.found(Vanished, "session %d, as transaction %d made it, is not there at the end, and nobody destroyed it", session, n)
	}
}

// returns checks pairs of lives: none goes on when another has followed it.
func (c *checker) returns(session int, found map[int]*life) {
	names := sortedKeys(found)
	for _, a := range names {
		for _, b := range names {
			la, lb := found[a], found[b]
			// a was found, later b was made, and again later a is found.
			if a != b && la.firstSeen < lb.born && lb.firstSeen < la.seen {
				c.found(Resurrection, "session %d, which was made as %d, made anew as %d, and is found as %d by %s", session, a, b, a, reader(la.seenBy))
			}
		}
	}
}

func reader(id int) string {
	if id < 0 {
		return "the last reader"
	}
	return fmt.Sprintf("transaction %d", id)
}
