package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

// The timeouts of a busy machine, on which no request must fail, and those where
// requests fail on purpose.
const (
	patient   = "?timeout=20s&dial_timeout=20s"
	impatient = "?timeout=400ms&dial_timeout=400ms&retry_after=50ms"
)

// onServers is the URL of a store on these servers.
func onServers(timeouts string, servers ...*memcachedtest.Server) string {
	url := "memcache://"
	for i, s := range servers {
		if i > 0 {
			url += ","
		}
		url += s.Addr()
	}
	return url + timeouts
}

func TestTheSumsAndVisitsAreTheSameOverMemcached(t *testing.T) {
	_, stdout, _ := program(t, nil, "-json")
	want := reportOf(t, stdout)
	server := memcachedtest.Start(t)
	for range 2 { // a run does not meet what an earlier one left behind
		status, stdout, stderr := program(t, nil, "-json", "-workers", "4", "-writers", "2", "-store", onServers(patient, server))
		require.Equal(t, 0, status, stderr)
		got := reportOf(t, stdout)
		require.Empty(t, cmp.Diff(want.Check, got.Check))
		require.Empty(t, cmp.Diff(want.TopPages, got.TopPages))
		require.Equal(t, want.Longest, got.Longest)
		require.Equal(t, accountReport{Committed: logRequests, Found: logRequests}, got.Account)
		require.Zero(t, got.Restarts)
	}
}

// counting calls fn with the number of each write before it is sent.
type counting struct {
	sessiondata.Store
	reporter
	writes atomic.Int64
	fn     func(n int64)
}

func (s *counting) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	s.fn(s.writes.Add(1))
	return s.Store.Add(ctx, key, value, ttl)
}

func (s *counting) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sessiondata.Version) error {
	s.fn(s.writes.Add(1))
	return s.Store.CompareAndSwap(ctx, key, value, ttl, v)
}

// beginning is how many requests of the log are enough to be disturbed.
const beginning = 4000

func beginningOfLog(t *testing.T) string {
	t.Helper()
	in, err := gzip.NewReader(bytes.NewReader(builtInLog))
	require.NoError(t, err)
	all, err := io.ReadAll(in)
	require.NoError(t, err)
	return logFile(t, slices.Collect(strings.Lines(string(all)))[:beginning]...)
}

// disturbed runs the beginning of the log over servers; disturb is called by one of the writers,
// at every so many of them.
func disturbed(t *testing.T, every int64, disturb func(n int64), servers ...*memcachedtest.Server) report {
	t.Helper()
	var one sync.Mutex
	status, stdout, stderr := program(t, func(s sessiondata.Store) sessiondata.Store {
		return &counting{Store: s, reporter: s.(reporter), fn: func(n int64) {
			if n%every == 0 {
				one.Lock()
				defer one.Unlock()
				disturb(n / every)
			}
		}}
	}, "-json", "-workers", "4", "-writers", "3", "-store", onServers(impatient, servers...), "-log", beginningOfLog(t))
	r := reportOf(t, stdout)
	t.Logf("%+v, %d restarts", r.Account, r.Restarts)
	require.Equal(t, 0, status, "%s%s", stdout, stderr)
	require.True(t, r.Passed)
	require.EqualValues(t, beginning, r.Account.Committed+r.Account.Refused+r.Account.Unknown)
	return r
}

func TestTheAccountIsTrueWhileMemcachedIsKilledAndRestarted(t *testing.T) {
	t.Run("at once", func(t *testing.T) {
		server := memcachedtest.Start(t)
		r := disturbed(t, 500, func(int64) { server.Restart() }, server)
		require.Positive(t, r.Account.LostRequests)
		require.Positive(t, r.Account.LostVisits)
		require.Positive(t, r.Restarts)
	})
	t.Run("after a while", func(t *testing.T) {
		server := memcachedtest.Start(t)
		r := disturbed(t, 1500, func(int64) {
			server.Kill()
			time.AfterFunc(200*time.Millisecond, server.Restart)
		}, server)
		require.Positive(t, r.Account.LostRequests)
		require.Positive(t, r.Account.Refused)
	})
	t.Run("one of three", func(t *testing.T) {
		servers := []*memcachedtest.Server{memcachedtest.Start(t), memcachedtest.Start(t), memcachedtest.Start(t)}
		r := disturbed(t, 400, func(n int64) { servers[n%3].Restart() }, servers...)
		require.Positive(t, r.Account.LostRequests)
	})
	t.Run("stopped for a while", func(t *testing.T) {
		server := memcachedtest.Start(t)
		r := disturbed(t, 1500, func(int64) {
			server.Pause()
			time.AfterFunc(900*time.Millisecond, server.Resume)
		}, server)
		require.Zero(t, r.Account.LostRequests)
		require.Zero(t, r.Restarts)
		require.Positive(t, r.Account.Refused)
	})
}

func TestAMissingCommitThatNoRestartExplainsFailsTheCheck(t *testing.T) {
	server := memcachedtest.Start(t)
	status, stdout, _ := program(t, func(s sessiondata.Store) sessiondata.Store {
		return &counting{Store: s, reporter: s.(reporter), fn: func(n int64) {
			if n >= 5000 && n < 5020 { // the first request of a visit has nothing to lose
				server.Raw("flush_all")
			}
		}}
	}, "-json", "-store", onServers(patient, server))
	require.Equal(t, 1, status)
	r := reportOf(t, stdout)
	require.False(t, r.Passed)
	require.Zero(t, r.Account.LostRequests)
	require.Less(t, r.Account.Found, r.Account.Committed)
}

func TestAServerThatIsDownFromTheStartEndsTheReplay(t *testing.T) {
	server := memcachedtest.Start(t)
	server.Kill()
	status, stdout, stderr := program(t, nil, "-store", onServers(patient, server))
	require.Equal(t, 1, status)
	require.Empty(t, stdout)
	require.Contains(t, stderr, sessiondata.ErrUnavailable.Error())
	require.Contains(t, stderr, fmt.Sprintf("%q", server.Addr()))
}
