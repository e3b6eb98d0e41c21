package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// canList reports whether the store can list its keys. A wrapper may implement
// the method for a store that cannot, and then answers ErrNotSupported.
func (e *env) canList() bool {
	l, ok := e.store.(sd.Lister)
	if !ok {
		return false
	}
	for _, err := range l.Keys(e.ctx, "") {
		return !errors.Is(err, sd.ErrNotSupported)
	}
	return true
}

// list returns all keys under prefix; it fails the rule on an error and on a
// key that comes twice.
func (e *env) list(prefix string) map[string]sd.KeyInfo {
	found := make(map[string]sd.KeyInfo)
	for info, err := range e.store.(sd.Lister).Keys(e.ctx, prefix) {
		e.want("Keys", err, nil)
		if _, twice := found[info.Key]; twice {
			e.failf("Keys(%q) lists %q twice", prefix, info.Key)
		}
		found[info.Key] = info
		runtime.Gosched() // what others do meanwhile must not matter
	}
	return found
}

// lists fails the rule unless the keys under prefix are exactly want.
func (e *env) lists(prefix string, want ...string) map[string]sd.KeyInfo {
	found := e.list(prefix)
	for _, key := range want {
		if _, ok := found[key]; !ok {
			e.failf("Keys(%q) lacks %q", prefix, key)
		}
	}
	if len(found) > len(want) {
		for key := range found {
			if !slices.Contains(want, key) {
				e.failf("Keys(%q) lists %q, which should not be there", prefix, key)
			}
		}
	}
	return found
}

var keysRules = []rule{
	{"of an empty store are none", func(e *env) {
		e.lists("")
		e.lists("a")
	}},
	{"are each there once", func(e *env) {
		var want []string
		for i := range 1000 {
			want = append(want, fmt.Sprint("k", i))
			e.add(want[i], "v", 0)
		}
		for i := 0; i < 1000; i += 3 {
			e.swap(want[i], "w", time.Hour, e.get(want[i]).Version)
		}
		e.lists("", want...)
		e.lists("k", want...)
		e.lists("", want...)
	}},
	{"are those with the prefix", func(e *env) {
		for _, key := range []string{"a", "a:", "a:1", "a:2", "a;1", "b:a:1", "A:1", "%61:1"} {
			e.add(key, "v", 0)
		}
		e.lists("a:", "a:", "a:1", "a:2")
		e.lists("a", "a", "a:", "a:1", "a:2", "a;1")
		e.lists("a:1", "a:1")
		e.lists("a:12")
		e.lists("%", "%61:1")
		e.lists("", "a", "a:", "a:1", "a:2", "a;1", "b:a:1", "A:1", "%61:1")
	}},
	{"of every printable character are listed as they are", func(e *env) {
		var want []string
		for c := byte(0x21); c <= 0x7e; c++ {
			want = append(want, "k"+string(c)+"k")
		}
		want = append(want, "%41%20", "a+b", "k=v&w", strings.Repeat("~", maxKey))
		for _, key := range want {
			e.add(key, "v", 0)
		}
		e.lists("", want...)
	}},
	{"that were removed are not listed", func(e *env) {
		e.add("stays", "v", 0)
		e.add("removed", "v", 0)
		e.remove("removed", e.get("removed").Version)
		e.lists("", "stays")
	}},
	{"tell the size of the value, or of the item", func(e *env) {
		const overhead = 1024 // more than any store adds to an item
		sizes := map[string]int{"empty": 0, "one": 1, "kilo": 1000, "large": largeSize}
		for key, size := range sizes {
			e.want("Add", e.store.Add(e.ctx, key, pattern(size, 1), 0), nil)
		}
		for key, info := range e.list("") {
			if size := sizes[key]; info.Size < size || info.Size > size+len(key)+overhead {
				e.failf("Size of an item of %d bytes is %d", size, info.Size)
			}
		}
	}},
	{"tell when the item expires", func(e *env) {
		before := e.clock.Now()
		ttls := map[string]time.Duration{
			"never": 0, "minute": time.Minute, "hour": time.Hour, "month": 31 * 24 * time.Hour, "changed": 2 * time.Hour,
		}
		for key, ttl := range ttls {
			if key == "changed" {
				e.add(key, "v", 0)
				e.swap(key, "w", ttl, e.get(key).Version)
			} else {
				e.add(key, "v", ttl)
			}
		}
		after := e.clock.Now()
		for key, info := range e.list("") {
			ttl := ttls[key]
			if ttl == 0 {
				if !info.Expires.IsZero() {
					e.failf("Expires of an item without ttl is %v, want zero", info.Expires)
				}
				continue
			}
			if info.Expires.Before(before.Add(ttl-grace)) || info.Expires.After(after.Add(ttl+grace+slack)) {
				e.failf("Expires of an item with a ttl of %v, written at %v, is %v", ttl, after, info.Expires)
			}
		}
	}},
	{"end where the caller stops", func(e *env) {
		for i := range 20 {
			e.add(fmt.Sprint("k", i), "v", 0)
		}
		keys := e.store.(sd.Lister).Keys(e.ctx, "")
		for range 2 { // a second range begins anew
			calls := 0
			keys(func(sd.KeyInfo, error) bool {
				calls++
				return calls < 5
			})
			if calls != 5 {
				e.failf("Keys went on: %d keys after the caller stopped at the fifth", calls-5)
			}
		}
		e.add("more", "v", 0)
		if n := len(e.list("")); n != 21 {
			e.failf("%d keys after a listing that was broken off, want 21", n)
		}
	}},
	{"may be worked on while they are listed", func(e *env) {
		const n = 50
		for i := range n {
			e.add(fmt.Sprint("k", i), "v", 0)
		}
		e.within("changing each key that is listed", func() {
			listed := 0
			for info, err := range e.store.(sd.Lister).Keys(e.ctx, "k") {
				e.want("Keys", err, nil)
				e.remove(info.Key, e.get(info.Key).Version)
				e.add("done:"+info.Key, "v", 0)
				listed++
			}
			if listed != n {
				e.failf("%d keys listed, want %d", listed, n)
			}
		})
		if found := e.list("done:"); len(found) != n {
			e.failf("%d keys listed after the work, want %d", len(found), n)
		}
	}},
	{"that nobody touches are there whatever others do", func(e *env) {
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprint("still:", i))
			e.add(want[i], "v", 0)
		}
		stop, ended := make(chan struct{}), make(chan error, 1)
		go func() { ended <- e.churn(stop) }()
		defer func() {
			close(stop)
			e.want("adding and removing keys", <-ended, nil)
		}()
		for range 5 {
			e.lists("still:", want...)
			found := e.list("")
			for _, key := range want {
				if _, ok := found[key]; !ok {
					e.failf("Keys(\"\") lacks %q while other keys come and go", key)
				}
			}
		}
	}},
	{"of a context that has ended are its cause alone", func(e *env) {
		e.add("k", "v", 0)
		cause := errors.New("the caller went away")
		ctx, cancel := context.WithCancelCause(e.ctx)
		cancel(cause)
		e.listsError(ctx, cause)
	}},
	{"of a closed store are ErrClosed alone", func(e *env) {
		e.add("k", "v", 0)
		e.want("Close", e.store.Close(), nil)
		e.listsError(e.ctx, sd.ErrClosed)
	}},
}

// churn adds and removes keys until stop is closed.
func (e *env) churn(stop <-chan struct{}) error {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return nil
		default:
		}
		key := fmt.Sprint("moves:", i%10)
		if err := e.store.Add(e.ctx, key, nil, 0); err != nil {
			return err
		}
		runtime.Gosched()
		it, err := e.store.Get(e.ctx, key)
		if err != nil {
			return err
		}
		if err := e.store.CompareAndDelete(e.ctx, key, it.Version); err != nil {
			return err
		}
		runtime.Gosched()
	}
}

// listsError fails the rule unless a listing is one error that matches want.
func (e *env) listsError(ctx context.Context, want error) {
	calls := 0
	for info, err := range e.store.(sd.Lister).Keys(ctx, "") {
		calls++
		e.want("Keys", err, want)
		if info != (sd.KeyInfo{}) {
			e.failf("Keys yields a key together with an error")
		}
	}
	if calls != 1 {
		e.failf("Keys yields %d times, want one error", calls)
	}
}
