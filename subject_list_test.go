package sessiondata_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

func TestSessionsAreListedMostRecentlySeenFirst(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		c := oneHour(t, store, by(clock))
		start := clock.Now()
		for _, id := range []string{"phone", "tablet", "desk"} {
			login(t, c, id, "alice")
			clock.move(time.Minute)
		}
		login(t, c, "elsewhere", "bob")
		clock.move(fiveMinutes)
		require.True(t, visit(t, c, "tablet"))
		infos, err := c.Sessions(t.Context(), "shop", "alice")
		require.NoError(t, err)
		require.Equal(t, []sd.SessionInfo{
			{Ref: c.Ref("tablet"), Label: "tablet", Since: start.Add(time.Minute).UTC(), LastSeen: start.Add(3*time.Minute + fiveMinutes).UTC()},
			{Ref: c.Ref("desk"), Label: "desk", Since: start.Add(2 * time.Minute).UTC(), LastSeen: start.Add(2 * time.Minute).UTC()},
			{Ref: c.Ref("phone"), Label: "phone", Since: start.UTC(), LastSeen: start.UTC()},
		}, infos)
		require.NoError(t, c.Update(t.Context(), "phone", func(s *sd.Session) error { return s.SetLabel("old phone") }))
		require.Contains(t, labels(t, c, "alice"), "old phone")
	})
}

func TestALostIndexLogsNobodyOutAndFillsAgain(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		c, other := oneHour(t, store, by(clock)), oneHour(t, store, by(clock))
		for _, id := range []string{"a", "b"} {
			login(t, c, id, "alice")
		}
		loseIndexes(t, store)
		require.Empty(t, labels(t, other, "alice"))
		clock.move(fiveMinutes)
		for _, id := range []string{"a", "b"} {
			require.True(t, visit(t, other, id))
		}
		require.Equal(t, []string{"a", "b"}, slices.Sorted(slices.Values(labels(t, c, "alice"))))
	})
}

// Of two logins of one session the one that loses gives up its own place only.
func TestALoginThatLosesLeavesTheListToTheOneThatWon(t *testing.T) {
	overStores(t, func(t *testing.T, inner sd.Store, clock *clock) {
		store := &tally{Store: inner}
		c, other := oneHour(t, store, by(clock)), oneHour(t, inner, by(clock))
		store.on = func(op, key string) error {
			if op == "add" && !isIndex(key) {
				store.on = nil
				clock.move(time.Second)
				login(t, other, "id", "alice")
			}
			return nil
		}
		tx := sd.Begin()
		s, err := c.Session(t.Context(), tx, "id")
		require.NoError(t, err)
		require.NoError(t, loginAs("alice", "loser")(s))
		require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrConflict)
		require.Equal(t, []string{"id"}, labels(t, c, "alice"))
	})
}

// The index is no part of the commit's decision, so what becomes of its own
// writes is found out, and they are made again.
func TestALoginGoesOnWhereTheIndexIsEvictedOrItsReplyLost(t *testing.T) {
	for _, op := range []string{"swap", "add"} {
		for _, evict := range []bool{false, true} {
			overStores(t, func(t *testing.T, inner sd.Store, _ *clock) {
				store := &tally{Store: inner}
				c := oneHour(t, store)
				if op == "swap" {
					login(t, c, "a", "alice")
				}
				once := false
				store.on = func(is, key string) error {
					if is != op || !isIndex(key) || once {
						return nil
					}
					once = true
					if evict && op == "swap" {
						loseIndexes(t, inner)
						return nil
					}
					return errors.New("lost")
				}
				login(t, c, "b", "alice")
				require.True(t, once)
				require.Contains(t, labels(t, c, "alice"), "b")
			})
		}
	}
}

func TestRenewDestroyAndExpiryKeepTheListRight(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		c := oneHour(t, store, by(clock))
		for _, id := range []string{"renewed", "destroyed", "left", "switched", "expired", "kept"} {
			login(t, c, id, "alice")
		}
		var next sd.SessionRef
		require.NoError(t, c.Update(t.Context(), "renewed", func(s *sd.Session) error {
			id, err := s.Renew()
			next = c.Ref(id)
			return err
		}))
		require.NoError(t, c.Update(t.Context(), "destroyed", func(s *sd.Session) error { return s.Destroy() }))
		require.NoError(t, c.Update(t.Context(), "left", func(s *sd.Session) error { return s.ClearSubject() }))
		require.NoError(t, c.Update(t.Context(), "switched", loginAs("bob", "switched")))
		require.Equal(t, []string{"expired", "kept", "renewed"}, slices.Sorted(slices.Values(labels(t, c, "alice"))))
		require.Equal(t, []string{"switched"}, labels(t, c, "bob"))
		infos, err := c.Sessions(t.Context(), "shop", "alice")
		require.NoError(t, err)
		require.True(t, slices.ContainsFunc(infos, func(i sd.SessionInfo) bool { return i.Ref == next && i.Label == "renewed" }))
		for range 30 {
			clock.move(5 * time.Minute)
			require.True(t, visit(t, c, "kept"))
			require.NoError(t, c.View(t.Context(), "left", func(s *sd.Session) error {
				_, who := s.Subject()
				require.Empty(t, who)
				require.Equal(t, "left", s.Label())
				return nil
			}))
		}
		require.Equal(t, []string{"kept"}, labels(t, c, "alice"))
		require.Empty(t, labels(t, c, "bob"))
	})
}

// A commit that comes late does not list a session again under a subject that
// it has left.
func TestASessionThatHasLeftIsNotListedAgain(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		c := oneHour(t, store, by(clock))
		login(t, c, "id", "alice")
		tx := sd.Begin()
		s, err := c.Session(t.Context(), tx, "id")
		require.NoError(t, err)
		require.NoError(t, s.SetLabel("late"))
		require.NoError(t, c.Update(t.Context(), "id", func(s *sd.Session) error { return s.ClearSubject() }))
		require.NoError(t, tx.Commit(t.Context()))
		require.Empty(t, labels(t, c, "alice"))
		require.NoError(t, c.Revoke(t.Context(), "shop", "alice"))
		require.NoError(t, c.View(t.Context(), "id", func(s *sd.Session) error {
			require.Equal(t, "late", s.Label())
			return nil
		}))
		login(t, c, "id", "alice")
		require.Equal(t, []string{"id"}, labels(t, c, "alice"))
	})
}

// The list may be behind a session by one resolution, and yet outlives it.
func TestTheListOutlivesTheSessionsInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := oneHour(t, memstore.New(memstore.Config{}))
		login(t, c, "id", "alice")
		time.Sleep(5*time.Minute - time.Second)
		require.NoError(t, c.Update(t.Context(), "id", setTo("v")))
		time.Sleep(65 * time.Minute)
		require.Equal(t, []string{"id"}, labels(t, c, "alice"))
		require.True(t, visit(t, c, "id"))
	})
}

func TestAnIndexThatCannotBeReadIsAnErrorNotALogout(t *testing.T) {
	inner := memstore.New(memstore.Config{})
	store := &tally{Store: inner}
	login(t, oneHour(t, store), "id", "alice")
	c := oneHour(t, store)
	store.on = func(_, key string) error {
		if isIndex(key) {
			return sd.ErrUnavailable
		}
		return nil
	}
	nothing := func(*sd.Session) error { return nil }
	require.ErrorIs(t, c.View(t.Context(), "id", nothing), sd.ErrUnavailable)
	before := everything(t, inner)
	require.ErrorIs(t, c.Update(t.Context(), "new", loginAs("bob", "")), sd.ErrUnavailable)
	require.ErrorIs(t, c.Revoke(t.Context(), "shop", "alice"), sd.ErrUnavailable)
	require.Equal(t, before, everything(t, inner))
	store.on = nil
	require.NoError(t, c.View(t.Context(), "id", nothing))

	// Sealed with a key that is missing, and damaged.
	store = &tally{Store: memstore.New(memstore.Config{})}
	login(t, oneHour(t, store), "id", "alice")
	login(t, oneHour(t, store, func(cfg *sd.Config) { cfg.Keys = []sd.Key{key(1)} }), "other", "alice")
	c = oneHour(t, store)
	require.ErrorIs(t, c.View(t.Context(), "id", nothing), sd.ErrUnsupportedVersion)
	_, err := c.Sessions(t.Context(), "shop", "alice")
	require.ErrorIs(t, err, sd.ErrUnsupportedVersion)
	require.ErrorIs(t, c.RevokeOne(t.Context(), "shop", "alice", c.Ref("id")), sd.ErrUnsupportedVersion)
}

func TestManySessionsOfOneSubjectAreBoundedInTheListAndAllRevoked(t *testing.T) {
	for name, change := range map[string]func(*sd.Config){
		"by number": func(*sd.Config) {},
		"by bytes":  func(cfg *sd.Config) { cfg.MaxSize = 3 << 10 },
	} {
		t.Run(name, func(t *testing.T) {
			overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
				c := oneHour(t, store, change, func(cfg *sd.Config) { cfg.CommitTimeout = time.Minute })
				const workers, each = 8, sd.MaxListed/8 + 3
				id := func(worker, i int) string { return fmt.Sprintf("%0*d", sd.MaxLabel, each*worker+i) }
				together(workers, func(worker int) {
					for i := range each {
						login(t, c, id(worker, i), "alice")
					}
				})
				listed := len(labels(t, c, "alice"))
				require.LessOrEqual(t, listed, sd.MaxListed)
				require.Greater(t, listed, 5)
				for _, key := range keys(t, store) {
					if isIndex(key) {
						item, err := store.Get(t.Context(), key)
						require.NoError(t, err)
						require.LessOrEqual(t, len(item.Value), c.Config().MaxSize)
						require.Less(t, len(item.Value), 30<<10)
					}
				}
				require.NoError(t, c.Revoke(t.Context(), "shop", "alice"))
				for worker := range workers {
					for i := range each {
						require.False(t, visit(t, c, id(worker, i)))
					}
				}
			})
		})
	}
}

// The store drops an index when no session that it lists can live any more.
func TestAnIndexExpiresByItself(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		t.Parallel()
		c := container(t, store, sd.Config{Timeout: time.Second, Resolution: 100 * time.Millisecond})
		login(t, c, "id", "alice")
		start := time.Now()
		for info, err := range store.(sd.Lister).Keys(t.Context(), "") {
			require.NoError(t, err)
			require.WithinDuration(t, start.Add(2*time.Second), info.Expires, 2*time.Second)
		}
		for len(keys(t, store)) > 0 {
			require.Less(t, time.Since(start), 20*time.Second)
			time.Sleep(50 * time.Millisecond)
		}
		require.Greater(t, time.Since(start), time.Second)
	})
}
