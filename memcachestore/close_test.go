package memcachestore

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

// running returns the stacks of goroutines that this package started.
func running() []string {
	buf := make([]byte, 16<<20)
	var found []string
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "memcachestore.(*server)") || strings.Contains(g, "memcachestore.(*Store)") {
			found = append(found, g)
		}
	}
	return found
}

func TestCloseLeavesNoGoroutineAndNoConnection(t *testing.T) {
	srv, hung, down := mct.Start(t), mct.Start(t), mct.Start(t)
	before := srv.Stat("curr_connections")
	s := open(t, []string{"a=" + srv.Addr(), "b=" + hung.Addr(), "c=" + down.Addr()}, quick)
	for i := range 50 {
		require.NoError(t, s.Add(t.Context(), fmt.Sprint("k", i), nil, 0))
	}
	hung.Pause()
	down.Kill()
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() { s.Get(t.Context(), fmt.Sprint("k", i)) })
	}
	for range s.Keys(t.Context(), "") {
	}
	s.Ping(t.Context())
	all.Wait()
	require.NotEmpty(t, running(), "probes of the two that fail")

	start := time.Now()
	require.NoError(t, s.Close())
	require.Less(t, time.Since(start), time.Second)
	require.Empty(t, running())
	eventually(t, 2*time.Second, "the server sees the ends", func() bool { return srv.Stat("curr_connections") == before })
	for _, sv := range s.servers {
		require.Zero(t, sv.open, sv.name)
	}
	hung.Resume()
}

func TestLaterCallsAnswerErrClosed(t *testing.T) {
	_, s := one(t)
	v := put(t, s, "k", "x")
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "a second Close")
	_, err := s.Get(t.Context(), "k")
	_, rerr := s.Report(t.Context())
	for _, err := range []error{
		err, rerr, s.Add(t.Context(), "k", nil, 0), s.CompareAndSwap(t.Context(), "k", nil, 0, v),
		s.CompareAndDelete(t.Context(), "k", v), s.Ping(t.Context()),
	} {
		require.ErrorIs(t, err, sd.ErrClosed)
	}
	for _, err := range s.Keys(t.Context(), "") {
		require.ErrorIs(t, err, sd.ErrClosed)
	}
}

func TestCloseWaitsForTheCallsInProgress(t *testing.T) {
	_, p, s := proxied(t)
	v := put(t, s, "k", "x")
	p.Inject(mct.Fault{Verb: "cas", Do: mct.DelayReply, Delay: 200 * time.Millisecond})
	done := make(chan error, 1)
	go func() { done <- s.CompareAndSwap(t.Context(), "k", nil, 0, v) }()
	eventually(t, 2*time.Second, "the request is sent", func() bool { return p.Requests("cas") == 1 })
	start := time.Now()
	require.NoError(t, s.Close())
	require.Greater(t, time.Since(start), 100*time.Millisecond)
	require.NoError(t, <-done, "a commit is not abandoned half way")
	require.Empty(t, running())
}

func TestCloseAmongCallsIsSafe(t *testing.T) {
	for range 20 {
		s := open(t, []string{mct.Start(t, "-t", "1").Addr()}, func(cfg *Config) { cfg.MaxConns = 2 })
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				for j := 0; ; j++ {
					err := s.Add(t.Context(), fmt.Sprintf("k%d-%d", i, j), nil, 0)
					if err != nil {
						assert.ErrorIs(t, err, sd.ErrClosed)
						return
					}
				}
			})
		}
		time.Sleep(5 * time.Millisecond)
		require.NoError(t, s.Close())
		all.Wait()
		require.Empty(t, running())
		require.Zero(t, s.servers[0].open)
	}
}
