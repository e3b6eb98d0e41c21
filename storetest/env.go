package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// env is what a rule works with: one empty store, and the clock by which its
// items expire. Its methods fail the rule; only one goroutine may use them.
type env struct {
	ctx      context.Context
	store    sd.Store
	clock    clock
	patience time.Duration
}

// violation says how a store breaks a rule. It is thrown by failf, and caught
// by rule.try.
type violation struct{ text string }

func (v violation) Error() string { return v.text }

// failf ends the rule: the store breaks it.
func (e *env) failf(format string, args ...any) {
	panic(violation{fmt.Sprintf(format, args...)})
}

// want fails the rule unless err matches target; a nil target wants success.
func (e *env) want(what string, err, target error) {
	if !errors.Is(err, target) {
		e.failf("%s: got error %v, want %v", what, quoted(err), quoted(target))
	}
}

func quoted(err error) string {
	if err == nil {
		return "nil"
	}
	return fmt.Sprintf("%q", err)
}

// add is an Add that must succeed.
func (e *env) add(key, value string, ttl time.Duration) {
	e.want("Add", e.store.Add(e.ctx, key, []byte(value), ttl), nil)
}

// get is a Get that must succeed.
func (e *env) get(key string) sd.Item {
	it, err := e.store.Get(e.ctx, key)
	e.want("Get", err, nil)
	return it
}

// swap is a CompareAndSwap that must succeed.
func (e *env) swap(key, value string, ttl time.Duration, v sd.Version) {
	e.want("CompareAndSwap", e.store.CompareAndSwap(e.ctx, key, []byte(value), ttl, v), nil)
}

// remove is a CompareAndDelete that must succeed.
func (e *env) remove(key string, v sd.Version) {
	e.want("CompareAndDelete", e.store.CompareAndDelete(e.ctx, key, v), nil)
}

// holds fails the rule unless key holds value. It returns the version.
func (e *env) holds(key, value string) sd.Version {
	it := e.get(key)
	if !bytes.Equal(it.Value, []byte(value)) {
		e.failf("Get: got %s, want %s", brief(it.Value), brief([]byte(value)))
	}
	return it.Version
}

// absent fails the rule unless key holds nothing.
func (e *env) absent(key string) {
	it, err := e.store.Get(e.ctx, key)
	if err == nil {
		e.failf("Get: got %s, want ErrNotFound", brief(it.Value))
	}
	e.want("Get", err, sd.ErrNotFound)
}

// brief shows a value, or only its size if it is long.
func brief(value []byte) string {
	if len(value) > 40 {
		return fmt.Sprintf("%d bytes", len(value))
	}
	return fmt.Sprintf("%q", value)
}

// race calls fn from n goroutines that start together, and returns their
// errors.
func race(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = fn(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// winners counts the errors that are nil, and fails the rule if another
// matches none of losers.
func (e *env) winners(what string, errs []error, losers ...error) int {
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		known := false
		for _, l := range losers {
			known = known || errors.Is(err, l)
		}
		if !known {
			e.failf("%s: unexpected error %q", what, err)
		}
	}
	return won
}

// within fails the rule if fn takes longer than e.patience, as a store does
// that blocks for ever. fn's own failures count as usual.
func (e *env) within(what string, fn func()) {
	done := make(chan error, 1)
	go func() { done <- rule{check: func(*env) { fn() }}.try(e) }()
	timer := time.NewTimer(e.patience)
	defer timer.Stop()
	select {
	case err := <-done:
		if err != nil {
			e.failf("%s: %v", what, err)
		}
	case <-timer.C:
		e.failf("%s: no answer after %v", what, e.patience)
	}
}

// clock is the time by which items expire.
type clock interface {
	Now() time.Time
	Sleep(d time.Duration)
}

type realClock struct{}

func (realClock) Now() time.Time        { return time.Now() }
func (realClock) Sleep(d time.Duration) { time.Sleep(d) }

// fakeClock stands still until Sleep moves it.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

// newFakeClock starts in the middle of a second, since a store that counts in
// seconds errs there, if at all.
func newFakeClock() *fakeClock {
	return &fakeClock{now: time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Sleep(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
