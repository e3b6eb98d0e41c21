package memcachestore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

func TestAServerThatIsDownIsUnavailableWithinTheTimeoutNeverEmpty(t *testing.T) {
	srv := mct.Start(t)
	s := open(t, []string{srv.Addr()}, quick)
	v := put(t, s, "k", "x")
	srv.Kill()
	for range 20 {
		start := time.Now()
		_, err := s.Get(t.Context(), "k")
		for _, err := range []error{
			err, s.Add(t.Context(), "l", nil, 0), s.CompareAndSwap(t.Context(), "k", nil, 0, v),
			s.CompareAndDelete(t.Context(), "k", v), s.Ping(t.Context()),
		} {
			require.ErrorIs(t, err, sd.ErrUnavailable)
			require.NotErrorIs(t, err, sd.ErrOutcomeUnknown, "nothing was sent")
			require.ErrorContains(t, err, srv.Addr())
		}
		require.Less(t, time.Since(start), 2*time.Second)
	}
	srv.Restart()
	eventually(t, 2*time.Second, "it is used again", func() bool { return s.Add(t.Context(), "l", nil, 0) == nil })
}

func TestTwoHundredCallersOfAStoppedServer(t *testing.T) {
	srv := mct.Start(t)
	s := open(t, []string{srv.Addr()}, func(cfg *Config) {
		cfg.Timeout, cfg.DialTimeout, cfg.MaxConns = 0, 0, 16 // the defaults of a user
	})
	put(t, s, "k", "x")
	warmPool(t, s, 10)
	srv.Pause()
	start := time.Now()
	var slow atomic.Int64
	var most atomic.Int64
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			for range 3 {
				began := time.Now()
				var err error
				if i%2 == 0 {
					_, err = s.Get(t.Context(), "k")
				} else {
					err = s.Add(t.Context(), fmt.Sprint("k", i), nil, time.Minute)
				}
				if !errors.Is(err, sd.ErrUnavailable) && !errors.Is(err, sd.ErrOutcomeUnknown) {
					t.Errorf("got %v", err)
				}
				if time.Since(began) > 100*time.Millisecond {
					slow.Add(1)
				}
				s.servers[0].mu.Lock()
				most.Store(max(most.Load(), int64(s.servers[0].open)))
				s.servers[0].mu.Unlock()
			}
		})
	}
	all.Wait()
	assert.Less(t, time.Since(start), 3*time.Second, "all are answered")
	assert.LessOrEqual(t, most.Load(), int64(16), "connections")
	assert.Less(t, slow.Load(), int64(300), "most of 600 calls do not wait")
	srv.Resume()
	eventually(t, 2*time.Second, "it is used again", func() bool {
		_, err := s.Get(t.Context(), "k")
		return err == nil
	})
	eventually(t, 2*time.Second, "the server has seen all ends", func() bool {
		return srv.Stat("curr_connections") <= 16+2 // its own listener, and this question
	})
}

func TestOneHungServerDoesNotSlowTheSessionsOfTheOthers(t *testing.T) {
	servers := []*mct.Server{mct.Start(t), mct.Start(t), mct.Start(t)}
	s := open(t, []string{"a=" + servers[0].Addr(), "b=" + servers[1].Addr(), "c=" + servers[2].Addr()}, func(cfg *Config) {
		cfg.MaxConns, cfg.Timeout = 4, 2*time.Second
	})
	servers[1].Pause()
	defer servers[1].Resume()
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 20 { // keep the hung one busy
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if key := fmt.Sprint("k", i); s.route(key).name == "b" {
					s.Get(t.Context(), key)
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	var worst time.Duration
	n := 0
	for i := range 900 {
		key := fmt.Sprint("mine", i)
		if s.route(key).name == "b" {
			continue
		}
		n++
		start := time.Now()
		require.NoError(t, s.Add(t.Context(), key, []byte("x"), time.Minute))
		get(t, s, key, "x")
		worst = max(worst, time.Since(start))
	}
	close(stop)
	all.Wait()
	require.Greater(t, n, 500)
	require.Less(t, worst, s.cfg.Timeout/2)
}

// bubble runs a store against a peer over pipes, on the clock of synctest.
func bubble(t *testing.T, p *peer, edit func(*Config), test func(t *testing.T, s *Store)) {
	synctest.Test(t, func(t *testing.T) {
		p.start = time.Now()
		cfg := Config{Servers: []string{"one=h:1"}, Dial: p.dial}
		new(logbook).use(&cfg)
		if edit != nil {
			edit(&cfg)
		}
		s, err := New(cfg)
		require.NoError(t, err)
		test(t, s)
		p.hung.Store(false)
		require.NoError(t, s.Close())
		synctest.Wait()
		require.Zero(t, p.open.Load(), "connections left")
	})
}

func echo(line, _ string) string {
	var verb, key string
	fmt.Sscan(line, &verb, &key)
	switch verb {
	case "gets":
		return value(key, "x", 1)
	case "add", "cas":
		return "STORED\r\n"
	}
	return "END\r\n"
}

func TestAFailedServerIsLeftAloneAndThenTriedByOneProbe(t *testing.T) {
	p := newPeer(echo)
	var dials atomic.Int64
	var log logbook
	bubble(t, p, func(cfg *Config) {
		log.use(cfg)
		cfg.RetryAfter = 10 * time.Second
		dial := cfg.Dial
		cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return dial(ctx, network, address)
		}
	}, func(t *testing.T, s *Store) {
		p.refuse.Store(true)
		start := time.Now()
		for range 50 {
			_, err := s.Get(t.Context(), "k")
			require.ErrorIs(t, err, sd.ErrUnavailable)
			require.ErrorContains(t, err, `"one"`)
		}
		require.Zero(t, time.Since(start), "all are answered at once")
		require.EqualValues(t, 1, dials.Load())
		time.Sleep(35 * time.Second)
		synctest.Wait()
		require.EqualValues(t, 4, dials.Load(), "one probe each RetryAfter, without any caller")
		p.refuse.Store(false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.EqualValues(t, 5, dials.Load())
		start = time.Now()
		_, err := s.Get(t.Context(), "k")
		require.NoError(t, err)
		require.Less(t, time.Since(start), 10*time.Millisecond)
		require.EqualValues(t, 5, dials.Load(), "the probe's connection is used")
		require.Equal(t, 1, log.count(eventUp), log.String())
		require.GreaterOrEqual(t, log.count(eventDown), 1)
	})
}

func TestALostReplyAloneDoesNotTakeAServerOutOfUse(t *testing.T) {
	p := newPeer(nil)
	var lost atomic.Bool
	p.answer = func(line, data string) string {
		if !lost.Swap(true) {
			return ""
		}
		return echo(line, data)
	}
	bubble(t, p, func(cfg *Config) { cfg.RetryAfter = time.Hour }, func(t *testing.T, s *Store) {
		_, err := s.Get(t.Context(), "k")
		require.ErrorIs(t, err, sd.ErrUnavailable)
		time.Sleep(10 * time.Millisecond)
		_, err = s.Get(t.Context(), "k")
		require.NoError(t, err, "it was tried again at once, and answered")
	})
}

// A server that answers others is not down, whatever became of one reply.
func TestAServerThatAnswersOthersIsNotTakenOutOfUse(t *testing.T) {
	p := newPeer(func(line, data string) string {
		if strings.Contains(line, "lost") {
			return ""
		}
		return echo(line, data)
	})
	var log logbook
	bubble(t, p, log.use, func(t *testing.T, s *Store) {
		lost := make(chan error)
		go func() {
			_, err := s.Get(t.Context(), "lost")
			lost <- err
		}()
		time.Sleep(s.cfg.Timeout / 2)
		_, err := s.Get(t.Context(), "k")
		require.NoError(t, err)
		require.ErrorIs(t, <-lost, sd.ErrUnavailable)
		require.Zero(t, log.count(eventDown), log.String())
		_, err = s.Get(t.Context(), "k")
		require.NoError(t, err)
	})
}

func TestACallIsAnsweredWithinItsBound(t *testing.T) {
	p := newPeer(echo)
	bubble(t, p, func(cfg *Config) { cfg.MaxConns = 1 }, func(t *testing.T, s *Store) {
		p.hung.Store(true)
		start := time.Now()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				_, err := s.Get(t.Context(), "k")
				assert.ErrorIs(t, err, sd.ErrUnavailable)
			})
		}
		all.Wait()
		require.LessOrEqual(t, time.Since(start), 2*s.cfg.Timeout+s.cfg.DialTimeout)
	})
}

func TestCallersThatWaitAreAnsweredWhenTheServerFails(t *testing.T) {
	p := newPeer(echo)
	bubble(t, p, func(cfg *Config) { cfg.MaxConns, cfg.Timeout, cfg.DialTimeout = 1, time.Minute, time.Second }, func(t *testing.T, s *Store) {
		p.hung.Store(true)
		start := time.Now()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				_, err := s.Get(t.Context(), "k")
				assert.ErrorIs(t, err, sd.ErrUnavailable)
			})
		}
		all.Wait()
		require.Equal(t, time.Second, time.Since(start))
	})
}

// A read that is not answered ends at the deadline of its context, or soon after
// it is cancelled.
func TestAReadEndsWithItsContext(t *testing.T) {
	p := newPeer(echo)
	bubble(t, p, func(cfg *Config) { cfg.Timeout = time.Second }, func(t *testing.T, s *Store) {
		ask := func(ctx context.Context) (time.Duration, error) {
			p.hung.Store(false)
			get(t, s, "k", "x") // so that there is a connection
			p.hung.Store(true)
			start := time.Now()
			_, err := s.Get(ctx, "k")
			require.ErrorIs(t, err, sd.ErrUnavailable)
			return time.Since(start), err
		}
		for _, after := range []time.Duration{patience * 3 / 4, patience, 10 * patience} { // more than blindRead
			ctx, cancel := context.WithTimeout(t.Context(), after)
			took, err := ask(ctx)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.LessOrEqual(t, took, after)

			ctx, cancel = context.WithCancel(t.Context())
			time.AfterFunc(after, cancel)
			took, err = ask(ctx)
			require.ErrorIs(t, err, context.Canceled)
			require.LessOrEqual(t, took, max(after, patience))
		}
	})
}

func TestCallersWaitForAConnectionWithinContextAndTimeout(t *testing.T) {
	p := newPeer(echo)
	bubble(t, p, func(cfg *Config) { cfg.MaxConns, cfg.Timeout = 2, time.Second }, func(t *testing.T, s *Store) {
		srv := s.servers[0]
		a, err := srv.conn(t.Context(), false)
		require.NoError(t, err)
		b, err := srv.conn(t.Context(), false)
		require.NoError(t, err)
		start := time.Now()
		_, err = s.Get(t.Context(), "k")
		require.ErrorIs(t, err, sd.ErrUnavailable)
		require.ErrorContains(t, err, "no connection of 2 became free within 1s")
		require.Equal(t, time.Second, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start = time.Now()
		err = s.Add(ctx, "k", nil, 0)
		require.ErrorIs(t, err, ctx.Err())
		require.ErrorIs(t, err, sd.ErrUnavailable)
		require.Equal(t, 300*time.Millisecond, time.Since(start))

		start = time.Now()
		time.AfterFunc(400*time.Millisecond, func() { srv.put(a) })
		_, err = s.Get(t.Context(), "k")
		require.NoError(t, err)
		require.Less(t, time.Since(start), 450*time.Millisecond)
		require.EqualValues(t, 2, p.dials.Load())
		require.Nil(t, srv.down, "a busy pool is not a failed server")
		srv.put(b)
	})
}

func TestIdleConnectionsAreClosedAfterIdleTimeout(t *testing.T) {
	p := newPeer(echo)
	bubble(t, p, func(cfg *Config) { cfg.IdleTimeout = time.Minute }, func(t *testing.T, s *Store) {
		warmPool(t, s, 5)
		time.Sleep(50 * time.Second)
		_, err := s.Get(t.Context(), "k")
		require.NoError(t, err)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		require.EqualValues(t, 1, p.open.Load(), "the one that was used stays")
		time.Sleep(50 * time.Second)
		synctest.Wait()
		require.Zero(t, p.open.Load())
		require.Zero(t, s.servers[0].open)
		_, err = s.Get(t.Context(), "k")
		require.NoError(t, err)
	})
	p = newPeer(echo)
	bubble(t, p, func(cfg *Config) { cfg.IdleTimeout = -1 }, func(t *testing.T, s *Store) {
		warmPool(t, s, 3)
		time.Sleep(1000 * time.Hour)
		synctest.Wait()
		require.EqualValues(t, 3, p.open.Load())
	})
}
