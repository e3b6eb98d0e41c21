package storetest

import (
	"errors"
	"fmt"
	"math"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

const (
	grace = 2 * time.Second        // by which an item may outlive its ttl
	slack = 250 * time.Millisecond // allowed to the measurement itself
	tick  = 50 * time.Millisecond  // between two looks
)

var expiryRules = []rule{
	{"never comes before the ttl", func(e *env) {
		ttls := []time.Duration{tick, 400 * time.Millisecond, time.Second, 1500 * time.Millisecond, 2 * time.Second}
		start := e.clock.Now()
		for _, ttl := range ttls {
			e.add(fmt.Sprint("add", ttl), "v", ttl)
			e.add(fmt.Sprint("swap", ttl), "w", 0)
			e.swap(fmt.Sprint("swap", ttl), "v", ttl, e.get(fmt.Sprint("swap", ttl)).Version)
		}
		for e.clock.Now().Sub(start) < ttls[len(ttls)-1] {
			for _, ttl := range ttls {
				e.notEarly(fmt.Sprint("add", ttl), start, ttl)
				e.notEarly(fmt.Sprint("swap", ttl), start, ttl)
			}
			e.clock.Sleep(tick)
		}
	}},
	{"comes within two seconds after the ttl", func(e *env) {
		e.add("nanosecond", "v", 1)
		e.add("millisecond", "v", time.Millisecond)
		e.add("second", "v", time.Second)
		e.add("swapped", "v", 0)
		e.swap("swapped", "v", time.Second, e.get("swapped").Version)
		e.add("shortened", "v", time.Hour)
		e.swap("shortened", "v", time.Second, e.get("shortened").Version)
		e.clock.Sleep(time.Second + grace + slack)
		for _, key := range []string{"nanosecond", "millisecond", "second", "swapped", "shortened"} {
			e.expired(key)
		}
	}},
	{"is not put off by reading", func(e *env) {
		e.add("k", "v", time.Second)
		for range 10 {
			_, err := e.store.Get(e.ctx, "k")
			if err != nil && !errors.Is(err, sd.ErrNotFound) {
				e.failf("Get: %v", err)
			}
			e.clock.Sleep((time.Second + grace + slack) / 10)
		}
		e.expired("k")
	}},
	{"never comes to a ttl of 0", func(e *env) {
		e.add("added", "v", 0)
		e.add("swapped", "v", time.Second)
		e.swap("swapped", "v", 0, e.get("swapped").Version)
		e.clock.Sleep(time.Second + grace + slack)
		e.holds("added", "v")
		e.holds("swapped", "v")
	}},
	{"follows the ttl of the latest write", func(e *env) {
		e.add("longer", "v", time.Second)
		e.swap("longer", "v", time.Hour, e.get("longer").Version)
		e.add("shorter", "v", time.Hour)
		e.swap("shorter", "v", time.Second, e.get("shorter").Version)
		e.clock.Sleep(time.Second + grace + slack)
		e.holds("longer", "v")
		e.expired("shorter")
	}},
	{"is not changed by a write that was refused", func(e *env) {
		e.add("long", "base", 0)
		e.add("short", "base", 0)
		staleLong, staleShort := e.get("long").Version, e.get("short").Version
		e.swap("long", "v", 0, staleLong)
		e.swap("short", "v", time.Second, staleShort)
		e.want("Add to a taken key", e.store.Add(e.ctx, "long", []byte("x"), time.Second), sd.ErrExists)
		e.want("Add to a taken key", e.store.Add(e.ctx, "short", []byte("x"), 0), sd.ErrExists)
		e.want("CompareAndSwap of a stale Version",
			e.store.CompareAndSwap(e.ctx, "long", []byte("x"), time.Second, staleLong), sd.ErrConflict)
		e.want("CompareAndSwap of a stale Version",
			e.store.CompareAndSwap(e.ctx, "short", []byte("x"), 0, staleShort), sd.ErrConflict)
		e.clock.Sleep(time.Second + grace + slack)
		e.holds("long", "v")
		e.expired("short")
	}},
	{"leaves the key free and the old Version stale", func(e *env) {
		e.add("k", "v", time.Millisecond)
		it, err := e.store.Get(e.ctx, "k")
		e.clock.Sleep(time.Millisecond + grace + slack)
		if err == nil { // else it was gone at once, as it may
			e.want("CompareAndSwap of an expired item",
				e.store.CompareAndSwap(e.ctx, "k", []byte("w"), 0, it.Version), sd.ErrNotFound)
			e.want("CompareAndDelete of an expired item",
				e.store.CompareAndDelete(e.ctx, "k", it.Version), sd.ErrNotFound)
		}
		e.add("k", "v", 0)
		e.conflicts("k", "v", it.Version)
	}},
	{"hides the key from a listing", func(e *env) {
		if !e.canList() {
			return
		}
		e.add("stays", "v", time.Hour)
		e.add("expires", "v", time.Millisecond)
		e.clock.Sleep(time.Millisecond + grace + slack)
		e.lists("", "stays")
	}},
	{"is far away where the ttl is long", func(e *env) {
		const day = 24 * time.Hour
		ttls := []time.Duration{
			time.Hour, 30*day - time.Second, 30 * day, 30*day + time.Second, 366 * day, 5 * 365 * day,
			math.MaxInt64 / 2, math.MaxInt64 - 1, math.MaxInt64,
		}
		for _, ttl := range ttls {
			e.add(fmt.Sprint("add", ttl), "v", ttl)
			e.add(fmt.Sprint("swap", ttl), "w", time.Second)
			e.swap(fmt.Sprint("swap", ttl), "v", ttl, e.get(fmt.Sprint("swap", ttl)).Version)
		}
		e.clock.Sleep(time.Second + grace + slack)
		for _, ttl := range ttls {
			for _, way := range []string{"add", "swap"} {
				if _, err := e.store.Get(e.ctx, fmt.Sprint(way, ttl)); err != nil {
					e.failf("an item with a ttl of %v is gone after 3 s: %v", ttl, err)
				}
			}
		}
	}},
}

// notEarly fails the rule if key is gone although its ttl, counted from start,
// has not passed. start is from before the write, and the time is taken after
// the answer: what a slow machine adds can only make the check milder.
func (e *env) notEarly(key string, start time.Time, ttl time.Duration) {
	_, err := e.store.Get(e.ctx, key)
	if age := e.clock.Now().Sub(start); err != nil && age < ttl {
		e.failf("an item with a ttl of %v is gone after %v: %v", ttl, age, err)
	}
}

// expired fails the rule unless key is gone.
func (e *env) expired(key string) {
	if _, err := e.store.Get(e.ctx, key); !errors.Is(err, sd.ErrNotFound) {
		e.failf("item %q outlives its ttl by more than %v: got error %v, want ErrNotFound", key, grace, quoted(err))
	}
}
