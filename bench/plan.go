package main

import "time"

// sweep is the numbers of packages for which the cost is shown against the size.
var sweep = []int{1, 3, 10, 30, 100, 300, 1000}

// plan is what is measured, and how long.
type plan struct {
	pinned, unpinned             []scenario
	core, wide, parallel, spread effort
}

var duel = []string{nameBare, nameOurs}

// fullPlan is everything.
func fullPlan() plan {
	p := plan{
		core:     effort{rounds: 40, slice: 6 * time.Millisecond, counts: 5},
		wide:     effort{rounds: 20, slice: 6 * time.Millisecond, counts: 5},
		parallel: effort{rounds: 30, slice: 8 * time.Millisecond},
		spread:   effort{rounds: 10, slice: 8 * time.Millisecond},
	}
	for _, w := range []work{readOne, changeOne, create, changeTen, takeBack} {
		for _, s := range shapes {
			p.pinned = append(p.pinned, scenario{work: w, shape: s, goroutines: 1, pinned: true})
		}
	}
	for _, w := range []work{readOne, changeOne, create} {
		for _, s := range recordShapes {
			p.pinned = append(p.pinned, scenario{work: w, shape: s, goroutines: 1, pinned: true})
		}
	}
	for _, w := range []work{readOne, changeOne} {
		for _, s := range shapes {
			for _, n := range []int{16, 64} {
				p.pinned = append(p.pinned, scenario{work: w, shape: s, goroutines: n, pinned: true, only: duel})
			}
			for _, n := range []int{1, 16, 64} {
				p.unpinned = append(p.unpinned, scenario{work: w, shape: s, goroutines: n})
			}
		}
		for _, n := range sweep {
			p.pinned = append(p.pinned, scenario{work: w, shape: sweepShape(n), goroutines: 1, pinned: true})
		}
	}
	for _, w := range []work{webRead, webChange} {
		for _, s := range shapes {
			p.pinned = append(p.pinned, scenario{work: w, shape: s, goroutines: 1, pinned: true})
		}
	}
	return p
}

// shortPlan is everything for so short that the figures say little: it shows that
// the harness works.
func shortPlan() plan {
	p := fullPlan()
	least := effort{rounds: 1, slice: time.Millisecond / 2, counts: 1}
	p.core, p.wide, p.parallel, p.spread = effort{rounds: 3, slice: time.Millisecond, counts: 1}, least, least, least
	for i, sc := range p.unpinned {
		if sc.shape == shapeL && sc.goroutines > 1 {
			p.unpinned[i].only = duel // of the others a single piece of work for each goroutine takes too long
		}
	}
	return p
}

// checkPlan is what the bars are about.
func checkPlan() plan {
	p := fullPlan()
	var needed []scenario
	for _, sc := range p.pinned {
		switch {
		case sc.work != readOne && sc.work != changeOne && sc.work != create:
			continue
		case sc.isSweep():
			if n := sc.shape.pkgs; n != sweep[0] && n != sweep[len(sweep)-1] {
				continue
			}
			sc.only = duel
		case sc.goroutines == 1:
			sc.only = []string{nameBare, nameOurs, nameSCS}
		}
		needed = append(needed, sc)
	}
	p.pinned, p.unpinned = needed, nil
	return p
}

func (sc scenario) isSweep() bool { return sc.shape.bytesPerValue == 100 }

func (p plan) effort(sc scenario) effort {
	switch {
	case sc.goroutines > 1 && sc.pinned:
		return p.parallel
	case !sc.pinned:
		return p.spread
	case sc.isSweep() && sc.only == nil, sc.work == webRead, sc.work == webChange:
		return p.wide
	}
	return p.core
}
