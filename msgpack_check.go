package sessiondata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// maxNesting bounds how deep a value may be nested.
const maxNesting = 1000

var (
	errTruncated = errors.New("the encoding ends early")
	errSurplus   = errors.New("data after the value")
	errCode      = errors.New("a code that the format does not have")
	errNesting   = errors.New("nested too deeply, or in a cycle")
)

// wellFormed reports whether data is exactly one MessagePack value, nested at
// most maxNesting deep: every length fits into what is there. It allocates
// nothing.
func wellFormed(data []byte) error {
	rest, err := skipValue(data, 0)
	if err == nil && len(rest) > 0 {
		err = errSurplus
	}
	return err
}

// skipValue returns what follows the first value of data.
func skipValue(data []byte, depth int) ([]byte, error) {
	kind, n, rest, err := readHead(data)
	if err != nil {
		return nil, err
	}
	switch kind {
	case kindMap:
		n *= 2
		fallthrough
	case kindArray:
		// An element takes at least a byte, so what a decoder allocates for n
		// of them is bounded by the input.
		if n > uint64(len(rest)) {
			return nil, errTruncated
		}
		if depth == maxNesting {
			return nil, errNesting
		}
		for range n {
			if rest, err = skipValue(rest, depth+1); err != nil {
				return nil, err
			}
		}
		return rest, nil
	default:
		if n > uint64(len(rest)) {
			return nil, errTruncated
		}
		return rest[n:], nil
	}
}

type msgpackKind uint8

const (
	kindAtom  msgpackKind = iota // n more bytes
	kindArray                    // n values
	kindMap                      // n pairs of values
)

// readHead reads the code of the first value and its length.
func readHead(data []byte) (kind msgpackKind, n uint64, rest []byte, err error) {
	if len(data) == 0 {
		return 0, 0, nil, errTruncated
	}
	c, rest := data[0], data[1:]
	lenBytes, extra := 0, uint64(0)
	switch {
	case msgpcode.IsFixedNum(c), c == msgpcode.Nil, c == msgpcode.False, c == msgpcode.True:
	case msgpcode.IsFixedMap(c):
		kind, n = kindMap, uint64(c&msgpcode.FixedMapMask)
	case msgpcode.IsFixedArray(c):
		kind, n = kindArray, uint64(c&msgpcode.FixedArrayMask)
	case msgpcode.IsFixedString(c):
		n = uint64(c & msgpcode.FixedStrMask)
	case c == msgpcode.Uint8 || c == msgpcode.Int8:
		n = 1
	case c == msgpcode.Uint16 || c == msgpcode.Int16:
		n = 2
	case c == msgpcode.Uint32 || c == msgpcode.Int32 || c == msgpcode.Float:
		n = 4
	case c == msgpcode.Uint64 || c == msgpcode.Int64 || c == msgpcode.Double:
		n = 8
	case c >= msgpcode.FixExt1 && c <= msgpcode.FixExt16:
		n = 1 + 1<<(c-msgpcode.FixExt1)
	case c == msgpcode.Str8 || c == msgpcode.Bin8:
		lenBytes = 1
	case c == msgpcode.Str16 || c == msgpcode.Bin16:
		lenBytes = 2
	case c == msgpcode.Str32 || c == msgpcode.Bin32:
		lenBytes = 4
	case c == msgpcode.Ext8:
		lenBytes, extra = 1, 1
	case c == msgpcode.Ext16:
		lenBytes, extra = 2, 1
	case c == msgpcode.Ext32:
		lenBytes, extra = 4, 1
	case c == msgpcode.Array16:
		kind, lenBytes = kindArray, 2
	case c == msgpcode.Array32:
		kind, lenBytes = kindArray, 4
	case c == msgpcode.Map16:
		kind, lenBytes = kindMap, 2
	case c == msgpcode.Map32:
		kind, lenBytes = kindMap, 4
	default:
		return 0, 0, nil, errCode
	}
	if lenBytes > len(rest) {
		return 0, 0, nil, errTruncated
	}
	for _, b := range rest[:lenBytes] {
		n = n<<8 | uint64(b)
	}
	return kind, n + extra, rest[lenBytes:], nil
}

// sortMaps appends the first value of data, which is well formed, with the
// pairs of every map in it in the order of their encoded keys.
func sortMaps(dst, data []byte) (out, rest []byte) {
	kind, n, rest, _ := readHead(data)
	dst = append(dst, data[:len(data)-len(rest)]...)
	switch kind {
	case kindAtom:
		return append(dst, rest[:n]...), rest[n:]
	case kindArray:
		for range n {
			dst, rest = sortMaps(dst, rest)
		}
		return dst, rest
	}
	pairs := make([][]byte, n)
	for i := range pairs {
		start := len(dst)
		dst, rest = sortMaps(dst, rest)
		dst, rest = sortMaps(dst, rest)
		pairs[i] = bytes.Clone(dst[start:])
		dst = dst[:start]
	}
	// No encoding is the beginning of another, so this is the order of the keys;
	// and of the values, where keys are equal as bytes: a Go map holds several NaN.
	slices.SortFunc(pairs, bytes.Compare)
	for _, p := range pairs {
		dst = append(dst, p...)
	}
	return dst, rest
}

// integer reads data if it is an integer: the bits of an int64 where it is
// negative, else of a uint64.
func integer(data []byte) (n uint64, negative, ok bool) {
	switch c, arg := data[0], data[1:]; {
	case msgpcode.IsFixedNum(c):
		n = uint64(int8(c))
	case c == msgpcode.Uint8:
		return uint64(arg[0]), false, true
	case c == msgpcode.Uint16:
		return uint64(binary.BigEndian.Uint16(arg)), false, true
	case c == msgpcode.Uint32:
		return uint64(binary.BigEndian.Uint32(arg)), false, true
	case c == msgpcode.Uint64:
		return binary.BigEndian.Uint64(arg), false, true
	case c == msgpcode.Int8:
		n = uint64(int8(arg[0]))
	case c == msgpcode.Int16:
		n = uint64(int16(binary.BigEndian.Uint16(arg)))
	case c == msgpcode.Int32:
		n = uint64(int32(binary.BigEndian.Uint32(arg)))
	case c == msgpcode.Int64:
		n = binary.BigEndian.Uint64(arg)
	default:
		return 0, false, false
	}
	return n, n > math.MaxInt64, true
}
