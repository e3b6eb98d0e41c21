package sessiondata_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// Whichever write a process does not survive, every session of the subject can
// be revoked, none of another is hurt, and the list comes right by itself.
func TestWhereverAProcessDiesEverySessionCanBeRevoked(t *testing.T) {
	var renewedTo string
	steps := map[string]func(*sd.Container) error{
		"login": func(c *sd.Container) error { return c.Update(t.Context(), "new", loginAs("alice", "new")) },
		"renewal": func(c *sd.Container) error {
			return c.Update(t.Context(), "a", func(s *sd.Session) (err error) {
				renewedTo, err = s.Renew()
				return err
			})
		},
		"login and renewal": func(c *sd.Container) error {
			return c.Update(t.Context(), "guest", func(s *sd.Session) (err error) {
				renewedTo, err = s.Renew()
				return errors.Join(err, loginAs("alice", "guest")(s))
			})
		},
		"logout": func(c *sd.Container) error {
			return c.Update(t.Context(), "a", func(s *sd.Session) error { return s.Destroy() })
		},
		"subject taken away": func(c *sd.Container) error {
			return c.Update(t.Context(), "a", func(s *sd.Session) error { return s.ClearSubject() })
		},
		"switch": func(c *sd.Container) error { return c.Update(t.Context(), "a", loginAs("carol", "a")) },
		"revoke": func(c *sd.Container) error { return c.Revoke(t.Context(), "shop", "alice", c.Ref("b")) },
		"two logins": func(c *sd.Container) error {
			return sd.Run(t.Context(), func(tx *sd.Txn) error {
				for _, id := range []string{"new", "guest"} {
					s, err := c.Session(t.Context(), tx, id)
					if err != nil {
						return err
					}
					if err := loginAs("alice", id)(s); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	kinds := []storetest.Fault{storetest.DieBefore, storetest.DieAfter, storetest.LoseReply, storetest.LoseRequest, storetest.Delay, storetest.Refuse}
	for name, step := range steps {
		for _, kind := range kinds {
			for n, met := 1, true; met; n++ {
				synctest.Test(t, func(t *testing.T) {
					what := fmt.Sprintf("%s, %v at write %d", name, kind, n)
					store := memstore.New(memstore.Config{})
					c := oneHour(t, store)
					for _, id := range []string{"a", "b"} {
						login(t, c, id, "alice")
					}
					login(t, c, "bob's", "bob")
					require.NoError(t, c.Update(t.Context(), "guest", setTo("v")))
					time.Sleep(time.Second)
					faulty := storetest.NewFaulty(store, storetest.FaultConfig{Seed: uint64(n), Shared: true, Plan: map[int]storetest.Fault{n: kind}})
					renewedTo = ""
					said := step(oneHour(t, faulty))
					met = faulty.Count(kind) > 0
					faulty.Flush()
					ids := []string{"a", "b", "new", "guest"}
					if renewedTo != "" {
						ids = append(ids, renewedTo)
					}
					// With every access recorded, the list is what is accepted.
					time.Sleep(time.Minute + fiveMinutes)
					accepted := map[string]bool{}
					for _, id := range ids {
						require.NoError(t, c.View(t.Context(), id, func(s *sd.Session) error {
							_, who := s.Subject()
							accepted[id] = who == "alice"
							return nil
						}), what)
					}
					infos, err := c.Sessions(t.Context(), "shop", "alice")
					require.NoError(t, err)
					listed := map[sd.SessionRef]bool{}
					for _, i := range infos {
						listed[i.Ref] = true
					}
					for _, id := range ids {
						if id == "guest" && said != nil {
							continue // it was there before its login, which died: see subject_commit.go
						}
						require.Equal(t, accepted[id], listed[c.Ref(id)], "%s: %q, after %v", what, id, said)
					}
					if name == "login" {
						require.True(t, said != nil || accepted["new"], what)
					}
					require.Equal(t, name != "revoke" || said != nil || !accepted["a"], true, what)
					require.True(t, accepted["b"], what)
					require.True(t, visit(t, c, "bob's"), what)
					carols := !accepted["a"] && name == "switch"

					require.NoError(t, c.Revoke(t.Context(), "shop", "alice"), what)
					for _, other := range []*sd.Container{c, oneHour(t, store)} {
						for _, id := range ids {
							require.NoError(t, other.View(t.Context(), id, func(s *sd.Session) error {
								_, who := s.Subject()
								require.NotEqual(t, "alice", who, "%s: %q", what, id)
								return nil
							}))
						}
						require.True(t, visit(t, other, "bob's"), what)
						require.True(t, !carols || visit(t, other, "a"), what)
					}
				})
			}
		}
	}
}

// Logins of one subject, requests in flight and revocations, in parallel, over
// a store with faults: once Revoke has returned and one resolution has passed,
// no session from before it is accepted anywhere; nobody else's is hurt.
func TestUnderLoadNoOldSessionIsAcceptedAfterRevocation(t *testing.T) {
	for name, faults := range map[string]storetest.FaultConfig{
		"no faults": {Shared: true},
		"faults":    {Shared: true, FailRead: 0.01, Refuse: 0.02, LoseRequest: 0.02, LoseReply: 0.03, Delay: 0.02},
	} {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			synctest.Test(t, func(t *testing.T) {
				const (
					servers, users, rounds = 3, 8, 6
					resolution             = time.Second
				)
				store := memstore.New(memstore.Config{})
				resolve := func(cfg *sd.Config) { cfg.Resolution = resolution }
				var cs []*sd.Container
				for i := range servers {
					f := faults
					f.Seed = seed + uint64(i)
					cs = append(cs, oneHour(t, storetest.NewFaulty(store, f), resolve))
				}
				calm := oneHour(t, store, resolve)
				login(t, calm, "bob's", "bob")
				var logins, repeated atomic.Int64
				for round := range rounds {
					var mu sync.Mutex
					var in, before, after []string // logged in; before Revoke was called; since it has returned
					returned := false
					var wg sync.WaitGroup
					for u := range users {
						rng := rand.New(rand.NewPCG(seed, uint64(round*users+u)))
						wg.Go(func() {
							for i := range 12 {
								id := fmt.Sprintf("%d/%d/%d", round, u, i)
								mu.Lock()
								late := returned
								mu.Unlock()
								err := cs[rng.IntN(servers)].Update(t.Context(), id, loginAs("alice", id))
								mu.Lock()
								if err == nil {
									logins.Add(1)
									in = append(in, id)
									if late {
										after = append(after, id)
									}
								}
								others := slices.Clone(in)
								mu.Unlock()
								for range 3 { // requests in flight
									if len(others) == 0 {
										break
									}
									other := others[rng.IntN(len(others))]
									_ = cs[rng.IntN(servers)].Update(t.Context(), other, func(s *sd.Session) error {
										if s.IsNew() {
											return nil
										}
										return s.Pkg("p").Set(id, i)
									})
								}
								time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
							}
						})
					}
					wg.Go(func() {
						time.Sleep(200 * time.Millisecond)
						for try := 0; ; try++ {
							mu.Lock()
							before = slices.Clone(in)
							mu.Unlock()
							if cs[round%servers].Revoke(t.Context(), "shop", "alice") == nil {
								break
							}
							repeated.Add(1)
							require.Less(t, try, 100)
							time.Sleep(time.Millisecond)
						}
						mu.Lock()
						returned = true
						mu.Unlock()
					})
					wg.Wait()
					time.Sleep(resolution)
					require.NotEmpty(t, before)
					require.NotEmpty(t, after)
					for _, c := range []*sd.Container{calm, oneHour(t, store, resolve)} {
						for _, id := range before {
							require.False(t, visit(t, c, id), "round %d: %s", round, id)
						}
						for _, id := range after {
							require.True(t, visit(t, c, id), "round %d: %s", round, id)
						}
						require.True(t, visit(t, c, "bob's"))
					}
				}
				require.Greater(t, logins.Load(), int64(users*rounds))
				t.Logf("%d logins, %d revocations repeated", logins.Load(), repeated.Load())
			})
		})
	}
}
