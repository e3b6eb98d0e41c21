package sessiondata_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// renewAfter renews a session with a grace period and returns its new id.
func renewAfter(t *testing.T, c *sd.Container, id string, grace time.Duration) (next string) {
	update(t, c, id, func(s *sd.Session) {
		var err error
		next, err = s.RenewAfter(grace)
		require.NoError(t, err)
	})
	return next
}

// whereIs returns the id under which a session is found by way of id; "": it is
// not.
func whereIs(t *testing.T, c *sd.Container, id string) string {
	tx := sd.Begin()
	defer func() { require.NoError(t, tx.Rollback()) }()
	s, err := c.Existing(t.Context(), tx, id)
	if errors.Is(err, sd.ErrNotFound) {
		return ""
	}
	require.NoError(t, err)
	return s.ID()
}

func TestWithinTheGraceTheOldIDLeadsToTheRenewedSession(t *testing.T) {
	for _, keys := range [][]sd.Key{nil, {key(1)}} {
		overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
			c := container(t, store, sd.Config{Keys: keys, Now: clock.Now})
			set(t, c, "old", "p", "k", "v")
			next := renewAfter(t, c, "old", 10*time.Second)
			require.NotContains(t, string(dump(t, store)), next, "the new id is in the store")

			require.Equal(t, next, whereIs(t, c, "old"))
			require.Equal(t, next, whereIs(t, c, next))
			set(t, c, "old", "p", "k2", "by the old id")
			require.Equal(t, map[string]map[string]any{"p": {"k": "v", "k2": "by the old id"}}, stored(t, c, next))

			// One handle per session, by whichever id.
			tx := sd.Begin()
			a, b := open(t, c, tx, "old"), open(t, c, tx, next)
			require.Same(t, a, b)
			require.NoError(t, tx.Rollback())
			tx = sd.Begin()
			a, b = open(t, c, tx, next), open(t, c, tx, "old")
			require.Same(t, a, b)
			require.NoError(t, tx.Rollback())

			clock.move(10*time.Second + 1)
			require.Empty(t, whereIs(t, c, "old"))
			require.Equal(t, next, whereIs(t, c, next))
			set(t, c, "old", "p", "k", "another session")
			require.NotEqual(t, stored(t, c, "old"), stored(t, c, next))
		})
	}
}

func TestAtGraceZeroTheOldIDIsDead(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c := container(t, store)
		set(t, c, "old", "p", "k", "v")
		next := renewAfter(t, c, "old", 0)
		require.Empty(t, whereIs(t, c, "old"))
		require.Equal(t, next, whereIs(t, c, next))

		before := everything(t, store)
		tx, s := begin(t, c, next)
		_, err := s.RenewAfter(-1)
		require.ErrorIs(t, err, sd.ErrInvalid)
		require.ErrorContains(t, err, "grace")
		require.Equal(t, sd.Unmodified, s.Status())
		require.Equal(t, next, s.ID())
		require.NoError(t, tx.Commit(t.Context()))
		require.Equal(t, before, everything(t, store))
	})
}

func TestAWriterInFlightUnderTheOldIDKeepsItsChange(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c := container(t, store)
		set(t, c, "old", "p", "k", 1)
		tx, s := begin(t, c, "old")
		require.NoError(t, s.Pkg("p").Set("in flight", 2))
		next := renewAfter(t, c, "old", time.Minute)
		require.NoError(t, tx.Commit(t.Context()))
		require.Equal(t, next, s.ID(), "the writer learns the new id")
		require.Equal(t, map[string]map[string]any{"p": {"k": int64(1), "in flight": int64(2)}}, stored(t, c, next))

		// And Destroy under the old id ends the session.
		tx, s = begin(t, c, "old")
		require.NoError(t, s.Destroy())
		after := renewAfter(t, c, next, time.Minute)
		require.NoError(t, tx.Commit(t.Context()))
		for _, id := range []string{"old", next, after} {
			require.Empty(t, whereIs(t, c, id))
		}
	})
}

// Two that renew at once, and eight.
func TestParallelRenewalsLeaveOneIDAndNobodyLoggedOut(t *testing.T) {
	for _, n := range []int{2, 8} {
		overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
			c := container(t, store)
			set(t, c, "old", "p", "k", 1)
			var txs []*sd.Txn
			var sessions []*sd.Session
			for i := range n {
				tx, s := begin(t, c, "old")
				require.NoError(t, s.Pkg("p").Set(fmt.Sprint(i), i))
				_, err := s.RenewAfter(time.Minute)
				require.NoError(t, err)
				txs, sessions = append(txs, tx), append(sessions, s)
			}
			together(n, func(i int) {
				if err := txs[i].Commit(t.Context()); err != nil {
					t.Error(err)
				}
			})
			live := whereIs(t, c, "old")
			require.NotEmpty(t, live)
			for _, s := range sessions {
				require.Equal(t, live, whereIs(t, c, s.ID()))
			}
			require.Len(t, stored(t, c, live)["p"], n+1, "a change was lost")
			listed := 0
			for _, err := range c.All(t.Context()) {
				require.NoError(t, err)
				listed++
			}
			require.Equal(t, 1, listed, "one session is left")
		})
	}
}

// Whoever was away for as many renewals as the grace period can hold arrives.
func TestAnIDOfManyRenewalsAgoStillLeadsToTheSession(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		const most = 256
		c := container(t, store, sd.Config{RenewEvery: time.Second, RenewGrace: most * time.Second, Now: clock.Now})
		set(t, c, "old", "p", "n", 0)
		id := "old"
		for range most {
			clock.move(time.Second)
			update(t, c, id, func(*sd.Session) {})
			next := whereIs(t, c, id)
			require.NotEqual(t, id, next)
			id = next
		}
		require.Equal(t, id, whereIs(t, c, "old"))
		tx, s := begin(t, c, "old")
		require.NoError(t, s.Pkg("p").Set("n", 1))
		require.NoError(t, tx.Commit(t.Context()))
		require.Equal(t, pkg("p", map[string]any{"n": int64(1)}), stored(t, c, id))
		clock.move(time.Second)
		require.Empty(t, whereIs(t, c, "old"), "its grace is over")
	})
}

func TestAPeriodicRenewalHappensOncePerPeriod(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		cfg := sd.Config{RenewEvery: time.Minute, RenewGrace: 10 * time.Second, Attempts: 1000, CommitTimeout: time.Minute, Now: clock.Now}
		servers := []*sd.Container{container(t, store, cfg), container(t, store, cfg)}
		set(t, servers[0], "jar 0", "p", "n", 0)
		const tabs, rounds = 16, 100 // a round every 3 seconds
		jar, ids, writes := "jar 0", map[string]bool{"jar 0": true}, 0
		for round := range rounds {
			var found [tabs]string
			together(tabs, func(tab int) {
				reads := (tab+round)%3 == 0 // a request that only reads renews, too
				var s *sd.Session
				err := sd.Retry{Attempts: 1000}.Run(t.Context(), func(tx *sd.Txn) (err error) {
					if s, err = servers[tab%2].Existing(t.Context(), tx, jar); err != nil || reads {
						return err
					}
					return sd.Modify(s.Pkg("p"), "n", func(n *int) error { *n++; return nil })
				})
				if err != nil {
					t.Errorf("a request was anonymous, or failed: %v", err)
					return
				}
				found[tab] = s.ID()
			})
			if t.Failed() {
				return
			}
			for tab, id := range found {
				jar, ids[id] = id, true
				if (tab+round)%3 != 0 {
					writes++
				}
			}
			clock.move(3 * time.Second)
		}
		require.Len(t, ids, 1+4, "after 60, 120, 180 and 240 of 297 seconds")
		require.Equal(t, map[string]map[string]any{"p": {"n": int64(writes)}}, stored(t, servers[0], jar), "a change was lost")
	})
}

// A client that dies at any write of a renewal with grace leaves the session
// reachable by the old id, and by at most one more.
func TestARenewalThatDiesHalfWayLosesNobody(t *testing.T) {
	for _, fate := range []storetest.Fault{storetest.DieBefore, storetest.DieAfter, storetest.LoseReply, storetest.LoseRequest} {
		for _, beside := range []bool{false, true} {
			for n := 1; n <= 8; n++ {
				synctest.Test(t, func(t *testing.T) {
					store := memstore.New(memstore.Config{})
					c := sealing(t, store, "c")
					set(t, c, "old", "p", "k", "v")
					faulty := storetest.NewFaulty(store, storetest.FaultConfig{Shared: true, Plan: map[int]storetest.Fault{n: fate}})
					fc := sealing(t, faulty, "c")
					tx, s := begin(t, fc, "old")
					next, err := s.RenewAfter(time.Minute)
					require.NoError(t, err)
					if beside {
						require.NoError(t, open(t, fc, tx, "beside").Pkg("p").Set("k", "w"))
					}
					said := tx.Commit(t.Context())
					what := fmt.Sprintf("write %d is %v, beside %t: %v", n, fate, beside, said)
					at := whereIs(t, c, "old")
					require.Contains(t, []string{"old", next}, at, what)
					if said == nil {
						require.Equal(t, next, at, what)
					} else if !errors.Is(said, sd.ErrOutcomeUnknown) {
						require.Equal(t, "old", at, what)
					}
					if beside {
						require.Equal(t, at == next, whereIs(t, c, "beside") != "", what)
					}
					time.Sleep(10 * time.Second) // past the deadline of an intent
					set(t, c, "old", "p", "k2", "again")
					require.Equal(t, map[string]map[string]any{"p": {"k": "v", "k2": "again"}}, stored(t, c, at), what)
				})
			}
		}
	}
}

// Of two periodic renewals under way at once the first counts: the other goes on
// under the id that it has given, and gives no second one.
func TestOfTwoPeriodicRenewalsTheFirstCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		c := container(t, store, sd.Config{RenewEvery: time.Minute, RenewGrace: 10 * time.Second})
		set(t, c, "old", "p", "k", "v")
		time.Sleep(2 * time.Minute)
		tx, slow := begin(t, c, "old")
		require.NoError(t, slow.Pkg("p").Set("slow", 1))
		set(t, c, "old", "p", "quick", 1)
		next := whereIs(t, c, "old")
		require.NotEqual(t, "old", next)
		require.NoError(t, tx.Commit(t.Context()))
		require.Equal(t, next, slow.ID())
		require.Equal(t, next, whereIs(t, c, "old"))
		require.Equal(t, pkg("p", map[string]any{"k": "v", "quick": int64(1), "slow": int64(1)}), stored(t, c, next))
		require.Len(t, keys(t, store), 2, "the session, and the forward to it")
	})
}

// keeps is a store that ends nothing, as one whose clock stands.
type keeps struct{ sd.Store }

func (s keeps) Add(ctx context.Context, key string, value []byte, _ time.Duration) error {
	return s.Store.Add(ctx, key, value, 0)
}

func (s keeps) CompareAndSwap(ctx context.Context, key string, value []byte, _ time.Duration, v sd.Version) error {
	return s.Store.CompareAndSwap(ctx, key, value, 0, v)
}

// The old id is dead after the grace, also where the store keeps what stands under
// it: memcached does so for up to two seconds.
func TestAfterTheGraceTheOldIDIsDeadWhateverTheStoreKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := container(t, keeps{memstore.New(memstore.Config{})})
		set(t, c, "old", "p", "k", "v")
		next := renewAfter(t, c, "old", 10*time.Second)
		time.Sleep(10*time.Second - 1)
		require.Equal(t, next, whereIs(t, c, "old"))
		time.Sleep(time.Nanosecond)
		require.Empty(t, whereIs(t, c, "old"))
		require.Equal(t, next, whereIs(t, c, next))
	})
}
