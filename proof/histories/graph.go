package histories

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// kinds are the dependencies from one transaction to another.
type kinds uint8

const (
	ww kinds = 1 << iota
	wr
	rw
	rt
)

func (k kinds) String() string {
	for i, name := range [...]string{"ww", "wr", "rw", "rt"} {
		if k&(1<<i) != 0 {
			return name
		}
	}
	return ""
}

// graph has the transactions of a history as its nodes.
type graph []map[int]kinds

func newGraph(n int) graph { return make(graph, n) }

func (g graph) edge(from, to int, k kinds) {
	if from == to {
		return
	}
	if g[from] == nil {
		g[from] = map[int]kinds{}
	}
	g[from][to] |= k
}

// components returns the number of the strongly connected component of each
// node, by edges of these kinds (Tarjan), and which have several nodes.
func (g graph) components(allowed kinds) (of []int, cyclic map[int]bool) {
	index, low := make([]int, len(g)), make([]int, len(g))
	of, cyclic = make([]int, len(g)), map[int]bool{}
	for i := range of {
		of[i] = -1
	}
	var stack []int
	next, count := 1, 0
	var visit func(v int)
	visit = func(v int) {
		index[v], low[v] = next, next
		next++
		stack = append(stack, v)
		for w, k := range g[v] {
			switch {
			case k&allowed == 0:
			case index[w] == 0:
				visit(w)
				low[v] = min(low[v], low[w])
			case of[w] < 0:
				low[v] = min(low[v], index[w])
			}
		}
		if low[v] != index[v] {
			return
		}
		for size := 1; ; size++ {
			w := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			of[w] = count
			if w == v {
				cyclic[count] = size > 1
				break
			}
		}
		count++
	}
	for v := range g {
		if index[v] == 0 {
			visit(v)
		}
	}
	return of, cyclic
}

// path returns a shortest path by edges of these kinds, or nil.
func (g graph) path(from, to int, allowed kinds) []int {
	before := map[int]int{from: from}
	for queue := []int{from}; len(queue) > 0; queue = queue[1:] {
		v := queue[0]
		if v == to {
			path := []int{v}
			for v != from {
				v = before[v]
				path = append(path, v)
			}
			slices.Reverse(path)
			return path
		}
		for w, k := range g[v] {
			if _, seen := before[w]; k&allowed != 0 && !seen {
				before[w] = v
				queue = append(queue, w)
			}
		}
	}
	return nil
}

// cycleKind is an anomaly: an edge of one kind, closed by a path of others, but
// for those that a path of fewer kinds closes.
type cycleKind struct {
	name       Name
	edge, path kinds
	not        []kinds
}

var (
	plain = []cycleKind{
		{G0, ww, ww, nil},
		{G1c, wr, ww | wr, nil},
		{GSingle, rw, ww | wr, nil},
		{G2, rw, ww | wr | rw, []kinds{ww | wr}},
	}
	realtime = []cycleKind{
		{G0 + Realtime, ww, ww | rt, []kinds{ww}},
		{G1c + Realtime, wr, ww | wr | rt, []kinds{ww | wr}},
		{GSingle + Realtime, rw, ww | wr | rt, []kinds{ww | wr | rw}},
		{G2 + Realtime, rw, ww | wr | rw | rt, []kinds{ww | wr | rw, ww | wr | rt}},
	}
	local = []cycleKind{{GSingleLocal, rw, ww | wr, nil}}
)

// find reports one cycle of each kind in each component.
func (c *checker) find(g graph, sought []cycleKind) {
	for _, kind := range sought {
		of, cyclic := g.components(kind.edge | kind.path)
		done := map[int]bool{}
		for v := range g {
			if !cyclic[of[v]] || done[of[v]] {
				continue
			}
			for w, k := range g[v] {
				// An edge of several kinds counts as the first.
				if k&kind.edge == 0 || k&(kind.edge-1) != 0 || of[w] != of[v] {
					continue
				}
				if slices.ContainsFunc(kind.not, func(fewer kinds) bool { return g.path(w, v, fewer) != nil }) {
					continue
				}
				if back := g.path(w, v, kind.path); back != nil {
					c.found(kind.name, "%s", c.describe(g, append([]int{v}, back...)))
					done[of[v]] = true
					break
				}
			}
		}
	}
}

// describe writes a cycle as its transactions and dependencies.
func (c *checker) describe(g graph, cycle []int) string {
	var b strings.Builder
	for i, v := range cycle {
		fmt.Fprintf(&b, "%d", c.h.Txns[v].ID)
		if i+1 < len(cycle) {
			fmt.Fprintf(&b, " -%v-> ", g[v][cycle[i+1]])
		}
	}
	for _, v := range cycle[1:] {
		fmt.Fprintf(&b, "; %+v", c.h.Txns[v])
	}
	return b.String()
}

// cycles builds the graph of what happened and looks for cycles in it.
func (c *checker) cycles() {
	n := len(c.h.Txns)
	g := newGraph(n)
	parts := make([]graph, len(c.h.Final))
	for i := range parts {
		parts[i] = newGraph(n)
	}
	edge := func(from, to, session int, k kinds) {
		if c.inGraph(from) && c.inGraph(to) {
			g.edge(from, to, k)
			parts[session].edge(from, to, k)
		}
	}
	for k, list := range c.order {
		for i := 1; i < len(list); i++ {
			edge(c.writer(list[i-1]), c.writer(list[i]), k.Session, ww)
		}
	}
	for i := range c.h.Txns {
		for _, op := range c.h.Txns[i].firstOf() {
			order, at := c.order[op.Key], len(op.Found)
			if at > 0 {
				edge(c.writer(op.Found[at-1]), i, op.Key.Session, wr)
			}
			if at >= len(order) {
				continue
			}
			next := c.writer(order[at])
			edge(i, next, op.Key.Session, rw)
			if c.stale(i, next) {
				c.found(Stale, "transaction %d found %v in %v, although transaction %d, which appended %d, had ended before it began", c.h.Txns[i].ID, op.Found, op.Key, c.h.Txns[next].ID, order[at])
			}
		}
	}
	c.deaths(edge)
	c.find(g, plain)
	for _, part := range parts {
		if c.level == MergeLevel {
			c.find(part, local)
		}
	}
	c.realtime(g)
	c.find(g, realtime)
}

// writer returns the transaction that appended a number, or -1.
func (c *checker) writer(n int) int {
	if src, ok := c.from[n]; ok {
		return src.txn
	}
	return -1
}

func (c *checker) inGraph(i int) bool {
	return i >= 0 && c.happened[i] && !c.h.Txns[i].Excused
}

// stale reports whether reader, which found nothing of writer, began after it.
func (c *checker) stale(reader, writer int) bool {
	return writer >= 0 && c.h.Txns[writer].Outcome == Committed && !c.h.Txns[writer].Excused &&
		c.h.Txns[writer].End < c.h.Txns[reader].Start
}

// deaths adds what follows from a Destroy: whoever found the life comes before.
// Where several committed, or a server was restarted, nobody knows what ended it:
// a Destroy of what is not there any more succeeds.
func (c *checker) deaths(edge func(from, to, session int, k kinds)) {
	type name struct{ session, life int }
	by := map[name][]int{}
	for i, t := range c.h.Txns {
		for _, v := range t.Visits {
			if v.Destroyed && t.Outcome != Aborted && !c.h.Lost[v.Session] {
				by[name{v.Session, v.Life}] = append(by[name{v.Session, v.Life}], i)
			}
		}
	}
	for i, t := range c.h.Txns {
		for _, v := range t.Visits {
			if who := by[name{v.Session, v.Life}]; len(who) == 1 && c.h.Txns[who[0]].Outcome == Committed {
				edge(i, who[0], v.Session, rw)
			}
		}
	}
}

// realtime adds who had ended before whom. Those edges that follow from others
// are left out.
func (c *checker) realtime(g graph) {
	var all []int
	for i := range c.h.Txns {
		if c.inGraph(i) {
			all = append(all, i)
		}
	}
	slices.SortFunc(all, func(a, b int) int { return int(c.h.Txns[a].Start - c.h.Txns[b].Start) })
	end := func(i int) int64 {
		if c.h.Txns[i].Outcome == Unknown {
			return math.MaxInt64 // it may have happened after it was given up
		}
		return c.h.Txns[i].End
	}
	for _, a := range all {
		first := int64(math.MaxInt64) // the end of one that began after a
		at, _ := slices.BinarySearchFunc(all, end(a), func(i int, e int64) int {
			if c.h.Txns[i].Start > e {
				return 1
			}
			return -1
		})
		for _, b := range all[at:] {
			if c.h.Txns[b].Start > first {
				break
			}
			g.edge(a, b, rt)
			first = min(first, end(b))
		}
	}
}
