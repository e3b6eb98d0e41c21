package sessiondata_test

import (
	"context"
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

// leg is one session of a transaction that a client does not survive.
type leg struct {
	container string
	before    int // 0: absent
	after     int // 0: destroyed
	renew     bool
	grace     time.Duration // of the old id of a renewed one
}

// shapes are the transactions whose every write is tried as the last.
var shapes = map[string][]leg{
	"one new, one destroyed, two containers": {{"a", 100, 90, false, 0}, {"b", 30, 0, false, 0}, {"a", 0, 40, false, 0}},
	"one renewed":                            {{"a", 100, 90, true, 0}, {"b", 30, 40, false, 0}, {"a", 0, 7, false, 0}},
	"all renewed, with grace":                {{"a", 100, 90, true, time.Minute}, {"b", 30, 40, true, time.Minute}, {"a", 0, 7, false, 0}},
	"all renewed":                            {{"a", 100, 90, true, 0}, {"b", 30, 40, true, 0}},
	"all destroyed":                          {{"a", 100, 0, false, 0}, {"b", 30, 0, false, 0}, {"a", 5, 0, false, 0}},
	"all new":                                {{"a", 0, 1, false, 0}, {"b", 0, 2, false, 0}, {"a", 0, 3, false, 0}},
	"all changed":                            {{"a", 1, 2, false, 0}, {"b", 3, 4, false, 0}, {"b", 5, 6, false, 0}},
}

// world is the sessions of a shape over one store.
type world struct {
	t      *testing.T
	legs   []leg
	newIDs []string // of renewed legs
}

func containers(t *testing.T, store sd.Store) map[string]*sd.Container {
	all := map[string]*sd.Container{}
	for _, name := range []string{"a", "b"} {
		c, err := sd.NewContainer(store, sd.Config{Name: name})
		require.NoError(t, err)
		all[name] = c
	}
	return all
}

func id(i int) string { return fmt.Sprintf("session %d", i) }

func (w *world) setUp(store sd.Store) {
	for i, m := range w.legs {
		if m.before == 0 {
			continue
		}
		require.NoError(w.t, containers(w.t, store)[m.container].Update(w.t.Context(), id(i), func(s *sd.Session) error {
			return s.Pkg("p").Set("v", m.before)
		}))
	}
}

// run makes the transaction and returns what Commit said.
func (w *world) run(store sd.Store) error {
	cs := containers(w.t, store)
	w.newIDs = make([]string, len(w.legs))
	tx := sd.Begin()
	for i, m := range w.legs {
		s, err := cs[m.container].Session(w.t.Context(), tx, id(i))
		require.NoError(w.t, err)
		if m.after == 0 {
			require.NoError(w.t, s.Destroy())
			continue
		}
		require.NoError(w.t, s.Pkg("p").Set("v", m.after))
		if m.renew {
			w.newIDs[i], err = s.RenewAfter(m.grace)
			require.NoError(w.t, err)
		}
	}
	return tx.Commit(w.t.Context())
}

// value reads what a session holds; 0: absent.
func value(t *testing.T, c *sd.Container, id string) (v int) {
	require.NoError(t, c.View(t.Context(), id, func(s *sd.Session) (err error) {
		v, err = sd.GetOr(s.Pkg("p"), "v", 0)
		return err
	}))
	return v
}

// outcome says whether the transaction happened, from every leg but skip. It
// fails the test on a half.
func (w *world) outcome(store sd.Store, skip int) (happened bool) {
	cs := containers(w.t, store)
	seen := map[bool][]string{}
	for i, m := range w.legs {
		if i == skip {
			continue
		}
		got, want := value(w.t, cs[m.container], id(i)), m.after
		if m.renew {
			next := value(w.t, cs[m.container], w.newIDs[i])
			switch {
			case next == 0:
				want = -1
			case m.grace > 0:
				require.Equal(w.t, next, got, "the old id of session %d leads elsewhere", i)
			default:
				require.Zero(w.t, got, "session %d lives under both ids", i)
				got = next
			}
		}
		switch got {
		case want:
			seen[true] = append(seen[true], id(i))
		case m.before:
			seen[false] = append(seen[false], id(i))
		default:
			w.t.Fatalf("session %d holds %d, which nobody wrote", i, got)
		}
	}
	require.Len(w.t, seen, 1, "a half: %v", seen)
	return seen[true] != nil
}

// holdsTo requires that what Commit said is true, from every leg but skip.
func (w *world) holdsTo(store sd.Store, skip int, said error, what string) {
	happened := w.outcome(store, skip)
	switch {
	case said == nil:
		require.True(w.t, happened, what)
	case !errors.Is(said, sd.ErrOutcomeUnknown):
		require.False(w.t, happened, what)
	}
}

// writeAll requires that every session can be written.
func (w *world) writeAll(store sd.Store, what string) {
	for i, m := range w.legs {
		c := containers(w.t, store)[m.container]
		require.NoError(w.t, c.Update(w.t.Context(), id(i), func(s *sd.Session) error { return s.Pkg("p").Set("v", 1000+i) }), what)
		require.Equal(w.t, 1000+i, value(w.t, c, id(i)), what)
	}
}

// firstActs are what somebody does first after the client has died.
var firstActs = map[string]func(*sd.Session) error{
	"reads":    func(*sd.Session) error { return nil },
	"writes":   func(s *sd.Session) error { return s.Pkg("other").Set("k", 1) },
	"destroys": (*sd.Session).Destroy,
	"renews":   func(s *sd.Session) error { _, err := s.Renew(); return err },
}

// Rule 13: several sessions, of several containers, in one transaction: all or
// none, and nobody reads a half, also when the process dies after any of its
// writes, whether or not that write arrived, and whatever is done first then.
func TestRule13_AClientThatDiesAtAnyWriteLeavesAllOrNone(t *testing.T) {
	for name, legs := range shapes {
		t.Run(name, func(t *testing.T) {
			for _, fate := range []storetest.Fault{storetest.DieBefore, storetest.DieAfter} {
				died := true
				for k := 1; died; k++ {
					for act := range firstActs {
						for who := range legs {
							synctest.Test(t, func(t *testing.T) {
								died = dieAt(t, legs, k, fate, act, who)
							})
						}
					}
				}
			}
		})
	}
}

// dieAt runs one such story, and reports whether the client died.
func dieAt(t *testing.T, legs []leg, k int, fate storetest.Fault, act string, who int) bool {
	t.Helper()
	inner := memstore.New(memstore.Config{})
	w := &world{t: t, legs: legs}
	w.setUp(inner)
	faulty := storetest.NewFaulty(inner, storetest.FaultConfig{Shared: true, Plan: map[int]storetest.Fault{k: fate}})
	said := w.run(faulty)
	what := fmt.Sprintf("write %d is %v, then somebody %s session %d; Commit said %v", k, fate, act, who, said)

	// Somebody meets one of the sessions first.
	c := containers(t, inner)[legs[who].container]
	skip := who
	if act == "reads" || act == "writes" {
		skip = -1
	}
	existed := false
	require.NoError(t, c.Update(t.Context(), id(who), func(s *sd.Session) error {
		existed = !s.IsNew()
		return firstActs[act](s)
	}), what)
	if skip == who && !legs[who].renew {
		happened := w.outcome(inner, skip)
		require.Equal(t, existed, happened && legs[who].after != 0 || !happened && legs[who].before != 0, what)
	}
	w.holdsTo(inner, skip, said, what)
	w.writeAll(inner, what)
	return faulty.Died()
}

// Rule 13: until the decision every reader sees the sessions as they were before
// the transaction, and after it as they are after it, whichever write comes next.
func TestRule13_NobodyReadsAnUndecidedChange(t *testing.T) {
	for name, legs := range shapes {
		t.Run(name, func(t *testing.T) {
			inner := memstore.New(memstore.Config{})
			w := &world{t: t, legs: legs}
			w.setUp(inner)
			n := len(legs)
			for _, m := range legs {
				if m.renew {
					n++ // an item more
				}
			}
			watch := &watching{Store: inner}
			watch.see = func(writes int) {
				require.Equal(t, writes > n, w.outcome(inner, -1), "after write %d of a transaction over %d items", writes, n)
			}
			require.NoError(t, w.run(watch))
			require.True(t, w.outcome(inner, -1))
			// An intent each, the decision, an install each but the primary's, and
			// the clearing of the note.
			require.Equal(t, n+1+n-1+1, watch.writes)
		})
	}
}

// watching looks at the world after each write.
type watching struct {
	sd.Store
	mu     sync.Mutex
	writes int
	see    func(writes int)
}

func (s *watching) wrote(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	s.see(s.writes)
	return err
}

func (s *watching) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.wrote(s.Store.Add(ctx, key, value, ttl))
}

func (s *watching) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	return s.wrote(s.Store.CompareAndSwap(ctx, key, value, ttl, v))
}

func (s *watching) CompareAndDelete(ctx context.Context, key string, v sd.Version) error {
	return s.wrote(s.Store.CompareAndDelete(ctx, key, v))
}
