// Package memstore keeps sessions in the memory of the process: the embedded
// store, for one machine, for tests and for demonstrations.
//
// It is bounded by bytes and drops the least recently used items first, as
// memcached does; a session that was dropped is gone. It has no goroutine of
// its own, so a Store that is no longer used needs no Close to be collected.
package memstore

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// ItemOverhead is what one item is counted as beside the bytes of its key and
// its value: the bookkeeping that the store keeps for it.
const ItemOverhead = 160

// maxKey is the longest key in bytes that the Store contract allows.
const maxKey = 200

// Config configures New. The zero Config is an unbounded store.
type Config struct {
	// MaxBytes bounds the memory, counted for each item as the bytes of key
	// and value and ItemOverhead. A write that would exceed it drops what has
	// expired, then the least recently used items. 0: unbounded.
	MaxBytes int64
	// Now is the clock by which items expire, default time.Now. It is never
	// called while the store holds a lock. With the default, time is measured
	// by the monotonic clock: setting the machine's clock expires nothing.
	Now func() time.Time
}

// Store is an embedded store. It implements [sd.Store] and [sd.Lister], and is
// safe for concurrent use. Every method but Keys takes constant time beside
// copying the value, a write logarithmic time in the number of items that can
// expire. New makes one; the zero Store is not usable.
type Store struct {
	max   int64 // math.MaxInt64: unbounded
	now   func() time.Time
	start time.Time // item.expires counts from here
	epoch uint64    // Version.Epoch of every item

	mu       sync.Mutex
	closed   bool
	items    map[string]*item
	recent   item // head of the ring: next is the most recently used, prev the least
	byExpiry expiryHeap
	bytes    int64  // sum of item.size over items; at most max whenever mu is free
	writes   uint64 // Version.ID of the latest write
	evicted  uint64
	expired  uint64
}

// item is one stored item. value is never altered once it is stored, only
// replaced, so that it can be copied out after mu is released.
type item struct {
	key        string
	value      []byte
	version    uint64
	expires    time.Duration // after Store.start, or never
	slot       int           // index in Store.byExpiry; -1: not in it, as it never expires
	prev, next *item
}

// stores counts the Stores of this process. Its number as Epoch keeps the
// Versions of two Stores apart.
var stores atomic.Uint64

// New returns an empty store. It panics if cfg.MaxBytes is negative.
func New(cfg Config) *Store {
	if cfg.MaxBytes < 0 {
		panic("memstore: Config.MaxBytes is negative")
	}
	s := &Store{max: cfg.MaxBytes, now: cfg.Now, items: make(map[string]*item), epoch: stores.Add(1)}
	if s.max == 0 {
		s.max = math.MaxInt64
	}
	if s.now == nil {
		s.start = time.Now()
	} else {
		s.start = s.now()
	}
	s.recent.prev, s.recent.next = &s.recent, &s.recent
	return s
}

// Get returns the item and counts as a use of it. It allocates once, for the
// copy of the value.
func (s *Store) Get(ctx context.Context, key string) (sd.Item, error) {
	if err := ended(ctx); err != nil {
		return sd.Item{}, err
	}
	now := s.elapsed()
	s.mu.Lock()
	it, err := s.find(key, now)
	if err != nil {
		s.mu.Unlock()
		return sd.Item{}, err
	}
	s.use(it)
	found := sd.Item{Value: it.value, Version: sd.Version{ID: it.version, Epoch: s.epoch}}
	s.mu.Unlock()
	found.Value = bytes.Clone(found.Value)
	return found, nil
}

// Add stores a copy of value where key holds nothing.
func (s *Store) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.writable(ctx, key, value, ttl); err != nil {
		return err
	}
	// The key is copied too: it may be a part of a much longer string.
	it := &item{key: strings.Clone(key), value: bytes.Clone(value), slot: -1}
	now := s.elapsed()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return sd.ErrClosed
	}
	if s.live(key, now) != nil {
		return sd.ErrExists
	}
	s.items[it.key] = it
	s.bytes += it.size()
	s.written(it, now, ttl)
	return nil
}

// CompareAndSwap replaces the item read as v with a copy of value.
func (s *Store) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	if err := s.writable(ctx, key, value, ttl); err != nil {
		return err
	}
	value = bytes.Clone(value)
	now := s.elapsed()
	s.mu.Lock()
	defer s.mu.Unlock()
	it, err := s.match(key, v, now)
	if err != nil {
		return err
	}
	s.bytes += int64(len(value)) - int64(len(it.value))
	it.value = value
	s.written(it, now, ttl)
	return nil
}

// CompareAndDelete removes the item read as v.
func (s *Store) CompareAndDelete(ctx context.Context, key string, v sd.Version) error {
	if err := ended(ctx); err != nil {
		return err
	}
	now := s.elapsed()
	s.mu.Lock()
	defer s.mu.Unlock()
	it, err := s.match(key, v, now)
	if err != nil {
		return err
	}
	s.remove(it)
	s.sweep(now)
	return nil
}

// Ping answers nil as long as the store is open.
func (s *Store) Ping(ctx context.Context) error {
	if err := ended(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return sd.ErrClosed
	}
	return nil
}

// Close forgets all items. Later calls answer ErrClosed, but a second Close is
// nil.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.items, s.byExpiry, s.bytes = nil, nil, 0
	s.recent.prev, s.recent.next = &s.recent, &s.recent
	return nil
}

// Stats tells what a Store holds and what it has dropped.
type Stats struct {
	Items   int    // items held; among them may be some that have expired
	Bytes   int64  // of those, as Config.MaxBytes counts them
	Evicted uint64 // items dropped since New to make room, though not expired
	Expired uint64 // items dropped since New because they had expired
}

// Stats returns the present figures. A closed store holds nothing.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Items: len(s.items), Bytes: s.bytes, Evicted: s.evicted, Expired: s.expired}
}

// writable checks the arguments of a write that stores a value.
func (s *Store) writable(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := ended(ctx); err != nil {
		return err
	}
	if err := checkKey(key); err != nil {
		return err
	}
	if ttl < 0 {
		return fmt.Errorf("%w: negative ttl", sd.ErrInvalid)
	}
	if size := sizeOf(key, value); size > s.max {
		return fmt.Errorf("%w: %d bytes with key and overhead, the store holds %d", sd.ErrTooLarge, size, s.max)
	}
	return nil
}

// ended tells that ctx ended before anything was done. It matches the cause,
// and ErrUnavailable because nothing was written.
func ended(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("%w: nothing was sent: %w", sd.ErrUnavailable, context.Cause(ctx))
}

// checkKey says what is wrong with key, without repeating it.
func checkKey(key string) error {
	if key == "" {
		return fmt.Errorf("%w: empty key", sd.ErrInvalid)
	}
	if len(key) > maxKey {
		return fmt.Errorf("%w: key of %d bytes, at most %d", sd.ErrInvalid, len(key), maxKey)
	}
	for i := range len(key) {
		if c := key[i]; c < 0x21 || c > 0x7e {
			return fmt.Errorf("%w: byte %#02x in key", sd.ErrInvalid, c)
		}
	}
	return nil
}
