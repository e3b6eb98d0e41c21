package sessiondata_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// A subject is encrypted for the id of its session, and a write that is under
// way follows its session to another id.
func TestASubjectFollowsItsSessionToAnotherID(t *testing.T) {
	late := map[string]func(*sd.Session) error{
		"login":    loginAs("alice", "label"),
		"label":    func(s *sd.Session) error { return s.SetLabel("label") },
		"value":    func(s *sd.Session) error { return s.Pkg("p").Set("k", 1) },
		"renewal":  func(s *sd.Session) error { _, err := s.RenewAfter(time.Minute); return err },
		"timeout":  func(s *sd.Session) error { return s.SetTimeout(2 * time.Hour) },
		"subject":  func(s *sd.Session) error { return s.SetSubject("shop", "bob") },
		"no one's": func(s *sd.Session) error { return s.ClearSubject() },
		"logout":   func(s *sd.Session) error { return s.Destroy() },
	}
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		cases := 0
		for _, keys := range [][]sd.Key{nil, {key(1)}} {
			for _, joint := range []bool{false, true} {
				for _, before := range []string{"", "alice"} {
					for name, change := range late {
						cases++
						what := fmt.Sprintf("%s, before: %q, joint: %t", name, before, joint)
						c := oneHour(t, store, by(clock), func(cfg *sd.Config) { cfg.Name, cfg.Keys = fmt.Sprint("c", cases), keys })
						require.NoError(t, c.Update(t.Context(), "id", setTo("v")))
						if before != "" {
							login(t, c, "id", before)
						}
						tx := sd.Begin()
						s, err := c.Session(t.Context(), tx, "id")
						require.NoError(t, err)
						require.NoError(t, change(s))
						if joint {
							other, err := c.Session(t.Context(), tx, "other")
							require.NoError(t, err)
							require.NoError(t, other.Pkg("p").Set("k", 1))
						}
						first := ""
						require.NoError(t, c.Update(t.Context(), "id", func(s *sd.Session) (err error) {
							first, err = s.RenewAfter(time.Minute)
							return err
						}))
						err = tx.Commit(t.Context())
						if before == "alice" && (name == "subject" || name == "no one's") {
							require.ErrorIs(t, err, sd.ErrConflict, what) // what it replaces is encrypted anew
							continue
						}
						require.NoError(t, err, what)
						last := first
						if name == "renewal" {
							last = s.ID()
						}
						want := before
						switch name {
						case "login":
							want = "alice"
						case "subject":
							want = "bob"
						case "no one's", "logout":
							want = ""
						}
						for _, id := range []string{"id", first, last} {
							require.NoError(t, c.View(t.Context(), id, func(s *sd.Session) error {
								_, who := s.Subject()
								require.Equal(t, want, who, what)
								return nil
							}), what)
						}
						if want != "" {
							infos, err := c.Sessions(t.Context(), "shop", want)
							require.NoError(t, err)
							require.Len(t, infos, 1, what)
							require.Equal(t, c.Ref(last), infos[0].Ref, what)
						}
						for _, who := range []string{"alice", "bob"} {
							require.NoError(t, c.Revoke(t.Context(), "shop", who))
							require.Empty(t, labels(t, c, who), what)
						}
						for _, id := range []string{"id", first, last} {
							require.False(t, want != "" && visit(t, c, id), what)
						}
					}
				}
			}
		}
	})
}

func TestARevokedSessionIsNotReachedByTheIDBeforeIt(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		c, other := oneHour(t, store, by(clock)), oneHour(t, store, by(clock))
		login(t, c, "old", "alice")
		renewed := ""
		require.NoError(t, c.Update(t.Context(), "old", func(s *sd.Session) (err error) {
			renewed, err = s.RenewAfter(20 * time.Minute)
			return err
		}))
		require.True(t, visit(t, other, "old"))
		require.ErrorIs(t, c.RevokeOne(t.Context(), "shop", "alice", c.Ref("old")), sd.ErrNotFound)
		loseIndexes(t, store)
		require.NoError(t, c.Revoke(t.Context(), "shop", "alice"))
		clock.move(5 * time.Minute)
		// It is a new session under the id that was asked for.
		require.NoError(t, other.Update(t.Context(), "old", func(s *sd.Session) error {
			require.True(t, s.IsNew())
			require.Equal(t, "old", s.ID())
			return s.Pkg("p").Set("k", 1)
		}))
		require.NoError(t, c.View(t.Context(), "old", func(s *sd.Session) error {
			require.Equal(t, []string{"p"}, s.Packages())
			return nil
		}))
		require.False(t, visit(t, c, renewed))
	})
}

// An entry whose session was renewed by a process that died before it said so
// leads to a forward: that is no session to end.
func TestAForwardIsNoListedSession(t *testing.T) {
	overStores(t, func(t *testing.T, inner sd.Store, clock *clock) {
		store := &tally{Store: inner}
		c, dead := oneHour(t, inner, by(clock)), oneHour(t, store, by(clock))
		login(t, c, "id", "alice")
		store.on = func(_, key string) error {
			if isIndex(key) && store.written > 1 {
				return sd.ErrUnavailable
			}
			return nil
		}
		renewed := ""
		require.NoError(t, dead.Update(t.Context(), "id", func(s *sd.Session) (err error) {
			renewed, err = s.RenewAfter(time.Hour)
			return err
		}))
		require.ErrorIs(t, c.RevokeOne(t.Context(), "shop", "alice", c.Ref("id")), sd.ErrNotFound)
		require.True(t, visit(t, c, "id"))
		clock.move(fiveMinutes)
		require.True(t, visit(t, c, "id"))
		infos, err := c.Sessions(t.Context(), "shop", "alice")
		require.NoError(t, err)
		require.Len(t, infos, 1)
		require.Equal(t, c.Ref(renewed), infos[0].Ref)
	})
}

// Parallel requests of one visitor with periodic renewal: the list has the one
// session, under the id that it has.
func TestPeriodicRenewalKeepsTheListRight(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		c := oneHour(t, store, by(clock), func(cfg *sd.Config) {
			cfg.RenewEvery, cfg.RenewGrace, cfg.Resolution = time.Minute, 30*time.Second, 10*time.Second
		})
		login(t, c, "id", "alice")
		id := "id"
		for round := range 20 {
			clock.move(20 * time.Second)
			var wg sync.WaitGroup
			var mu sync.Mutex
			next := id
			for i := range 6 {
				wg.Go(func() {
					var s *sd.Session
					err := c.Update(t.Context(), id, func(in *sd.Session) error {
						s = in
						if i == 0 {
							return in.SetLabel(fmt.Sprint(round))
						}
						return in.Pkg("p").Set(fmt.Sprint(i), round)
					})
					require.NoError(t, err)
					mu.Lock()
					defer mu.Unlock()
					if s.ID() != id {
						next = s.ID()
					}
				})
			}
			wg.Wait()
			id = next
			infos, err := c.Sessions(t.Context(), "shop", "alice")
			require.NoError(t, err)
			require.Len(t, infos, 1)
			require.True(t, visit(t, c, id))
		}
		clock.move(15 * time.Second)
		require.True(t, visit(t, c, id))
		infos, err := c.Sessions(t.Context(), "shop", "alice")
		require.NoError(t, err)
		require.Equal(t, []sd.SessionRef{c.Ref(id)}, []sd.SessionRef{infos[0].Ref})
		require.NotEqual(t, "id", id)
	})
}

func TestTraceTellsWhatWasRevoked(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		var told []sd.SessionRef
		c := oneHour(t, store, by(clock), atMost(3, sd.EndOldest), func(cfg *sd.Config) {
			cfg.Trace = &sd.Trace{Revoked: func(_ context.Context, ref sd.SessionRef) { told = append(told, ref) }}
		})
		for _, id := range []string{"a", "b", "c", "d"} {
			login(t, c, id, "alice")
			clock.move(time.Millisecond)
		}
		require.Equal(t, []sd.SessionRef{c.Ref("a")}, told, "ended to make room")
		require.NoError(t, c.RevokeOne(t.Context(), "shop", "alice", c.Ref("b")))
		require.NoError(t, c.Revoke(t.Context(), "shop", "alice", c.Ref("d")))
		require.Equal(t, []sd.SessionRef{c.Ref("a"), c.Ref("b"), c.Ref("c")}, told)
		loseIndexes(t, store)
		require.NoError(t, oneHour(t, store, by(clock)).Revoke(t.Context(), "shop", "alice"))
		clock.move(5 * time.Minute)
		require.False(t, visit(t, c, "d"))
		require.Equal(t, c.Ref("d"), told[3])
	})
}

func TestListingsDoNotShowThePackageOfTheSubject(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c := oneHour(t, store)
		require.NoError(t, c.Update(t.Context(), "id", setTo("v")))
		login(t, c, "id", "alice")
		n := 0
		for s, err := range c.All(t.Context()) {
			require.NoError(t, err)
			n++
			require.Equal(t, c.Ref("id"), s.Ref())
			require.Equal(t, []string{"package name"}, s.Packages())
			require.ErrorIs(t, s.Get("\x00subject", "label", new(string)), sd.ErrKeyNotFound)
			for range s.Values("\x00subject") {
				t.Error("a value")
			}
		}
		require.Equal(t, 1, n, "the index is no session")
	})
}
