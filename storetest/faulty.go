package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// Faulty is a [sd.Store] that passes its calls on to another one and lets some
// of them fail, as networks and caches do, on the schedule of its FaultConfig.
// It keeps the Store contract: an error says no more and no less than the
// caller of a real store would know, except that a write which meets a fault
// has its arguments checked only when it reaches the wrapped store, if at all.
// Look into the wrapped store for the truth.
//
// A Faulty stands for one client. Several over one store, each with
// FaultConfig.Shared, are several clients; one that dies leaves the others
// alone.
//
// Nothing waits: a delayed write arrives during a later call of the same
// Faulty, or of Flush. A Faulty is safe for concurrent use; used by one
// goroutine it does the same at each run of the same calls.
type Faulty struct {
	store sd.Store
	cfg   FaultConfig

	mu      sync.Mutex // not held while store is called
	rng     *rand.Rand
	calls   int
	writes  int
	dead    bool
	closed  bool
	counts  [faults]int
	delayed []delayedWrite
	known   keySet // that hold an item, for all that this client knows
}

// delayedWrite is a write that reaches the store during call number due, or as
// soon after it as there is a call.
type delayedWrite struct {
	due   int
	write func() error
}

// NewFaulty returns a Faulty over store. It panics if cfg makes no sense,
// naming all that is wrong with it.
func NewFaulty(store sd.Store, cfg FaultConfig) *Faulty {
	if err := cfg.check(); err != nil {
		panic(err)
	}
	if cfg.MaxDelay == 0 {
		cfg.MaxDelay = 16
	}
	return &Faulty{store: store, cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0))}
}

// Get implements [sd.Store].
func (f *Faulty) Get(ctx context.Context, key string) (sd.Item, error) {
	if err := f.read(ctx); err != nil {
		return sd.Item{}, err
	}
	it, err := f.store.Get(ctx, key)
	f.saw(key, err)
	return it, err
}

// Add implements [sd.Store].
func (f *Faulty) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return f.write(ctx, call{add: true, value: value, do: func(ctx context.Context, value []byte) error {
		err := f.store.Add(ctx, key, value, ttl)
		f.saw(key, err)
		return err
	}})
}

// CompareAndSwap implements [sd.Store].
func (f *Faulty) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	return f.write(ctx, call{value: value, do: func(ctx context.Context, value []byte) error {
		err := f.store.CompareAndSwap(ctx, key, value, ttl, v)
		f.saw(key, err)
		return err
	}})
}

// CompareAndDelete implements [sd.Store].
func (f *Faulty) CompareAndDelete(ctx context.Context, key string, v sd.Version) error {
	return f.write(ctx, call{do: func(ctx context.Context, _ []byte) error {
		err := f.store.CompareAndDelete(ctx, key, v)
		if err == nil {
			f.forget(key)
		} else {
			f.saw(key, err)
		}
		return err
	}})
}

// Ping implements [sd.Store].
func (f *Faulty) Ping(ctx context.Context) error {
	if err := f.read(ctx); err != nil {
		return err
	}
	return f.store.Ping(ctx)
}

// Keys implements [sd.Lister] where the wrapped store does. Elsewhere the
// listing is ErrNotSupported alone.
func (f *Faulty) Keys(ctx context.Context, prefix string) iter.Seq2[sd.KeyInfo, error] {
	return func(yield func(sd.KeyInfo, error) bool) {
		lister, ok := f.store.(sd.Lister)
		if !ok {
			yield(sd.KeyInfo{}, fmt.Errorf("%w: the store cannot list its keys", sd.ErrNotSupported))
			return
		}
		failure := f.read(ctx)
		before := 0 // keys before the failure
		if errors.Is(failure, errRead) {
			before = f.draw(8)
		}
		if failure != nil && before == 0 {
			yield(sd.KeyInfo{}, failure)
			return
		}
		for info, err := range lister.Keys(ctx, prefix) {
			if failure != nil && before == 0 {
				break
			}
			before--
			if !yield(info, err) || err != nil {
				return
			}
		}
		if failure != nil {
			yield(sd.KeyInfo{}, failure)
		}
	}
}

// Close closes the wrapped store, unless FaultConfig.Shared is set or this
// client has died. Writes that are still delayed are not waited for.
func (f *Faulty) Close() error {
	f.mu.Lock()
	dead := f.dead
	f.closed = true
	f.mu.Unlock()
	if dead || f.cfg.Shared {
		return nil
	}
	return f.store.Close()
}

// Flush lets every delayed write reach the store, also those of a client that
// has died or was closed: they are on their way all the same.
func (f *Faulty) Flush() {
	f.mu.Lock()
	late := f.delayed
	f.delayed = nil
	f.mu.Unlock()
	arrive(late)
}

// Kill ends the client as DieBefore does, though not at a write.
func (f *Faulty) Kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = true
}

// Died reports whether the client has died.
func (f *Faulty) Died() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

// Writes returns the number of writes that this client was asked for, without
// those that its death, Close or an ended context kept back: the highest number
// that FaultConfig.Plan could have used so far.
func (f *Faulty) Writes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes
}

// Count returns how many faults of these kinds have been injected; without
// kinds, of all.
func (f *Faulty) Count(kinds ...Fault) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	if len(kinds) == 0 {
		for _, c := range f.counts {
			n += c
		}
	}
	for _, k := range kinds {
		n += f.counts[k]
	}
	return n
}

// String tells the seed and what was injected so far.
func (f *Faulty) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d calls, %d writes", f.cfg.Seed, f.calls, f.writes)
	for kind, n := range f.counts {
		if n > 0 {
			fmt.Fprintf(&b, ", %d %v", n, Fault(kind))
		}
	}
	return b.String()
}

// call is one write on its way. do may be called after the caller's write has
// returned; value must then be a copy.
type call struct {
	add   bool
	value []byte
	do    func(ctx context.Context, value []byte) error
}

// write lets c meet its fault, if any.
func (f *Faulty) write(ctx context.Context, c call) error {
	if ctx.Err() != nil {
		return c.do(ctx, c.value) // the store refuses it before it is sent
	}
	if err := f.enter(); err != nil {
		return err
	}
	kind, err := f.nextWrite(c.add)
	if err != nil {
		return err
	}
	switch kind {
	case Refuse:
		f.count(kind)
		return errRefused
	case LoseRequest:
		f.count(kind)
		return errLost
	case Delay:
		f.count(kind)
		value := bytes.Clone(c.value)
		ctx = context.WithoutCancel(ctx) // what has been sent cannot be called back
		f.postpone(func() error { return c.do(ctx, value) })
		return errLost
	case LoseReply:
		err := c.do(ctx, c.value)
		if !isReply(err) {
			return err
		}
		f.count(kind)
		return errLost
	case DieBefore:
		f.count(kind)
		return errDying
	case DieAfter:
		f.count(kind)
		_ = c.do(ctx, c.value) // nobody is left to hear the answer
		return errDying
	default:
		return c.do(ctx, c.value)
	}
}

// isReply reports whether err is an answer that came from the store, and can be
// lost on the way. All else is found on the client's side.
func isReply(err error) bool {
	return err == nil || errors.Is(err, sd.ErrExists) || errors.Is(err, sd.ErrConflict) || errors.Is(err, sd.ErrNotFound)
}

// read begins a Get, Ping or Keys and draws whether it fails. An ended ctx is
// left to the store.
func (f *Faulty) read(ctx context.Context) error {
	if ctx.Err() != nil {
		return nil
	}
	if err := f.enter(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rng.Float64() < f.cfg.FailRead {
		f.counts[FailRead]++
		return errRead
	}
	return nil
}
