package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

const (
	maxKey    = 200     // bytes of the longest key
	largeSize = 100_000 // bytes that every store must take
	hugeSize  = 8 << 20 // bytes that a store may refuse
)

var valueRules = []rule{
	{"of any bytes comes back as it was", func(e *env) {
		every := make([]byte, 256)
		for i := range every {
			every[i] = byte(i)
		}
		values := []string{
			string(every), "\x00", "\r\n", "END\r\n", "a\r\nVALUE k1 0 1\r\nb\r\nEND\r\n", "\xff\xfe", " ", "VA\n",
			"set k 0 0 1\r\nx\r\n", "é", strings.Repeat("\x00", 1000),
		}
		for i, value := range values {
			e.everyWay(fmt.Sprint("k", i), value)
		}
	}},
	{"may be empty", func(e *env) {
		e.everyWay("k", "")
		e.want("Add of nil", e.store.Add(e.ctx, "nil", nil, 0), nil)
		e.holds("nil", "")
		e.want("Add to a key that holds an empty value", e.store.Add(e.ctx, "nil", nil, 0), sd.ErrExists)
	}},
	{"may have 1 byte or 100 kB", func(e *env) {
		for _, size := range []int{1, 2, 1023, 1024, 4096, 65535, 65536, largeSize} {
			e.everyWay(fmt.Sprint("k", size), string(pattern(size, size)))
		}
	}},
	{"over the limit is ErrTooLarge and what was stored stays", func(e *env) {
		huge := pattern(hugeSize, 1)
		switch err := e.store.Add(e.ctx, "huge", huge, 0); {
		case err == nil:
			e.holds("huge", string(huge))
			e.remove("huge", e.get("huge").Version)
		default:
			e.want("Add of 8 MiB", err, sd.ErrTooLarge)
			e.absent("huge")
		}
		e.add("k", "small", 0)
		v := e.get("k").Version
		switch err := e.store.CompareAndSwap(e.ctx, "k", huge, 0, v); {
		case err == nil:
			e.holds("k", string(huge))
		default:
			e.want("CompareAndSwap to 8 MiB", err, sd.ErrTooLarge)
			if e.holds("k", "small") != v {
				e.failf("a write that was refused changed the Version")
			}
		}
	}},
	{"is the caller's again after a write", func(e *env) {
		value := make([]byte, 10, 100)
		copy(value, "0123456789")
		e.want("Add", e.store.Add(e.ctx, "k", value, 0), nil)
		scribble(value)
		v := e.holds("k", "0123456789")
		copy(value, "abcdefghij")
		e.want("CompareAndSwap", e.store.CompareAndSwap(e.ctx, "k", value, 0, v), nil)
		scribble(value)
		e.holds("k", "abcdefghij")
	}},
	{"is not altered by a write", func(e *env) {
		value := append(make([]byte, 0, 64), "0123456789"...)
		whole := value[:cap(value)]
		before := bytes.Clone(whole)
		e.want("Add", e.store.Add(e.ctx, "k", value, 0), nil)
		e.want("CompareAndSwap", e.store.CompareAndSwap(e.ctx, "k", value, 0, e.get("k").Version), nil)
		if !bytes.Equal(whole, before) {
			e.failf("a write altered the caller's slice")
		}
	}},
	{"belongs to the caller of Get", func(e *env) {
		e.add("k", "0123456789", 0)
		first, second := e.get("k"), e.get("k")
		scribble(first.Value)
		if string(second.Value) != "0123456789" {
			e.failf("two calls of Get share their Value")
		}
		e.holds("k", "0123456789")
	}},
	{"read earlier is not altered by later writes", func(e *env) {
		e.add("k", "0123456789", 0)
		read := e.get("k")
		e.swap("k", "abcdefghij", 0, read.Version)
		e.swap("k", "k", 0, e.get("k").Version)
		e.remove("k", e.get("k").Version)
		e.add("k", "ABCDEFGHIJ", 0)
		if string(read.Value) != "0123456789" {
			e.failf("a write altered a Value that was read before it: %s", brief(read.Value))
		}
	}},
}

// everyWay stores value by Add and by CompareAndSwap and reads it back.
func (e *env) everyWay(key, value string) {
	e.add(key, value, 0)
	v := e.holds(key, value)
	e.swap(key, "between", 0, v)
	e.swap(key, value, 0, e.get(key).Version)
	e.holds(key, value)
}

// pattern returns size bytes that tell seed and their own position.
func pattern(size, seed int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(seed + i + i>>8*7)
	}
	return b
}

// scribble overwrites b and the room behind it.
func scribble(b []byte) {
	b = b[:cap(b)]
	for i := range b {
		b[i] = '!'
	}
}

var argumentRules = []rule{
	{"key of every printable character is a key of its own", func(e *env) {
		var all strings.Builder
		keys := []string{"noreply", "a:b/c", "%41", "A", "a", "..", "0", "-1"}
		for c := byte(0x21); c <= 0x7e; c++ {
			all.WriteByte(c)
			keys = append(keys, "k"+string(c), string(c)+"key")
		}
		keys = append(keys, all.String())
		for _, k := range keys {
			e.add(k, "value of "+k, 0)
		}
		for _, k := range keys {
			e.holds(k, "value of "+k)
		}
	}},
	{"key of 200 bytes is a key of its own", func(e *env) {
		long := strings.Repeat("k", maxKey-1)
		e.add(long, "199", 0)
		e.add(long+"1", "first", 0)
		e.add(long+"2", "second", 0)
		e.holds(long, "199")
		v := e.holds(long+"1", "first")
		e.holds(long+"2", "second")
		e.swap(long+"1", "changed", 0, v)
		e.holds(long+"2", "second")
		e.remove(long+"1", e.get(long+"1").Version)
		e.absent(long + "1")
		e.holds(long+"2", "second")
	}},
	{"key that is not printable, or empty, or too long is ErrInvalid", func(e *env) {
		e.add("good", "v", 0)
		v := e.get("good").Version
		bad := []string{"", strings.Repeat("k", maxKey+1), strings.Repeat("k", 1000), "k\r\nset good 0 0 1\r\nx\r\n", "k é", "é"}
		for c := 0; c < 256; c++ {
			if c < 0x21 || c > 0x7e {
				bad = append(bad, "k"+string([]byte{byte(c)}))
			}
		}
		bad = append(bad, " good", "good ", "\x00good", "good\x00")
		for _, key := range bad {
			_, err := e.store.Get(e.ctx, key)
			e.want(fmt.Sprintf("Get of key %.20q", key), err, sd.ErrInvalid)
			e.want(fmt.Sprintf("Add to key %.20q", key), e.store.Add(e.ctx, key, []byte("x"), 0), sd.ErrInvalid)
			e.want(fmt.Sprintf("CompareAndSwap of key %.20q", key),
				e.store.CompareAndSwap(e.ctx, key, []byte("x"), 0, v), sd.ErrInvalid)
			e.want(fmt.Sprintf("CompareAndDelete of key %.20q", key),
				e.store.CompareAndDelete(e.ctx, key, v), sd.ErrInvalid)
		}
		if e.holds("good", "v") != v {
			e.failf("a write to an invalid key changed another item")
		}
	}},
	{"ttl below zero is ErrInvalid and nothing is written", func(e *env) {
		e.add("old", "v", 0)
		v := e.get("old").Version
		for _, ttl := range []time.Duration{-1, -time.Second, -time.Hour, -1 << 63} {
			e.want(fmt.Sprintf("Add with ttl %v", ttl), e.store.Add(e.ctx, "k", []byte("x"), ttl), sd.ErrInvalid)
			e.want(fmt.Sprintf("CompareAndSwap with ttl %v", ttl),
				e.store.CompareAndSwap(e.ctx, "old", []byte("x"), ttl, v), sd.ErrInvalid)
		}
		e.absent("k")
		if e.holds("old", "v") != v {
			e.failf("a write that was refused changed the Version")
		}
	}},
}

var contextRules = []rule{
	{"that was cancelled is its cause and nothing is written", func(e *env) {
		cause := errors.New("the caller went away")
		ctx, cancel := context.WithCancelCause(e.ctx)
		cancel(cause)
		e.refuses(ctx, cause)
	}},
	{"whose deadline has passed is its cause and nothing is written", func(e *env) {
		ctx, cancel := context.WithDeadline(e.ctx, time.Unix(1, 0))
		defer cancel()
		e.refuses(ctx, context.DeadlineExceeded)
	}},
	{"may end after the call", func(e *env) {
		ctx, cancel := context.WithCancel(e.ctx)
		e.want("Add", e.store.Add(ctx, "k", []byte("v"), 0), nil)
		cancel()
		e.holds("k", "v")
	}},
}

// refuses fails the rule unless every method answers an ended ctx with cause,
// and none writes.
func (e *env) refuses(ctx context.Context, cause error) {
	e.add("old", "v", 0)
	v := e.get("old").Version
	_, err := e.store.Get(ctx, "old")
	e.want("Get", err, cause)
	e.want("Add", e.store.Add(ctx, "k", []byte("v"), 0), cause)
	e.want("CompareAndSwap", e.store.CompareAndSwap(ctx, "old", []byte("w"), 0, v), cause)
	e.want("CompareAndDelete", e.store.CompareAndDelete(ctx, "old", v), cause)
	e.want("Ping", e.store.Ping(ctx), cause)
	e.absent("k")
	if e.holds("old", "v") != v {
		e.failf("a write under an ended context changed the Version")
	}
}
