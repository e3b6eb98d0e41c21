package sessiondata_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// traceLog notes every call of its Trace.
type traceLog struct {
	mu     sync.Mutex
	events []string // names, in the order of the calls
	loads  []sd.LoadInfo
	ends   []sd.CommitInfo
	refs   []sd.SessionRef // of the events that have one, beside events
	errs   []error
	last   map[string]any // content that Expired has read, by "package/key"
}

func (l *traceLog) note(event string, ref sd.SessionRef, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events, l.refs, l.errs = append(l.events, event), append(l.refs, ref), append(l.errs, err)
}

func (l *traceLog) end(event string, info sd.CommitInfo) {
	l.note(event, sd.SessionRef{}, info.Err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends = append(l.ends, info)
}

// take returns the events since the last call.
func (l *traceLog) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	events := l.events
	l.events, l.refs, l.errs = nil, nil, nil
	return events
}

func (l *traceLog) lastEnd() sd.CommitInfo { return l.ends[len(l.ends)-1] }

func (l *traceLog) trace() *sd.Trace {
	about := func(event string) func(context.Context, sd.SessionRef) {
		return func(_ context.Context, ref sd.SessionRef) { l.note(event, ref, nil) }
	}
	failed := func(event string) func(context.Context, sd.SessionRef, error) {
		return func(_ context.Context, ref sd.SessionRef, err error) { l.note(event, ref, err) }
	}
	end := func(event string) func(context.Context, sd.CommitInfo) {
		return func(_ context.Context, info sd.CommitInfo) { l.end(event, info) }
	}
	return &sd.Trace{
		Loaded: func(_ context.Context, info sd.LoadInfo) {
			l.note("loaded", info.Session, info.Err)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.loads = append(l.loads, info)
		},
		Expired: func(_ context.Context, s *sd.Stored) {
			l.note("expired", s.Ref(), nil)
			l.last = map[string]any{}
			for _, pkg := range s.Packages() {
				for key, v := range s.Values(pkg) {
					l.last[pkg+"/"+key], _ = v.Any()
				}
			}
		},
		Corrupt: failed("corrupt"), AccessDropped: failed("access dropped"),
		Committed: end("committed"), Conflict: end("conflict"), Failed: end("failed"),
		Created: about("created"), Destroyed: about("destroyed"), Revoked: about("revoked"), Evicted: about("evicted"),
		Renewed: func(_ context.Context, old, renewed sd.SessionRef) {
			l.note("renewed", old, nil)
			l.note("renewed to", renewed, nil)
		},
	}
}

// requestCounter counts what reaches a store.
type requestCounter struct {
	sd.Store
	n atomic.Int64
}

func (c *requestCounter) Get(ctx context.Context, key string) (sd.Item, error) {
	c.n.Add(1)
	return c.Store.Get(ctx, key)
}

func (c *requestCounter) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	c.n.Add(1)
	return c.Store.Add(ctx, key, value, ttl)
}

func (c *requestCounter) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	c.n.Add(1)
	return c.Store.CompareAndSwap(ctx, key, value, ttl, v)
}

func (c *requestCounter) CompareAndDelete(ctx context.Context, key string, v sd.Version) error {
	c.n.Add(1)
	return c.Store.CompareAndDelete(ctx, key, v)
}

// traced returns a container with a Trace that notes everything.
func traced(t *testing.T, store sd.Store, cfg sd.Config) (*sd.Container, *traceLog) {
	t.Helper()
	log := new(traceLog)
	cfg.Trace = log.trace()
	c, err := sd.NewContainer(store, cfg)
	require.NoError(t, err)
	return c, log
}

func setIn(pkg, key string, v any) func(*sd.Session) error {
	return func(s *sd.Session) error { return s.Pkg(pkg).Set(key, v) }
}

// evictAll removes every item behind the back of the containers, as an eviction or
// a restart of the store does.
func evictAll(t *testing.T, store sd.Store) {
	t.Helper()
	for _, key := range keys(t, store) {
		item, err := store.Get(t.Context(), key)
		require.NoError(t, err)
		require.NoError(t, store.CompareAndDelete(t.Context(), key, item.Version))
	}
}

// stores returns the bytes of the one item in store.
func stores(t *testing.T, store sd.Store) int {
	t.Helper()
	all := keys(t, store)
	require.Len(t, all, 1)
	item, err := store.Get(t.Context(), all[0])
	require.NoError(t, err)
	return len(item.Value)
}
