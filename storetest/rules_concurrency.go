package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// racers is the number of goroutines that meet at one key, rounds how often:
// one meeting alone seldom hits the window.
const (
	racers = 8
	rounds = 40
)

var concurrencyRules = []rule{
	{"of many Adds of one key one wins", func(e *env) {
		for round := range rounds {
			key := fmt.Sprint("k", round)
			errs := race(racers, func(i int) error {
				return e.store.Add(e.ctx, key, []byte(strconv.Itoa(i)), 0)
			})
			if won := e.winners("Add", errs, sd.ErrExists); won != 1 {
				e.failf("%d of %d Adds of one key were told that they stored it", won, racers)
			}
			e.holds(key, strconv.Itoa(winner(errs)))
		}
	}},
	{"of many CompareAndSwaps of one Version one wins", func(e *env) {
		e.add("k", "start", 0)
		for range rounds {
			v := e.get("k").Version
			errs := race(racers, func(i int) error {
				return e.store.CompareAndSwap(e.ctx, "k", []byte(strconv.Itoa(i)), 0, v)
			})
			if won := e.winners("CompareAndSwap", errs, sd.ErrConflict); won != 1 {
				e.failf("%d of %d CompareAndSwaps of one Version were told that they stored it", won, racers)
			}
			e.holds("k", strconv.Itoa(winner(errs)))
		}
	}},
	{"of many CompareAndDeletes of one Version one wins", func(e *env) {
		for range rounds {
			e.add("k", "v", 0)
			v := e.get("k").Version
			errs := race(racers, func(int) error { return e.store.CompareAndDelete(e.ctx, "k", v) })
			if won := e.winners("CompareAndDelete", errs, sd.ErrNotFound); won != 1 {
				e.failf("%d of %d CompareAndDeletes of one Version were told that they removed it", won, racers)
			}
			e.absent("k")
		}
	}},
	{"of a CompareAndSwap and a CompareAndDelete of one Version one wins", func(e *env) {
		for round := range rounds {
			swaps := func(i int) bool { return (i+round)%2 == 0 } // the first to start is now this, now that
			e.add("k", "v", 0)
			v := e.get("k").Version
			errs := race(racers, func(i int) error {
				if swaps(i) {
					return e.store.CompareAndSwap(e.ctx, "k", []byte(strconv.Itoa(i)), 0, v)
				}
				return e.store.CompareAndDelete(e.ctx, "k", v)
			})
			if won := e.winners("a write", errs, sd.ErrConflict, sd.ErrNotFound); won != 1 {
				e.failf("%d of %d writes of one Version were told that they won", won, racers)
			}
			if i := winner(errs); swaps(i) {
				e.remove("k", e.holds("k", strconv.Itoa(i)))
			} else {
				e.absent("k")
			}
		}
	}},
	{"a counter raised by CompareAndSwap loses nothing", func(e *env) {
		const each = 25
		e.add("k", "0", 0)
		for _, err := range race(racers, func(int) error {
			for range each {
				if err := e.increment("k"); err != nil {
					return err
				}
			}
			return nil
		}) {
			e.want("raising the counter", err, nil)
		}
		e.holds("k", strconv.Itoa(racers*each))
	}},
	{"a counter that is also removed and added anew loses nothing", func(e *env) {
		// Each turn raises the counter, or removes it and adds it back one
		// higher; in between others may find it absent, and wait.
		const each = 10
		e.add("k", "0", 0)
		for _, err := range race(racers, func(i int) error {
			for turn := range each {
				var err error
				if (i+turn)%2 == 0 {
					err = e.increment("k")
				} else {
					err = e.replace("k")
				}
				if err != nil {
					return err
				}
			}
			return nil
		}) {
			e.want("raising the counter", err, nil)
		}
		e.holds("k", strconv.Itoa(racers*each))
	}},
	{"readers see whole values only", func(e *env) {
		sizes := []int{1, 100, 1000, 5000, 20_000}
		e.want("Add", e.store.Add(e.ctx, "k", uniform(0, sizes[0]), 0), nil)
		for _, err := range race(racers, func(i int) error {
			for turn := range rounds {
				it, err := e.store.Get(e.ctx, "k")
				if err != nil {
					return err
				}
				if len(it.Value) == 0 || !bytes.Equal(it.Value, uniform(it.Value[0], len(it.Value))) {
					return fmt.Errorf("a value of %d bytes is mixed from two writes", len(it.Value))
				}
				if i%2 == 0 {
					next := uniform(byte(i*rounds+turn), sizes[(i+turn)%len(sizes)])
					err = e.store.CompareAndSwap(e.ctx, "k", next, 0, it.Version)
					if err != nil && !errors.Is(err, sd.ErrConflict) {
						return err
					}
				}
			}
			return nil
		}) {
			e.want("reading and writing one key", err, nil)
		}
	}},
	{"writers of different keys do not meet", func(e *env) {
		for _, err := range race(racers, func(i int) error {
			key := fmt.Sprint("k", i)
			if err := e.store.Add(e.ctx, key, []byte(key), 0); err != nil {
				return err
			}
			for turn := range rounds {
				it, err := e.store.Get(e.ctx, key)
				if err != nil {
					return err
				}
				if want := key + strconv.Itoa(turn-1); turn > 0 && string(it.Value) != want {
					return fmt.Errorf("key %s holds %s, want %q", key, brief(it.Value), want)
				}
				runtime.Gosched() // let the others write meanwhile
				if err := e.store.CompareAndSwap(e.ctx, key, []byte(key+strconv.Itoa(turn)), 0, it.Version); err != nil {
					return err
				}
			}
			return nil
		}) {
			e.want("writing a key that nobody else writes", err, nil)
		}
	}},
}

// winner returns the index of the first nil among errs.
func winner(errs []error) int {
	for i, err := range errs {
		if err == nil {
			return i
		}
	}
	return -1
}

// uniform returns size bytes of c.
func uniform(c byte, size int) []byte { return bytes.Repeat([]byte{c}, size) }

// increment raises the counter under key by one.
func (e *env) increment(key string) error {
	return e.insist(key, func(n int64, v sd.Version) error {
		return e.store.CompareAndSwap(e.ctx, key, strconv.AppendInt(nil, n+1, 10), 0, v)
	})
}

// replace removes the counter under key and adds it back one higher.
func (e *env) replace(key string) error {
	var next []byte
	err := e.insist(key, func(n int64, v sd.Version) error {
		next = strconv.AppendInt(nil, n+1, 10)
		return e.store.CompareAndDelete(e.ctx, key, v)
	})
	if err != nil {
		return err
	}
	return e.store.Add(e.ctx, key, next, 0)
}

// insist reads the counter under key and calls write, again and again as long
// as somebody else is quicker. It gives up after e.patience.
func (e *env) insist(key string, write func(n int64, v sd.Version) error) error {
	for start := time.Now(); time.Since(start) < e.patience; runtime.Gosched() {
		n, v, err := e.counter(key)
		if err == nil {
			err = write(n, v)
			if err == nil {
				return nil
			}
		}
		if !errors.Is(err, sd.ErrConflict) && !errors.Is(err, sd.ErrNotFound) {
			return err
		}
	}
	return fmt.Errorf("a conditional write was refused again and again, for %v", e.patience)
}

// counter reads the counter under key.
func (e *env) counter(key string) (int64, sd.Version, error) {
	it, err := e.store.Get(e.ctx, key)
	if err != nil {
		return 0, sd.Version{}, err
	}
	n, err := strconv.ParseInt(string(it.Value), 10, 64)
	return n, it.Version, err
}
