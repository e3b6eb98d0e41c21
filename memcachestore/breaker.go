package memcachestore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// The breaker of a server: after a failed dial or a timeout, callers are
// answered at once, and one goroutine tries the server until it answers. No
// caller waits for a server that is known not to answer.

// dialInPlace dials into a place that the caller holds; on failure the place has
// been freed. errTooMany alone, unwrapped, says that others are open: wait for
// one of them.
func (s *server) dialInPlace(ctx context.Context) (*conn, error) {
	start := time.Now()
	c, err := s.dial(ctx, false)
	switch {
	case err == nil:
		return c, nil
	case over(ctx): // not the server's fault
		s.free()
		return nil, ended(ctx)
	case errors.Is(err, errTooMany) && s.crowded():
		return nil, errTooMany
	}
	s.failed(err, start, s.cfg.RetryAfter, true)
	return nil, s.errorf(sd.ErrUnavailable, err)
}

// timedOut drops a connection whose request was not answered in time. It may be
// that the reply alone was lost: the server is tried at once.
func (s *server) timedOut(c *conn, err error) {
	c.close()
	s.failed(err, c.began, 0, true)
}

// failed takes note that what began at start went wrong, unless the server has
// answered something since then. The server is tried again after the given time.
// held says that the caller holds a place: it is freed.
func (s *server) failed(err error, start time.Time, after time.Duration, held bool) {
	s.mu.Lock()
	trip := !s.closed && s.down == nil && !s.answeredSince(start)
	if trip {
		s.down = err
		s.trips++
		for len(s.waiting) > 0 {
			s.grant(nil, s.errorf(sd.ErrUnavailable, err))
		}
		s.background.Add(1)
		go s.probe(s.trips, after)
	}
	if held {
		s.freeLocked()
	}
	s.mu.Unlock()
	if trip {
		s.tellDown(err)
	}
}

func (s *server) tellDown(err error) {
	if s.journal.note(slog.LevelWarn, eventDown, "", "error", err.Error()) {
		s.mu.Lock()
		s.saidDown = true
		s.mu.Unlock()
	}
}

// probe tries the server until it answers, or a Ping found that it does.
func (s *server) probe(trip uint64, after time.Duration) {
	defer s.background.Done()
	for {
		timer := time.NewTimer(after)
		select {
		case <-timer.C:
		case <-s.stop.Done():
			timer.Stop()
			return
		}
		after = s.cfg.RetryAfter
		s.mu.Lock()
		if s.closed || s.down == nil || s.trips != trip {
			s.mu.Unlock()
			return
		}
		if s.open >= s.cfg.MaxConns { // all of them still wait for replies
			s.mu.Unlock()
			continue
		}
		s.open++
		s.mu.Unlock()

		c, err := s.dial(s.stop, false)
		if err == nil {
			s.put(c)
			return
		}
		s.mu.Lock()
		s.freeLocked()
		still := !s.closed && s.down != nil && s.trips == trip
		if still {
			s.down = err
		}
		s.mu.Unlock()
		if !still {
			return
		}
		s.tellDown(err)
	}
}

// answering takes note that the server is alive.
func (s *server) answering(now time.Time) { s.lastAnswer.Store(int64(now.Sub(s.epoch))) }

func (s *server) answeredSince(start time.Time) bool {
	return s.lastAnswer.Load() > int64(start.Sub(s.epoch))
}

// dial makes a connection and its handshake. A server that answers is up, and
// one that has another identity than before was restarted. keep keeps the
// statistics.
func (s *server) dial(ctx context.Context, keep bool) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DialTimeout)
	defer cancel()
	s.mu.Lock()
	gen := s.gen
	s.mu.Unlock()

	nc, err := s.cfg.Dial(ctx, s.network, s.address)
	if err != nil {
		return nil, err
	}
	interrupt := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	c, err := s.greet(ctx, newSocket(nc))
	if !interrupt() && err == nil {
		err = ctx.Err()
	}
	if err == nil && !keep && c.boot.settings["cas_enabled"] == "no" {
		err = fmt.Errorf("%w: %w", sd.ErrNotSupported, errNoCAS)
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	if !keep {
		c.boot.stats, c.boot.settings = nil, nil
	}
	c.gen = gen
	s.up(c)
	return c, nil
}

// greet sets up TLS and does the handshake.
func (s *server) greet(ctx context.Context, sock *socket) (*conn, error) {
	c := newConn(sock, sock)
	if s.tls != nil {
		tc := tls.Client(sock, s.tls)
		if err := tc.HandshakeContext(ctx); err != nil {
			if string(sock.head[:sock.headLen]) == tooManyConns {
				return nil, errTooMany
			}
			return nil, fmt.Errorf("TLS: %w", err)
		}
		c = newConn(sock, tc)
	}
	b, err := handshake(c.nc, s.name, s.cfg.Username, s.cfg.Password)
	if err != nil {
		return nil, err
	}
	c.boot = b
	return c, nil
}

// up takes note of a connection that was made.
func (s *server) up(c *conn) {
	s.answering(time.Now())
	s.mu.Lock()
	restarted := s.boot != 0 && s.boot != c.boot.epoch
	s.boot = c.boot.epoch
	if restarted {
		s.dropIdle() // of a process that has ended
		c.gen = s.gen
	}
	again := s.down != nil && s.saidDown
	s.down = nil
	if again {
		s.saidDown = false
	}
	s.mu.Unlock()
	if restarted {
		s.journal.note(slog.LevelWarn, eventRestarted, "", "items_kept", c.boot.warm)
	}
	if again {
		s.journal.note(slog.LevelInfo, eventUp, "")
	}
}
