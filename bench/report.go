package main

import (
	_ "embed"
	"fmt"
	"math"
	"strings"
)

// notes are written by hand: what the figures mean, and the profile behind them.
//
//go:embed notes.md
var notes string

// markdown is the report as it stands in docs/benchmarks.md.
func (r *report) markdown() string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("# Benchmarks\nWritten by `make bench`; do not edit (the notes at its end come from bench/notes.md).\n\n")
	p("%s- command: `%s`\n\n", r.machine.lines(), r.command)
	p("All peers keep the same contents in one memcached, and do the same work in turn, some milliseconds each, in every round. A\n" +
		"ratio is taken within a round, so that whatever slows the machine slows both; shown are the median of the ratios and their\n" +
		"quartiles. `gomemcache` is the bare client: it moves bytes of the size that sessiondata stores and knows nothing of what\n" +
		"they mean. `raw+msgpack` decodes and encodes the whole session by hand, and writes it with Set. scs and gorilla/sessions\n" +
		"have their defaults (encoding/gob) and a memcached store of some twenty lines; scs without an idle timeout, with which it\n" +
		"would write at every request. For a rollback to a savepoint, which none of them has, old values are kept and put back.\n\n")
	p("**Client and server share one processor** (number %d, GOMAXPROCS=1) unless a table says otherwise: a wake-up across two\n"+
		"costs more than the work that is compared here, and flips between two states. So the times hold what the server does too.\n"+
		"Other programs that want the processor disturb the time by the clock; the processor time of client and server together,\n"+
		"shown beside it, is the same on a quiet machine and steadier on a busy one. The bars are judged by the clock.\n\n", r.machine.pinnedTo)

	p("## Against the bars\n\n| | bar | time, or number | processor time | |\n|---|---|---|---|---|\n")
	for _, bar := range bars() {
		v := bar.value(r)
		sign, verdict := "at most", "met"
		if bar.least {
			sign = "at least"
		}
		if !bar.met(v) {
			verdict = "**not met**"
		}
		measured := short(v)
		if bar.spread != nil {
			measured = bar.spread(r).String()
		}
		used := ""
		if bar.used != nil {
			used = bar.used(r).String()
		}
		p("| %s | %s %s | %s | %s | %s |\n", bar.what, sign, short(bar.limit), measured, used, verdict)
	}

	p("\n## Cost of one request beneath HTTP\nS is 1 package of 5 values, M 10 of 10, L 100 of 20, each value a string of 75 bytes.\n")
	for _, w := range []work{readOne, changeOne, create, changeTen, takeBack} {
		p("\n### %s\n\n", capital(describe(w)))
		r.costTable(p, shapes, w)
	}
	p("\n## The same with records for values\nEach is a struct of a name of %d bytes, a number and two short texts: some 75 bytes where it is encoded.\n", nameOfRecord)
	for _, w := range []work{readOne, changeOne, create} {
		p("\n### %s, of records\n\n", capital(describe(w)))
		r.costTable(p, recordShapes, w)
	}
	p("\n## Through net/http and the middleware\nA visitor's client, the server and memcached on one processor. Allocations are those of both ends.\n")
	for _, w := range []work{webRead, webChange} {
		p("\n### %s\n\n", capital(describe(w)))
		r.costTable(p, shapes, w)
	}

	p("\n## Cost against the size of the session\nPackages of one value of 100 bytes; microseconds, median. ![Reading](bench-read.svg) ![Changing](bench-change.svg)\n")
	for _, w := range []work{readOne, changeOne} {
		r.sweepTable(p, w)
	}

	p("\n## Many at once\nEvery goroutine has a session of its own; microseconds per request, and the ratio to the bare client.\n")
	p("\n### On one processor\n\n")
	r.parallelTable(p, true)
	p("\n### On all processors (%d), nothing bound\n\n", r.machine.processors)
	r.parallelTable(p, false)

	p("\n## Updates lost\n%d goroutines add one to the same number in one session, %d times each, on all processors. Lost is what was reported as\n"+
		"done and is not there; refused was reported as ErrConflict, after all attempts, and was done again. The bare client has a loop\n"+
		"around CompareAndSwap, written by hand. ![Updates lost](bench-lost.svg)\n\n", counters, countsEach)
	p("| | lost of %d | refused | time |\n|---|---|---|---|\n", counters*countsEach)
	for _, l := range r.lost {
		p("| %s | %d | %d | %.0f ms |\n", l.peer, l.lost, l.refused, float64(l.took.Microseconds())/1e3)
	}
	p("\n%s", notes)
	return b.String()
}

func (s spread) String() string {
	return fmt.Sprintf("%s (%s to %s)", short(s.median), short(s.low), short(s.high))
}

// short has three digits.
func short(v float64) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case v == math.Trunc(v) && math.Abs(v) < 1e4:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) < 10:
		return fmt.Sprintf("%.2f", v)
	case math.Abs(v) < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func (r *report) costTable(p func(string, ...any), shapes []shape, w work) {
	p("| shape | | us | x bare client | processor time, x | allocations | bytes allocated | round trips | sent | received |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, s := range shapes {
		res := r.find(scenario{work: w, shape: s, goroutines: 1, pinned: true}.key())
		for _, c := range res.cells {
			p("| %s | %s | %s | %s | %s | %.0f | %.0f | %s | %.0f | %.0f |\n", s.name, c.peer, short(spreadOf(c.nanos).median/1e3),
				res.ratio(c.peer, nameBare), res.usedRatio(c.peer, nameBare), c.allocs, c.bytes, short(c.wire.trips), c.wire.sent, c.wire.received)
		}
	}
}

func (r *report) sweepTable(p func(string, ...any), w work) {
	p("\n| %s, packages |", describe(w))
	for _, c := range r.find(scenario{work: w, shape: sweepShape(sweep[0]), goroutines: 1, pinned: true}.key()).cells {
		p(" %s |", c.peer)
	}
	p(" sessiondata beyond gomemcache |\n|---|---|---|---|---|---|---|\n")
	for _, n := range sweep {
		res := r.find(scenario{work: w, shape: sweepShape(n), goroutines: 1, pinned: true}.key())
		p("| %d |", n)
		for _, c := range res.cells {
			p(" %s |", short(spreadOf(c.nanos).median/1e3))
		}
		beyond := differences(res.cell(nameOurs).nanos, res.cell(nameBare).nanos)
		for i := range beyond {
			beyond[i] /= 1e3
		}
		p(" %s |\n", spreadOf(beyond))
	}
}

func (r *report) parallelTable(p func(string, ...any), pinned bool) {
	p("| | shape | goroutines | | us | x bare client | processor time, x |\n|---|---|---|---|---|---|---|\n")
	for _, w := range []work{readOne, changeOne} {
		for _, s := range shapes {
			for _, n := range []int{1, 16, 64} {
				res := r.find(scenario{work: w, shape: s, goroutines: n, pinned: pinned}.key())
				for _, c := range res.cells {
					p("| %s | %s | %d | %s | %s | %s | %s |\n", describe(w), s.name, n, c.peer,
						short(spreadOf(c.nanos).median/1e3), res.ratio(c.peer, nameBare), res.usedRatio(c.peer, nameBare))
				}
			}
		}
	}
}
