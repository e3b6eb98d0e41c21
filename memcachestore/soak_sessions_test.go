package memcachestore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

const (
	soakWorkers = 10
	// The sessions of one generation are shared by all workers for a while. Then
	// they are left alone, and looked at before the storm has taken them all.
	soakSessions   = 12
	soakGeneration = time.Second
	// Whoever meets an undecided transaction after so long undoes it.
	soakCommitTimeout = time.Second
)

// leg is one session of a transaction in the soak.
type leg struct {
	container int
	id        string
	server    int
	boot      int // how often its server had been restarted when the transaction began
}

// soaked is a transaction of the soak: it sets a key of its own, the same in each
// of its sessions.
type soaked struct {
	key  string
	legs []leg
	err  error
}

// generation is the transactions on its sessions.
type generation struct {
	n        int
	began    time.Time
	underway sync.WaitGroup

	mu  sync.Mutex
	txs []soaked
}

// soak is sessions of two containers, used by several app servers.
type soak struct {
	*storm
	apps  [][2]*sd.Container
	store *Store        // of the first
	names [2]*keyNoting // for the server of a session

	mu       sync.Mutex
	now      *generation
	checking sync.WaitGroup
	tally    soakTally
}

// soakTally counts transactions, and changes of one session where it says so.
type soakTally struct {
	committed, several, refused, unknown int

	found  int // changes of a commit that answered nil
	lost   int // changes that were lost with their server
	window int // changes that were lost with the server of their primary
}

func newSoak(t *testing.T, st *storm) *soak {
	s := &soak{storm: st, now: &generation{began: time.Now()}}
	config := func(i int) sd.Config {
		return sd.Config{Name: fmt.Sprint("soak", i), CommitTimeout: soakCommitTimeout, Attempts: 50}
	}
	for range 2 {
		s.store = st.open(t)
		s.apps = append(s.apps, [2]*sd.Container{container(t, s.store, config(0)), container(t, s.store, config(1))})
	}
	for i := range s.names {
		s.names[i] = &keyNoting{}
		s.names[i].c = container(t, s.names[i], config(i))
	}
	return s
}

// TestSoakOfSessions changes one to three sessions at a time, over three servers
// in a storm. Then for every transaction: if Commit answered nil, its key is in
// each of its sessions, or a server of it was restarted; if it answered otherwise,
// its key is nowhere, but for ErrOutcomeUnknown; and where none of its servers was
// restarted, it is in all of its sessions or in none. A counter in each session
// counts its keys.
func TestSoakOfSessions(t *testing.T) {
	s := newSoak(t, newStorm(t, seedOfSoak(t)))
	var all sync.WaitGroup
	for w := range soakWorkers {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(s.seed, uint64(w)))
			for i := 0; !s.over(); i++ {
				if !s.transact(t, fmt.Sprint(w, ".", i), s.apps[w%len(s.apps)], rng) {
					time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
				}
			}
		})
	}
	all.Go(s.rage)
	all.Wait()
	s.calm(t, func() error { return s.store.Ping(t.Context()) })
	s.check(t, s.now)
	s.checking.Wait()
	t.Logf("%+v, restarts %v", s.tally, s.done)
	require.Greater(t, s.tally.several, 20)
	require.Greater(t, s.tally.found, 50)
	require.NotZero(t, s.tally.refused)
}

// generation returns the present one, for one transaction.
func (s *soak) generation(t *testing.T) *generation {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.now; time.Since(old.began) > soakGeneration {
		s.now = &generation{n: old.n + 1, began: time.Now()}
		s.checking.Go(func() { s.check(t, old) })
	}
	s.now.underway.Add(1)
	return s.now
}

// transact runs one transaction and reports whether it committed.
func (s *soak) transact(t *testing.T, key string, app [2]*sd.Container, rng *rand.Rand) bool {
	g := s.generation(t)
	defer g.underway.Done()
	tx := soaked{key: key}
	for _, n := range rng.Perm(soakSessions)[:1+rng.IntN(3)] {
		l := leg{container: n % 2, id: fmt.Sprintf("g%d-s%d", g.n, n)}
		l.server = s.serverOf(s.store, s.names[l.container].keyOf(l.id))
		l.boot = s.boot(l.server)
		tx.legs = append(tx.legs, l)
	}
	tx.err = sd.Retry{Attempts: 50}.Run(context.Background(), func(t *sd.Txn) error {
		for _, l := range tx.legs {
			session, err := app[l.container].Session(context.Background(), t, l.id)
			if err != nil {
				return err
			}
			if err := session.Pkg("keys").Set(key, true); err != nil {
				return err
			}
			if err := count(session); err != nil {
				return err
			}
		}
		return nil
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	g.txs = append(g.txs, tx)
	return tx.err == nil
}

// check looks at the sessions of a generation that is over, when all that was
// delayed has arrived and what was not decided has lapsed.
func (s *soak) check(t *testing.T, g *generation) {
	g.underway.Wait()
	time.Sleep(soakCommitTimeout + 400*time.Millisecond)
	var found [soakSessions]map[string]bool
	for n := range found {
		var err error
		if found[n], err = s.read(n%2, fmt.Sprintf("g%d-s%d", g.n, n)); err != nil {
			t.Errorf("a session cannot be read: %v", err)
			return
		}
	}
	for _, tx := range g.txs {
		s.judge(t, tx, func(l leg) bool {
			var generation, n int
			fmt.Sscanf(l.id, "g%d-s%d", &generation, &n)
			return found[n][tx.key]
		})
	}
}

// read reads the keys of a session, through the storm.
func (s *soak) read(container int, id string) (keys map[string]bool, err error) {
	for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
		keys = map[string]bool{}
		err = s.apps[0][container].View(context.Background(), id, func(session *sd.Session) error {
			for _, key := range session.Pkg("keys").Keys() {
				keys[key] = true
			}
			n, err := sd.GetOr(session.Pkg("p"), "n", 0)
			if err == nil && n != len(keys) {
				err = fmt.Errorf("%d keys, counted %d", len(keys), n)
			}
			return err
		})
		if !errors.Is(err, sd.ErrUnavailable) {
			break
		}
	}
	return keys, err
}

// judge compares what a transaction was told with what is there.
func (s *soak) judge(t *testing.T, tx soaked, isThere func(l leg) bool) {
	there, missing, restarted := 0, 0, false
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range tx.legs {
		gone := s.restarted(l.server, l.boot)
		restarted = restarted || gone
		switch {
		case isThere(l):
			there++
			if tx.err == nil {
				s.tally.found++
			}
			continue
		case tx.err == nil && gone:
			s.tally.lost++
		case tx.err == nil:
			// Perhaps the server of the primary was restarted, which alone knew of
			// the decision: a window that the package states.
			s.tally.window++
		}
		missing++
	}
	where := fmt.Sprintf("%s is in %d of its %d sessions and was answered %v", tx.key, there, len(tx.legs), tx.err)
	switch {
	case tx.err == nil:
		s.tally.committed++
		if len(tx.legs) > 1 {
			s.tally.several++
		}
		if missing > 0 && !restarted {
			t.Errorf("%s, and no server was restarted", where)
		}
	case errors.Is(tx.err, sd.ErrOutcomeUnknown):
		s.tally.unknown++
		if there > 0 && missing > 0 && !restarted {
			t.Errorf("%s: a half, and no server was restarted", where)
		}
	default:
		s.tally.refused++
		if there > 0 {
			t.Error(where)
		}
	}
}

// keyNoting is a store that holds nothing and notes the key that it is asked for.
type keyNoting struct {
	sd.Store
	c   *sd.Container
	mu  sync.Mutex
	key string
}

func (k *keyNoting) Get(_ context.Context, key string) (sd.Item, error) {
	k.key = key
	return sd.Item{}, sd.ErrNotFound
}

func (k *keyNoting) keyOf(id string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	_ = k.c.View(context.Background(), id, func(*sd.Session) error { return nil })
	return k.key
}
