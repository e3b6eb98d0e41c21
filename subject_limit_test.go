package sessiondata_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

func atMost(n int, policy sd.LimitPolicy) func(*sd.Config) {
	return func(cfg *sd.Config) { cfg.MaxSessions, cfg.AtMaxSessions = n, policy }
}

func TestALoginOverMaxSessionsIsRefusedWhole(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c := oneHour(t, store, atMost(2, sd.RefuseNew))
		login(t, c, "a", "alice")
		login(t, c, "b", "alice")
		require.NoError(t, c.Update(t.Context(), "c", setTo("v")))
		before := everything(t, store)
		require.ErrorIs(t, c.Update(t.Context(), "c", func(s *sd.Session) error {
			require.NoError(t, s.Pkg("p").Set("k", 1))
			return s.SetSubject("shop", "alice")
		}), sd.ErrTooMany)
		require.Equal(t, before, everything(t, store))
		login(t, c, "b1", "bob") // each subject has its own
		for _, id := range []string{"a", "b"} {
			require.NoError(t, c.Update(t.Context(), id, func(s *sd.Session) error { // the same again is none more
				_, err := s.Renew()
				return errors.Join(err, loginAs("alice", "again")(s), s.Destroy())
			}))
			login(t, c, "next of "+id, "alice")
		}
		require.NoError(t, c.Revoke(t.Context(), "shop", "alice"))
		login(t, c, "c", "alice")
		login(t, c, "d", "alice")
		require.ErrorIs(t, c.Update(t.Context(), "e", loginAs("alice", "")), sd.ErrTooMany)
	})
}

func TestALoginOverMaxSessionsEndsTheOldest(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		c, other := oneHour(t, store, by(clock), atMost(2, sd.EndOldest)), oneHour(t, store, by(clock), atMost(2, sd.EndOldest))
		for _, id := range []string{"a", "b", "c", "d"} {
			login(t, c, id, "alice")
			require.True(t, visit(t, other, id))
			clock.move(time.Minute)
			if id == "b" {
				clock.move(fiveMinutes)
				require.True(t, visit(t, c, "a"), "seen last, but logged in first")
			}
		}
		for id, accepted := range map[string]bool{"a": false, "b": false, "c": true, "d": true} {
			require.Equal(t, accepted, visit(t, other, id), id)
		}
		require.Equal(t, []string{"d", "c"}, labels(t, c, "alice"))
	})
}

// The session that logs in is not the one to end, whatever its server's clock.
func TestALoginNeverEndsItself(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		slow := func(cfg *sd.Config) { cfg.Now = func() time.Time { return clock.Now().Add(-time.Minute) } }
		login(t, oneHour(t, store, by(clock), atMost(1, sd.EndOldest)), "a", "alice")
		c := oneHour(t, store, by(clock), atMost(1, sd.EndOldest), slow)
		login(t, c, "b", "alice")
		require.True(t, visit(t, c, "b"))
		require.False(t, visit(t, c, "a"))
	})
}

// One that is ended before it is written ends itself.
func TestALoginThatIsOutrunEnds(t *testing.T) {
	overStores(t, func(t *testing.T, inner sd.Store, _ *clock) {
		store := &tally{Store: inner}
		slow, c := oneHour(t, store, atMost(1, sd.EndOldest)), oneHour(t, inner, atMost(1, sd.EndOldest))
		store.on = func(op, key string) error {
			if op == "add" && !isIndex(key) {
				login(t, c, "quick", "alice")
			}
			return nil
		}
		login(t, slow, "slow", "alice")
		store.on = nil
		require.False(t, visit(t, c, "slow"))
		require.True(t, visit(t, slow, "quick"))
		require.Equal(t, []string{"quick"}, labels(t, c, "alice"))
	})
}

// The limit holds whoever logs in at the same moment.
func TestMaxSessionsHoldsForParallelLogins(t *testing.T) {
	for _, policy := range []sd.LimitPolicy{sd.RefuseNew, sd.EndOldest} {
		const n, most = 12, 3
		overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
			cs := []*sd.Container{oneHour(t, store, atMost(most, policy)), oneHour(t, store, atMost(most, policy))}
			errs := make([]error, n)
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() { errs[i] = cs[i%2].Update(t.Context(), fmt.Sprint(i), loginAs("alice", fmt.Sprint(i))) })
			}
			wg.Wait()
			in := 0
			for i, err := range errs {
				if err == nil && visit(t, cs[0], fmt.Sprint(i)) {
					in++
				} else if err != nil {
					require.ErrorIs(t, err, sd.ErrTooMany)
					require.Equal(t, sd.RefuseNew, policy)
				}
			}
			require.Equal(t, most, in)
			require.Len(t, labels(t, cs[1], "alice"), most)
		})
	}
}

// A place that was taken for a session that never was, or that the store has
// lost, is free again.
func TestSessionsThatAreNotThereTakeNoPlaceForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		c := oneHour(t, store, atMost(1, sd.RefuseNew))
		dying := storetest.NewFaulty(store, storetest.FaultConfig{Shared: true, Plan: map[int]storetest.Fault{2: storetest.DieBefore}})
		require.Error(t, oneHour(t, dying, atMost(1, sd.RefuseNew)).Update(t.Context(), "dead", loginAs("alice", "dead")))
		require.True(t, dying.Died())
		require.Empty(t, labels(t, c, "alice"))
		require.ErrorIs(t, c.Update(t.Context(), "id", loginAs("alice", "id")), sd.ErrTooMany, "it may still be on its way")
		time.Sleep(time.Minute)
		login(t, c, "id", "alice")
		require.Equal(t, []string{"id"}, labels(t, c, "alice"))
	})
}

// One that was ended to make room, but could not be removed, ends when it would
// list itself again.
func TestTheOldestEndsAlsoWhenItWasNotRemovedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		limit := atMost(1, sd.EndOldest)
		c := oneHour(t, store, limit)
		login(t, c, "old", "alice")
		time.Sleep(time.Second)
		dying := storetest.NewFaulty(store, storetest.FaultConfig{Shared: true, Plan: map[int]storetest.Fault{3: storetest.DieBefore}})
		require.NoError(t, oneHour(t, dying, limit).Update(t.Context(), "new", loginAs("alice", "new")))
		require.True(t, dying.Died())
		require.True(t, visit(t, c, "old"))
		time.Sleep(time.Minute + fiveMinutes)
		require.True(t, visit(t, c, "old"), "this is the access that it records")
		require.False(t, visit(t, c, "old"))
		require.True(t, visit(t, c, "new"))
		require.Equal(t, []string{"new"}, labels(t, c, "alice"))
	})
}

func TestALoginThatFailsLeavesThoseThatItWouldHaveEnded(t *testing.T) {
	overStores(t, func(t *testing.T, inner sd.Store, clock *clock) {
		store := &tally{Store: inner}
		c := oneHour(t, store, by(clock), atMost(1, sd.EndOldest))
		login(t, c, "old", "alice")
		store.on = func(op, key string) error {
			if op == "add" && !isIndex(key) {
				return sd.ErrUnavailable
			}
			return nil
		}
		require.ErrorIs(t, c.Update(t.Context(), "new", loginAs("alice", "new")), sd.ErrUnavailable)
		store.on = nil
		clock.move(fiveMinutes)
		require.True(t, visit(t, c, "old"))
		require.Equal(t, []string{"old"}, labels(t, c, "alice"))
	})
}

func TestTwoLoginsOfOneTransactionTakeTwoPlaces(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		both := func(c *sd.Container) error {
			return sd.Run(t.Context(), func(tx *sd.Txn) error {
				for _, id := range []string{"a", "b"} {
					s, err := c.Session(t.Context(), tx, id)
					require.NoError(t, err)
					require.NoError(t, loginAs("alice", id)(s))
				}
				return nil
			})
		}
		one := oneHour(t, store, atMost(1, sd.RefuseNew))
		require.ErrorIs(t, both(one), sd.ErrTooMany)
		require.Empty(t, labels(t, one, "alice"))
		login(t, one, "c", "alice")
		three := oneHour(t, store, atMost(3, sd.RefuseNew))
		require.NoError(t, both(three))
		require.Len(t, labels(t, three, "alice"), 3)
	})
}

// A login that certainly failed has given its place up when it returns.
func TestALoginThatFailsTakesNoPlace(t *testing.T) {
	inner := memstore.New(memstore.Config{})
	store := &tally{Store: inner}
	c := oneHour(t, store, atMost(1, sd.RefuseNew))
	store.on = func(op, key string) error {
		if op == "add" && !isIndex(key) {
			return sd.ErrUnavailable
		}
		return nil
	}
	require.ErrorIs(t, c.Update(t.Context(), "failed", loginAs("alice", "failed")), sd.ErrUnavailable)
	store.on = nil
	login(t, c, "id", "alice")
	require.Equal(t, []string{"id"}, labels(t, c, "alice"))
}

// Logins of one subject at three app servers over memcached, wave upon wave,
// with requests in between: whenever they have settled there are as many sessions
// as may be, neither more nor less.
func TestMaxSessionsUnderLoadOverMemcached(t *testing.T) {
	for name, policy := range map[string]sd.LimitPolicy{"refuse": sd.RefuseNew, "end the oldest": sd.EndOldest} {
		t.Run(name, func(t *testing.T) {
			const apps, waves, logins, most = 3, 4, 12, 5
			tr := newTraffic(t, apps, atMost(most, policy))
			ids, refused := []string{}, 0
			for wave := range waves {
				errs := make([]error, logins)
				together(logins, func(i int) {
					id := fmt.Sprint(wave, " ", i)
					errs[i] = tr.server().Update(t.Context(), id, loginAs("alice", id))
					for range 3 {
						err := tr.server().Update(t.Context(), id, func(s *sd.Session) error {
							if _, who := s.Subject(); who == "" {
								return nil
							}
							return s.Pkg("p").Set("k", id)
						})
						if err != nil && !errors.Is(err, sd.ErrGone) {
							t.Error(err)
						}
					}
				})
				for i, err := range errs {
					if err != nil {
						require.ErrorIs(t, err, sd.ErrTooMany)
						refused++
					}
					ids = append(ids, fmt.Sprint(wave, " ", i))
				}
				for _, c := range tr.servers {
					in := 0
					for _, id := range ids {
						require.NoError(t, c.View(t.Context(), id, func(s *sd.Session) error {
							if _, who := s.Subject(); who != "" {
								in++
							}
							return nil
						}))
					}
					require.Equal(t, most, in)
					require.Len(t, labels(t, c, "alice"), most)
				}
			}
			if policy == sd.RefuseNew {
				require.Equal(t, waves*logins-most, refused)
			} else {
				require.Zero(t, refused)
			}

			// The store loses the list. Those that are not on it come back with
			// their next access, and then there are too many.
			if policy == sd.EndOldest {
				loseIndexes(t, appServer(t, tr.memcached))
				tr.logins("alice", "after ", most)
				for i := range most {
					ids = append(ids, fmt.Sprint("after ", i))
				}
				for range 2 {
					tr.ahead.Add(int64(fiveMinutes))
					together(len(ids), func(i int) { _ = tr.server().View(t.Context(), ids[i], func(*sd.Session) error { return nil }) })
				}
				in := 0
				for _, id := range ids {
					if visit(t, tr.servers[0], id) {
						in++
					}
				}
				require.Equal(t, most, in)
			}
		})
	}
}
