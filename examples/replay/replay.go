package main

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed-ad7f1900/sessiondata"
)

// outcome is what a replay left behind.
type outcome struct {
	Visits  []visit // as they were read from the store
	Counts  tally
	Elapsed time.Duration
}

// replay runs the requests through sessions: workers visitors at a time, and for
// each of them writers transactions at a time. done is called after each
// request, by several goroutines.
func replay(ctx context.Context, store sessiondata.Store, requests []request, workers, writers int, done func()) (outcome, error) {
	start := time.Now()
	visitors := make(chan []request)
	crew, ctx := errgroup.WithContext(ctx)
	crew.Go(func() error {
		defer close(visitors)
		for _, of := range byVisitor(requests) {
			select {
			case visitors <- of:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	all := make([]*worker, workers)
	for i := range all {
		w, err := newWorker(store, writers, done)
		if err != nil {
			return outcome{}, err
		}
		all[i] = w
		crew.Go(func() error {
			for of := range visitors {
				if err := w.replay(ctx, of); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := crew.Wait(); err != nil {
		return outcome{}, err
	}
	out := outcome{Elapsed: time.Since(start)}
	for _, w := range all {
		out.Visits = append(out.Visits, w.visits...)
		for _, s := range w.servers {
			out.Counts.add(s.counts)
		}
	}
	sortVisits(out.Visits)
	return out, nil
}

// byVisitor groups the requests by their visitor, each group in order of time.
func byVisitor(requests []request) [][]request {
	var order []string
	groups := make(map[string][]request)
	for _, r := range requests {
		if groups[r.Visitor] == nil {
			order = append(order, r.Visitor)
		}
		groups[r.Visitor] = append(groups[r.Visitor], r)
	}
	all := make([][]request, len(order))
	for i, visitor := range order {
		all[i] = groups[visitor]
		slices.SortStableFunc(all[i], func(a, b request) int { return a.Time.Compare(b.Time) })
	}
	return all
}

// worker replays one visitor at a time, through servers of its own.
type worker struct {
	servers []*server // one for each writer
	visits  []visit
	done    func()
}

func newWorker(store sessiondata.Store, writers int, done func()) (*worker, error) {
	w := &worker{done: done}
	for range writers {
		s, err := newServer(store, writers > 1)
		if err != nil {
			return nil, err
		}
		w.servers = append(w.servers, s)
	}
	return w, nil
}

// replay runs the requests of one visitor, which are in order of time. A session
// that has expired is replaced by the visitor's next request: so it is read
// before that, by the time of its last request, and is a visit of its own once
// the next one says that it found none.
func (w *worker) replay(ctx context.Context, requests []request) error {
	visitor := requests[0].Visitor
	var ended *visit // as read before a gap that may have ended it
	for len(requests) > 0 {
		n := batch(requests)
		isNew, err := w.serve(ctx, requests[:n])
		if err != nil {
			return fmt.Errorf("log line %d and the %d after it in its batch: %w", requests[0].Line, n-1, err)
		}
		if isNew && ended != nil {
			w.visits = append(w.visits, *ended)
		}
		last := requests[n-1].Time
		requests = requests[n:]
		ended = nil
		if len(requests) == 0 || requests[0].Time.Sub(last) > timeout {
			if ended, err = w.servers[0].read(ctx, visitor, last); err != nil {
				return err
			}
		}
	}
	if ended != nil {
		w.visits = append(w.visits, *ended)
	}
	return nil
}

// batch is how many of the requests may run at once, but for the first, which
// runs before the others. None of these comes more than the timeout after it:
// in whichever order they commit, each finds a session that has not expired.
func batch(requests []request) int {
	n := 1
	for n < len(requests) && requests[n].Time.Sub(requests[0].Time) <= timeout {
		n++
	}
	return n
}

// serve runs a batch. isNew says whether its first request began a visit.
func (w *worker) serve(ctx context.Context, requests []request) (isNew bool, err error) {
	if isNew, err = w.servers[0].handle(ctx, requests[0]); err != nil {
		return false, err
	}
	w.done()
	rest := requests[1:]
	var next atomic.Int64
	writers, ctx := errgroup.WithContext(ctx)
	for _, s := range w.servers[:min(len(w.servers), len(rest))] {
		writers.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(rest) {
					return nil
				}
				if _, err := s.handle(ctx, rest[i]); err != nil {
					return err
				}
				w.done()
			}
		})
	}
	return isNew, writers.Wait()
}
