package sessiondata_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// The tests of several_*_test.go are about transactions over several sessions.
// Which of them is the primary, and in which order they are placed, depends on
// their storage keys; so most tests name sessions by their place in that order.

// keyOf returns the key under which a container of that name stores a session.
func keyOf(t testing.TB, name, id string) string {
	t.Helper()
	w := newWire()
	begin(t, container(t, w, sd.Config{Name: name}), id)
	return w.calls[0].key
}

// ascending returns n ids of container "a" whose storage keys ascend.
func ascending(t testing.TB, n int) []string {
	t.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("session %d", i)
	}
	slices.SortFunc(ids, func(x, y string) int { return cmp.Compare(keyOf(t, "a", x), keyOf(t, "a", y)) })
	return ids
}

// storeA returns an empty store and its container "a".
func storeA(t testing.TB, cfg ...sd.Config) (*wire, *sd.Container) {
	t.Helper()
	w := newWire()
	return w, containerA(t, w, cfg...)
}

func containerA(t testing.TB, store sd.Store, cfg ...sd.Config) *sd.Container {
	t.Helper()
	cfg = append(cfg, sd.Config{})
	cfg[0].Name = "a"
	return container(t, store, cfg[0])
}

// fill stores each session with v in it.
func fill(t testing.TB, c *sd.Container, v any, ids ...string) {
	t.Helper()
	for _, id := range ids {
		set(t, c, id, "p", "v", v)
	}
}

// writing begins a transaction that sets v in each of the sessions.
func writing(t testing.TB, c *sd.Container, v any, ids ...string) *sd.Txn {
	t.Helper()
	tx := sd.Begin()
	for _, id := range ids {
		require.NoError(t, open(t, c, tx, id).Pkg("p").Set("v", v))
	}
	return tx
}

// holding reads v of each session; nil: there is none.
func holding(t testing.TB, c *sd.Container, ids ...string) []any {
	t.Helper()
	var all []any
	for _, id := range ids {
		var v any
		if p := stored(t, c, id)["p"]; p != nil {
			v = p["v"]
		}
		all = append(all, v)
	}
	return all
}

// dies lets a client of its own set v in each of the sessions, and die at its
// k-th write.
func dies(t testing.TB, store sd.Store, k int, fate storetest.Fault, v any, ids ...string) {
	t.Helper()
	diesAt(t, store, k, fate, func(c *sd.Container) *sd.Txn { return writing(t, c, v, ids...) })
}

// diesAt lets a client of its own commit a transaction, and die at its k-th
// write.
func diesAt(t testing.TB, store sd.Store, k int, fate storetest.Fault, work func(*sd.Container) *sd.Txn, cfg ...sd.Config) {
	t.Helper()
	faulty := storetest.NewFaulty(store, storetest.FaultConfig{Shared: true, Plan: map[int]storetest.Fault{k: fate}})
	err := work(containerA(t, faulty, cfg...)).Commit(t.Context())
	require.True(t, faulty.Died(), "the client lives: %v", err)
}

// held is a transaction that has prepared its sessions and stays there until it
// is released.
type held struct {
	free chan struct{}
	done chan error
}

// hold lets tx prepare its sessions and stay there. It must be called in a
// synctest bubble.
func hold(t testing.TB, tx *sd.Txn) *held {
	t.Helper()
	h := &held{free: make(chan struct{}), done: make(chan error, 1)}
	prepared := make(chan struct{})
	require.NoError(t, tx.Join(&member{diary: new(diary), prepare: func() error {
		close(prepared)
		<-h.free
		return nil
	}}))
	go func() { h.done <- tx.Commit(t.Context()) }()
	select {
	case <-prepared:
	case err := <-h.done:
		t.Fatalf("not prepared: %v", err)
	}
	return h
}

func (h *held) release() error {
	close(h.free)
	return <-h.done
}

// later is past the deadline of every intent placed before, of the default
// Config.CommitTimeout.
const later = 6 * time.Second

// slowed is a store on a network: each call takes a random time to arrive. In a
// synctest bubble that costs nothing, and lets everything come between
// everything.
type slowed struct{ sd.Store }

func (s slowed) travel() { time.Sleep(rand.N(2 * time.Millisecond)) }

func (s slowed) Get(ctx context.Context, key string) (sd.Item, error) {
	s.travel()
	return s.Store.Get(ctx, key)
}

func (s slowed) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	s.travel()
	return s.Store.Add(ctx, key, value, ttl)
}

func (s slowed) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	s.travel()
	return s.Store.CompareAndSwap(ctx, key, value, ttl, v)
}

func (s slowed) CompareAndDelete(ctx context.Context, key string, v sd.Version) error {
	s.travel()
	return s.Store.CompareAndDelete(ctx, key, v)
}
