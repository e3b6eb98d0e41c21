package histories

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// distant is a store that takes a while to reach and to answer, so that
// transactions overlap.
type distant struct{ sd.Store }

func travel() { time.Sleep(rand.N(300 * time.Microsecond)) }

func (d distant) Get(ctx context.Context, key string) (sd.Item, error) {
	travel()
	defer travel()
	return d.Store.Get(ctx, key)
}

func (d distant) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	travel()
	defer travel()
	return d.Store.Add(ctx, key, value, ttl)
}

func (d distant) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	travel()
	defer travel()
	return d.Store.CompareAndSwap(ctx, key, value, ttl, v)
}

func (d distant) CompareAndDelete(ctx context.Context, key string, v sd.Version) error {
	travel()
	defer travel()
	return d.Store.CompareAndDelete(ctx, key, v)
}

// policy is what a container promises the level for.
func (l Level) policy() sd.ConflictPolicy {
	if l == MergeLevel {
		return sd.Merge
	}
	return sd.Serializable
}

// containers returns two containers of the same policy, as every client has them.
func containers(s sd.Store, policy sd.ConflictPolicy, commitTimeout time.Duration) (cs [2]*sd.Container, err error) {
	for i := range cs {
		cs[i], err = sd.NewContainer(s, sd.Config{Name: fmt.Sprint("history", i), Conflict: policy, CommitTimeout: commitTimeout, Attempts: retry.Attempts})
		if err != nil {
			return cs, err
		}
	}
	return cs, nil
}

// memory is places in the memory of the process, a new store for each.
type memory struct {
	unreliable bool
	faults     atomic.Int64 // injected
	deaths     atomic.Int64 // of clients
}

func (m *memory) open(ctx context.Context, shape Shape, seed uint64, n int) (*place, error) {
	store := memstore.New(memstore.Config{})
	p := &place{ctx: ctx, id: func(s int) string { return fmt.Sprint("session", s) }, may: []error{errFail, sd.ErrConflict}}
	if shape.Destroys {
		p.may = append(p.may, sd.ErrGone)
	}
	timeout := time.Minute // nothing is lost, and nobody gives up
	if m.unreliable {
		p.may = append(p.may, sd.ErrUnavailable, sd.ErrOutcomeUnknown)
		timeout = 150 * time.Millisecond // whoever meets what is undecided waits so long
	}
	var err error
	if p.clean, err = containers(store, shape.Level.policy(), timeout); err != nil {
		return nil, err
	}
	network := &network{m: m, rng: rand.New(rand.NewPCG(seed, uint64(n))), level: shape.Level, timeout: timeout}
	for range shape.Clients {
		cl := new(client)
		if m.unreliable {
			err = network.connect(cl, distant{store})
		} else {
			cl.containers, err = containers(distant{store}, shape.Level.policy(), timeout)
		}
		if err != nil {
			return nil, err
		}
		p.clients = append(p.clients, cl)
	}
	p.arrive, p.close = network.flush, network.count
	return p, nil
}

// network is what is between the clients of one place and their store.
type network struct {
	m       *memory
	level   Level
	timeout time.Duration

	mu      sync.Mutex
	rng     *rand.Rand
	clients []*storetest.Faulty // also those that have died
}

// connect gives a client its store, and another one whenever it has died.
func (w *network) connect(cl *client, store sd.Store) (err error) {
	w.mu.Lock()
	f := storetest.NewFaulty(store, storetest.FaultConfig{
		Seed: w.rng.Uint64(), Shared: true,
		Refuse: 0.01, LoseRequest: 0.03, LoseReply: 0.05, Delay: 0.03, FailRead: 0.01,
		Plan: map[int]storetest.Fault{1 + w.rng.IntN(120): []storetest.Fault{storetest.DieBefore, storetest.DieAfter}[w.rng.IntN(2)]},
	})
	w.clients = append(w.clients, f)
	w.mu.Unlock()
	cl.revive = func(cl *client) error {
		if !f.Died() {
			return nil
		}
		w.m.deaths.Add(1)
		return w.connect(cl, store)
	}
	cl.containers, err = containers(f, w.level.policy(), w.timeout)
	return err
}

// flush lets every write arrive that is delayed, also those of the dead.
func (w *network) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.clients {
		f.Flush()
	}
}

func (w *network) count() {
	for _, f := range w.clients {
		w.m.faults.Add(int64(f.Count()))
	}
}
