package storetest

import (
	"errors"

	sd "github.com/seed-ad7f1900/sessiondata"
)

var getRules = []rule{
	{"what is absent is ErrNotFound", func(e *env) {
		e.absent("k")
		e.add("k", "v", 0)
		e.absent("K")
		e.absent("k2")
		e.absent("other")
	}},
	{"returns what was stored under the key", func(e *env) {
		e.add("k1", "one", 0)
		e.add("k2", "two", 0)
		e.holds("k1", "one")
		e.holds("k2", "two")
		e.holds("k1", "one")
	}},
}

var addRules = []rule{
	{"stores where the key holds nothing", func(e *env) {
		e.add("k", "v", 0)
		e.holds("k", "v")
	}},
	{"is ErrExists where the key is taken and changes nothing", func(e *env) {
		e.add("k", "first", 0)
		v := e.holds("k", "first")
		for _, value := range []string{"second", "first", ""} {
			e.want("Add to a taken key", e.store.Add(e.ctx, "k", []byte(value), 0), sd.ErrExists)
		}
		if e.holds("k", "first") != v {
			e.failf("an Add that was refused changed the Version")
		}
	}},
	{"stores again after a delete", func(e *env) {
		e.add("k", "first", 0)
		e.remove("k", e.get("k").Version)
		e.add("k", "second", 0)
		e.holds("k", "second")
	}},
}

var swapRules = []rule{
	{"replaces what was read", func(e *env) {
		e.add("k", "1", 0)
		for _, next := range []string{"22", "", "4444", "5"} {
			e.swap("k", next, 0, e.get("k").Version)
			e.holds("k", next)
		}
	}},
	{"is ErrConflict after another write and changes nothing", func(e *env) {
		e.add("k", "base", 0)
		stale := e.get("k").Version
		e.swap("k", "theirs", 0, stale)
		e.conflicts("k", "theirs", stale)
	}},
	{"is ErrConflict after another wrote equal bytes", func(e *env) {
		e.add("k", "same", 0)
		stale := e.get("k").Version
		e.swap("k", "same", 0, stale)
		e.conflicts("k", "same", stale)
	}},
	{"is ErrConflict after the bytes went and came back", func(e *env) {
		e.add("k", "a", 0)
		stale := e.get("k").Version
		e.swap("k", "b", 0, stale)
		e.swap("k", "a", 0, e.get("k").Version)
		e.conflicts("k", "a", stale)
	}},
	{"is ErrNotFound where nothing is and stores nothing", func(e *env) {
		e.add("other", "v", 0)
		v := e.get("other").Version
		e.want("CompareAndSwap of an absent key",
			e.store.CompareAndSwap(e.ctx, "k", []byte("v"), 0, v), sd.ErrNotFound)
		e.absent("k")
	}},
	{"is ErrNotFound after a delete and stores nothing", func(e *env) {
		e.add("k", "v", 0)
		v := e.get("k").Version
		e.remove("k", v)
		e.want("CompareAndSwap of a deleted key",
			e.store.CompareAndSwap(e.ctx, "k", []byte("back"), 0, v), sd.ErrNotFound)
		e.absent("k")
	}},
}

var deleteRules = []rule{
	{"removes what was read", func(e *env) {
		e.add("k", "v", 0)
		e.add("k2", "stays", 0)
		e.remove("k", e.get("k").Version)
		e.absent("k")
		e.holds("k2", "stays")
	}},
	{"is ErrConflict after another write and changes nothing", func(e *env) {
		e.add("k", "base", 0)
		stale := e.get("k").Version
		e.swap("k", "base", 0, stale)
		e.want("CompareAndDelete of what another wrote",
			e.store.CompareAndDelete(e.ctx, "k", stale), sd.ErrConflict)
		e.holds("k", "base")
	}},
	{"is ErrNotFound where nothing is", func(e *env) {
		e.add("k", "v", 0)
		v := e.get("k").Version
		e.want("CompareAndDelete of an absent key", e.store.CompareAndDelete(e.ctx, "other", v), sd.ErrNotFound)
		e.remove("k", v)
		e.want("CompareAndDelete of a deleted key", e.store.CompareAndDelete(e.ctx, "k", v), sd.ErrNotFound)
	}},
}

var versionRules = []rule{
	{"stays the same while nothing is written", func(e *env) {
		e.add("k", "v", 0)
		e.add("other", "v", 0)
		v := e.get("k").Version
		e.swap("other", "w", 0, e.get("other").Version)
		if again := e.get("k").Version; again != v {
			e.failf("two reads of one write have the Versions %v and %v", v, again)
		}
		e.swap("k", "w", 0, v)
	}},
	{"is another after each write", func(e *env) {
		seen := make(map[sd.Version]int)
		e.add("k", "v", 0)
		for i := range 20 {
			v := e.get("k").Version
			if before, ok := seen[v]; ok {
				e.failf("the writes %d and %d have one Version", before, i)
			}
			seen[v] = i
			switch i % 4 {
			case 1:
				e.remove("k", v)
				e.add("k", "v", 0)
			default:
				e.swap("k", "v", 0, v)
			}
		}
	}},
	{"does not match after a delete and an Add of equal bytes", func(e *env) {
		e.add("k", "v", 0)
		stale := e.get("k").Version
		e.remove("k", stale)
		e.add("k", "v", 0)
		e.conflicts("k", "v", stale)
	}},
	{"of another key does not match", func(e *env) {
		e.add("k", "v", 0)
		e.add("k2", "v", 0)
		e.conflicts("k", "v", e.get("k2").Version)
		e.conflicts("k2", "v", e.get("k").Version)
	}},
	{"of zero matches nothing", func(e *env) {
		var zero sd.Version
		e.want("CompareAndSwap of an absent key",
			e.store.CompareAndSwap(e.ctx, "k", []byte("v"), 0, zero), sd.ErrNotFound)
		e.want("CompareAndDelete of an absent key", e.store.CompareAndDelete(e.ctx, "k", zero), sd.ErrNotFound)
		e.absent("k")
		e.add("k", "v", 0)
		e.conflicts("k", "v", zero)
	}},
	{"with another Epoch does not match", func(e *env) {
		e.add("k", "v", 0)
		v := e.get("k").Version
		v.Epoch++
		e.conflicts("k", "v", v)
	}},
	{"survives a write that was refused", func(e *env) {
		e.add("k", "base", 0)
		stale := e.get("k").Version
		e.swap("k", "v", 0, stale)
		v := e.get("k").Version
		if err := e.store.Add(e.ctx, "k", []byte("x"), 0); err == nil {
			e.failf("Add to a taken key: got nil")
		}
		e.conflicts("k", "v", stale)
		e.swap("k", "w", 0, v)
		e.holds("k", "w")
	}},
}

// conflicts fails the rule unless both conditional writes refuse v and leave
// the item under key, which holds value, as it was.
func (e *env) conflicts(key, value string, v sd.Version) {
	current := e.holds(key, value)
	err := e.store.CompareAndSwap(e.ctx, key, []byte("mine"), 0, v)
	if !errors.Is(err, sd.ErrConflict) {
		e.failf("CompareAndSwap with a Version that is not the item's: got error %v, want ErrConflict", quoted(err))
	}
	e.holds(key, value)
	err = e.store.CompareAndDelete(e.ctx, key, v)
	if !errors.Is(err, sd.ErrConflict) {
		e.failf("CompareAndDelete with a Version that is not the item's: got error %v, want ErrConflict", quoted(err))
	}
	if e.holds(key, value) != current {
		e.failf("a write that was refused changed the Version")
	}
}
