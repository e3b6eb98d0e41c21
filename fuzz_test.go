package sessiondata

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-ad7f1900/sessiondata/internal/bounds"
)

// goldenBytes returns the samples of testdata/envelope.
func goldenBytes(f testing.TB) [][]byte {
	f.Helper()
	files, err := filepath.Glob("testdata/envelope/*.bin")
	require.NoError(f, err)
	require.NotEmpty(f, files)
	var all [][]byte
	for _, name := range files {
		raw, err := os.ReadFile(name)
		require.NoError(f, err)
		if len(raw) < 1000 {
			all = append(all, raw)
		}
	}
	return all
}

// FuzzDecodeImage reads any bytes: as they are, which the checksum refuses, and
// with a checksum that fits, as who forges would make them.
func FuzzDecodeImage(f *testing.F) {
	for _, raw := range goldenBytes(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		require.NoError(t, bounds.Check(len(raw), 16, func() {
			if _, err := decodeImage(raw, testKey); err != nil {
				requireUnreadable(t, err)
			}
		}))
		// Each value is decoded four times, into two types by two codecs.
		require.NoError(t, bounds.Check(len(raw), 4*perByte, func() { requireReadOrRefused(t, raw) }))
	})
}

// perByte is what a codec may allocate for each byte of a value: the smallest one,
// of one byte, may be an empty map in an interface.
const perByte = 256

// typedTargets are what values are decoded into, beside an any.
func typedTargets() []any {
	return []any{
		new(string), new([]byte), new(int8), new(uint64), new(float32), new(bool), new(time.Time), new(time.Duration),
		new([]int8), new([]string), new([3]uint8), new(map[string]int16), new(map[string]string), new(map[any]any),
		new(map[string]any), new([]any), new(*int), new(struct {
			A int8
			B []struct{ C uint16 }
			D any
			E map[string]*int32
			time.Time
		}),
	}
}

// requireTyped decodes data into each of typedTargets. All of it is bounded at once:
// what is exceeded by one of them is far more than all of them are given.
func requireTyped(t *testing.T, codec Codec, data []byte) {
	all := typedTargets()
	require.NoError(t, bounds.Check(len(data), 4*perByte*len(all), func() {
		for _, dst := range all {
			requireSame(t, codec, data, dst)
		}
	}))
}

// requireSame decodes data into a target and, where that can be done, encodes and
// decodes again: to the same.
func requireSame(t *testing.T, codec Codec, data []byte, dst any) {
	if codec.Unmarshal(data, dst) != nil {
		return
	}
	body, err := codec.Marshal(dst)
	if err != nil {
		return // a number or a time that JSON has no form for
	}
	again := reflect.New(reflect.TypeOf(dst).Elem()).Interface()
	require.NoError(t, codec.Unmarshal(body, again), "%T: % x", dst, body)
	second, err := codec.Marshal(again)
	require.NoError(t, err)
	require.Equal(t, string(body), string(second), "%T", dst)
}

// FuzzValue decodes any bytes as a value. What is decoded into an any is encoded
// and decoded again, to the same.
func FuzzValue(f *testing.F) {
	for _, v := range []any{
		nil, true, 1, -1, 1 << 40, uint64(1 << 63), 1.5, "text",
		[]byte{1},
		time.Unix(1, 2),
		[]any{1, "a", nil},
		map[string]any{"a": 1, "b": []any{}},
		map[int]string{1: "x"},
		map[string]map[string]int{"a": {"b": 1}},
	} {
		body, err := MessagePack().Marshal(v)
		require.NoError(f, err)
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		codec := MessagePack()
		var v any
		var err error
		require.NoError(t, bounds.Check(len(data), perByte, func() { err = codec.Unmarshal(data, &v) }))
		if wellFormed(data) != nil {
			require.Error(t, err)
		}
		requireTyped(t, codec, data)
		if err != nil {
			return
		}
		body, err := codec.Marshal(v)
		require.NoError(t, err, "what could be read can be written")
		require.NoError(t, wellFormed(body))
		var again any
		require.NoError(t, codec.Unmarshal(body, &again))
		second, err := codec.Marshal(again)
		require.NoError(t, err)
		require.True(t, bytes.Equal(body, second), "% x: % x, then % x", data, body, second)
	})
}

// FuzzJSON is FuzzValue for the other codec.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{"null", "1", "-1", "18446744073709551615", "1e999", `"x"`, `{"a":[1,{}],"b":1.5}`, "[[[]]]", "1 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		var err error
		require.NoError(t, bounds.Check(len(data), perByte, func() { err = JSON().Unmarshal(data, &v) }))
		require.Equal(t, json.Valid(data), err == nil || errors.As(err, new(*json.UnmarshalTypeError)))
		requireTyped(t, JSON(), data)
		if err != nil {
			return
		}
		body, err := JSON().Marshal(v)
		if err != nil {
			return // an infinity
		}
		var again any
		require.NoError(t, JSON().Unmarshal(body, &again))
		second, err := JSON().Marshal(again)
		require.NoError(t, err)
		require.Equal(t, string(body), string(second))
	})
}

// plainOf reads a plain session out of any bytes: pairs of a place and a value,
// which may end, and a timeout.
func plainOf(b []byte) plainSession {
	s := plainSession{vals: map[PkgKey]string{}}
	if len(b) > 0 {
		s.timeout = int64(b[0]%4) - 1
		b = b[1:]
	}
	for ; len(b) >= 2; b = b[2:] {
		at := PkgKey{string(rune('p' + b[0]%3)), string(rune('a' + b[0]/3%5))}
		v := string(rune('0' + b[1]%4))
		switch {
		case v == "0":
			delete(s.vals, at)
		case b[1]&32 != 0:
			s.vals[at] = ending(v, 5)
		case b[1]&16 != 0:
			s.vals[at] = ending(v, 50)
		default:
			s.vals[at] = v
		}
	}
	return s
}

// FuzzMerge compares merging with its definition, as the property test does, on
// what a fuzzer makes up.
func FuzzMerge(f *testing.F) {
	f.Add([]byte{1, 0, 1, 3, 2}, []byte{1, 0, 2}, []byte{1, 3, 3}, []byte{0xff, 0x0f}, uint8(0))
	f.Add([]byte{}, []byte{2, 0, 1}, []byte{3, 0, 1}, []byte{}, uint8(1))
	f.Add([]byte{1, 0, 1}, []byte{1, 0, 0}, []byte{1, 0, 2}, []byte{1, 2, 3}, uint8(2))
	f.Add([]byte{0, 6, 1}, []byte{3, 6, 1}, []byte{0, 6, 1, 7, 2}, []byte{8}, uint8(4))
	f.Add([]byte{0, 6, 0x21, 7, 0x11}, []byte{3, 7, 0x12}, []byte{0, 6, 2, 7, 0x11}, []byte{8}, uint8(32))
	f.Fuzz(func(t *testing.T, base, theirs, mine, read []byte, how uint8) {
		b, th, mi := plainOf(base), plainOf(theirs), plainOf(mine)
		now := int64(0)
		if how&32 != 0 {
			now = mergedAt
		}
		for at, v := range mi.vals {
			if v != b.vals[at] && endedAt([]byte(v), mergedAt) {
				mi.vals[at] = v[lifeHead:] // what a transaction sets has its end ahead
			}
		}
		reads := &readSet{listed: how&8 != 0, timeout: how&16 != 0}
		noted := map[PkgKey]bool{}
		byPkg := map[string]*pkgReads{}
		for _, c := range read {
			at := PkgKey{string(rune('p' + c%3)), string(rune('a' + c/3%5))}
			p := byPkg[at.Pkg]
			if p == nil {
				p = &pkgReads{name: at.Pkg}
				byPkg[at.Pkg] = p
			}
			p.listed = p.listed || c&64 != 0
			if !noted[at] {
				noted[at] = true
				p.keys = append(p.keys, at.Key)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(byPkg)) {
			reads.pkgs = append(reads.pkgs, *byPkg[name])
		}
		policy := ConflictPolicy(how % 3)
		m := merger{base: b.image(t), theirs: th.image(t), codec: JSON(), policy: policy, now: now}
		expected, refused := want(b, th, mi, now, policy, reads, nil)
		var got *delta
		var err error
		size := len(base) + len(theirs) + len(mine) + len(read)
		require.NoError(t, bounds.Check(size, 1024, func() { got, err = m.merge(plainDelta(b, mi, noted, reads.timeout), reads) }))
		if len(refused) > 0 {
			var conflict *ConflictError
			require.ErrorAs(t, err, &conflict)
			require.Equal(t, refused, conflict.Keys)
			return
		}
		require.NoError(t, err)
		require.Equal(t, expected, th.apply(got).live(now))
	})
}

// FuzzTable reads any bytes as a table, and edits what it holds.
func FuzzTable(f *testing.F) {
	_, raw := tableOf(f, map[string][]byte{"": {1}, "a": {}, "bb": {2, 3}})
	f.Add(raw, "a", []byte("new"))
	f.Add(raw, "", []byte{})
	f.Add([]byte{255, 255, 255, 255, 4, 0}, "x", []byte{1})
	f.Fuzz(func(t *testing.T, raw []byte, name string, body []byte) {
		var tab table
		var ok bool
		require.NoError(t, bounds.Check(len(raw), 4, func() {
			tab, _, ok = parseTable(raw)
			ok = ok && tab.check()
		}))
		if !ok {
			return
		}
		content := contentOf(tab)
		require.Len(t, content, tab.n)
		content[name] = body
		set, _ := planned(t, tab, []edit{{name: name, body: body}})
		requireContent(t, content, set)
		delete(content, name)
		dropped, _ := planned(t, set, []edit{{name: name, drop: true}})
		requireContent(t, content, dropped)
	})
}

// FuzzEnvelopeFields changes the fields of an image one at a time: the numbers
// that lengths and counts are taken from.
func FuzzEnvelopeFields(f *testing.F) {
	f.Add(uint16(65), uint32(1<<32-1))
	f.Add(uint16(64), uint32(16))
	f.Add(uint16(7), uint32(1))
	f.Fuzz(func(t *testing.T, at uint16, to uint32) {
		for _, raw := range goldenBytes(t) {
			raw = slices.Clone(raw)
			if int(at)+4 > len(raw) {
				continue
			}
			binary.LittleEndian.PutUint32(raw[at:], to)
			requireReadOrRefused(t, raw)
		}
	})
}
