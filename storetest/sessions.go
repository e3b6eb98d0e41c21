package storetest

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// RunSessions runs what must hold of sessions over any store: transactions,
// merging, and outcomes. It is called as [Run] is, and complements it: a store
// that keeps the contract passes both.
//
// Nothing waits for an item to expire. The sessions' own clock is moved by hand.
func RunSessions(t *testing.T, open func(t *testing.T) sd.Store) {
	t.Helper()
	for _, r := range slices.Concat(sessionRules, severalRules) {
		t.Run(r.name, func(t *testing.T) {
			e := opened(t, func(t *testing.T) *env { return newEnv(open(t), newFakeClock()) })
			if err := r.try(e); err != nil {
				t.Error(err)
			}
		})
	}
}

// tap notes the calls that a container makes.
type tap struct {
	sd.Store
	mu    sync.Mutex
	calls []tapped
}

type tapped struct {
	op, key string
	value   []byte
	ttl     time.Duration
}

func (s *tap) note(c tapped) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, c)
}

// take returns the calls since the last time.
func (s *tap) take() []tapped {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

func (s *tap) Get(ctx context.Context, key string) (sd.Item, error) {
	s.note(tapped{op: "Get", key: key})
	return s.Store.Get(ctx, key)
}

func (s *tap) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	s.note(tapped{"Add", key, bytes.Clone(value), ttl})
	return s.Store.Add(ctx, key, value, ttl)
}

func (s *tap) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	s.note(tapped{"CompareAndSwap", key, bytes.Clone(value), ttl})
	return s.Store.CompareAndSwap(ctx, key, value, ttl, v)
}

func (s *tap) CompareAndDelete(ctx context.Context, key string, v sd.Version) error {
	s.note(tapped{op: "CompareAndDelete", key: key})
	return s.Store.CompareAndDelete(ctx, key, v)
}

// container returns a container over the store of e, and the calls that it
// makes. It counts as an app server of its own.
func (e *env) container(cfg sd.Config) (*sd.Container, *tap) {
	if cfg.Now == nil {
		cfg.Now = e.clock.Now
	}
	s := &tap{Store: e.store}
	c, err := sd.NewContainer(s, cfg)
	e.want("NewContainer", err, nil)
	return c, s
}

// sent fails the rule unless exactly these calls were made.
func (e *env) sent(what string, s *tap, ops ...string) {
	var got []string
	for _, c := range s.take() {
		got = append(got, c.op)
	}
	if !reflect.DeepEqual(got, ops) {
		e.failf("%s: sent %v, want %v", what, got, ops)
	}
}

// update is an Update that must succeed.
func (e *env) update(c *sd.Container, id string, fn func(s *sd.Session) error) {
	e.want("Update", c.Update(e.ctx, id, fn), nil)
}

// set stores one value in the package p.
func (e *env) set(c *sd.Container, id, key string, v any) {
	e.update(c, id, func(s *sd.Session) error { return s.Pkg("p").Set(key, v) })
}

// begin opens a session in a transaction of its own.
func (e *env) begin(c *sd.Container, id string) (*sd.Txn, *sd.Session) {
	tx := sd.Begin()
	s, err := c.Session(e.ctx, tx, id)
	e.want("Session", err, nil)
	return tx, s
}

// values returns the package p of a session as it is stored; nil: there is no
// session.
func (e *env) values(c *sd.Container, id string) map[string]any {
	tx, s := e.begin(c, id)
	defer func() { _ = tx.Rollback() }()
	if s.IsNew() {
		return nil
	}
	vals := map[string]any{}
	for key, v := range s.Pkg("p").All() {
		val, err := v.Any()
		e.want("Any", err, nil)
		vals[key] = val
	}
	return vals
}

// is fails the rule unless the package p holds want; nil: no session.
func (e *env) is(c *sd.Container, id string, want map[string]any) {
	if got := e.values(c, id); !reflect.DeepEqual(got, want) {
		e.failf("stored: got %v, want %v", got, want)
	}
}

// count adds one to a counter in the package p.
func count(key string) func(s *sd.Session) error {
	return func(s *sd.Session) error {
		return sd.Modify(s.Pkg("p"), key, func(n *int) error { *n++; return nil })
	}
}

// all fails the rule unless every error is nil.
func (e *env) all(what string, errs []error) {
	for i, err := range errs {
		if err != nil {
			e.failf("%s: number %d: %v", what, i, err)
		}
	}
}

// each calls fn n times, until it fails.
func each(n int, fn func(i int) error) error {
	for i := range n {
		if err := fn(i); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
	}
	return nil
}
