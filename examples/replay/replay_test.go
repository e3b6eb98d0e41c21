package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// program runs replay as its main function does, over a wrapped store.
func program(t *testing.T, wrap func(sessiondata.Store) sessiondata.Store, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(t.Context(), args, environment{&out, &errs, func(ctx context.Context, url string) (sessiondata.Store, error) {
		store, err := openStore(ctx, url)
		if err == nil && wrap != nil {
			store = wrap(store)
		}
		return store, err
	}})
	return status, out.String(), errs.String()
}

func reportOf(t *testing.T, stdout string) report {
	t.Helper()
	var r report
	dec := json.NewDecoder(strings.NewReader(stdout))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(&r))
	return r
}

// logFile writes a log for -log.
func logFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "access.log")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600))
	return path
}

// The figures of the built-in log, as awk counts them in testdata/access.log:
//
//	awk '{n++; b+=$10; if ($9>=400) e++} END {printf "%d %.0f %d\n", n, b, e}'
//	awk '{split(substr($4,2), a, "[/:]"); print $1, ((a[1]*24+a[4])*60+a[5])*60+a[6]}' |
//		sort -s -k1,1 -k2,2n | awk '{if ($1!=p || $2-l>1801) v++; p=$1; l=$2} END {print v}'
const (
	logRequests = 10000
	logBytes    = 2747282740
	logErrors   = 220
	logVisits   = 3052
)

func TestTheBuiltInLogIsReplayedAndNothingIsLost(t *testing.T) {
	for _, c := range []struct{ workers, writers int }{{1, 1}, {8, 4}} {
		t.Run(fmt.Sprintf("workers %d, writers %d", c.workers, c.writers), func(t *testing.T) {
			status, stdout, stderr := program(t, nil, "-json", "-workers", fmt.Sprint(c.workers), "-writers", fmt.Sprint(c.writers))
			require.Equal(t, 0, status, stderr)
			require.Empty(t, stderr)
			r := reportOf(t, stdout)
			require.True(t, r.Passed)
			require.Equal(t, logRequests, r.Lines)
			require.Zero(t, r.Skipped)
			require.Empty(t, cmp.Diff([]comparison{
				{"visits", logVisits, logVisits},
				{"requests", logRequests, logRequests},
				{"bytes", logBytes, logBytes},
				{"errors", logErrors, logErrors},
				{"page views", logRequests - logErrors, logRequests - logErrors},
				{"identical visits", logVisits, logVisits},
			}, r.Check))
			require.EqualValues(t, logRequests, r.Commits)
			if c.writers == 1 {
				require.Zero(t, r.Merges)
				require.Zero(t, r.Reruns)
			} else {
				require.Positive(t, r.Merges)
				require.Positive(t, r.Reruns)
			}
		})
	}
}

func TestTheTableTellsWhatTheJSONTells(t *testing.T) {
	path := logFile(t,
		logLine("a", 0, "/", 200), logLine("a", 60, "/x", 200), logLine("a", 70, "/x", 404),
		"rubbish\n", logLine("b", 5, "/\x1b[2J", 200))
	status, stdout, stderr := program(t, nil, "-log", path)
	require.Equal(t, 0, status, stderr)
	require.Contains(t, stderr, "line 4 is skipped: no client address")
	for _, want := range []string{
		"5 lines, 1 skipped", "requests", "visits", "1m10s, 3 requests", "commits per second", "check passed", `/\x1b[2J`,
	} {
		require.Contains(t, stdout, want)
	}
	require.NotContains(t, stdout, "\x1b")
}

// Visits whose gaps lie around the limit, with requests in parallel, are the
// hardest for the replay to keep apart.
func TestVisitsAreKeptApartWhateverTheGapsAndTheWriters(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	gaps := []int{0, 0, 1, 2, 900, 1799, 1800, 1801, 1802, 1803, 4000}
	var lines []string
	for v := range 20 {
		second := 0
		for range 60 {
			second += gaps[random.IntN(len(gaps))]
			page, status := fmt.Sprintf("/%d", random.IntN(5)), []int{200, 200, 304, 404, 500}[random.IntN(5)]
			lines = append(lines, logLine(fmt.Sprint("visitor", v), second, page, status))
		}
	}
	random.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	path := logFile(t, lines...)
	for _, writers := range []string{"1", "4"} {
		status, stdout, stderr := program(t, nil, "-log", path, "-workers", "2", "-writers", writers)
		require.Equal(t, 0, status, "%s%s", stdout, stderr)
	}
}

func TestRequestsThatFailedLeaveOnlyTheirAccounting(t *testing.T) {
	c, err := newServer(memstore.New(memstore.Config{}), "replay", false)
	require.NoError(t, err)
	good, bad := at(0), at(1)
	bad.Page, bad.Status = "/missing", 404
	answered, err := c.handle(t.Context(), good, nil)
	require.NoError(t, err)
	require.True(t, answered.isNew)
	answered, err = c.handle(t.Context(), bad, nil)
	require.NoError(t, err)
	require.False(t, answered.isNew)
	got, err := c.read(t.Context(), "v", bad.Time)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(&visit{
		Visitor: "v", First: good.Time, Last: bad.Time, Requests: 2, Bytes: 20, Errors: 1,
		Seen: map[string]int64{"/": 1}, LastPlace: place{Page: "/", Time: good.Time},
	}, &got.visit))
	require.Equal(t, tally{Commits: 2}, c.counts)
}

// commitDuring lets another server commit while the first one's transaction is
// under way.
type commitDuring struct {
	sessiondata.Store
	other func()
}

func (s *commitDuring) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sessiondata.Version) error {
	if other := s.other; other != nil {
		s.other = nil
		other()
	}
	return s.Store.CompareAndSwap(ctx, key, value, ttl, v)
}

func TestConflictsAreMergedWhereCountersAddUpAndRunAgainElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		other, mine request
		want        tally
		last        int
	}{
		"the other moved the visitor, mine failed": {at(2), failed(at(1)), tally{Commits: 1, Merges: 1}, 2},
		"the other failed, mine moves the visitor": {failed(at(2)), at(1), tally{Commits: 1, Merges: 1}, 1},
		"both move the visitor":                    {at(2), at(1), tally{Commits: 1, Reruns: 1}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			shared := memstore.New(memstore.Config{})
			between := &commitDuring{Store: shared}
			mine, err := newServer(between, "replay", false)
			require.NoError(t, err)
			other, err := newServer(shared, "replay", false)
			require.NoError(t, err)
			_, err = other.handle(t.Context(), at(0), nil)
			require.NoError(t, err)
			between.other = func() {
				_, err := other.handle(t.Context(), c.other, nil)
				require.NoError(t, err)
			}
			_, err = mine.handle(t.Context(), c.mine, nil)
			require.NoError(t, err)
			require.Equal(t, c.want, mine.counts)
			got, err := mine.read(t.Context(), "v", noon.Add(durationOf(2)))
			require.NoError(t, err)
			require.EqualValues(t, 3, got.Requests)
			require.EqualValues(t, 30, got.Bytes)
			require.EqualValues(t, 3, got.Errors+got.Seen["/"])
			require.Equal(t, noon.Add(durationOf(c.last)), got.LastPlace.Time.UTC())
			require.Equal(t, noon.Add(durationOf(2)), got.Last.UTC())
		})
	}
}

func failed(r request) request {
	r.Status = 500
	return r
}

// dropping is a store that confirms one write and does not apply it.
type dropping struct {
	sessiondata.Store
	adds, swaps atomic.Int64 // how many more are applied before that
}

func (s *dropping) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if s.adds.Add(-1) == -1 {
		return nil
	}
	return s.Store.Add(ctx, key, value, ttl)
}

func (s *dropping) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sessiondata.Version) error {
	if s.swaps.Add(-1) == -1 {
		return nil
	}
	return s.Store.CompareAndSwap(ctx, key, value, ttl, v)
}

func TestTheCheckFailsWhenTheStoreDropsOneWrite(t *testing.T) {
	const never = 1 << 40
	for name, c := range map[string]struct{ adds, swaps int64 }{
		"the first of a session": {100, never},
		"a later one":            {never, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := program(t, func(store sessiondata.Store) sessiondata.Store {
				s := &dropping{Store: store}
				s.adds.Store(c.adds)
				s.swaps.Store(c.swaps)
				return s
			}, "-json")
			require.Equal(t, 1, status)
			require.Contains(t, stderr, errCheckFailed.Error())
			r := reportOf(t, stdout)
			require.False(t, r.Passed)
			require.Positive(t, r.Check[1].Log-r.Check[1].Sessions, "requests lost")
		})
	}
}

// blind is a store whose compare-and-swap does not compare: what every session
// library does that writes the whole session back.
type blind struct{ sessiondata.Store }

func (s blind) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, _ sessiondata.Version) error {
	item, err := s.Get(ctx, key)
	if err != nil {
		return err
	}
	return s.Store.CompareAndSwap(ctx, key, value, ttl, item.Version)
}

func TestTheCheckFailsWhenWritesOverwriteEachOther(t *testing.T) {
	status, stdout, _ := program(t, func(store sessiondata.Store) sessiondata.Store { return blind{store} },
		"-json", "-writers", "4")
	require.Equal(t, 1, status)
	require.False(t, reportOf(t, stdout).Passed)
}

func TestWrongUsageIsToldAndNothingIsRun(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no such flag":     {[]string{"-frobnicate"}, "frobnicate"},
		"an argument":      {[]string{"access.log"}, `unexpected argument "access.log"`},
		"no workers":       {[]string{"-workers", "0"}, "-workers 0 is not from 1 to 256"},
		"too many writers": {[]string{"-writers", "257"}, "-writers 257 is not from 1 to 256"},
		"another store":    {[]string{"-store", "disk:///tmp"}, `-store "(no store URL)": sessiondata: invalid use: store URL: scheme "disk", want one of memory, memcache`},
		"a password":       {[]string{"-store", "memcache://user:secret@host?x=1"}, `-store "memcache://xxxxx@host?x=1"`},
		"not a URL":        {[]string{"-store", "%zz"}, `-store "(no store URL)"`},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := program(t, nil, c.args...)
			require.Equal(t, 2, status)
			require.Empty(t, stdout)
			require.Contains(t, stderr, c.want)
		})
	}
	status, _, stderr := program(t, nil, "-h")
	require.Equal(t, 0, status)
	require.Contains(t, stderr, "-writers")
}

func TestALogWithoutRequestsIsAnError(t *testing.T) {
	status, _, stderr := program(t, nil, "-log", logFile(t, "rubbish\n"))
	require.Equal(t, 1, status)
	require.Contains(t, stderr, "no requests in its 1 lines")
	status, _, stderr = program(t, nil, "-log", filepath.Join(t.TempDir(), "absent"))
	require.Equal(t, 1, status)
	require.Contains(t, stderr, "no such file")
}

// down is a store that has gone away.
type down struct{ sessiondata.Store }

func (down) Get(context.Context, string) (sessiondata.Item, error) {
	return sessiondata.Item{}, sessiondata.ErrUnavailable
}

func TestAStoreThatIsDownEndsTheReplay(t *testing.T) {
	status, stdout, stderr := program(t, func(s sessiondata.Store) sessiondata.Store { return down{s} }, "-workers", "4", "-writers", "2", "-wait", "50ms")
	require.Equal(t, 1, status)
	require.Empty(t, stdout)
	require.Contains(t, stderr, sessiondata.ErrUnavailable.Error())
}

func TestAnInterruptEndsTheReplay(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	require.Equal(t, 1, run(ctx, nil, environment{&out, &errs, openStore}))
	require.Empty(t, out.String())
	require.Contains(t, errs.String(), context.Canceled.Error())
}
