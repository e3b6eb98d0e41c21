package sessiondata

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// Strings, bytes, booleans and integers make up most of what sessions hold. They
// are encoded and decoded here, to the bytes and values that the module gives,
// without its reader, its writer and reflection. What is not plainly one of them
// is left to the module.

// sizeDirect bounds the size of the encoding of v; 0: it is of a type that is not
// encoded here.
func sizeDirect(v any) int {
	switch v := v.(type) {
	case string:
		return 5 + len(v)
	case []byte:
		return 5 + len(v)
	case bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return 9
	}
	return 0
}

// appendDirect appends the encoding of v, which is of a type that is encoded
// here.
func appendDirect(dst []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return append(appendLength(dst, len(v), msgpcode.Str8), v...)
	case []byte:
		if v == nil {
			return append(dst, msgpcode.Nil)
		}
		return append(appendLength(dst, len(v), msgpcode.Bin8), v...)
	case bool:
		if v {
			return append(dst, msgpcode.True)
		}
		return append(dst, msgpcode.False)
	case int:
		return appendInt(dst, int64(v))
	case int8:
		return appendInt(dst, int64(v))
	case int16:
		return appendInt(dst, int64(v))
	case int32:
		return appendInt(dst, int64(v))
	case int64:
		return appendInt(dst, v)
	case uint:
		return appendUint(dst, uint64(v))
	case uint8:
		return appendUint(dst, uint64(v))
	case uint16:
		return appendUint(dst, uint64(v))
	case uint32:
		return appendUint(dst, uint64(v))
	case uint64:
		return appendUint(dst, v)
	}
	panic("sessiondata: not a type that is encoded directly")
}

// appendLength appends the code and length of a string or of bytes; one of them
// is given by its code for a length of one byte, which those for two and four
// follow. Only strings have a code for less than that.
func appendLength(dst []byte, n int, code byte) []byte {
	switch {
	case n < 32 && code == msgpcode.Str8:
		return append(dst, msgpcode.FixedStrLow|byte(n))
	case n <= math.MaxUint8:
		return append(dst, code, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, code+1), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, code+2), uint32(n))
}

func appendInt(dst []byte, n int64) []byte {
	switch {
	case n >= 0:
		return appendUint(dst, uint64(n))
	case n >= int64(int8(msgpcode.NegFixedNumLow)):
		return append(dst, byte(n))
	case n >= math.MinInt8:
		return append(dst, msgpcode.Int8, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, msgpcode.Int16), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, msgpcode.Int32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, msgpcode.Int64), uint64(n))
}

func appendUint(dst []byte, n uint64) []byte {
	switch {
	case n <= math.MaxInt8:
		return append(dst, byte(n))
	case n <= math.MaxUint8:
		return append(dst, msgpcode.Uint8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, msgpcode.Uint16), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, msgpcode.Uint32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, msgpcode.Uint64), n)
}

// decodeDirect decodes data into dst, and reports whether it did: data is one
// value of just the kind that dst points to, and fits. Else it has changed
// nothing.
func decodeDirect(data []byte, dst any) bool {
	kind, n, rest, err := readHead(data)
	if err != nil || kind != kindAtom || n != uint64(len(rest)) {
		return false
	}
	code := data[0]
	switch dst := dst.(type) {
	case *string:
		if dst == nil || !msgpcode.IsString(code) {
			return false
		}
		*dst = string(rest)
		return true
	case *[]byte:
		// The module decodes into the bytes that dst has room for.
		if dst == nil || *dst != nil || !msgpcode.IsBin(code) {
			return false
		}
		*dst = append(make([]byte, 0, n), rest...)
		return true
	case *bool:
		if dst == nil || code != msgpcode.True && code != msgpcode.False {
			return false
		}
		*dst = code == msgpcode.True
		return true
	case *int:
		return dst != nil && decodeInt(data, dst, strconv.IntSize)
	case *int64:
		return dst != nil && decodeInt(data, dst, 64)
	case *int32:
		return dst != nil && decodeInt(data, dst, 32)
	case *uint:
		return dst != nil && decodeUint(data, dst, strconv.IntSize)
	case *uint64:
		return dst != nil && decodeUint(data, dst, 64)
	case *uint32:
		return dst != nil && decodeUint(data, dst, 32)
	}
	return false
}

func decodeInt[T int | int32 | int64](data []byte, dst *T, bits int) bool {
	n, negative, ok := integer(data)
	switch {
	case !ok:
		return false
	case negative && int64(n) < -1<<(bits-1), !negative && n > 1<<(bits-1)-1:
		return false
	}
	*dst = T(n)
	return true
}

func decodeUint[T uint | uint32 | uint64](data []byte, dst *T, bits int) bool {
	n, negative, ok := integer(data)
	if !ok || negative || n > math.MaxUint64>>(64-bits) {
		return false
	}
	*dst = T(n)
	return true
}
