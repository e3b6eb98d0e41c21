package main

import (
	"fmt"
	"math"
)

// bar is a bound that the library is held to.
type bar struct {
	what  string
	limit float64
	least bool // a lower bound
	// tolerated above (or below) the bar before bench-check fails, as a factor:
	// times vary, counts do not.
	tolerance float64
	value     func(*report) float64 // is judged: of ratios, those of time by the clock
	spread    func(*report) spread  // of the value; nil: none
	used      func(*report) spread  // the same of processor time; nil: none
}

// tolerance of bars on time.
const tolerance = 1.15

func (b bar) met(v float64) bool { return b.within(v, 1) }

func (b bar) within(v, tolerance float64) bool {
	if math.IsNaN(v) {
		return false
	}
	if b.least {
		return v >= b.limit/tolerance
	}
	return v <= b.limit*tolerance
}

func bars() []bar {
	var all []bar
	byShape := func(shapes []shape, w work, to string, least bool, limits ...float64) {
		for i, s := range shapes {
			key := scenario{work: w, shape: s, goroutines: 1, pinned: true}.key()
			of, to := nameOurs, to
			if least {
				of, to = to, of
			}
			time := func(r *report) spread { return r.find(key).ratio(of, to) }
			name := fmt.Sprintf("%s, %s, time as a multiple of the bare client's", describe(w), s.name)
			if least {
				name = fmt.Sprintf("%s, %s, times faster than %s", describe(w), s.name, of)
			}
			all = append(all, bar{
				what: name, limit: limits[i], least: least, tolerance: tolerance,
				value: func(r *report) float64 { return time(r).median }, spread: time,
				used: func(r *report) spread { return r.find(key).usedRatio(of, to) },
			})
		}
	}
	byShape(shapes, readOne, nameBare, false, 1.25, 1.30, 1.25)
	byShape(shapes, changeOne, nameBare, false, 1.35, 1.35, 1.50)
	byShape(shapes, create, nameBare, false, 1.4, 2.0, 3.0)
	// What encoding/gob costs depends on what it encodes.
	for _, contents := range [][]shape{shapes, recordShapes} {
		byShape(contents, readOne, nameSCS, true, 2.2, 5, 18)
		byShape(contents, changeOne, nameSCS, true, 1.8, 4.5, 28)
		byShape(contents, create, nameSCS, true, 1.2, 1.5, 2)
	}

	for _, a := range []struct {
		work  work
		limit float64
	}{{readOne, 12}, {changeOne, 20}} {
		for _, s := range shapes {
			key := scenario{work: a.work, shape: s, goroutines: 1, pinned: true}.key()
			all = append(all, bar{
				what: fmt.Sprintf("%s, %s, allocations beyond the bare client's", describe(a.work), s.name), limit: a.limit, tolerance: 1,
				value: func(r *report) float64 {
					res := r.find(key)
					return math.Round(res.cell(nameOurs).allocs - res.cell(nameBare).allocs)
				},
			})
		}
	}
	for _, w := range []work{readOne, changeOne} {
		for _, s := range shapes {
			for _, n := range []int{16, 64} {
				all = append(all, parallelBar(w, s, n))
			}
		}
	}
	for _, w := range []work{readOne, changeOne} {
		all = append(all, bar{
			what: describe(w) + ", growth beyond the bare client's from 1 to 1000 packages, in us", limit: 3, tolerance: tolerance,
			value: func(r *report) float64 { return r.growth(w) },
		})
	}
	all = append(all, bar{
		what: fmt.Sprintf("updates lost of %d", counters*countsEach), limit: 0, tolerance: 1,
		value: func(r *report) float64 { return float64(r.lostBy(nameOurs).lost) },
	})
	return all
}

// parallelBar: the ratio of n goroutines, divided by that of one, on the same
// processor.
func parallelBar(w work, s shape, n int) bar {
	one := scenario{work: w, shape: s, goroutines: 1, pinned: true}.key()
	many := scenario{work: w, shape: s, goroutines: n, pinned: true}.key()
	return bar{
		what: fmt.Sprintf("%s, %s, ratio of %d goroutines to that of one", describe(w), s.name, n), limit: 1, tolerance: tolerance,
		value: func(r *report) float64 {
			return r.find(many).ratio(nameOurs, nameBare).median / r.find(one).ratio(nameOurs, nameBare).median
		},
	}
}

// growth is how much more this library takes beyond the bare client, for 1000
// packages than for one, in microseconds.
func (r *report) growth(w work) float64 {
	beyond := func(n int) float64 {
		res := r.find(scenario{work: w, shape: sweepShape(n), goroutines: 1, pinned: true}.key())
		return spreadOf(differences(res.cell(nameOurs).nanos, res.cell(nameBare).nanos)).median
	}
	return (beyond(sweep[len(sweep)-1]) - beyond(sweep[0])) / 1e3
}

func describe(w work) string {
	switch w {
	case readOne:
		return "read one value"
	case changeOne:
		return "change one value"
	case create:
		return "create"
	case changeTen:
		return "ten changes in three packages"
	case takeBack:
		return "a savepoint with rollback"
	case webRead:
		return "read one value, over HTTP"
	case webChange:
		return "change one value, over HTTP"
	}
	return string(w)
}
