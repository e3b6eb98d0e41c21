package histories

import (
	"cmp"
	"fmt"
	"slices"
)

// source is where a number was appended.
type source struct {
	txn, op int
}

// checker holds what has been concluded from a history so far.
type checker struct {
	h      *History
	level  Level
	report Report

	from     map[int]source // by the number appended
	order    map[Key][]int  // the writes of each list, in order, as far as they are known
	happened []bool         // by transaction
}

// Check finds every anomaly of a history, but of the cycles through the same
// transactions only one of each kind.
func Check(h *History, level Level) Report {
	c := &checker{
		h: h, level: level, report: Report{Allowed: map[Name]int{}},
		from: map[int]source{}, order: map[Key][]int{}, happened: make([]bool, len(h.Txns)),
	}
	c.index()
	c.reads()
	c.decide()
	c.writes()
	c.lives()
	c.cycles()
	return c.report
}

func (c *checker) found(n Name, format string, args ...any) {
	if !c.level.Forbids(n) {
		c.report.Allowed[n]++
		return
	}
	c.report.Anomalies = append(c.report.Anomalies, Anomaly{n, fmt.Sprintf(format, args...)})
}

// final returns the last state of a list; ok: its life is there at the end.
func (c *checker) final(k Key) (list []int, ok bool) {
	s := c.h.Final[k.Session]
	return s.Lists[k.Name], s.Life == k.Life && k.Life != 0
}

// index finds the source of every number, and the order of each list: the last
// state where there is one, else the longest that was read.
func (c *checker) index() {
	for i, t := range c.h.Txns {
		for j, op := range t.Ops {
			if op.Append != 0 {
				c.from[op.Append] = source{i, j}
			}
		}
		for _, op := range t.firstOf() {
			if _, alive := c.final(op.Key); !alive && len(op.Found) > len(c.order[op.Key]) {
				c.order[op.Key] = op.Found
			}
		}
	}
	for session, s := range c.h.Final {
		for name, list := range s.Lists {
			c.order[Key{session, s.Life, name}] = list
		}
	}
}

// firstOf returns the first operation on each list: what it found came from
// others.
func (t *Txn) firstOf() []Op {
	first := make([]Op, 0, len(t.Ops))
	for _, op := range t.Ops {
		if !slices.ContainsFunc(first, func(o Op) bool { return o.Key == op.Key }) {
			first = append(first, op)
		}
	}
	return first
}

// appendsTo returns what a transaction appended to a list for good.
func (t *Txn) appendsTo(k Key) []int {
	var list []int
	for _, op := range t.Ops {
		if op.Key == k && op.Append != 0 && !op.TakenBack {
			list = append(list, op.Append)
		}
	}
	return list
}

// destroys reports whether a transaction destroyed the life of a list.
func (t *Txn) destroys(k Key) bool {
	return slices.Contains(t.Visits, Visit{Session: k.Session, Life: k.Life, Destroyed: true})
}

// reads checks what was found, by whom ever.
func (c *checker) reads() {
	for i := range c.h.Txns {
		t := &c.h.Txns[i]
		c.internal(t)
		for _, op := range t.firstOf() {
			c.read(fmt.Sprintf("transaction %d", t.ID), i, op.Key, op.Found)
		}
		if t.Outcome != Aborted {
			for _, op := range t.Ops {
				if op.Key.Name != Mark {
					c.report.Operations++
				}
			}
		}
	}
	for session, s := range c.h.Final {
		for name, list := range s.Lists {
			c.read("the last reader", -1, Key{session, s.Life, name}, list)
		}
	}
}

// internal checks that a transaction sees its own appends, and no change of
// others after its first look.
func (c *checker) internal(t *Txn) {
	seen := map[Key][]int{}
	for _, op := range t.Ops {
		want, again := seen[op.Key]
		if again && !slices.Equal(want, op.Found) {
			c.found(Internal, "transaction %d found %v in %v, where it should have seen %v", t.ID, op.Found, op.Key, want)
			return
		}
		seen[op.Key] = op.Found
		if op.Append != 0 && !op.TakenBack {
			seen[op.Key] = append(slices.Clone(op.Found), op.Append)
		}
	}
}

// read checks one list that a transaction found.
func (c *checker) read(who string, reader int, k Key, list []int) {
	for i, n := range list {
		if slices.Contains(list[:i], n) {
			c.found(Duplicate, "%s found %d twice in %v: %v", who, n, k, list)
			return
		}
		src, ok := c.from[n]
		if !ok || src.txn == reader {
			c.found(Garbage, "%s found %d in %v, which nobody appended before", who, n, k)
			return
		}
		w := &c.h.Txns[src.txn]
		op := w.Ops[src.op]
		switch {
		case op.Key != k:
			c.found(Garbage, "%s found %d in %v, which was appended to %v", who, n, k, op.Key)
			return
		case op.TakenBack || w.Outcome == Aborted:
			c.found(G1a, "%s found %d in %v, which transaction %d has taken back", who, n, k, w.ID)
			return
		case w.destroys(k):
			c.found(G1b, "%s found %d in %v, which transaction %d destroyed with it", who, n, k, w.ID)
			return
		}
		for _, other := range w.appendsTo(k) {
			if !slices.Contains(list, other) {
				c.found(G1b, "%s found %d in %v but not %d, which transaction %d appended with it", who, n, k, other, w.ID)
				return
			}
		}
	}
	order := c.order[k]
	for len(list) > 0 && c.excused(k, list[len(list)-1]) {
		list = list[:len(list)-1]
	}
	if len(list) > len(order) || !slices.Equal(list, order[:len(list)]) {
		c.found(Incompatible, "%s found %v in %v, where another found %v", who, list, k, order)
	}
}

// excused reports whether an append that is not in the order of its list was
// lost with a server.
func (c *checker) excused(k Key, n int) bool {
	return c.h.Txns[c.from[n].txn].Excused && !slices.Contains(c.order[k], n)
}

// decide finds out which of the transactions of unknown outcome have happened:
// those that left a trace.
func (c *checker) decide() {
	for i, t := range c.h.Txns {
		c.happened[i] = t.Outcome == Committed
	}
	mark := func(list []int) {
		for _, n := range list {
			if src, ok := c.from[n]; ok && c.h.Txns[src.txn].Outcome == Unknown {
				c.happened[src.txn] = true
			}
		}
	}
	for _, list := range c.order {
		mark(list)
	}
	for i := range c.h.Txns {
		for _, op := range c.h.Txns[i].firstOf() {
			mark(op.Found)
		}
	}
}

// writes checks that what happened is there, all of it, and that nobody came
// between a transaction's read of a list and its append.
func (c *checker) writes() {
	for i := range c.h.Txns {
		t := &c.h.Txns[i]
		if !c.happened[i] {
			continue
		}
		there, missing := 0, 0
		for _, op := range t.Ops {
			if op.Append == 0 || op.TakenBack {
				continue
			}
			at := slices.Index(c.order[op.Key], op.Append)
			_, alive := c.final(op.Key)
			switch {
			case at >= 0 && alive:
				there++
			case at < 0 && alive:
				missing++
			}
			if at >= 0 && !t.Excused && at != len(op.Found) {
				c.found(LostUpdate, "transaction %d appended %d to %v as it had read it, %v, and others came between: %v", t.ID, op.Append, op.Key, op.Found, c.order[op.Key])
			}
		}
		switch {
		case missing == 0:
		case t.Excused:
			c.report.Window++
		case there > 0:
			c.found(Half, "of transaction %d %d appends are there at the end, and %d are not", t.ID, there, missing)
		default:
			c.found(LostAppend, "transaction %d happened, and none of its %d appends is there at the end", t.ID, missing)
		}
	}
}

// sortedKeys makes what is reported the same at each run.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
