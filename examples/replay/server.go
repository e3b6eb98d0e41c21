package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/seed-ad7f1900/sessiondata"
)

// The log's sessions end as the site would have it.
const (
	timeout    = 30 * time.Minute
	resolution = time.Second
	limit      = timeout + resolution // without a request for longer, a visit has ended
)

// attempts is how often a transaction is tried when others of the same visitor
// come first: far more than the library's default, for here they come by design.
const attempts = 1000

// server is one application server: a container with a clock of its own over
// the store that all share. It runs one transaction at a time.
type server struct {
	clock     atomic.Int64 // Unix time in ns
	container *sessiondata.Container
	store     *watchedStore
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

// newServer returns a server of the site of that name. The sessions of sites of
// other names are not its own.
func newServer(store sessiondata.Store, site string, company bool) (*server, error) {
	s := &server{store: &watchedStore{Store: store}, company: company}
	container, err := sessiondata.NewContainer(s.store, sessiondata.Config{
		Name:       site,
		Timeout:    timeout,
		Resolution: resolution,
		Resolve:    mergeCounters,
		Attempts:   attempts,
		Now:        func() time.Time { return time.Unix(0, s.clock.Load()).UTC() },
	})
	s.container = container
	return s, err
}

// handle runs one request at its own time. An error is one that ends the replay;
// a store that fails the request is told by the entry.
func (s *server) handle(ctx context.Context, r request, b *boots) (entry, error) {
	s.clock.Store(r.Time.UnixNano())
	s.store.forget()
	e := entry{request: r}
	var runs, before int64
	err := s.container.Update(ctx, r.Visitor, func(session *sessiondata.Session) error {
		runs++
		before = s.store.refused.Load()
		e.isNew = session.IsNew()
		if s.company {
			// Serving takes its time on a real site, and here next to none:
			// the others would hardly ever come between.
			runtime.Gosched()
		}
		return serve(session, r)
	})
	e.at = time.Now()
	s.counts.Reruns += max(runs-1, 0)
	switch {
	case ctx.Err() != nil:
		return e, context.Cause(ctx)
	case errors.Is(err, sessiondata.ErrOutcomeUnknown):
		e.fate = unknown
	case errors.Is(err, sessiondata.ErrUnavailable), errors.Is(err, sessiondata.ErrGone):
		e.fate = refused
		return e, nil
	case err != nil:
		return e, fmt.Errorf("log line %d: %w", r.Line, err)
	default:
		s.counts.Commits++
		if s.store.refused.Load() > before { // and yet the function did not run again
			s.counts.Merges++
		}
	}
	e.added = s.store.added
	if e.added && b != nil {
		// The answer to an Add does not tell which boot has it.
		s.store.ask(ctx)
	}
	e.boot = s.store.boot
	return e, nil
}

// read reads a visitor's session as it is at that time. It is nil where there is
// none.
func (s *server) read(ctx context.Context, visitor string, at time.Time) (*held, error) {
	s.clock.Store(at.UnixNano())
	s.store.forget()
	v, err := readVisit(ctx, s.container, visitor)
	if v == nil || err != nil {
		return nil, err
	}
	return &held{*v, s.store.boot}, nil
}

// watchedStore takes note of what the store did for one transaction, and counts
// the writes that it refused because another came first.
type watchedStore struct {
	sessiondata.Store
	refused atomic.Int64

	key   string // of the session
	boot  uint64 // of the server that has it, as far as it was told
	added bool   // the session was made by this transaction
}

func (s *watchedStore) forget() { s.key, s.boot, s.added = "", 0, false }

// ask asks for the boot that has the session.
func (s *watchedStore) ask(ctx context.Context) {
	s.boot = 0
	if item, err := s.Store.Get(ctx, s.key); err == nil {
		s.boot = item.Version.Epoch
	}
}

func (s *watchedStore) Get(ctx context.Context, key string) (sessiondata.Item, error) {
	item, err := s.Store.Get(ctx, key)
	if err == nil {
		s.boot = item.Version.Epoch
	}
	return item, err
}

func (s *watchedStore) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	err := s.count(s.Store.Add(ctx, key, value, ttl))
	s.key, s.added = key, err == nil || errors.Is(err, sessiondata.ErrOutcomeUnknown)
	return err
}

func (s *watchedStore) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sessiondata.Version) error {
	s.boot = v.Epoch
	return s.count(s.Store.CompareAndSwap(ctx, key, value, ttl, v))
}

func (s *watchedStore) count(err error) error {
	if errors.Is(err, sessiondata.ErrConflict) || errors.Is(err, sessiondata.ErrExists) {
		s.refused.Add(1)
	}
	return err
}
