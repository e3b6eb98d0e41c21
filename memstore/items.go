package memstore

import (
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// All methods in this file are called with Store.mu held.

// size is what the item counts against Config.MaxBytes.
func (it *item) size() int64 { return sizeOf(it.key, it.value) }

func sizeOf(key string, value []byte) int64 {
	return int64(len(key)) + int64(len(value)) + ItemOverhead
}

// find returns the item that key holds at now. A key is checked only where
// nothing is found, since Add lets no invalid one in.
func (s *Store) find(key string, now time.Duration) (*item, error) {
	if s.closed {
		return nil, sd.ErrClosed
	}
	if it := s.live(key, now); it != nil {
		return it, nil
	}
	if err := checkKey(key); err != nil {
		return nil, err
	}
	return nil, sd.ErrNotFound
}

// match returns the item that key holds at now if it is the one read as v.
func (s *Store) match(key string, v sd.Version, now time.Duration) (*item, error) {
	it, err := s.find(key, now)
	if err != nil {
		return nil, err
	}
	if v != (sd.Version{ID: it.version, Epoch: s.epoch}) {
		return nil, sd.ErrConflict
	}
	return it, nil
}

// live returns the item that key holds at now, else nil. It drops the item if
// it has expired.
func (s *Store) live(key string, now time.Duration) *item {
	it := s.items[key]
	if it != nil && it.expires <= now {
		s.expire(it)
		return nil
	}
	return it
}

// written completes the write of an item whose value, and whose part of bytes,
// is already in place: a version that no write had before, the time of expiry,
// the most recent use; then it brings the store back under its bound.
func (s *Store) written(it *item, now, ttl time.Duration) {
	s.writes++
	it.version = s.writes
	s.schedule(it, now, ttl)
	s.use(it)
	s.sweep(now)
	// The item itself fits and is the most recently used: the loop ends
	// before it would be dropped.
	for s.bytes > s.max {
		if s.expireFirst(now) {
			continue
		}
		s.remove(s.recent.prev)
		s.evicted++
	}
}

// use makes it the most recently used item.
func (s *Store) use(it *item) {
	head := &s.recent
	if head.next == it {
		return
	}
	it.unlink()
	it.prev, it.next = head, head.next
	it.next.prev, head.next = it, it
}

// unlink takes it out of the ring, where it may not have been yet.
func (it *item) unlink() {
	if it.next == nil {
		return
	}
	it.prev.next, it.next.prev = it.next, it.prev
	it.prev, it.next = nil, nil
}

// remove takes it out of everything.
func (s *Store) remove(it *item) {
	it.unlink()
	s.unschedule(it)
	delete(s.items, it.key)
	s.bytes -= it.size()
}
