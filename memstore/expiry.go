package memstore

import (
	"container/heap"
	"math"
	"time"
)

// never is item.expires of an item without a ttl.
const never = time.Duration(math.MaxInt64)

// sweepPerWrite bounds the expired items that one write drops beside its own
// work. It adds at most one item, so any number above one lets the sweep catch
// up with whatever has expired.
const sweepPerWrite = 4

// elapsed returns the present time, counted from Store.start.
func (s *Store) elapsed() time.Duration {
	if s.now == nil {
		return time.Since(s.start) // half the cost of time.Now
	}
	return s.now().Sub(s.start)
}

// expiryHeap holds the items that can expire, the one that does so first at 0.
type expiryHeap []*item

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].expires < h[j].expires }

func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i, j
}

// Push implements [heap.Interface].
func (h *expiryHeap) Push(x any) {
	it := x.(*item)
	it.slot = len(*h)
	*h = append(*h, it)
}

// Pop implements [heap.Interface].
func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	it := (*h)[last]
	(*h)[last] = nil // do not keep it in memory
	*h = (*h)[:last]
	it.slot = -1
	return it
}

// schedule sets the time at which it expires. A ttl of 0, or one that ends
// after all time that can be counted, is never.
func (s *Store) schedule(it *item, now, ttl time.Duration) {
	if ttl == 0 || (now > 0 && ttl >= never-now) {
		s.unschedule(it)
		it.expires = never
		return
	}
	it.expires = now + ttl
	if it.slot < 0 {
		heap.Push(&s.byExpiry, it)
	} else {
		heap.Fix(&s.byExpiry, it.slot)
	}
}

// unschedule takes it out of the heap.
func (s *Store) unschedule(it *item) {
	if it.slot >= 0 {
		heap.Remove(&s.byExpiry, it.slot)
	}
}

// sweep drops a bounded number of expired items.
func (s *Store) sweep(now time.Duration) {
	for range sweepPerWrite {
		if !s.expireFirst(now) {
			return
		}
	}
}

// expireFirst drops the item that expires first and reports true, if its time
// has come.
func (s *Store) expireFirst(now time.Duration) bool {
	if len(s.byExpiry) == 0 || s.byExpiry[0].expires > now {
		return false
	}
	s.expire(s.byExpiry[0])
	return true
}

// expire drops it because its time has come.
func (s *Store) expire(it *item) {
	s.remove(it)
	s.expired++
}
