package storetest

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

var sessionRules = []rule{
	{"Rule01_ReadingWhatIsAbsentStoresNothing", func(e *env) {
		c, tap := e.container(sd.Config{})
		e.update(c, "id", func(s *sd.Session) error {
			if err := s.Pkg("p").Get("k", new(int)); !errors.Is(err, sd.ErrKeyNotFound) {
				e.failf("Get of an absent key: %v", err)
			}
			_, _, _ = s.Packages(), s.Pkg("p").Keys(), s.Pkg("p").Has("k")
			return errors.Join(s.Pkg("p").Delete("k"), s.DeletePkg("q"))
		})
		e.sent("a session that was only read", tap, "Get")
		if _, err := c.Existing(e.ctx, sd.Begin(), "id"); !errors.Is(err, sd.ErrNotFound) {
			e.failf("Existing: %v", err)
		}
	}},
	{"Rule01_EqualValuesAndChangesTakenBackStoreNothing", func(e *env) {
		c, tap := e.container(sd.Config{})
		e.set(c, "id", "k", map[string]int{"a": 1, "b": 2, "c": 3})
		tap.take()
		e.update(c, "id", func(s *sd.Session) error {
			return errors.Join(s.Pkg("p").Set("k", map[string]int{"c": 3, "b": 2, "a": 1}), s.Pkg("p").Set("x", 1), s.Pkg("p").Delete("x"))
		})
		e.sent("an equal value, and a change that was taken back", tap, "Get")
	}},
	{"Rule02_ASessionIsReadOnceAndWrittenOnce", func(e *env) {
		c, tap := e.container(sd.Config{})
		for i, write := range []string{"Add", "CompareAndSwap"} {
			tx, s := e.begin(c, "id")
			for range 3 {
				again, err := c.Session(e.ctx, tx, "id")
				if err != nil || again != s {
					e.failf("another handle, or %v", err)
				}
				e.want("Set", again.Pkg("p").Set("k", i), nil)
			}
			e.want("Commit", tx.Commit(e.ctx), nil)
			e.sent("a transaction", tap, "Get", write)
		}
	}},
	{"Rule02_AnAccessIsRecordedAtMostOncePerResolution", func(e *env) {
		c, tap := e.container(sd.Config{Timeout: time.Hour, Resolution: time.Minute})
		e.set(c, "id", "k", 1)
		tap.take()
		look := func(what string, ops ...string) {
			e.want("View", c.View(e.ctx, "id", func(s *sd.Session) error { return s.Pkg("p").Get("k", new(int)) }), nil)
			e.sent(what, tap, ops...)
		}
		look("at once", "Get")
		e.clock.Sleep(time.Minute)
		look("after the resolution", "Get")
		e.clock.Sleep(time.Nanosecond)
		look("a moment later", "Get", "CompareAndSwap")
		look("again", "Get")
		e.clock.Sleep(time.Minute + time.Nanosecond)
		look("one resolution later", "Get", "CompareAndSwap")
		e.is(c, "id", map[string]any{"k": int64(1)})
	}},
	{"Rule06_ContainersOfOtherNamesDoNotMeet", func(e *env) {
		a, _ := e.container(sd.Config{Name: "a"})
		b, _ := e.container(sd.Config{Name: "b"})
		e.set(a, "id", "k", "a")
		e.is(b, "id", nil)
		e.set(b, "id", "k", "b")
		e.update(b, "id", (*sd.Session).Destroy)
		e.is(a, "id", map[string]any{"k": "a"})
	}},
	{"Rule15_ACounterOfManyWorkersOnTwoServersLosesNothing", func(e *env) {
		const workers, rounds = 8, 25
		servers := e.servers(2, sd.Config{Attempts: 50})
		e.all("Update", race(workers, func(i int) error {
			return each(rounds, func(int) error { return servers[i%2].Update(e.ctx, "id", count("n")) })
		}))
		e.is(servers[0], "id", map[string]any{"n": int64(workers * rounds)})
	}},
	{"Rule15_KeysOfManyWorkersOnTwoServersAreAllThere", func(e *env) {
		const workers, rounds = 8, 25
		servers := e.servers(2, sd.Config{Attempts: 50})
		e.all("Update", race(workers, func(i int) error {
			return each(rounds, func(n int) error {
				return servers[i%2].Update(e.ctx, "id", func(s *sd.Session) error {
					return s.Pkg("p").Set(fmt.Sprint(i, ".", n), n)
				})
			})
		}))
		if n := len(e.values(servers[1], "id")); n != workers*rounds {
			e.failf("%d keys, want %d", n, workers*rounds)
		}
	}},
	{"Rule16_APopIsDeliveredOnce", func(e *env) {
		const values = 100
		servers := e.servers(2, sd.Config{Attempts: 50})
		e.update(servers[0], "id", func(s *sd.Session) error {
			return each(values, func(i int) error { return s.Pkg("p").Set(fmt.Sprintf("%03d", i), i) })
		})
		var mu sync.Mutex
		delivered := map[int]int{}
		e.all("Update", race(6, func(i int) error {
			for {
				popped := -1
				err := servers[i%2].Update(e.ctx, "id", func(s *sd.Session) (err error) {
					popped = -1
					for _, key := range s.Pkg("p").Keys() {
						popped, err = sd.Pop[int](s.Pkg("p"), key)
						break
					}
					return err
				})
				if err != nil || popped < 0 {
					return err
				}
				mu.Lock()
				delivered[popped]++
				mu.Unlock()
			}
		}))
		for i := range values {
			if delivered[i] != 1 {
				e.failf("value %d was delivered %d times", i, delivered[i])
			}
		}
	}},
	{"Rule17_TwoCreatorsOfOneIDKeepBothTheirChanges", func(e *env) {
		servers := e.servers(2, sd.Config{})
		first, s1 := e.begin(servers[0], "id")
		second, s2 := e.begin(servers[1], "id")
		e.want("Set", s1.Pkg("p").Set("a", 1), nil)
		e.want("Set", s2.Pkg("p").Set("b", 2), nil)
		e.want("the first commit", first.Commit(e.ctx), nil)
		e.want("the second commit", second.Commit(e.ctx), nil)
		e.is(servers[0], "id", map[string]any{"a": int64(1), "b": int64(2)})
	}},
	{"Rule17_ManyCreatorsOfOneIDKeepAllTheirChanges", func(e *env) {
		servers := e.servers(2, sd.Config{})
		for round := range 10 {
			id := fmt.Sprint("id", round)
			e.all("Update", race(6, func(i int) error { return servers[i%2].Update(e.ctx, id, count(fmt.Sprint(i))) }))
			if n := len(e.values(servers[0], id)); n != 6 {
				e.failf("%d keys of 6", n)
			}
		}
	}},
	{"Rule18_DestroyAndRenewWinOverWritersInFlight", func(e *env) {
		servers := e.servers(2, sd.Config{})
		for i, winner := range []func(s *sd.Session) error{
			(*sd.Session).Destroy,
			func(s *sd.Session) error { _, err := s.Renew(); return err },
		} {
			for _, anew := range []bool{false, true} {
				id := fmt.Sprint("id", i, anew)
				e.set(servers[0], id, "k", 1)
				tx, s := e.begin(servers[0], id)
				e.want("Set", s.Pkg("p").Set("mine", 1), nil)
				e.update(servers[1], id, winner)
				var want map[string]any
				if anew {
					e.set(servers[1], id, "k", 1)
					want = map[string]any{"k": int64(1)}
				}
				e.want("the commit of the writer in flight", tx.Commit(e.ctx), sd.ErrGone)
				e.is(servers[0], id, want)
			}
		}
	}},
	{"Rule18_ParallelRenewsLeaveOneLiveID", func(e *env) {
		servers := e.servers(2, sd.Config{})
		for round := range 10 {
			old := fmt.Sprint("id", round)
			e.set(servers[0], old, "k", round)
			ids, txs := make([]string, 4), make([]*sd.Txn, 4)
			for i := range ids {
				tx, s := e.begin(servers[i%2], old)
				id, err := s.Renew()
				e.want("Renew", err, nil)
				ids[i], txs[i] = id, tx
			}
			errs := race(len(ids), func(i int) error { return txs[i].Commit(e.ctx) })
			if won := e.winners("the commit of a renewal", errs, sd.ErrGone); won != 1 {
				e.failf("%d of %d renewals won", won, len(ids))
			}
			live := 0
			for _, id := range append(ids, old) {
				if e.values(servers[0], id) != nil {
					live++
				}
			}
			if live != 1 {
				e.failf("%d live ids", live)
			}
			e.is(servers[1], ids[winner(errs)], map[string]any{"k": int64(round)})
		}
	}},
	{"Rule18_ASessionMadeAnewHoldsNothingOfItsPredecessor", func(e *env) {
		servers := e.servers(2, sd.Config{Attempts: 50})
		e.all("Update", race(4, func(i int) error {
			return each(25, func(n int) error {
				err := servers[i%2].Update(e.ctx, "id", func(s *sd.Session) error {
					if i == 0 {
						return s.Destroy()
					}
					return errors.Join(s.Pkg("p").Set(fmt.Sprint(i, ".", n), true), count("n")(s))
				})
				if errors.Is(err, sd.ErrGone) {
					return nil
				}
				return err
			})
		}))
		if vals := e.values(servers[0], "id"); vals != nil && vals["n"] != int64(len(vals)-1) {
			e.failf("%d keys, counted %v", len(vals)-1, vals["n"])
		}
	}},
	{"Rule19_AHistoryIsLinearizablePerKey", func(e *env) { e.linearizable() }},
	{"Rule19_AHistoryUnderSerializableIsSerializable", func(e *env) { e.serializable() }},
	{"Rule21_EveryWriteHasATTLUnlessItIsToLiveForEver", func(e *env) {
		for name, c := range map[string]struct {
			cfg  sd.Config
			want time.Duration
		}{
			"timeout":            {sd.Config{Timeout: time.Hour, Resolution: time.Minute}, time.Hour + 2*time.Minute},
			"lifetime":           {sd.Config{Timeout: time.Hour, Lifetime: 10 * time.Minute}, 10 * time.Minute},
			"less than a second": {sd.Config{Timeout: 5 * time.Millisecond}, time.Second},
			"fractions":          {sd.Config{Timeout: 90*time.Minute + 1, Resolution: time.Minute}, 90*time.Minute + 2*time.Minute + time.Second},
			"over 30 days":       {sd.Config{Timeout: 40 * 24 * time.Hour, Resolution: time.Hour}, 40*24*time.Hour + 2*time.Hour},
			"no timeout, a life": {sd.Config{Timeout: sd.NoTimeout, Lifetime: time.Hour}, time.Hour},
			"for ever":           {sd.Config{Timeout: sd.NoTimeout}, 0},
		} {
			c.cfg.Name = strings.Map(func(r rune) rune {
				if r == ' ' || r == ',' {
					return '-'
				}
				return r
			}, name)
			cont, tap := e.container(c.cfg)
			e.set(cont, "id", "k", 1)
			e.set(cont, "id", "k", 2)
			for _, call := range tap.take() {
				if call.op != "Get" && call.ttl != c.want {
					e.failf("%s: %s with a ttl of %v, want %v", name, call.op, call.ttl, c.want)
				}
			}
			e.is(cont, "id", map[string]any{"k": int64(2)})
		}
	}},
	{"Rule22_HostileIDsAreHashedAndKeptApart", func(e *env) {
		c, tap := e.container(sd.Config{})
		ids := []string{
			" ", "\r\n", "x\r\nset k 0 0 1\r\n1\r\n", "x noreply", "\x00", "\x7f", "\u2603", "\xff\xfe",
			"session:k", "../k", "%2e", "a", "A", "a ", "session:", strings.Repeat("x", sd.MaxID), strings.Repeat("y", 251),
		}
		for i, id := range ids {
			e.set(c, id, "k", i)
		}
		keys := map[string]bool{}
		printable := regexp.MustCompile(`^[!-~]{1,200}$`)
		for _, call := range tap.take() {
			keys[call.key] = true
			if !printable.MatchString(call.key) {
				e.failf("a storage key of %d bytes, or with bytes that a store need not take", len(call.key))
			}
			for _, id := range ids {
				if len(id) > 3 && id != "session:" && strings.Contains(call.key, id) {
					e.failf("a storage key shows an id")
				}
			}
		}
		if len(keys) != len(ids) {
			e.failf("%d storage keys of %d ids", len(keys), len(ids))
		}
		for i, id := range ids {
			e.is(c, id, map[string]any{"k": int64(i)})
		}
		for _, id := range []string{"", strings.Repeat("x", sd.MaxID+1)} {
			e.want("an id that is none", c.Update(e.ctx, id, count("n")), sd.ErrInvalidID)
		}
		e.sent("an id that is none", tap, append(make([]string, 0), gets(len(ids))...)...)
	}},
}

// gets is n calls of Get.
func gets(n int) []string {
	ops := make([]string, n)
	for i := range ops {
		ops[i] = "Get"
	}
	return ops
}

// servers returns n containers of the same sessions.
func (e *env) servers(n int, cfg sd.Config) []*sd.Container {
	all := make([]*sd.Container, n)
	for i := range all {
		all[i], _ = e.container(cfg)
	}
	return all
}
