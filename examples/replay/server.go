package main

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/seed-ad7f1900/sessiondata"
)

// The log's sessions end as the site would have it.
const (
	timeout    = 30 * time.Minute
	resolution = time.Second
)

// attempts is how often a transaction is tried when others of the same visitor
// come first: far more than the library's default, for here they come by design.
const attempts = 1000

// server is one application server: a container with a clock of its own over
// the store that all share. It runs one transaction at a time.
type server struct {
	clock     atomic.Int64 // Unix time in ns
	container *sessiondata.Container
	store     *countingStore
	counts    tally
	company   bool // others serve the same visitor at the same time
}

// tally counts what became of a server's transactions.
type tally struct {
	Commits int64 // transactions that came through
	Merges  int64 // of these: refused by the store, merged with another commit, and then accepted
	Reruns  int64 // calls of a transaction's function beyond its first
}

func (t *tally) add(o tally) {
	t.Commits += o.Commits
	t.Merges += o.Merges
	t.Reruns += o.Reruns
}

func newServer(store sessiondata.Store, company bool) (*server, error) {
	s := &server{store: &countingStore{Store: store}, company: company}
	container, err := sessiondata.NewContainer(s.store, sessiondata.Config{
		Name:       "replay",
		Timeout:    timeout,
		Resolution: resolution,
		Resolve:    mergeCounters,
		Attempts:   attempts,
		Now:        func() time.Time { return time.Unix(0, s.clock.Load()).UTC() },
	})
	s.container = container
	return s, err
}

// handle runs one request at its own time. isNew says whether it began a visit.
func (s *server) handle(ctx context.Context, r request) (isNew bool, err error) {
	s.clock.Store(r.Time.UnixNano())
	var runs, before int64
	err = s.container.Update(ctx, r.Visitor, func(session *sessiondata.Session) error {
		runs++
		before = s.store.refused.Load()
		isNew = session.IsNew()
		if s.company {
			// Serving takes its time on a real site, and here next to none:
			// the others would hardly ever come between.
			runtime.Gosched()
		}
		return serve(session, r)
	})
	s.counts.Reruns += max(runs-1, 0)
	if err != nil {
		return false, err
	}
	s.counts.Commits++
	if s.store.refused.Load() > before { // and yet the function did not run again
		s.counts.Merges++
	}
	return isNew, nil
}

// read reads a visitor's session as it is at that time.
func (s *server) read(ctx context.Context, visitor string, at time.Time) (*visit, error) {
	s.clock.Store(at.UnixNano())
	return readVisit(ctx, s.container, visitor)
}

// countingStore counts the writes that the store refused because another came
// first.
type countingStore struct {
	sessiondata.Store
	refused atomic.Int64
}

func (s *countingStore) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.count(s.Store.Add(ctx, key, value, ttl))
}

func (s *countingStore) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sessiondata.Version) error {
	return s.count(s.Store.CompareAndSwap(ctx, key, value, ttl, v))
}

func (s *countingStore) count(err error) error {
	if errors.Is(err, sessiondata.ErrConflict) || errors.Is(err, sessiondata.ErrExists) {
		s.refused.Add(1)
	}
	return err
}
