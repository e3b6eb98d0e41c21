package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"
)

// work is what a request does with its session.
type work string

const (
	readOne   work = "read"
	changeOne work = "change"
	create    work = "create"
	changeTen work = "ten"
	takeBack  work = "savepoint"
	// Through net/http and the peer's middleware.
	webRead   work = "http-read"
	webChange work = "http-change"
)

// scenario is one line of a table: every peer does the same work on sessions of
// the same shape.
type scenario struct {
	work       work
	shape      shape
	goroutines int
	pinned     bool // client and server share one processor
	only       []string
}

func (sc scenario) key() string {
	return fmt.Sprintf("%s/shape=%s/goroutines=%d/pinned=%t", sc.work, sc.shape.name, sc.goroutines, sc.pinned)
}

// cell is what was measured of one peer in one scenario.
type cell struct {
	peer   string
	ops    int       // of a round
	nanos  []float64 // of one piece of work, per round
	used   []float64 // processor time of client and server for it, in nanoseconds, per round
	allocs float64   // of one piece of work; NaN: not measured
	bytes  float64
	wire   traffic
}

type result struct {
	scenario
	cells []cell
}

func (r *result) cell(peer string) *cell {
	for i := range r.cells {
		if r.cells[i].peer == peer {
			return &r.cells[i]
		}
	}
	return nil
}

// ratio is how long one peer takes for each unit of time that another takes.
func (r *result) ratio(of, to string) spread {
	return spreadOf(ratios(r.cell(of).nanos, r.cell(to).nanos))
}

// usedRatio is the same of the processor time of client and server together.
// What else runs on the machine is not in it.
func (r *result) usedRatio(of, to string) spread {
	return spreadOf(ratios(r.cell(of).used, r.cell(to).used))
}

// effort is how long a measurement takes.
type effort struct {
	rounds int
	slice  time.Duration // of one peer in one round
	counts int           // passes over what is counted
}

// job is one peer's part of a scenario, ready to run.
type job struct {
	peer   peer
	do     func(worker int) error
	finish func() error
}

// prepare seeds the sessions of a job, one for each goroutine.
func prepare(ctx context.Context, sc scenario, c *content, p peer) (job, error) {
	j := job{peer: p, finish: func() error { return nil }}
	ids := make([]string, sc.goroutines)
	for i := range ids {
		var err error
		if ids[i], err = p.seed(ctx, c); err != nil {
			return j, fmt.Errorf("%s: %w", p.name(), err)
		}
	}
	// Variants take turns from run to run too: setting what is stored already is
	// no change, and this library would not write it.
	turns := make([]int, sc.goroutines)
	turn := func(w int) int {
		turns[w]++
		return turns[w] & 1
	}
	switch sc.work {
	case readOne:
		j.do = func(w int) error { return p.read(ctx, ids[w], c) }
	case changeOne:
		j.do = func(w int) error { return p.change(ctx, ids[w], c.one[turn(w)]) }
	case changeTen:
		j.do = func(w int) error { return p.change(ctx, ids[w], c.ten[turn(w)]) }
	case takeBack:
		j.do = func(w int) error { return p.takeBack(ctx, ids[w], c.ten[turn(w)]) }
	case create:
		j.do = func(int) error { return p.create(ctx, c) }
	case webRead, webChange:
		path := "/read"
		if sc.work == webChange {
			path = "/change"
		}
		var err error
		j.do, j.finish, err = overHTTP(p, c, path, ids)
		return j, err
	}
	return j, nil
}

// run does n pieces of work and returns the time of one.
func (j job) run(goroutines, n int) (float64, error) {
	each := max(1, n/goroutines)
	errs := make([]error, goroutines)
	start := time.Now()
	if goroutines == 1 {
		errs[0] = j.part(0, each)
	} else {
		var all sync.WaitGroup
		for w := range goroutines {
			all.Go(func() { errs[w] = j.part(w, each) })
		}
		all.Wait()
	}
	took := time.Since(start)
	for _, err := range errs {
		if err != nil {
			return 0, fmt.Errorf("%s: %w", j.peer.name(), err)
		}
	}
	return float64(took.Nanoseconds()) / float64(each*goroutines), nil
}

func (j job) part(worker, n int) error {
	for range n {
		if err := j.do(worker); err != nil {
			return err
		}
	}
	return nil
}

// measure lets all peers do the work in turn, a slice of time each, round after
// round, beginning with another one in each.
func measure(ctx context.Context, sc scenario, peers []peer, server int, e effort) (res result, err error) {
	res.scenario = sc
	c, err := newContent(sc.shape)
	if err != nil {
		return res, err
	}
	var jobs []job
	defer func() {
		for _, j := range jobs {
			if ferr := j.finish(); err == nil {
				err = ferr
			}
		}
	}()
	for _, p := range peers {
		if !sc.takesPart(p.name()) {
			continue
		}
		j, err := prepare(ctx, sc, c, p)
		jobs = append(jobs, j)
		if err != nil {
			return res, err
		}
		n, err := j.calibrate(sc.goroutines, e.slice)
		if err != nil {
			return res, err
		}
		res.cells = append(res.cells, cell{peer: p.name(), ops: n, allocs: math.NaN(), bytes: math.NaN()})
	}
	for round := range e.rounds {
		for k := range jobs {
			i := (k + round) % len(jobs)
			// Nobody pays for what others have left behind; what a peer leaves
			// behind within its slice it pays for.
			runtime.GC()
			before, err := processorTime(server)
			if err != nil {
				return res, err
			}
			took, err := jobs[i].run(sc.goroutines, res.cells[i].ops)
			if err != nil {
				return res, err
			}
			after, err := processorTime(server)
			if err != nil {
				return res, err
			}
			done := res.cells[i].ops / sc.goroutines * sc.goroutines
			res.cells[i].nanos = append(res.cells[i].nanos, took)
			res.cells[i].used = append(res.cells[i].used, float64((after-before).Nanoseconds())/float64(done))
		}
	}
	return res, nil
}

func (sc scenario) takesPart(name string) bool {
	if sc.only == nil {
		return true
	}
	for _, n := range sc.only {
		if n == name {
			return true
		}
	}
	return false
}

// calibrate finds how many pieces of work fill a slice; it warms up as well.
func (j job) calibrate(goroutines int, slice time.Duration) (int, error) {
	for n := goroutines; ; n *= 2 {
		took, err := j.run(goroutines, n)
		if err != nil {
			return 0, err
		}
		if took*float64(n) >= float64(slice)/4 {
			return max(goroutines, int(float64(slice)/took)), nil
		}
	}
}

// count measures what does not depend on time: allocations, round trips and
// bytes. m is the meter that the peers' connections are counted by; they are not
// those that are timed. Call it under GOMAXPROCS=1, so that no other goroutine
// allocates meanwhile.
func count(ctx context.Context, res *result, peers []peer, m *meter, passes int) error {
	c, err := newContent(res.shape)
	if err != nil {
		return err
	}
	sc := res.scenario
	sc.goroutines = 1
	for _, p := range peers {
		cell := res.cell(p.name())
		if cell == nil {
			continue
		}
		j, err := prepare(ctx, sc, c, p)
		if err != nil {
			return err
		}
		if _, err := j.run(1, 5); err != nil { // connections and pools
			return err
		}
		n := 100
		if c.shape.pkgs*c.shape.values > 500 {
			n = 20
		}
		if passes == 1 {
			n /= 4
		}
		cell.allocs, cell.bytes = math.Inf(1), math.Inf(1)
		before := m.read()
		for range passes {
			var start, end runtime.MemStats
			runtime.ReadMemStats(&start)
			if _, err := j.run(1, n); err != nil {
				return err
			}
			runtime.ReadMemStats(&end)
			// The least: a collection empties pools, which are then filled again.
			cell.allocs = min(cell.allocs, float64(end.Mallocs-start.Mallocs)/float64(n))
			cell.bytes = min(cell.bytes, float64(end.TotalAlloc-start.TotalAlloc)/float64(n))
		}
		cell.wire = m.read().since(before, n*passes)
		if err := j.finish(); err != nil {
			return err
		}
	}
	return nil
}
