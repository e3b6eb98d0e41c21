package sessiondata_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
	"github.com/seed-ad7f1900/sessiondata/memcachestore"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// wire is a store that notes every call, and lets the test answer in the place
// of the store that it wraps.
type wire struct {
	sd.Store

	mu    sync.Mutex
	on    func(c call, pass func() error) error // nil: pass
	calls []call
}

// call is one call of a store.
type call struct {
	op      string // "get", "add", "swap", "delete"
	n       int    // among those of its op, from 1
	ctx     context.Context
	key     string
	value   []byte
	ttl     time.Duration
	version sd.Version
}

func (c call) write() bool { return c.op != "get" }

// newWire returns a wire to an empty embedded store.
func newWire() *wire { return &wire{Store: memstore.New(memstore.Config{})} }

func (w *wire) through(c call, pass func() error) error {
	w.mu.Lock()
	c.n = 1
	for _, earlier := range w.calls {
		if earlier.op == c.op {
			c.n++
		}
	}
	w.calls = append(w.calls, c)
	on := w.on
	w.mu.Unlock()
	if on != nil {
		return on(c, pass)
	}
	return pass()
}

func (w *wire) Get(ctx context.Context, key string) (it sd.Item, err error) {
	err = w.through(call{op: "get", ctx: ctx, key: key}, func() (err error) {
		it, err = w.Store.Get(ctx, key)
		return err
	})
	return it, err
}

// A write that is on its way is not called back when its context ends: a test
// may let it arrive later.

func (w *wire) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	value = bytes.Clone(value)
	return w.through(call{op: "add", ctx: ctx, key: key, value: value, ttl: ttl}, func() error {
		return w.Store.Add(context.WithoutCancel(ctx), key, value, ttl)
	})
}

func (w *wire) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	value = bytes.Clone(value)
	return w.through(call{op: "swap", ctx: ctx, key: key, value: value, ttl: ttl, version: v}, func() error {
		return w.Store.CompareAndSwap(context.WithoutCancel(ctx), key, value, ttl, v)
	})
}

func (w *wire) CompareAndDelete(ctx context.Context, key string, v sd.Version) error {
	return w.through(call{op: "delete", ctx: ctx, key: key, version: v}, func() error {
		return w.Store.CompareAndDelete(context.WithoutCancel(ctx), key, v)
	})
}

// answer lets on answer from now on, and forgets the calls so far.
func (w *wire) answer(on func(c call, pass func() error) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on, w.calls = on, nil
}

// forget forgets the calls so far.
func (w *wire) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = nil
}

// ops returns the names of the calls so far.
func (w *wire) ops() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ops := []string{}
	for _, c := range w.calls {
		ops = append(ops, c.op)
	}
	return ops
}

// writes returns the writes so far.
func (w *wire) writes() []call {
	w.mu.Lock()
	defer w.mu.Unlock()
	var writes []call
	for _, c := range w.calls {
		if c.write() {
			writes = append(writes, c)
		}
	}
	return writes
}

// overStores runs a test over each store that there is, empty, and with a clock
// for the containers. What must be true of a session's life is true over each.
func overStores(t *testing.T, test func(t *testing.T, store sd.Store, clock *clock)) {
	t.Helper()
	t.Run("memstore", func(t *testing.T) { test(t, memstore.New(memstore.Config{}), newClock()) })
	t.Run("memcached", func(t *testing.T) { test(t, appServer(t, memcachedtest.Start(t)), newClock()) })
}

// appServer returns a store over a memcached, as each app server has one.
func appServer(t *testing.T, server *memcachedtest.Server) *memcachestore.Store {
	t.Helper()
	store, err := memcachestore.New(memcachestore.Config{
		Servers: []string{server.Addr()}, Timeout: 10 * time.Second, DialTimeout: 10 * time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// keys returns what a store that lists its keys holds.
func keys(t testing.TB, store sd.Store) []string {
	t.Helper()
	found := []string{}
	for info, err := range store.(sd.Lister).Keys(context.Background(), "") {
		require.NoError(t, err)
		found = append(found, info.Key)
	}
	return found
}

// container returns a container over store; cfg is at most one.
func container(t testing.TB, store sd.Store, cfg ...sd.Config) *sd.Container {
	t.Helper()
	cfg = append(cfg, sd.Config{})
	c, err := sd.NewContainer(store, cfg[0])
	require.NoError(t, err)
	return c
}

// open returns the session of that id within tx.
func open(t testing.TB, c *sd.Container, tx *sd.Txn, id string) *sd.Session {
	t.Helper()
	s, err := c.Session(t.Context(), tx, id)
	require.NoError(t, err)
	return s
}

// begin opens the session of that id in a transaction of its own.
func begin(t testing.TB, c *sd.Container, id string) (*sd.Txn, *sd.Session) {
	t.Helper()
	tx := sd.Begin()
	return tx, open(t, c, tx, id)
}

// update commits what fn does to a session.
func update(t testing.TB, c *sd.Container, id string, fn func(s *sd.Session)) {
	t.Helper()
	require.NoError(t, c.Update(t.Context(), id, func(s *sd.Session) error {
		fn(s)
		return nil
	}))
}

// set stores one value.
func set(t testing.TB, c *sd.Container, id, pkg, key string, v any) {
	t.Helper()
	update(t, c, id, func(s *sd.Session) { require.NoError(t, s.Pkg(pkg).Set(key, v)) })
}

// stored returns all values of a session as a transaction of its own finds
// them; nil: there is no session.
func stored(t testing.TB, c *sd.Container, id string) map[string]map[string]any {
	t.Helper()
	tx, s := begin(t, c, id)
	defer func() { require.NoError(t, tx.Rollback()) }()
	if s.IsNew() {
		return nil
	}
	return contents(t, s)
}

// contents returns all values of a session as its transaction sees them.
func contents(t testing.TB, s *sd.Session) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for _, name := range s.Packages() {
		all[name] = map[string]any{}
		for key, v := range s.Pkg(name).All() {
			val, err := v.Any()
			require.NoError(t, err)
			all[name][key] = val
		}
	}
	return all
}

// pkg is a session of one package.
func pkg(name string, vals map[string]any) map[string]map[string]any {
	return map[string]map[string]any{name: vals}
}

// clock is a clock that stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
