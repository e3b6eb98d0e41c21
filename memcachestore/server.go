package memcachestore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// server is one memcached: its pool of connections and its breaker.
type server struct {
	endpoint
	cfg     *Config
	tls     *tls.Config
	seed    uint64 // of rendezvous hashing
	journal journal

	listing, reporting chan struct{} // one of each at a time

	// When the server last answered a request or a dial, in nanoseconds since
	// epoch: a timeout says little about a server that answers others.
	lastAnswer atomic.Int64
	epoch      time.Time

	mu sync.Mutex
	// Invariant: open = idle + in use + being dialled <= MaxConns. Whoever
	// raises it puts or drops a connection, or frees its place, once.
	open    int
	idle    []*conn // the one used last is at the end
	waiting []*waiter
	// A full server refuses more connections: bound is taken as MaxConns until
	// then.
	bound      int
	boundUntil time.Time
	gen        uint64 // connections of an earlier one are closed when they come back
	boot       uint64 // epoch of the latest connection
	down       error  // why callers are answered at once; nil while the server is in use
	trips      uint64 // how often down was set: each time has its own probe
	saidDown   bool
	closed     bool
	reaper     *time.Timer
	stop       context.Context // ends with Close
	background sync.WaitGroup  // the probe and the reaper
}

// waiter is a caller in the queue. It is given a connection, a place to dial
// into, or an error; then ready is closed.
type waiter struct {
	ready chan struct{}
	c     *conn
	err   error
}

func newServer(e endpoint, cfg *Config, stop context.Context) *server {
	return &server{
		endpoint:  e,
		cfg:       cfg,
		tls:       cfg.tlsConfig(e),
		seed:      hash(e.name),
		journal:   journal{log: cfg.Logger, server: e.name},
		listing:   make(chan struct{}, 1),
		reporting: make(chan struct{}, 1),
		epoch:     time.Now(),
		stop:      stop,
	}
}

// errorf is an error that names the server.
func (s *server) errorf(kind error, err error) error {
	return fmt.Errorf("%w: server %q: %w", kind, s.name, err)
}

// conn returns a connection whose deadline lies ahead, and which is quiet and
// alive as far as can be told without asking; of a plain socket the first request
// tells: see errStale. It waits for one at most Timeout, and DialTimeout for a new
// one.
func (s *server) conn(ctx context.Context, patient bool) (*conn, error) {
	var waited time.Duration
	for {
		c, err := s.acquire(ctx, &waited)
		if err != nil {
			return nil, err
		}
		fresh := c == nil
		if fresh {
			if c, err = s.dialInPlace(ctx); err == errTooMany {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		if err = c.begin(ctx, s.cfg.Timeout, fresh, patient); err == nil {
			return c, nil
		}
		s.discard(c, err)
	}
}

// discard drops a connection that had ended, or was not quiet, before it was used.
func (s *server) discard(c *conn, why error) {
	if errors.Is(why, errSurplus) {
		s.desync(c, why)
		return
	}
	s.drop(c) // the server closed it, most likely by ending
}

// acquire returns an idle connection, or nil and a place to dial into. It waits
// for Timeout at most, less what was waited before.
func (s *server) acquire(ctx context.Context, waited *time.Duration) (*conn, error) {
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	s.mu.Lock()
	switch {
	case s.closed:
		s.mu.Unlock()
		return nil, sd.ErrClosed
	case s.down != nil:
		err := s.down
		s.mu.Unlock()
		return nil, s.errorf(sd.ErrUnavailable, err)
	case len(s.idle) > 0:
		c := s.idle[len(s.idle)-1]
		s.idle = s.idle[:len(s.idle)-1]
		s.mu.Unlock()
		return c, nil
	case s.open < s.places():
		s.open++
		s.mu.Unlock()
		return nil, nil
	}
	w := &waiter{ready: make(chan struct{})}
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()

	start := time.Now()
	defer func() { *waited += time.Since(start) }()
	timer := time.NewTimer(s.cfg.Timeout - *waited)
	defer timer.Stop()
	select {
	case <-w.ready:
		return w.c, w.err
	case <-ctx.Done():
	case <-timer.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.waiting {
		if other == w {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			if ctx.Err() != nil {
				return nil, ended(ctx)
			}
			return nil, s.errorf(sd.ErrUnavailable, fmt.Errorf("no connection of %d became free within %v", s.places(), s.cfg.Timeout))
		}
	}
	return w.c, w.err // given just now
}

// places is the bound on open connections. s.mu is held.
func (s *server) places() int {
	if s.bound > 0 {
		if time.Now().Before(s.boundUntil) {
			return s.bound
		}
		s.bound = 0
	}
	return s.cfg.MaxConns
}

// answered gives a connection back over which the server has just answered.
func (s *server) answered(c *conn) {
	now := time.Now()
	s.answering(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putLocked(c, now)
}

// put gives a connection back.
func (s *server) put(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putLocked(c, time.Now())
}

func (s *server) putLocked(c *conn, now time.Time) {
	if c.closed || s.closed || c.gen != s.gen {
		c.close()
		s.freeLocked()
		return
	}
	if len(s.waiting) > 0 {
		s.grant(c, nil)
		return
	}
	c.idle = now
	s.idle = append(s.idle, c)
	s.armLocked(s.cfg.IdleTimeout)
}

// drop closes a connection and frees its place.
func (s *server) drop(c *conn) {
	c.close()
	s.free()
}

func (s *server) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.freeLocked()
}

func (s *server) freeLocked() {
	s.open--
	if len(s.waiting) > 0 && s.open < s.places() {
		s.open++
		s.grant(nil, nil)
	}
}

// grant answers the first waiter. s.mu is held.
func (s *server) grant(c *conn, err error) {
	w := s.waiting[0]
	s.waiting = s.waiting[1:]
	w.c, w.err = c, err
	close(w.ready)
}

// dropIdle closes the idle connections, and those in use when they come back.
// s.mu is held.
func (s *server) dropIdle() {
	s.gen++
	for _, c := range s.idle {
		c.close()
	}
	n := len(s.idle)
	s.idle = nil
	for range n {
		s.freeLocked()
	}
}

// desync drops c and the whole pool: its replies do not belong to its requests,
// and whatever caused that may have hit the others.
func (s *server) desync(c *conn, why error) {
	c.close()
	s.mu.Lock()
	s.dropIdle()
	s.freeLocked()
	s.mu.Unlock()
	s.journal.note(slog.LevelError, eventDesync, "", "error", why.Error())
}

// crowded lowers the bound to the connections that the server has let in, frees
// the caller's place and reports true, where there are any.
func (s *server) crowded() bool {
	s.mu.Lock()
	n := s.open - 1
	if n > 0 {
		s.bound, s.boundUntil = n, time.Now().Add(s.cfg.RetryAfter)
		s.freeLocked()
	}
	s.mu.Unlock()
	if n > 0 {
		s.journal.note(slog.LevelWarn, eventCrowded, "", "connections", n)
	}
	return n > 0
}

// armLocked starts the timer that closes idle connections, where it is not
// running.
func (s *server) armLocked(after time.Duration) {
	if s.reaper != nil || s.cfg.IdleTimeout < 0 || s.closed {
		return
	}
	s.background.Add(1)
	s.reaper = time.AfterFunc(after, s.reap)
}

func (s *server) reap() {
	defer s.background.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reaper = nil
	n := 0
	for n < len(s.idle) && time.Since(s.idle[n].idle) >= s.cfg.IdleTimeout {
		s.idle[n].close()
		n++
	}
	s.idle = append([]*conn(nil), s.idle[n:]...)
	for range n {
		s.freeLocked()
	}
	if len(s.idle) > 0 {
		s.armLocked(s.cfg.IdleTimeout - time.Since(s.idle[0].idle))
	}
}

// shut closes what is idle and answers what waits. Calls in progress have ended.
func (s *server) shut() {
	s.mu.Lock()
	s.closed = true
	for len(s.waiting) > 0 {
		s.grant(nil, sd.ErrClosed)
	}
	s.dropIdle()
	if s.reaper != nil && s.reaper.Stop() {
		s.background.Done()
	}
	s.mu.Unlock()
	s.background.Wait()
}
