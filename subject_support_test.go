package sessiondata_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// tally counts the calls of a store, calls on before each, and swapped after each
// CompareAndSwap that was done.
type tally struct {
	sd.Store
	mu      sync.Mutex
	on      func(op, key string) error
	swapped func(key string) error
	reads   int
	written int
}

func (s *tally) called(op, key string) error {
	s.mu.Lock()
	if op == "get" {
		s.reads++
	} else {
		s.written++
	}
	on := s.on
	s.mu.Unlock()
	if on != nil {
		return on(op, key)
	}
	return nil
}

// calls returns the reads and writes since it was last called.
func (s *tally) calls() [2]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := [2]int{s.reads, s.written}
	s.reads, s.written = 0, 0
	return n
}

func (s *tally) Get(ctx context.Context, key string) (sd.Item, error) {
	if err := s.called("get", key); err != nil {
		return sd.Item{}, err
	}
	return s.Store.Get(ctx, key)
}

func (s *tally) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.called("add", key); err != nil {
		return err
	}
	return s.Store.Add(ctx, key, value, ttl)
}

func (s *tally) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	if err := s.called("swap", key); err != nil {
		return err
	}
	err := s.Store.CompareAndSwap(ctx, key, value, ttl, v)
	if err == nil && s.swapped != nil {
		err = s.swapped(key)
	}
	return err
}

func (s *tally) CompareAndDelete(ctx context.Context, key string, v sd.Version) error {
	if err := s.called("delete", key); err != nil {
		return err
	}
	return s.Store.CompareAndDelete(ctx, key, v)
}

// isIndex reports whether key is that of a subject's index.
func isIndex(key string) bool { return strings.Contains(key, "~subject:") }

// oneHour is a container whose sessions live for an hour, with a resolution of
// five minutes.
func oneHour(t *testing.T, store sd.Store, change ...func(*sd.Config)) *sd.Container {
	t.Helper()
	cfg := sd.Config{Name: "c"}
	for _, f := range change {
		f(&cfg)
	}
	c, err := sd.NewContainer(store, cfg)
	require.NoError(t, err)
	return c
}

// by has a container go by a clock.
func by(clock *clock) func(*sd.Config) { return func(cfg *sd.Config) { cfg.Now = clock.Now } }

const fiveMinutes = 5*time.Minute + time.Nanosecond

func loginAs(who, label string) func(*sd.Session) error {
	return func(s *sd.Session) error {
		if err := s.SetSubject("shop", who); err != nil {
			return err
		}
		return s.SetLabel(label)
	}
}

// login makes a session of a subject.
func login(t *testing.T, c *sd.Container, id, who string) {
	t.Helper()
	require.NoError(t, c.Update(t.Context(), id, loginAs(who, id)))
}

// visit uses a session and says whether it is accepted.
func visit(t *testing.T, c *sd.Container, id string) (accepted bool) {
	t.Helper()
	require.NoError(t, c.View(t.Context(), id, func(s *sd.Session) error {
		_, who := s.Subject()
		accepted = who != ""
		require.Equal(t, !accepted, s.IsNew())
		return nil
	}))
	return accepted
}

// labels lists the labels of a subject's sessions.
func labels(t *testing.T, c *sd.Container, who string) []string {
	t.Helper()
	infos, err := c.Sessions(t.Context(), "shop", who)
	require.NoError(t, err)
	out := []string{}
	for _, i := range infos {
		out = append(out, i.Label)
	}
	return out
}

// everything returns what the store holds, by key.
func everything(t *testing.T, store sd.Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, key := range keys(t, store) {
		item, err := store.Get(t.Context(), key)
		require.NoError(t, err)
		all[key] = string(item.Value)
	}
	return all
}

// loseIndexes evicts every index.
func loseIndexes(t *testing.T, store sd.Store) {
	t.Helper()
	lost := 0
	for _, key := range keys(t, store) {
		if isIndex(key) {
			item, err := store.Get(t.Context(), key)
			require.NoError(t, err)
			require.NoError(t, store.CompareAndDelete(t.Context(), key, item.Version))
			lost++
		}
	}
	require.NotZero(t, lost)
}
