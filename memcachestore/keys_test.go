package memcachestore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

func list(t *testing.T, s *Store, prefix string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for k, err := range s.Keys(t.Context(), prefix) {
		require.NoError(t, err)
		seen[k.Key]++
	}
	return seen
}

func TestAListingIsCompleteOverAllServers(t *testing.T) {
	s := open(t, []string{"a=" + mct.Start(t).Addr(), "b=" + mct.Start(t).Addr(), "c=" + mct.Start(t).Addr()})
	want := map[string]int{}
	for i := range 3000 {
		key := fmt.Sprintf("sd:web:%d%%/+?&=", i)
		require.NoError(t, s.Add(t.Context(), key, make([]byte, i%3000), time.Hour))
		require.NoError(t, s.Add(t.Context(), fmt.Sprint("sd:other:", i), nil, 0))
		want[key] = 1
	}
	require.Empty(t, cmp.Diff(want, list(t, s, "sd:web:")))
	require.Len(t, list(t, s, ""), 6000)
	require.Empty(t, list(t, s, "nothing"))
}

func TestAListingTellsSizeAndExpiry(t *testing.T) {
	_, s := one(t)
	require.NoError(t, s.Add(t.Context(), "k", make([]byte, 1000), time.Hour))
	k := only(t, s)
	require.Equal(t, "k", k.Key)
	require.InDelta(t, 1060, k.Size, 10, "of the item")
	require.WithinDuration(t, time.Now().Add(time.Hour), k.Expires, 4*time.Second)
}

func TestKeysThatWouldNotBeLookedForThereAreNotListed(t *testing.T) {
	a, b := mct.Start(t), mct.Start(t)
	alone := open(t, []string{"a=" + a.Addr()})
	for i := range 200 {
		require.NoError(t, alone.Add(t.Context(), fmt.Sprint("k", i), nil, 0))
	}
	both := open(t, []string{"a=" + a.Addr(), "b=" + b.Addr()})
	for key := range list(t, both, "") {
		_, err := both.Get(t.Context(), key)
		require.NoError(t, err, "what is listed can be read")
	}
}

func TestListingsTakeTurns(t *testing.T) {
	srv, s := one(t)
	other := open(t, []string{srv.Addr()}) // another process: the server says BUSY
	for i := range 5000 {
		require.NoError(t, s.Add(t.Context(), fmt.Sprint("k", i), nil, 0))
	}
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			n := 0
			for _, err := range []*Store{s, other}[i%2].Keys(t.Context(), "k") {
				if !assert.NoError(t, err) {
					return
				}
				n++
			}
			assert.Equal(t, 5000, n)
		})
	}
	all.Wait()
}

func TestAConsumerMayTakeItsTimeAndStopEarly(t *testing.T) {
	srv, s := one(t, "-t", "1")
	for i := range 2000 {
		require.NoError(t, s.Add(t.Context(), fmt.Sprint("k", i), nil, 0))
	}
	n := 0
	for k, err := range s.Keys(t.Context(), "") {
		require.NoError(t, err)
		require.Empty(t, s.servers[0].listing, "the listing is over before the first key is handed out")
		get(t, s, k.Key, "") // the store is free for the consumer's own work
		if n++; n == 10 {
			break
		}
	}
	require.NotEmpty(t, srv.Stats(""))
}

func TestAListingIsBoundedInTimeAndAnErrorEndsIt(t *testing.T) {
	for name, answer := range map[string]string{
		"no end":     "key=k exp=-1 la=1 cas=1 fetch=no cls=1 size=60\r\n",
		"busy":       "BUSY currently processing crawler request\r\n",
		"no answer":  "",
		"odd":        "key=%zz exp=-1\r\n",
		"no key":     "exp=-1\r\n",
		"forbidden":  "ERROR metadump not allowed\r\n",
		"endless":    strings.Repeat("x", 100_000),
		"hangs up":   "hang up",
		"odd expiry": "key=k exp=soon\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(func(string, string) string { return answer })
			s := open(t, []string{"one=" + p.listen(t, nil)}, func(cfg *Config) { cfg.ListTimeout = 200 * time.Millisecond })
			start := time.Now()
			n := 0
			for k, err := range s.Keys(t.Context(), "") {
				n++
				require.Zero(t, k)
				require.ErrorContains(t, err, `"one"`)
				if name == "forbidden" {
					require.ErrorIs(t, err, sd.ErrNotSupported)
				} else {
					require.ErrorIs(t, err, sd.ErrUnavailable)
				}
			}
			require.Equal(t, 1, n)
			require.Less(t, time.Since(start), 2*time.Second)

			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			for _, err := range s.Keys(ctx, "") {
				require.Error(t, err)
				if name == "busy" || name == "no answer" || name == "no end" {
					require.ErrorIs(t, err, context.DeadlineExceeded)
				}
			}
		})
	}
}

func TestAServerThatCannotWalkItsHashTableIsListedAllTheSame(t *testing.T) {
	p := newPeer(func(line, _ string) string {
		if line != "lru_crawler metadump all" {
			return "BADCLASS invalid class id\r\n"
		}
		dump := "key=a%20b exp=-1 la=1 cas=1 fetch=no cls=1 size=60\r\n"
		return dump + dump + "key=c exp=4000000000 la=1 cas=2 fetch=no cls=1 size=61\r\nEND\r\n"
	})
	s := open(t, []string{p.listen(t, nil)})
	require.Equal(t, map[string]int{"a b": 1, "c": 1}, list(t, s, ""), "each once")
}

func TestAServerThatDoesNotListSaysSo(t *testing.T) {
	srv := mct.Start(t, "-X")
	s := open(t, []string{srv.Addr()})
	for _, err := range s.Keys(t.Context(), "") {
		require.ErrorIs(t, err, sd.ErrNotSupported)
	}
}
