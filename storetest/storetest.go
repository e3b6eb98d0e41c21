// Package storetest is the contract of [sd.Store] as a test suite, and a store
// that fails on purpose.
//
// The author of a Store runs the suite from a test of their own:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) sd.Store {
//			return mystore.New(emptyDatabase(t))
//		})
//	}
//
// Each subtest is one rule and is named after it. The rules of [sd.Lister] run
// where the store implements it.
//
// [Faulty] wraps a store and loses requests, replies and items on a seeded
// schedule. It shows what an application does then.
package storetest

import (
	"context"
	"testing"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// Run runs the suite. open returns an empty store that nothing else uses; it is
// called once for each rule, one call at a time. The suite closes the store at
// the end of the test that open is given, and so may open (a second Close is
// nil).
//
// The rules about expiry wait in real time, up to four seconds, all at once: so
// about ten stores are open at the same time and must not share their items.
// The largest value that is written has 8 MiB; a store may
// refuse it with ErrTooLarge. No store needs to hold more than 16 MiB at once.
func Run(t *testing.T, open func(t *testing.T) sd.Store) {
	t.Helper()
	run(t, func(t *testing.T) *env { return newEnv(open(t), realClock{}) })
}

// RunWithClock is Run for a store whose clock can be set: now is the clock that
// the store must use for expiry. The suite moves it by hand, so that nothing
// waits. now is safe for concurrent use.
func RunWithClock(t *testing.T, open func(t *testing.T, now func() time.Time) sd.Store) {
	t.Helper()
	run(t, func(t *testing.T) *env {
		clock := newFakeClock()
		return newEnv(open(t, clock.Now), clock)
	})
}

// rule is one line of the contract. check fails by [env.failf].
type rule struct {
	name  string
	check func(e *env)
}

// group is a set of rules under one subtest.
type group struct {
	name  string
	rules []rule
	waits bool // its rules let time pass, and do so at the same time
	lists bool // its rules need a Lister
}

var groups = []group{
	{name: "Get", rules: getRules},
	{name: "Add", rules: addRules},
	{name: "CompareAndSwap", rules: swapRules},
	{name: "CompareAndDelete", rules: deleteRules},
	{name: "Version", rules: versionRules},
	{name: "Value", rules: valueRules},
	{name: "Arguments", rules: argumentRules},
	{name: "Context", rules: contextRules},
	{name: "Concurrency", rules: concurrencyRules},
	{name: "Expiry", rules: expiryRules, waits: true},
	{name: "Keys", rules: keysRules, lists: true},
	{name: "Ping", rules: pingRules},
	{name: "Close", rules: closeRules},
}

// run makes a subtest of each group and rule.
func run(t *testing.T, open func(t *testing.T) *env) {
	t.Helper()
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			switch {
			case g.waits:
				runTogether(t, g.rules, open)
				return
			case g.lists && !opened(t, open).canList():
				t.Log("the store cannot list its keys: nothing to check")
				return
			}
			for _, r := range g.rules {
				t.Run(r.name, func(t *testing.T) {
					if err := r.try(opened(t, open)); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}

// runTogether lets all rules wait at the same time, whatever -parallel says,
// and then reports each as a subtest.
func runTogether(t *testing.T, rules []rule, open func(t *testing.T) *env) {
	t.Helper()
	results := make([]chan error, len(rules))
	for i, r := range rules {
		e := opened(t, open)
		results[i] = make(chan error, 1)
		go func() { results[i] <- r.try(e) }()
	}
	errs := make([]error, len(rules))
	for i := range rules { // even those whose subtest -run leaves out use their store until here
		errs[i] = <-results[i]
	}
	for i, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			if errs[i] != nil {
				t.Error(errs[i])
			}
		})
	}
}

// opened opens a store and closes it when t ends.
func opened(t *testing.T, open func(t *testing.T) *env) *env {
	t.Helper()
	e := open(t)
	t.Cleanup(func() {
		if err := e.store.Close(); err != nil {
			t.Errorf("Close at the end of the test: %v", err)
		}
	})
	return e
}

// try checks the rule and returns what violates it.
func (r rule) try(e *env) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case violation:
			err = p
		default:
			panic(p)
		}
	}()
	r.check(e)
	return nil
}

// patience is how long a call may take that must not block.
const patience = 10 * time.Second

func newEnv(store sd.Store, c clock) *env {
	return &env{ctx: context.Background(), store: store, clock: c, patience: patience}
}
