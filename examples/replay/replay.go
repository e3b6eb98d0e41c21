package main

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed-ad7f1900/sessiondata"
)

// outcome is what a replay left behind.
type outcome struct {
	account
	Counts   tally
	Restarts int // of the store's servers, as far as the account had to know
	Elapsed  time.Duration
}

// replay runs the requests through sessions: workers visitors at a time, and for
// each of them writers transactions at a time. done is called after each
// request, by several goroutines. A store that fails requests while the replay
// runs is part of the account; one that is down for longer than o.wait ends it.
func replay(ctx context.Context, store sessiondata.Store, requests []request, o options, done func()) (outcome, error) {
	b, err := newBoots(ctx, store, o.wait)
	if err != nil {
		return outcome{}, err
	}
	// Another run may have left its sessions in the store.
	site := "replay-" + strings.ToLower(rand.Text()[:10])
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
	all := make([]*worker, o.workers)
	for i := range all {
		w, err := newWorker(store, site, o, b, done)
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
	out := outcome{Elapsed: time.Since(start), Restarts: b.restarts()}
	for _, w := range all {
		out.add(w.account)
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
	account
	servers  []*server // one for each writer
	boots    *boots
	patience time.Duration
	done     func()
}

func newWorker(store sessiondata.Store, site string, o options, b *boots, done func()) (*worker, error) {
	w := &worker{boots: b, patience: o.wait, done: done}
	for range o.writers {
		s, err := newServer(store, site, o.writers > 1)
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
	var (
		open   []entry   // of the visit, but those that were refused
		access time.Time // the last that is in the session for certain
		ended  *held     // the session as read before a gap that may have ended it
	)
	settle := func(found *held) error {
		err := w.account.close(ctx, open, found, w.boots)
		open, access, ended = nil, time.Time{}, nil
		return err
	}
	for len(requests) > 0 {
		served, err := w.serve(ctx, requests)
		if err != nil {
			return err
		}
		requests = requests[len(served):]
		first := served[0]
		isNew := first.fate == committed && first.isNew
		if first.fate == unknown && ended != nil {
			now, err := w.read(ctx, w.servers[0], visitor, always)
			if err != nil {
				return err
			}
			isNew = now != nil && !now.First.Equal(ended.First)
		}
		if isNew && ended != nil {
			if err := settle(ended); err != nil {
				return err
			}
		}
		for _, e := range served {
			if e.fate != refused {
				open = append(open, e)
			}
			if e.fate == committed || isNew && access.IsZero() {
				access = e.Time
			}
		}
		ended = nil
		if len(open) == 0 || len(requests) > 0 && requests[0].Time.Sub(access) <= timeout {
			continue
		}
		at := access
		if at.IsZero() {
			at = open[len(open)-1].Time
		}
		if ended, err = w.read(ctx, w.servers[0], visitor, at); err != nil {
			return err
		}
		if ended == nil {
			if err := settle(nil); err != nil {
				return err
			}
		}
	}
	if ended != nil {
		return settle(ended)
	}
	return nil
}

// always is a time for reading a session whether or not it has expired: by then
// it has not, and neither is its access due to be recorded.
var always = time.Unix(0, 0)

// read waits for the store where it does not answer: without the answer the
// account cannot be closed.
func (w *worker) read(ctx context.Context, s *server, visitor string, at time.Time) (found *held, err error) {
	err = await(ctx, w.patience, func() error {
		found, err = s.read(ctx, visitor, at)
		return err
	})
	return found, err
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

// serve runs a batch of the requests and returns its entries, in their order. A
// first request that did not commit is a batch of its own.
func (w *worker) serve(ctx context.Context, requests []request) ([]entry, error) {
	first, err := w.handle(ctx, w.servers[0], requests[0])
	if err != nil {
		return nil, err
	}
	if first.fate != committed {
		w.count(first)
		return []entry{first}, nil
	}
	served := make([]entry, batch(requests))
	served[0] = first
	var next atomic.Int64
	writers, ctx := errgroup.WithContext(ctx)
	for _, s := range w.servers[:min(len(w.servers), len(served)-1)] {
		writers.Go(func() error {
			for {
				i := int(next.Add(1))
				if i >= len(served) {
					return nil
				}
				e, err := w.handle(ctx, s, requests[i])
				if err != nil {
					return err
				}
				served[i] = e
			}
		})
	}
	if err := writers.Wait(); err != nil {
		return nil, err
	}
	for _, e := range served {
		w.count(e)
	}
	return served, nil
}

// handle runs a request. After one that failed, the next comes when the store
// answers again: else an outage of a second would be met by the rest of the log.
func (w *worker) handle(ctx context.Context, s *server, r request) (entry, error) {
	e, err := s.handle(ctx, r, w.boots)
	if err != nil {
		return e, err
	}
	if e.fate != committed {
		if _, err := w.read(ctx, s, r.Visitor, always); err != nil {
			return e, err
		}
	}
	w.done()
	return e, nil
}
