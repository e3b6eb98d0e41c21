package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// toy is a plain Store with a switch for each way to get the contract wrong.
// Without a flaw it keeps the contract.
type toy struct {
	now  func() time.Time
	flaw string

	mu      sync.Mutex
	closed  bool
	items   map[string]*toyItem
	removed map[string]bool
	writes  uint64
}

type toyItem struct {
	ctx     context.Context
	value   []byte
	version uint64
	written int // how often
	ttl     time.Duration
	expires time.Time
}

const toyMax = 1 << 20 // bytes of the largest value

func newToy(now func() time.Time, flaw string) *toy {
	return &toy{now: now, flaw: flaw, items: make(map[string]*toyItem), removed: make(map[string]bool)}
}

func (s *toy) is(flaws ...string) bool { return slices.Contains(flaws, s.flaw) }

// window lets others in where a flawed store works in two steps.
func (s *toy) window(flaw string) {
	if s.is(flaw) {
		s.mu.Unlock()
		time.Sleep(100 * time.Microsecond)
		s.mu.Lock()
	}
}

func (s *toy) enter(ctx context.Context, key string) error {
	if ctx.Err() != nil && !s.is("ignores contexts", "writes under an ended context") {
		if s.is("answers ctx.Err instead of the cause") {
			return ctx.Err()
		}
		return context.Cause(ctx)
	}
	if s.closed && !s.is("goes on after Close") {
		if s.is("answers EOF after Close") {
			return errors.New("EOF")
		}
		return sd.ErrClosed
	}
	if key == "" || len(key) > maxKey || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		if !s.is("takes any key") {
			return sd.ErrInvalid
		}
	}
	return nil
}

func (s *toy) name(key string) string {
	switch s.flaw {
	case "folds the case of keys":
		return strings.ToLower(key)
	case "unescapes keys":
		if k, err := url.PathUnescape(key); err == nil {
			return k
		}
	case "cuts keys at 199 bytes":
		return key[:min(len(key), 199)]
	case "has one item":
		return "item"
	}
	return key
}

func (s *toy) find(key string) *toyItem {
	it := s.items[s.name(key)]
	switch {
	case it == nil:
		return nil
	case s.expired(it), s.is("drops an item with its context") && it.ctx.Err() != nil:
		return nil
	}
	return it
}

func (s *toy) expired(it *toyItem) bool {
	return !it.expires.IsZero() && !s.now().Before(it.expires) && !s.is("never expires")
}

func (s *toy) version(it *toyItem) sd.Version {
	switch s.flaw {
	case "makes the Version from the value":
		h := fnv.New64a()
		h.Write(it.value)
		return sd.Version{ID: h.Sum64(), Epoch: 1}
	case "counts the Versions of each item from 1":
		return sd.Version{ID: uint64(it.written), Epoch: 1}
	case "has one Version for all":
		return sd.Version{ID: s.writes, Epoch: 1}
	}
	return sd.Version{ID: it.version, Epoch: 1}
}

func (s *toy) matches(it *toyItem, v sd.Version) bool {
	return s.version(it) == v || s.is("compares no Versions") ||
		s.is("lets the zero Version match") && v == sd.Version{} ||
		s.is("ignores the Epoch") && v.ID == it.version
}

func (s *toy) Get(ctx context.Context, key string) (sd.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enter(ctx, key); err != nil {
		return sd.Item{}, err
	}
	if err := s.lateCause(ctx); err != nil {
		return sd.Item{}, err
	}
	it := s.find(key)
	switch {
	case it == nil && s.is("answers an empty item where nothing is"):
		return sd.Item{}, nil
	case it == nil, s.is("takes an empty value for none") && len(it.value) == 0:
		return sd.Item{}, sd.ErrNotFound
	}
	value := bytes.Clone(it.value)
	switch s.flaw {
	case "hands out its own slice", "hands out a slice that it writes to":
		value = it.value
	case "ends a value at NUL":
		value, _, _ = bytes.Cut(value, []byte{0})
	case "makes a Version for each Get":
		s.writes++
		it.version = s.writes
	case "puts expiry off when read":
		it.expires = s.now().Add(it.ttl)
	}
	return sd.Item{Value: value, Version: s.version(it)}, nil
}

// put stores value in it, which is in place already or new.
func (s *toy) put(ctx context.Context, it *toyItem, value []byte, ttl time.Duration) {
	fresh := bytes.Clone(value)
	switch s.flaw {
	case "keeps the caller's slice":
		fresh = value
	case "writes behind the caller's slice":
		_ = append(value, '!')
	case "cuts values at 64 KiB":
		fresh = fresh[:min(len(fresh), 1<<16)]
	case "hands out a slice that it writes to":
		fresh = append(it.value[:0], value...)
	case "writes in two halves":
		if half := min(len(it.value), len(value)) / 2; half > 0 {
			it.value = append(bytes.Clone(value[:half]), it.value[half:]...)
			s.window(s.flaw)
		}
	}
	it.value, it.ctx = fresh, ctx
	if s.is("keeps the ttl of the first write") && it.written > 0 {
		ttl = it.ttl
	}
	s.expire(it, ttl)
	s.writes++
	it.version = s.writes
	it.written++
}

func (s *toy) expire(it *toyItem, ttl time.Duration) {
	it.ttl, it.expires = ttl, time.Time{}
	switch {
	case s.is("cuts a ttl to seconds"):
		ttl = ttl.Truncate(time.Second)
	case s.is("takes a ttl of 0 for the shortest") && ttl == 0:
		ttl = time.Second
	case s.is("takes a long ttl for a date") && ttl > 30*24*time.Hour:
		ttl = 1
	}
	if ttl != 0 {
		it.expires = s.now().Add(ttl)
	}
}

// refused is what a flawed store does to an item that it leaves alone.
func (s *toy) refused(it *toyItem, ttl time.Duration) {
	switch s.flaw {
	case "makes a Version for a write it refuses":
		s.writes++
		it.version = s.writes
	case "sets the ttl of a write it refuses":
		s.expire(it, ttl)
	}
}

func (s *toy) writable(key string, value []byte, ttl time.Duration) error {
	if ttl < 0 && !s.is("takes a ttl below zero") {
		return sd.ErrInvalid
	}
	if len(value) > toyMax {
		if s.is("drops the old value with one too large") {
			delete(s.items, key)
		}
		return sd.ErrTooLarge
	}
	return nil
}

func (s *toy) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enter(ctx, key); err != nil {
		return err
	}
	if err := s.writable(key, value, ttl); err != nil {
		return err
	}
	it := s.find(key)
	s.window("adds in two steps")
	switch {
	case it != nil && !s.is("overwrites by Add"):
		s.refused(it, ttl)
		return sd.ErrExists
	case s.is("lets nothing be stored again") && s.removed[key],
		s.is("keeps the keys of expired items") && s.items[key] != nil:
		return sd.ErrExists
	case s.is("forgets an Add"):
		return nil
	case it == nil:
		it = &toyItem{}
		s.items[s.name(key)] = it
	}
	s.put(ctx, it, value, ttl)
	return s.lateCause(ctx)
}

// lateCause is the cause of an ended ctx, after the work is done.
func (s *toy) lateCause(ctx context.Context) error {
	if s.is("writes under an ended context") {
		return context.Cause(ctx)
	}
	return nil
}

// match returns the item read as v.
func (s *toy) match(key string, v sd.Version, ttl time.Duration) (*toyItem, error) {
	it := s.find(key)
	switch {
	case it == nil:
		return nil, sd.ErrNotFound
	case !s.matches(it, v):
		s.refused(it, ttl)
		return nil, sd.ErrConflict
	}
	return it, nil
}

func (s *toy) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enter(ctx, key); err != nil {
		return err
	}
	if err := s.writable(key, value, ttl); err != nil {
		return err
	}
	it, err := s.match(key, v, ttl)
	if errors.Is(err, sd.ErrNotFound) && s.is("stores what is absent by CompareAndSwap") {
		it, err = &toyItem{}, nil
		s.items[key] = it
	}
	if err != nil || s.is("forgets a CompareAndSwap") {
		return err
	}
	s.window("swaps in two steps")
	s.put(ctx, it, value, ttl)
	return s.lateCause(ctx)
}

func (s *toy) CompareAndDelete(ctx context.Context, key string, v sd.Version) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enter(ctx, key); err != nil {
		return err
	}
	_, err := s.match(key, v, 0)
	if errors.Is(err, sd.ErrNotFound) && s.is("deletes what is absent") {
		return nil
	}
	if err != nil || s.is("forgets a CompareAndDelete") {
		return err
	}
	s.window("deletes in two steps")
	delete(s.items, s.name(key))
	s.removed[key] = true
	return s.lateCause(ctx)
}

func (s *toy) Ping(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.is("is never reached by Ping") {
		return sd.ErrUnavailable
	}
	return cmp.Or(s.enter(ctx, "k"), s.lateCause(ctx))
}

func (s *toy) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed && s.is("closes once") {
		return sd.ErrClosed
	}
	s.closed = true
	return nil
}
