package sessiondata_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// unreliable is a store whose clients lose requests and replies, delay writes,
// and are refused.
type unreliable struct {
	truth   *memstore.Store
	clients []*storetest.Faulty
}

func newUnreliable(t *testing.T, clients int, faults storetest.FaultConfig) *unreliable {
	t.Helper()
	seed := rand.Uint64()
	u := &unreliable{truth: memstore.New(memstore.Config{})}
	for i := range clients {
		faults.Seed, faults.Shared = seed+uint64(i), true
		u.clients = append(u.clients, storetest.NewFaulty(u.truth, faults))
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, c := range u.clients {
				t.Logf("%v", c)
			}
			t.Logf("%#v", faults)
		}
	})
	return u
}

// flush lets every write arrive that is still on its way.
func (u *unreliable) flush() {
	for _, c := range u.clients {
		c.Flush()
	}
}

// outcome is what a commit said.
type outcome int

const (
	done outcome = iota
	undone
	unsure
)

func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return done
	case errors.Is(err, sd.ErrOutcomeUnknown):
		return unsure
	}
	return undone
}

var allFaults = storetest.FaultConfig{Refuse: 0.05, LoseRequest: 0.06, LoseReply: 0.06, Delay: 0.06, FailRead: 0.03}

// Each transaction adds a key of its own and counts a counter. Whatever is lost
// on the way: if it said that it is done, the key is there; if it said that it
// is not, the key is not; and the counter counts the keys.
func TestRule15_WhatCommitSaidIsTrueOverAnUnreliableStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sessions, workers, each = 25, 4, 50 // 5000 transactions
		u := newUnreliable(t, workers, allFaults)
		var mu sync.Mutex
		said := make([]map[string]outcome, sessions)
		for i := range said {
			said[i] = map[string]outcome{}
		}
		together(workers, func(worker int) {
			c := container(t, u.clients[worker])
			for i := range sessions * each {
				session := i / each
				key := fmt.Sprintf("%d.%d", worker, i)
				err := c.Update(t.Context(), fmt.Sprint("id", session), func(s *sd.Session) error {
					if err := s.Pkg("keys").Set(key, true); err != nil {
						return err
					}
					return sd.Modify(s.Pkg("p"), "counter", func(n *int) error { *n++; return nil })
				})
				mu.Lock()
				said[session][key] = outcomeOf(err)
				mu.Unlock()
			}
		})
		u.flush()
		counts := map[outcome]int{}
		for session, outcomes := range said {
			require.Len(t, outcomes, workers*each)
			is := stored(t, container(t, u.truth), fmt.Sprint("id", session))
			for key, out := range outcomes {
				counts[out]++
				_, there := is["keys"][key]
				if out == done && !there || out == undone && there {
					t.Errorf("session %d: %s said %d, there: %v", session, key, out, there)
				}
			}
			if is != nil {
				require.EqualValues(t, len(is["keys"]), is["p"]["counter"], "session %d", session)
			}
		}
		t.Logf("%d done, %d undone, %d unsure", counts[done], counts[undone], counts[unsure])
		require.Greater(t, counts[done], 3500)
		require.NotZero(t, counts[undone])
		require.NotZero(t, counts[unsure])
	})
}

// The same, where the sessions are also destroyed: no key of a session comes
// back in the one that is made anew, so that the counter still counts the keys.
func TestRule18_ASessionMadeAnewHoldsNothingOfItsPredecessorOverAnUnreliableStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := allFaults
		faults.NoDelayedAdd = true // an Add that arrives late makes it anew: a stated window
		u := newUnreliable(t, 4, faults)
		together(4, func(worker int) {
			c := container(t, u.clients[worker])
			for i := range 250 {
				_ = c.Update(t.Context(), "id", func(s *sd.Session) error {
					if i%10 == worker {
						return s.Destroy()
					}
					_ = s.Pkg("keys").Set(fmt.Sprintf("%d.%d", worker, i), true)
					return sd.Modify(s.Pkg("p"), "counter", func(n *int) error { *n++; return nil })
				})
				if is := stored(t, container(t, u.truth), "id"); is != nil {
					if n, _ := is["p"]["counter"].(int64); n != int64(len(is["keys"])) {
						t.Errorf("%d keys, counted %d", len(is["keys"]), n)
					}
				}
			}
		})
	})
}

// A session is renewed and written at once.
func TestRule18_RenewOverAnUnreliableStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUnreliable(t, 2, allFaults)
		direct := container(t, u.truth)
		counts := map[string]int{}
		for round := range 600 {
			id := fmt.Sprint("id", round)
			set(t, direct, id, "p", "k", round)
			var renewing, writing error
			next := ""
			together(2, func(worker int) {
				c := container(t, u.clients[worker])
				if worker == 1 {
					writing = c.Update(t.Context(), id, func(s *sd.Session) error {
						if s.IsNew() {
							return sd.ErrNotFound
						}
						return s.Pkg("p").Set("written", round)
					})
					return
				}
				renewing = c.Update(t.Context(), id, func(s *sd.Session) (err error) {
					next, err = s.Renew()
					return err
				})
			})
			u.flush()
			old, moved := stored(t, direct, id), stored(t, direct, next2(next))
			counts[fmt.Sprint(outcomeOf(renewing))]++
			switch outcomeOf(renewing) {
			case done:
				require.Nil(t, old)
				require.NotNil(t, moved)
			case undone:
				require.NotNil(t, old, "%v", renewing)
				require.Nil(t, moved, "%v", renewing)
			case unsure:
				continue // both, either, or none: a stated window
			}
			is := old
			if moved != nil {
				is = moved
			}
			require.EqualValues(t, round, is["p"]["k"])
			_, written := is["p"]["written"]
			if out := outcomeOf(writing); out == done {
				require.True(t, written)
			} else if out == undone {
				require.False(t, written, "%v", writing)
			}
		}
		t.Logf("done, undone, unsure: %v", counts)
		for _, out := range []outcome{done, undone, unsure} {
			require.NotZero(t, counts[fmt.Sprint(out)])
		}
	})
}

// next2 stands for an id that was never drawn, because the load failed.
func next2(id string) string {
	if id == "" {
		return "never drawn"
	}
	return id
}

func TestRule18_DestroyOverAnUnreliableStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUnreliable(t, 2, allFaults)
		direct := container(t, u.truth)
		counts := map[outcome]int{}
		for round := range 600 {
			id := fmt.Sprint("id", round)
			set(t, direct, id, "p", "k", round)
			var destroying error
			together(2, func(worker int) {
				c := container(t, u.clients[worker])
				if worker == 1 {
					_ = c.Update(t.Context(), id, func(s *sd.Session) error {
						if s.IsNew() {
							return sd.ErrNotFound
						}
						return s.Pkg("p").Set("written", round)
					})
					return
				}
				destroying = c.Update(t.Context(), id, (*sd.Session).Destroy)
			})
			u.flush()
			out := outcomeOf(destroying)
			counts[out]++
			is := stored(t, direct, id)
			if out == done {
				require.Nil(t, is)
			} else if out == undone {
				require.NotNil(t, is, "%v", destroying)
			}
		}
		t.Logf("%d done, %d undone, %d unsure", counts[done], counts[undone], counts[unsure])
		require.NotZero(t, counts[done])
		require.NotZero(t, counts[undone])
	})
}

// A client dies at each write of a commit, before and after it was sent: what
// is stored is either as before or as after.
func TestRule07_AClientThatDiesAtAnyWriteLeavesNoHalf(t *testing.T) {
	for name, change := range map[string]func(s *sd.Session) error{
		"set":     func(s *sd.Session) error { return errors.Join(s.Pkg("p").Set("k", 2), s.Pkg("q").Set("k", 2)) },
		"destroy": (*sd.Session).Destroy,
		"renew":   func(s *sd.Session) error { _, err := s.Renew(); return err },
	} {
		for at := 1; ; at++ {
			died := false
			for _, fault := range []storetest.Fault{storetest.DieBefore, storetest.DieAfter} {
				synctest.Test(t, func(t *testing.T) {
					truth := memstore.New(memstore.Config{})
					client := storetest.NewFaulty(truth, storetest.FaultConfig{Plan: map[int]storetest.Fault{at: fault}, Shared: true})
					direct := container(t, truth)
					set(t, direct, "id", "p", "k", 1)
					next := ""
					err := container(t, client, sd.Config{CommitTimeout: time.Second}).Update(context.Background(), "id", func(s *sd.Session) error {
						err := change(s)
						next = s.ID()
						return err
					})
					is, moved := stored(t, direct, "id"), stored(t, direct, next)
					if died = died || client.Died(); !client.Died() {
						require.NoError(t, err)
						return
					}
					require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
					before, after := only, map[string]map[string]any{"p": {"k": int64(2)}, "q": {"k": int64(2)}}
					switch name {
					case "set":
						require.Contains(t, []any{before, after}, is)
					case "destroy":
						require.Contains(t, []any{before, map[string]map[string]any(nil)}, is)
					case "renew":
						require.True(t, is != nil || moved != nil, "there is no moment without a session")
					}
				})
			}
			if !died {
				require.Greater(t, at, 1)
				break
			}
		}
	}
}
