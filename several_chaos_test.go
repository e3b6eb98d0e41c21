package sessiondata_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
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

var seed = flag.Uint64("seed", 0, "of the random tests; 0: another at each run")

// chaos is a bank whose clients work over a network that loses and delays, and
// die. Every transaction moves money between the sessions that it touches and
// writes its own key into each, so that it can be told exactly afterwards what
// has become of it.
type chaos struct {
	t     *testing.T
	store sd.Store
	rng   func(client uint64) *rand.Rand
	next  atomic.Int64 // number of the next transaction

	mu      sync.Mutex
	said    map[int]error
	touched map[int][]int
	clients []*storetest.Faulty
}

const (
	chaosClients      = 12
	chaosSessions     = 10
	chaosTransactions = 5000
	chaosMoney        = 1000 // in each session
)

// account returns the container and id of a session; there are two containers.
func account(cs map[string]*sd.Container, i int) (*sd.Container, string) {
	return cs[string("ab"[i%2])], id(i)
}

// keyFor is where a transaction leaves its key: packages of a hundred keys keep
// the intents small.
func keyFor(n int) (pkg, key string) { return fmt.Sprint("log ", n/100), fmt.Sprint(n) }

func (w *chaos) client(c uint64) {
	rng := w.rng(c)
	var faulty *storetest.Faulty
	var cs map[string]*sd.Container
	for {
		n := int(w.next.Add(1))
		if n > chaosTransactions {
			return
		}
		if faulty == nil || faulty.Died() { // another takes its place
			faulty = storetest.NewFaulty(slowed{w.store}, storetest.FaultConfig{
				Seed: rng.Uint64(), Shared: true, NoDelayedAdd: true,
				LoseRequest: 0.04, LoseReply: 0.04, Delay: 0.032, FailRead: 0.001,
				Plan: map[int]storetest.Fault{
					1 + rng.IntN(200): []storetest.Fault{storetest.DieBefore, storetest.DieAfter}[rng.IntN(2)],
				},
			})
			cs = containers(w.t, faulty)
			w.mu.Lock()
			w.clients = append(w.clients, faulty)
			w.mu.Unlock()
		}
		sessions := rng.Perm(chaosSessions)[:1+rng.IntN(4)]
		err := w.transaction(cs, rng, n, sessions)
		w.mu.Lock()
		w.said[n], w.touched[n] = err, sessions
		w.mu.Unlock()
	}
}

// transaction moves money around a ring of sessions.
func (w *chaos) transaction(cs map[string]*sd.Container, rng *rand.Rand, n int, sessions []int) error {
	tx := sd.Begin()
	defer tx.Rollback() //nolint:errcheck // ErrTxnDone after Commit
	amount := rng.IntN(10)
	for at, i := range sessions {
		c, id := account(cs, i)
		s, err := c.Session(w.t.Context(), tx, id)
		if err != nil {
			return err
		}
		change := 0
		switch {
		case at == 0:
			change = -amount * (len(sessions) - 1)
		default:
			change = amount
		}
		if change != 0 || amount == 0 {
			have, err := sd.GetOr(s.Pkg("bank"), "money", 0)
			if err != nil {
				return err
			}
			if err := s.Pkg("bank").Set("money", have+change); err != nil {
				return err
			}
		}
		pkg, key := keyFor(n)
		if err := s.Pkg(pkg).Set(key, 1); err != nil {
			return err
		}
	}
	return tx.Commit(w.t.Context())
}

// Rule 13: 12 clients, 10 sessions in two containers, 5000 transactions of one
// to four sessions, 12 % of the writes lost, delayed, applied without reply, or
// the client's last: no halves, no false outcomes, and the sum holds.
func TestRule13_Chaos(t *testing.T) {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed=%d", s)
	synctest.Test(t, func(t *testing.T) {
		w := &chaos{
			t: t, store: memstore.New(memstore.Config{}),
			rng:  func(c uint64) *rand.Rand { return rand.New(rand.NewPCG(s, c)) },
			said: map[int]error{}, touched: map[int][]int{},
		}
		clean := containers(t, w.store)
		for i := range chaosSessions {
			c, id := account(clean, i)
			set(t, c, id, "bank", "money", chaosMoney)
		}
		var wg sync.WaitGroup
		for c := range chaosClients {
			wg.Go(func() { w.client(uint64(c)) })
		}
		wg.Wait()
		w.check(clean)
		for _, faulty := range w.clients {
			faulty.Flush() // what is still on its way arrives, and changes nothing more
		}
		time.Sleep(later)
		w.check(clean)
		for i := range chaosSessions { // everything can be written again
			c, id := account(clean, i)
			set(t, c, id, "p", "v", 1)
		}
		w.check(clean)
		w.report()
	})
}

// check compares what the sessions hold with what Commit said.
func (w *chaos) check(cs map[string]*sd.Container) {
	w.t.Helper()
	ctx := context.WithoutCancel(w.t.Context())
	sum := 0
	found := make([]map[string]bool, chaosSessions)
	for i := range found {
		found[i] = map[string]bool{}
		c, id := account(cs, i)
		require.NoError(w.t, c.View(ctx, id, func(s *sd.Session) error {
			money, err := sd.GetOr(s.Pkg("bank"), "money", 0)
			sum += money
			for _, name := range s.Packages() {
				for _, key := range s.Pkg(name).Keys() {
					found[i][name+"/"+key] = true
				}
			}
			return err
		}))
	}
	require.Equal(w.t, chaosSessions*chaosMoney, sum, "the sum")
	for n, sessions := range w.touched {
		pkg, key := keyFor(n)
		in := 0
		for _, i := range sessions {
			if found[i][pkg+"/"+key] {
				in++
			}
		}
		switch err := w.said[n]; {
		case in != 0 && in != len(sessions):
			w.t.Errorf("transaction %d is in %d of %d sessions: a half; Commit said %v", n, in, len(sessions), err)
		case err == nil && in == 0:
			w.t.Errorf("transaction %d is nowhere, and Commit said nil", n)
		case err != nil && !errors.Is(err, sd.ErrOutcomeUnknown) && in > 0:
			w.t.Errorf("transaction %d has happened, and Commit said %v", n, err)
		}
	}
}

// report requires that the test was one.
func (w *chaos) report() {
	committed, unknown, conflicts, several := 0, 0, 0, 0
	for n, err := range w.said {
		switch {
		case err == nil:
			committed++
			if len(w.touched[n]) > 1 {
				several++
			}
		case errors.Is(err, sd.ErrOutcomeUnknown):
			unknown++
		case errors.Is(err, sd.ErrConflict):
			conflicts++
		}
	}
	deaths, writes, faults := 0, 0, 0
	for _, f := range w.clients {
		writes += f.Writes()
		faults += f.Count(storetest.LoseRequest, storetest.LoseReply, storetest.Delay, storetest.DieBefore, storetest.DieAfter)
		if f.Died() {
			deaths++
		}
	}
	w.t.Logf("%d transactions: %d committed (%d over several sessions), %d unknown, %d conflicts; %d writes, %.1f %% with a fault, %d deaths",
		len(w.said), committed, several, unknown, conflicts, writes, 100*float64(faults)/float64(writes), deaths)
	require.Len(w.t, w.said, chaosTransactions)
	require.Greater(w.t, several, chaosTransactions/10)
	require.Greater(w.t, deaths, 50)
	require.InDelta(w.t, 12, 100*float64(faults)/float64(writes), 1)
}
