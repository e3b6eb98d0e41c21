package sessiondata_test

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"

	sd "github.com/seed-ad7f1900/sessiondata"
)

func bothCodecs(t *testing.T, fn func(t *testing.T, c sd.Codec)) {
	for name, c := range map[string]sd.Codec{"MessagePack": sd.MessagePack(), "JSON": sd.JSON()} {
		t.Run(name, func(t *testing.T) { fn(t, c) })
	}
}

func TestRule04_EveryIntegerFitsOrIsRefusedWhereverItStands(t *testing.T) {
	ints := []reflect.Type{
		reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
		reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](),
	}
	numbers := rapid.OneOf(
		rapid.Map(rapid.Int64(), func(n int64) any { return n }), rapid.Map(rapid.Uint64(), func(n uint64) any { return n }),
		rapid.Map(rapid.SampledFrom([]int64{0, 1, -1, 127, 128, -128, -129, 255, 256, 32767, 32768, -32769, 65535, 65536, 1<<31 - 1, 1 << 31, -1<<31 - 1, 1<<32 - 1, 1 << 32, math.MaxInt64, math.MinInt64}), func(n int64) any { return n }),
	)
	bothCodecs(t, func(t *testing.T, c sd.Codec) {
		rapid.Check(t, func(t *rapid.T) {
			n := numbers.Draw(t, "number")
			exact, _ := new(big.Int).SetString(fmt.Sprint(n), 10)
			to := rapid.SampledFrom(ints).Draw(t, "type")
			fits := false
			zero := reflect.New(to).Elem()
			if zero.CanInt() {
				fits = exact.IsInt64() && !zero.OverflowInt(exact.Int64())
			} else {
				fits = exact.IsUint64() && !zero.OverflowUint(exact.Uint64())
			}
			for name, shape := range map[string]struct {
				v   any
				typ reflect.Type
			}{
				"alone":   {n, to},
				"pointer": {n, reflect.PointerTo(to)},
				"list":    {[]any{n}, reflect.SliceOf(to)},
				"array":   {[]any{n}, reflect.ArrayOf(1, to)},
				"map":     {map[string]any{"k": n}, reflect.MapOf(reflect.TypeFor[string](), to)},
				"struct":  {map[string]any{"N": n, "Other": "x"}, reflect.StructOf([]reflect.StructField{{Name: "N", Type: to}})},
				"deep":    {map[string]any{"N": []any{map[string]any{"x": n}}}, reflect.StructOf([]reflect.StructField{{Name: "N", Type: reflect.SliceOf(reflect.MapOf(reflect.TypeFor[string](), to))}})},
			} {
				if to.Kind() == reflect.Uint8 && (name == "list" || name == "array") {
					continue // that is bytes
				}
				data, err := c.Marshal(shape.v)
				require.NoError(t, err)
				dst := reflect.New(shape.typ)
				err = c.Unmarshal(data, dst.Interface())
				require.Equal(t, fits, err == nil, "%s: %v into %v: %v", name, n, shape.typ, err)
				if fits {
					require.Contains(t, fmt.Sprintf("%v", reflect.Indirect(dst.Elem())), exact.String())
				}
			}
			var v any
			data, err := c.Marshal(n)
			require.NoError(t, err)
			require.NoError(t, c.Unmarshal(data, &v))
			if exact.IsInt64() {
				require.Equal(t, exact.Int64(), v)
			} else {
				require.Equal(t, exact.Uint64(), v)
			}
		})
	})
}

type tagged struct {
	Renamed  int8 `msgpack:"r"`
	Omitted  int8 `msgpack:"-"`
	Empty    int8 `msgpack:",omitempty"`
	Aliased  int8 `msgpack:"new,alias:old"`
	unseen   int8
	Embedded `msgpack:",inline"`
}

type Embedded struct{ Inner int8 }

func TestRule04_FieldsAreCheckedUnderTheNamesOfTheirTags(t *testing.T) {
	good := map[string]any{"r": 1, "Empty": 2, "new": 3, "Inner": 4, "Unknown": 1000}
	decode := func(v map[string]any) (got tagged, err error) {
		data, err := sd.MessagePack().Marshal(v)
		require.NoError(t, err)
		err = sd.MessagePack().Unmarshal(data, &got)
		return got, err
	}
	got, err := decode(good)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(tagged{Renamed: 1, Empty: 2, Aliased: 3, Embedded: Embedded{4}}, got, cmp.AllowUnexported(tagged{})))
	_ = got.unseen
	for _, field := range []string{"r", "Empty", "new", "old", "Inner"} {
		_, err := decode(map[string]any{field: 1000})
		require.Error(t, err, field)
	}
	for _, field := range []string{"Renamed", "Omitted", "unseen"} {
		_, err := decode(map[string]any{field: 1000})
		require.NoError(t, err, field)
	}
}

// secretive encodes itself, with the map that it holds in an order that means
// something to it.
type secretive struct{ keys []string }

func (s secretive) EncodeMsgpack(e *msgpack.Encoder) error {
	if err := e.EncodeMapLen(len(s.keys)); err != nil {
		return err
	}
	for i, k := range s.keys {
		if err := errors.Join(e.EncodeString(k), e.EncodeInt(int64(i))); err != nil {
			return err
		}
	}
	return nil
}

func (s *secretive) DecodeMsgpack(d *msgpack.Decoder) error {
	n, err := d.DecodeMapLen()
	if err != nil {
		return err
	}
	s.keys = nil
	for range n {
		k, err := d.DecodeString()
		if err != nil {
			return err
		}
		if _, err := d.DecodeInt(); err != nil {
			return err
		}
		s.keys = append(s.keys, k)
	}
	return nil
}

// sloppy writes what is no value.
type sloppy struct{ extra string }

func (s sloppy) EncodeMsgpack(e *msgpack.Encoder) error {
	_, err := e.Writer().Write([]byte(s.extra))
	return err
}

// panics does so when it is encoded or decoded.
type panics struct{}

func (panics) EncodeMsgpack(*msgpack.Encoder) error { panic("encoding") }

func (*panics) DecodeMsgpack(*msgpack.Decoder) error { panic("decoding") }

func TestRule04_TypesThatEncodeThemselves(t *testing.T) {
	c := sd.MessagePack()
	for _, v := range []any{secretive{[]string{"z", "a", "m"}}, []secretive{{[]string{"z", "a"}}}, map[string]any{"k": &secretive{[]string{"z", "a"}}}} {
		data, err := c.Marshal(v)
		require.NoError(t, err)
		require.Less(t, strings.Index(string(data), "z"), strings.Index(string(data), "a"), "the order is its own")
	}
	data, err := c.Marshal(secretive{[]string{"z", "a"}})
	require.NoError(t, err)
	var back secretive
	require.NoError(t, c.Unmarshal(data, &back))
	require.Equal(t, []string{"z", "a"}, back.keys)

	for _, extra := range []string{"", "\xc1", "\x91", "\xc0\xc0", "\xdd\xff\xff\xff\xff", strings.Repeat("\x91", 1001) + "\xc0"} {
		for _, v := range []any{sloppy{extra}, &sloppy{extra}, []any{sloppy{extra}}, map[string]any{"k": sloppy{extra}}} {
			if _, err := c.Marshal(v); err == nil && extra != "\xc0\xc0" {
				t.Errorf("%T wrote % .10x, and nobody noticed", v, extra)
			}
		}
	}
	_, err = c.Marshal(sloppy{"\xc0\xc0"})
	require.Error(t, err)
	require.Error(t, c.Unmarshal(data, new(panics)), "a decoder that panics on forged bytes is an error")
	require.Panics(t, func() { _, _ = c.Marshal(panics{}) }, "one that panics on what the caller gave is a fault of the caller")
}

func TestCodec_DecodesIntoWhatIsThereAsTheStandardLibraryDoes(t *testing.T) {
	bothCodecs(t, func(t *testing.T, c sd.Codec) {
		data, err := c.Marshal(map[string]int{"A": 5})
		require.NoError(t, err)
		v := struct{ A, B int }{1, 2}
		require.NoError(t, c.Unmarshal(data, &v))
		require.Equal(t, struct{ A, B int }{5, 2}, v)
		m := map[string]int{"B": 2}
		require.NoError(t, c.Unmarshal(data, &m))
		require.Equal(t, map[string]int{"A": 5, "B": 2}, m)
		var into any = "before"
		require.NoError(t, c.Unmarshal(data, &into))
		require.Equal(t, map[string]any{"A": int64(5)}, into)
	})
}

func TestCodec_IsSafeForConcurrentUse(t *testing.T) {
	type one struct {
		M map[string]int
		A any
	}
	bothCodecs(t, func(t *testing.T, c sd.Codec) {
		together(8, func(i int) {
			for n := range 50 {
				v := one{map[string]int{"x": i, "y": n}, []any{int64(i)}}
				data, err := c.Marshal(v)
				var back one
				if err == nil {
					err = c.Unmarshal(data, &back)
				}
				if err != nil || back.M["x"] != i || back.M["y"] != n {
					t.Error(back, err)
				}
				_, _ = c.Marshal(make(chan int))
				_ = c.Unmarshal([]byte{0xc1}, &back)
			}
		})
	})
}

func TestCodec_LargeValuesAndManySmallOnesAfterThem(t *testing.T) {
	bothCodecs(t, func(t *testing.T, c sd.Codec) {
		for _, n := range []int{1 << 20, 10, 100 << 10, 0} {
			data, err := c.Marshal(strings.Repeat("x", n))
			require.NoError(t, err)
			var s string
			require.NoError(t, c.Unmarshal(data, &s))
			require.Len(t, s, n)
		}
	})
}

func TestRule04_OddKeysOfMaps(t *testing.T) {
	c := sd.MessagePack()
	for _, m := range []any{
		map[any]any{int64(1): "a", "s": int64(2), true: nil, 1.5: "f", nil: "nil"},
		map[any]any{int64(200): map[any]any{int64(-5): []any{int64(300)}}},
		map[string]any{"a": map[any]any{uint64(math.MaxUint64): "max"}},
	} {
		data, err := c.Marshal(m)
		require.NoError(t, err)
		var back any
		require.NoError(t, c.Unmarshal(data, &back))
		require.Empty(t, cmp.Diff(m, back))
	}
	for _, forged := range []string{"\x81\x90\xc0", "\x81\x80\xc0", "\x82\xa1a\xc0\x91\xc0\xc0"} {
		require.Error(t, c.Unmarshal([]byte(forged), new(any)), "a list or a map cannot be a key in Go")
		require.Error(t, c.Unmarshal([]byte(forged), new(map[any]any)))
	}
	var back any
	require.NoError(t, c.Unmarshal([]byte("\x81\xc4\x01b\x05"), &back))
	require.Equal(t, map[any]any{"b": int64(5)}, back, "bytes as a key become a string")
}

// A key that is an any is as plain as a value that is one: else it would not be
// found under the number that it is.
func TestRule04_NumbersAsKeysOfATypedMapAreFound(t *testing.T) {
	c := sd.MessagePack()
	type with struct{ M map[any]int }
	for _, m := range []any{
		map[any]any{int64(1): "a", int64(-1): int64(2), int64(300): nil, uint64(math.MaxUint64): true, 1.5: "f", "s": []any{int64(1)}},
		map[any]string{int64(1): "a", "s": "b"},
		with{map[any]int{int64(70_000): 1, true: 2}},
		[]map[any]bool{{int64(1): true}, nil},
	} {
		data, err := c.Marshal(m)
		require.NoError(t, err)
		back := reflect.New(reflect.TypeOf(m))
		require.NoError(t, c.Unmarshal(data, back.Interface()))
		require.Empty(t, cmp.Diff(m, back.Elem().Interface()))
	}
	// The same number in three forms is one key, and which stays is no accident.
	for range 20 {
		var back map[any]string
		require.NoError(t, c.Unmarshal([]byte("\x83\x40\xa1a\xcc\x40\xa1b\xd1\x00\x40\xa1c"), &back))
		require.Equal(t, map[any]string{int64(64): "b"}, back)
	}
}
