package sessiondata

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"
)

// byModule encodes as the module does with the options of this codec.
func byModule(t require.TestingT, v any) []byte {
	var buf bytes.Buffer
	enc := msgpack.NewEncoder(&buf)
	enc.UseCompactInts(true)
	require.NoError(t, enc.Encode(v))
	return buf.Bytes()
}

// near draws integers of every size, the ends of each among them.
func near() *rapid.Generator[int64] {
	return rapid.Custom(func(t *rapid.T) int64 {
		shift := rapid.IntRange(0, 63).Draw(t, "shift")
		n := int64(1)<<shift + int64(rapid.IntRange(-2, 2).Draw(t, "off"))
		if rapid.Bool().Draw(t, "negative") {
			n = -n
		}
		return n
	})
}

func drawnDirect() *rapid.Generator[any] {
	length := rapid.SampledFrom([]int{0, 1, 31, 32, 33, 255, 256, 257, math.MaxUint16, math.MaxUint16 + 1})
	return rapid.Custom(func(t *rapid.T) any {
		n := near().Draw(t, "n")
		switch rapid.IntRange(0, 13).Draw(t, "type") {
		case 0:
			return string(bytes.Repeat([]byte{byte(n)}, length.Draw(t, "length")))
		case 1:
			return bytes.Repeat([]byte{byte(n)}, length.Draw(t, "length"))
		case 2:
			return n > 0
		case 3:
			return int(n)
		case 4:
			return int8(n)
		case 5:
			return int16(n)
		case 6:
			return int32(n)
		case 7:
			return n
		case 8:
			return uint(n)
		case 9:
			return uint8(n)
		case 10:
			return uint16(n)
		case 11:
			return uint32(n)
		case 12:
			return []byte(nil)
		}
		return uint64(n)
	})
}

func TestDirect_EncodesToTheBytesOfTheModule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawnDirect().Draw(t, "v")
		size := sizeDirect(v)
		require.Positive(t, size)
		out := appendDirect(nil, v)
		require.Equal(t, byModule(t, v), out)
		require.LessOrEqual(t, len(out), size)
	})
	for _, v := range []any{nil, 1.5, float32(1), []string{"a"}, struct{}{}, map[string]string{}, (*string)(nil)} {
		require.Zero(t, sizeDirect(v), "%T", v)
	}
}

// What decodeDirect takes it decodes as the module does; the rest of Unmarshal
// is for what it leaves. The targets are of every type that it knows and some
// that it does not.
func TestDirect_DecodesToTheValuesOfTheModule(t *testing.T) {
	targets := []func() any{
		func() any { return new(string) },
		func() any { return new([]byte) },
		func() any { return &[]byte{1, 2, 3} },
		func() any { return new(bool) },
		func() any { return new(int) },
		func() any { return new(int64) },
		func() any { return new(int32) },
		func() any { return new(uint) },
		func() any { return new(uint64) },
		func() any { return new(uint32) },
		func() any { return new(int8) },
		func() any { return new(float64) },
		func() any { return new(any) },
		func() any { return (*string)(nil) },
		func() any { return (*int)(nil) },
		func() any { return (*[]byte)(nil) },
		func() any { return (*bool)(nil) },
		func() any { return (*uint)(nil) },
	}
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		data := byModule(t, drawnDirect().Draw(t, "v"))
		if rapid.IntRange(0, 4).Draw(t, "damage") == 0 {
			data = append(data, 0)
		} else if rapid.IntRange(0, 4).Draw(t, "cut") == 0 {
			data = data[:len(data)-1]
		}
		to := rapid.SampledFrom(targets).Draw(t, "target")
		direct, whole := to(), to()
		ok := decodeDirect(data, direct)
		if !ok {
			require.Equal(t, to(), direct, "what is not taken is not touched")
			return
		}
		taken++
		require.NoError(t, wellFormed(data))
		require.NoError(t, fits(data, whole))
		require.NoError(t, msgpack.Unmarshal(data, whole))
		require.Equal(t, whole, direct)
	})
	require.NotZero(t, taken)
}

func TestDirect_WhatIsDecodedIsTheCallersOwn(t *testing.T) {
	data := byModule(t, []byte("bytes"))
	var got []byte
	require.True(t, decodeDirect(data, &got))
	got[0] = 'B'
	require.Equal(t, byModule(t, []byte("bytes")), data)
}
