package storetest

import (
	"errors"
	"fmt"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

var pingRules = []rule{
	{"of an open store is nil", func(e *env) {
		e.want("Ping", e.store.Ping(e.ctx), nil)
		e.add("k", "v", 0)
		e.want("Ping", e.store.Ping(e.ctx), nil)
	}},
}

var closeRules = []rule{
	{"makes later calls ErrClosed", func(e *env) {
		e.add("k", "v", 0)
		v := e.get("k").Version
		e.want("Close", e.store.Close(), nil)
		e.closed("k", v)
		e.closed("other", v)
	}},
	{"a second time is nil", func(e *env) {
		e.add("k", "v", 0)
		e.want("Close", e.store.Close(), nil)
		e.want("a second Close", e.store.Close(), nil)
		e.closed("k", sd.Version{})
	}},
	{"by several at once is nil for each", func(e *env) {
		for _, err := range race(racers, func(int) error { return e.store.Close() }) {
			e.want("Close", err, nil)
		}
		e.closed("k", sd.Version{})
	}},
	{"amid other calls lets them end", func(e *env) {
		e.within("calls during Close", func() {
			for i, err := range race(racers, func(i int) error {
				if i == 0 {
					return e.store.Close()
				}
				return e.untilClosed(fmt.Sprint("k", i))
			}) {
				e.want(fmt.Sprint("goroutine ", i), err, nil)
			}
		})
		e.closed("k", sd.Version{})
	}},
}

// closed fails the rule unless every method answers ErrClosed.
func (e *env) closed(key string, v sd.Version) {
	_, err := e.store.Get(e.ctx, key)
	e.want("Get after Close", err, sd.ErrClosed)
	e.want("Add after Close", e.store.Add(e.ctx, key, []byte("v"), 0), sd.ErrClosed)
	e.want("CompareAndSwap after Close", e.store.CompareAndSwap(e.ctx, key, []byte("v"), 0, v), sd.ErrClosed)
	e.want("CompareAndDelete after Close", e.store.CompareAndDelete(e.ctx, key, v), sd.ErrClosed)
	e.want("Ping after Close", e.store.Ping(e.ctx), sd.ErrClosed)
}

// untilClosed works on one key until the store is closed. Calls that Close
// overtakes may be ErrUnavailable, and writes ErrOutcomeUnknown.
func (e *env) untilClosed(key string) error {
	overtaken := func(err error) bool {
		return err == nil || errors.Is(err, sd.ErrUnavailable) || errors.Is(err, sd.ErrOutcomeUnknown)
	}
	for giveUp := time.Now().Add(e.patience / 2); time.Now().Before(giveUp); {
		err := e.store.Add(e.ctx, key, []byte("v"), 0)
		if errors.Is(err, sd.ErrClosed) {
			return nil
		}
		if !overtaken(err) && !errors.Is(err, sd.ErrExists) {
			return err
		}
		it, err := e.store.Get(e.ctx, key)
		if errors.Is(err, sd.ErrClosed) {
			return nil
		}
		if !overtaken(err) && !errors.Is(err, sd.ErrNotFound) {
			return err
		}
		err = e.store.CompareAndDelete(e.ctx, key, it.Version)
		if errors.Is(err, sd.ErrClosed) {
			return nil
		}
		if !overtaken(err) && !errors.Is(err, sd.ErrNotFound) && !errors.Is(err, sd.ErrConflict) {
			return err
		}
	}
	return errors.New("no call answers ErrClosed")
}
