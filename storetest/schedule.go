package storetest

import (
	"context"
	"errors"
	"slices"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// enter begins a call: it refuses it if the client is dead or closed, lets
// delayed writes arrive whose time has come, and evicts.
func (f *Faulty) enter() error {
	f.mu.Lock()
	switch {
	case f.dead:
		f.mu.Unlock()
		return errDead
	case f.closed:
		f.mu.Unlock()
		return sd.ErrClosed
	}
	f.calls++
	late := f.due()
	victim := ""
	if f.rng.Float64() < f.cfg.Evict && f.known.len() > 0 {
		victim = f.known.at(f.rng.IntN(f.known.len()))
	}
	f.mu.Unlock()

	arrive(late)
	if victim != "" {
		f.evict(victim)
	}
	return nil
}

// nextWrite numbers a write and returns its fault. A client that dies is dead
// from here on: of writes that began before, none is sent any more.
func (f *Faulty) nextWrite(add bool) (Fault, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return None, errDead
	}
	f.writes++
	kind, planned := f.cfg.Plan[f.writes]
	if drawn := f.drawWrite(add); !planned { // drawn in any case: the schedule behind a planned write stays
		kind = drawn
	}
	if kind == DieBefore || kind == DieAfter {
		f.dead = true
	}
	return kind, nil
}

// drawWrite draws the fault of a write. It is called with mu held.
func (f *Faulty) drawWrite(add bool) Fault {
	p := f.rng.Float64()
	for _, c := range []struct {
		kind   Fault
		chance float64
	}{
		{Refuse, f.cfg.Refuse},
		{LoseRequest, f.cfg.LoseRequest},
		{LoseReply, f.cfg.LoseReply},
		{Delay, f.cfg.Delay},
	} {
		if p < c.chance {
			if c.kind == Delay && add && f.cfg.NoDelayedAdd {
				return None
			}
			return c.kind
		}
		p -= c.chance
	}
	return None
}

// draw returns a number from 0 to n-1.
func (f *Faulty) draw(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rng.IntN(n)
}

func (f *Faulty) count(kind Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[kind]++
}

// postpone keeps a write until 1 to MaxDelay further calls have begun.
func (f *Faulty) postpone(write func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delayed = append(f.delayed, delayedWrite{f.calls + 1 + f.rng.IntN(f.cfg.MaxDelay), write})
}

// due takes the delayed writes whose time has come, in the order in which they
// were sent. It is called with mu held.
func (f *Faulty) due() []delayedWrite {
	var late []delayedWrite
	f.delayed = slices.DeleteFunc(f.delayed, func(d delayedWrite) bool {
		if d.due > f.calls {
			return false
		}
		late = append(late, d)
		return true
	})
	return late
}

// arrive lets writes reach the store. Their answers go nowhere.
func arrive(late []delayedWrite) {
	for _, d := range late {
		_ = d.write()
	}
}

// evict drops the item under key, unless another write comes in between.
func (f *Faulty) evict(key string) {
	ctx := context.Background()
	it, err := f.store.Get(ctx, key)
	if err == nil {
		err = f.store.CompareAndDelete(ctx, key, it.Version)
	}
	switch {
	case err == nil:
		f.count(Evict)
		f.forget(key)
	case errors.Is(err, sd.ErrNotFound):
		f.forget(key)
	}
}

// saw takes note of what an answer says about key.
func (f *Faulty) saw(key string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil, errors.Is(err, sd.ErrExists), errors.Is(err, sd.ErrConflict):
		f.known.add(key)
	case errors.Is(err, sd.ErrNotFound):
		f.known.remove(key)
	}
}

// forget takes note that key holds nothing.
func (f *Faulty) forget(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known.remove(key)
}

// keySet is a set from which a key can be drawn, in an order that depends on
// nothing but the calls made (a map's order would differ from run to run).
type keySet struct {
	keys  []string
	index map[string]int // of each key in keys
}

func (s *keySet) len() int        { return len(s.keys) }
func (s *keySet) at(i int) string { return s.keys[i] }

func (s *keySet) add(key string) {
	if _, ok := s.index[key]; ok {
		return
	}
	if s.index == nil {
		s.index = make(map[string]int)
	}
	s.index[key] = len(s.keys)
	s.keys = append(s.keys, key)
}

func (s *keySet) remove(key string) {
	i, ok := s.index[key]
	if !ok {
		return
	}
	last := len(s.keys) - 1
	s.keys[i] = s.keys[last]
	s.index[s.keys[i]] = i
	s.keys = s.keys[:last]
	delete(s.index, key)
}
