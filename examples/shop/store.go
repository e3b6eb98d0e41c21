package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// watchedStore passes everything on to a store, and notes it in the trace of the
// request that it is done for. It can be stopped, as a store is that cannot be
// reached.
type watchedStore struct {
	sd.Store
	stopped atomic.Bool
}

// do makes one round trip.
func (s *watchedStore) do(ctx context.Context, sent int, call func() (received int, err error)) error {
	began := time.Now()
	var received int
	err := error(sd.ErrUnavailable)
	if !s.stopped.Load() {
		received, err = call()
	}
	refused := errors.Is(err, sd.ErrConflict) || errors.Is(err, sd.ErrExists)
	traceOf(ctx).roundTrip(sent, received, time.Since(began), refused)
	return err
}

// Get implements sessiondata.Store.
func (s *watchedStore) Get(ctx context.Context, key string) (item sd.Item, err error) {
	err = s.do(ctx, 0, func() (int, error) {
		item, err = s.Store.Get(ctx, key)
		return len(item.Value), err
	})
	return item, err
}

// Add implements sessiondata.Store.
func (s *watchedStore) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.do(ctx, len(value), func() (int, error) { return 0, s.Store.Add(ctx, key, value, ttl) })
}

// CompareAndSwap implements sessiondata.Store.
func (s *watchedStore) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	return s.do(ctx, len(value), func() (int, error) { return 0, s.Store.CompareAndSwap(ctx, key, value, ttl, v) })
}

// CompareAndDelete implements sessiondata.Store.
func (s *watchedStore) CompareAndDelete(ctx context.Context, key string, v sd.Version) error {
	return s.do(ctx, 0, func() (int, error) { return 0, s.Store.CompareAndDelete(ctx, key, v) })
}
