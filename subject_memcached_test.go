package sessiondata_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
	"github.com/seed-ad7f1900/sessiondata/memcachestore"
)

// Logins of one subject, requests in flight and a revocation, in parallel over
// memcached by two app servers: after Revoke and one resolution no session from
// before it is accepted, and none of the others is hurt.
func TestRevocationUnderLoadOverMemcached(t *testing.T) {
	srv := memcachedtest.Start(t)
	const servers, users, each = 2, 8, 12
	ring := key(1)
	var ahead atomic.Int64 // how far the servers' clock is before the real one
	var cs []*sd.Container
	for range servers {
		store, err := memcachestore.New(memcachestore.Config{
			Servers: []string{srv.Addr()}, Timeout: 5 * time.Second, DialTimeout: 5 * time.Second, Logger: slog.New(slog.DiscardHandler),
		})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		cs = append(cs, oneHour(t, store, func(cfg *sd.Config) {
			cfg.CommitTimeout, cfg.Keys = 20*time.Second, []sd.Key{ring}
			cfg.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		}))
	}
	login(t, cs[0], "bob's", "bob")
	for round := range 3 {
		var mu sync.Mutex
		var in, before, after []string
		returned := false
		var wg sync.WaitGroup
		for u := range users {
			wg.Go(func() {
				for i := range each {
					id := fmt.Sprintf("%d/%d/%d", round, u, i)
					mu.Lock()
					late := returned
					mu.Unlock()
					err := cs[rand.IntN(servers)].Update(t.Context(), id, loginAs("alice", id))
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					in = append(in, id)
					if late {
						after = append(after, id)
					}
					others := slices.Clone(in)
					mu.Unlock()
					for range 5 {
						o := others[rand.IntN(len(others))]
						err := cs[rand.IntN(servers)].Update(t.Context(), o, func(s *sd.Session) error {
							if s.IsNew() {
								return nil
							}
							return s.Pkg("p").Set(id, i)
						})
						if err != nil && !errors.Is(err, sd.ErrGone) && !errors.Is(err, sd.ErrConflict) {
							t.Error(err)
						}
					}
				}
			})
		}
		wg.Go(func() {
			limit := time.Now().Add(30 * time.Second)
			for len(before) < users*each/4 && time.Now().Before(limit) { // some have logged in, more will
				time.Sleep(time.Millisecond)
				mu.Lock()
				before = slices.Clone(in)
				mu.Unlock()
			}
			if err := cs[round%servers].Revoke(t.Context(), "shop", "alice"); err != nil {
				t.Error(err)
			}
			mu.Lock()
			returned = true
			mu.Unlock()
		})
		wg.Wait()
		ahead.Add(int64(5 * time.Minute)) // one resolution
		require.NotEmpty(t, before)
		for _, c := range cs {
			for _, id := range before {
				require.False(t, visit(t, c, id))
			}
			for _, id := range after {
				require.True(t, visit(t, c, id))
			}
			require.True(t, visit(t, c, "bob's"))
		}
	}
}
