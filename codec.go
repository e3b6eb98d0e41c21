package sessiondata

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// Codec turns values into bytes and back. It must be safe for concurrent use,
// and what it returns must not alias what it was given. Equal values should
// give equal bytes: a value that encodes as the stored one is no change.
//
// ID is stored with each session: 1 is MessagePack, 2 is JSON, 0 and 3 to 127
// are reserved, 128 and above are free for users. A session keeps the codec
// that it was first stored with; MessagePack and JSON are always readable, any
// other only where it is Config.Codec.
//
// Unmarshal is given stored bytes, which may be forged: it must bound what it
// allocates and how deep it recurses by what it is given.
type Codec interface {
	ID() uint8
	Marshal(v any) ([]byte, error)
	Unmarshal(data []byte, dst any) error
}

const (
	codecMessagePack = 1
	codecJSON        = 2
	codecFirstUser   = 128
)

// codecOf returns the codec with which a stored session can be read.
func codecOf(id uint8, configured Codec) (Codec, error) {
	switch id {
	case configured.ID():
		return configured, nil
	case codecMessagePack:
		return MessagePack(), nil
	case codecJSON:
		return JSON(), nil
	}
	return nil, fmt.Errorf("%w: codec %d", ErrUnsupportedVersion, id)
}

// JSON returns the codec of encoding/json. Values decoded into an any, a
// map[string]any or a []any have their integers as int64 where they fit, else
// as uint64 where they fit, else as float64. Deeper any fields of structs are
// as encoding/json gives them.
func JSON() Codec { return jsonCodec{} }

type jsonCodec struct{}

func (jsonCodec) ID() uint8 { return codecJSON }

func (jsonCodec) Marshal(v any) ([]byte, error) { return json.Marshal(v) }

func (jsonCodec) Unmarshal(data []byte, dst any) error {
	switch dst.(type) {
	case *any, *map[string]any, *[]any:
	default:
		return json.Unmarshal(data, dst)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(dst); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("data after the value")
	}
	plainNumbers(dst)
	return nil
}

// plainNumbers makes the integers of what a codec decoded into dst int64 where
// they fit, else uint64.
func plainNumbers(dst any) {
	switch dst := dst.(type) {
	case *any:
		*dst = plainNumber(*dst)
	case *map[string]any:
		plainNumber(*dst)
	case *[]any:
		plainNumber(*dst)
	}
}

func plainNumber(v any) any {
	switch v := v.(type) {
	case int8:
		return int64(v)
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	case uint8:
		return int64(v)
	case uint16:
		return int64(v)
	case uint32:
		return int64(v)
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v)
		}
	case float32:
		return float64(v)
	case json.Number:
		if i, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return i
		}
		if u, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			return u
		}
		f, _ := v.Float64() // out of range: an infinity of the right sign
		return f
	case map[string]any:
		for k, e := range v {
			v[k] = plainNumber(e)
		}
	case []any:
		for i, e := range v {
			v[i] = plainNumber(e)
		}
	case map[any]any: // keys that are no strings, in MessagePack
		// A new map: writing a key that is not equal to itself, which a NaN is
		// not, would add an entry for each that is there.
		plain := make(map[any]any, len(v))
		for k, e := range v {
			plain[plainNumber(k)] = plainNumber(e)
		}
		return plain
	}
	return v
}
