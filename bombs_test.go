package sessiondata_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// allocated returns the bytes that fn allocates. Other goroutines must rest.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// What decoding may allocate: a fixed part, and for each byte of the input what
// the smallest value of one byte takes in memory (an empty map in an interface).
const (
	bombFloor   = 256 << 10
	bombPerByte = 256
)

type bombTarget struct {
	A any
	L []any
	M map[string]any
	P *bombTarget
	S []bombTarget
}

func targets() map[string]any {
	return map[string]any{
		"any": new(any), "[]any": new([]any), "map[string]any": new(map[string]any), "map[any]any": new(map[any]any),
		"struct": new(bombTarget), "*struct": new(*bombTarget), "[]struct": new([]bombTarget), "string": new(string),
		"[]byte": new([]byte), "[]string": new([]string), "[]int8": new([]int8), "map[string]int": new(map[string]int),
		"map[string]string": new(map[string]string), "[][]int": new([][]int), "int": new(int), "time": new(time.Time),
		"[4]any": new([4]any), "float": new(float64), "bool": new(bool),
	}
}

func repeat(b string, n int) []byte { return []byte(strings.Repeat(b, n)) }

func TestRule24_MessagePackBombsAreErrorsWithinBoundedMemory(t *testing.T) {
	const size = 3 << 20
	for name, bomb := range map[string][]byte{
		"array of 2^32-1":           {0xdd, 0xff, 0xff, 0xff, 0xff},
		"map of 2^32-1":             {0xdf, 0xff, 0xff, 0xff, 0xff},
		"map of 2^31":               {0xdf, 0x80, 0, 0, 0},
		"string of 2^32-1":          {0xdb, 0xff, 0xff, 0xff, 0xff},
		"bytes of 2^32-1":           {0xc6, 0xff, 0xff, 0xff, 0xff},
		"extension of 2^32-1":       {0xc9, 0xff, 0xff, 0xff, 0xff, 1},
		"nested arrays":             repeat("\x91", size),
		"nested maps":               repeat("\x81\xa1a", size/3),
		"nested keys":               repeat("\x81", size),
		"nested large arrays":       repeat("\xdd\x00\x00\x00\x01", size/5),
		"arrays of 2^32-1 nested":   repeat("\xdd\xff\xff\xff\xff", size/5),
		"wide and short":            append([]byte{0xdd, 0, 0x30, 0, 0}, repeat("\xc0", size-10)...),
		"1001 deep":                 append(repeat("\x91", 1001), 0xc0),
		"surplus":                   {0xc0, 0xc0},
		"empty":                     {},
		"never used":                {0xc1},
		"string cut off":            {0xd9},
		"map with half a pair":      {0x81, 0xc0},
		"map of maps as its keys":   append(repeat("\x81\x80", 500), 0xc0),
		"time that is cut off":      {0xd7, 0xff, 0, 0},
		"extension without a type":  {0xc7, 0},
		"array of cut off integers": {0x93, 0xcd, 0x01},
	} {
		for to, dst := range targets() {
			var err error
			used := allocated(func() { err = sd.MessagePack().Unmarshal(bomb, dst) })
			require.Error(t, err, "%s into %s", name, to)
			require.Less(t, used, uint64(bombFloor), "%s into %s", name, to)
		}
	}
}

// What is large without being damaged decodes, in memory of its own size.
func TestRule24_WideMessagePackIsDecodedWithinBoundedMemory(t *testing.T) {
	const n = 12_000
	head := func(code byte, n uint32) []byte { return binary.BigEndian.AppendUint32([]byte{code}, n) }
	for name, wide := range map[string][]byte{
		"nils":         append(head(0xdd, n), repeat("\xc0", n)...),
		"empty maps":   append(head(0xdd, n), repeat("\x80", n)...),
		"empty arrays": append(head(0xdd, n), repeat("\x90", n)...),
		"small maps":   append(head(0xdd, n/3), repeat("\x81\xa0\xc0", n/3)...),
		"odd maps":     append(head(0xdd, n/3), repeat("\x81\xc0\xc0", n/3)...),
		"equal keys":   append(head(0xdf, n/2), repeat("\xa0\xc0", n/2)...),
		"NaN as keys":  append(head(0xdf, n/10), repeat("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x01\xc0", n/10)...),
		"deep":         append(repeat("\x91", 1000), 0xc0),
		"deep maps":    append(repeat("\x81\xa1a", 1000), 0xc0),
		"deep and odd": append(repeat("\x81\xc0", 1000), 0xc0),
	} {
		for to, dst := range targets() {
			var err error
			used := allocated(func() { err = sd.MessagePack().Unmarshal(wide, dst) })
			require.Less(t, used, uint64(bombFloor+bombPerByte*len(wide)), "%s into %s: %v", name, to, err)
			if to == "any" {
				require.NoError(t, err, name)
			}
		}
	}
}

func TestRule24_JSONBombsAreErrorsWithinBoundedMemory(t *testing.T) {
	const size = 3 << 20
	for name, bomb := range map[string][]byte{
		"nested arrays":  repeat("[", size),
		"nested objects": repeat(`{"a":`, size/5),
		"surplus":        []byte("1 1"),
		"empty":          {},
		"not a number":   []byte("NaN"),
		"cut off":        []byte(`{"a":[1,`),
	} {
		for to, dst := range targets() {
			var err error
			used := allocated(func() { err = sd.JSON().Unmarshal(bomb, dst) })
			require.Error(t, err, "%s into %s", name, to)
			require.Less(t, used, uint64(bombFloor+bombPerByte*len(bomb)), "%s into %s", name, to)
		}
	}
	var n any
	require.NoError(t, sd.JSON().Unmarshal(repeat("9", 100_000), &n))
	require.IsType(t, 1.5, n)
}

func TestRule24_EnvelopeBombsAreErrorsWithinBoundedMemory(t *testing.T) {
	store := memstore.New(memstore.Config{})
	c, key, raw := sample(t, store)
	const table = 65 + 16 // the table of packages, after two ancestors
	grow := func(change func(b []byte) []byte) []byte {
		b := change(bytes.Clone(raw[:len(raw)-4]))
		return sealed(key, append(b, 0, 0, 0, 0))
	}
	for name, bomb := range map[string][]byte{
		"2^32-1 packages": grow(func(b []byte) []byte { binary.LittleEndian.PutUint32(b[table:], 1<<32-1); return b }),
		"packages of width 4": grow(func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[table:], 1<<29)
			b[table+4] = 4
			return append(b, make([]byte, 1<<20)...)
		}),
		"sections without end": grow(func(b []byte) []byte { return append(b, repeat("\x80\xff\xff\xff\xff", 1<<17)...) }),
	} {
		put(t, store, key, bomb)
		var err error
		used := allocated(func() { _, err = c.Session(t.Context(), sd.Begin(), "id") })
		requireUnreadable(t, err)
		require.Less(t, used, uint64(bombFloor+4*len(bomb)), name)
	}

	// A great many empty sections are read, and take memory by their number.
	many := grow(func(b []byte) []byte { return append(b, repeat("\x80\x00\x00\x00\x00", 100_000)...) })
	put(t, store, key, many)
	used := allocated(func() { require.NotNil(t, stored(t, c, "id")) })
	require.Less(t, used, uint64(bombFloor+40*len(many)))
}

func TestRule24_WhatNestsTooDeeplyOrInACycleIsRefusedBySet(t *testing.T) {
	type list struct {
		Next *list
		V    int
	}
	nested := func(depth int) (slice, dict, any) {
		var s slice = []any{}
		m := map[string]any{}
		var l *list
		for range depth - 1 {
			s = []any{s}
			m = map[string]any{"m": m}
			l = &list{Next: l}
		}
		return s, m, &list{Next: l}
	}
	for _, codec := range []sd.Codec{sd.MessagePack(), sd.JSON()} {
		c := container(t, newWire(), sd.Config{Codec: codec})
		s, m, l := nested(1000)
		for _, v := range []any{s, m, l} {
			set(t, c, "id", "p", "k", v)
			require.NotNil(t, stored(t, c, "id")["p"]["k"], "what was stored can be read")
		}
		if codec.ID() != 1 {
			continue
		}
		s, m, l = nested(1001)
		for _, v := range []any{s, m, l} {
			require.ErrorIs(t, c.Update(t.Context(), "id", func(s *sd.Session) error { return s.Pkg("p").Set("k", v) }), sd.ErrValue, "%T", v)
		}
	}
}

type (
	slice = any
	dict  = map[string]any
)
