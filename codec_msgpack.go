package sessiondata

import (
	"bytes"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// MessagePack returns the codec of github.com/vmihailenco/msgpack/v5, made safe
// and stable:
//
//   - What is decoded is checked first: five forged bytes would make the module
//     allocate until the process is killed, 3 MB of nested arrays would overflow
//     its stack. Nesting is bounded at 1000.
//   - What is encoded is bounded in the same way, so that a cyclic value is an
//     error and everything that was stored can be read.
//   - Maps of every type are encoded in the order of their keys, so that equal
//     maps give equal bytes. Only a value that holds a type with an encoding of
//     its own (msgpack.CustomEncoder, msgpack.Marshaler) beside such a map is
//     left as it came, since the order may mean something to that type.
//   - An integer that does not fit the type asked for is an error, not cut off,
//     wherever in the value it stands.
//   - Values decoded into an any, wherever it stands, have maps as map[string]any
//     (map[any]any where a key is no string), integers as int64, or uint64 where
//     int64 is too small, and floats as float64.
//
// Decoding into a map or struct that already holds something keeps what the
// stored value does not name, as encoding/json does.
func MessagePack() Codec { return msgpackCodec{} }

type msgpackCodec struct{}

func (msgpackCodec) ID() uint8 { return codecMessagePack }

// msgpackWriter is an encoder with its buffer, kept for reuse.
type msgpackWriter struct {
	buf bytes.Buffer
	enc *msgpack.Encoder
}

const keepBuffer = 64 << 10 // larger buffers are left to the garbage collector

var msgpackWriters = sync.Pool{New: func() any {
	w := new(msgpackWriter)
	w.enc = msgpack.NewEncoder(&w.buf)
	w.enc.SetSortMapKeys(true)
	w.enc.UseCompactInts(true)
	return w
}}

func (msgpackCodec) Marshal(v any) ([]byte, error) {
	if size := sizeDirect(v); size > 0 {
		return appendDirect(make([]byte, 0, size), v), nil
	}
	var found shape
	switch v.(type) {
	case nil, time.Time, time.Duration, []string, map[string]string, float32, float64:
	default:
		var err error
		if found, err = shapeOf(v); err != nil {
			return nil, err
		}
	}
	w := msgpackWriters.Get().(*msgpackWriter)
	w.buf.Reset()
	if err := w.enc.Encode(v); err != nil {
		return nil, err
	}
	out := bytes.Clone(w.buf.Bytes())
	if w.buf.Cap() <= keepBuffer {
		msgpackWriters.Put(w)
	}
	// An encoder of the user's own may have written anything, and only the
	// encoding tells how deep a value is whose type does not.
	if found&(ownEncoding|unbounded) != 0 {
		if err := wellFormed(out); err != nil {
			return nil, err
		}
	}
	if found&unsortedMap != 0 && found&ownEncoding == 0 {
		out, _ = sortMaps(make([]byte, 0, len(out)), out)
	}
	return out, nil
}

func (msgpackCodec) Unmarshal(data []byte, dst any) (err error) {
	if decodeDirect(data, dst) {
		return nil
	}
	if err := wellFormed(data); err != nil {
		return err
	}
	if err := fits(data, dst); err != nil {
		return err
	}
	// The module panics where a map's key cannot be one in Go, and so may a
	// decoder of the user's own that is given forged data.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decoding into %T panicked", dst)
		}
	}()
	if dst, ok := dst.(*any); ok && dst != nil {
		*dst = nil // else the module decodes into what it holds
	}
	dec := msgpack.GetDecoder()
	dec.Reset(bytes.NewReader(data))
	dec.SetMapDecoder(decodeMap)
	err = dec.Decode(dst)
	msgpack.PutDecoder(dec)
	if err == nil {
		plainNumbers(dst)
		plainWithin(dst)
	}
	return err
}

// decodeMap decodes a map into an any.
func decodeMap(d *msgpack.Decoder) (any, error) {
	n, err := d.DecodeMapLen()
	if err != nil || n < 0 {
		return nil, err
	}
	m := make(map[string]any, min(n, 64))
	var odd map[any]any // from the first key that is no string
	for range n {
		code, err := d.PeekCode()
		if err != nil {
			return nil, err
		}
		if odd == nil && !msgpcode.IsString(code) {
			odd = make(map[any]any, min(n, 64))
			for k, v := range m {
				odd[k] = v
			}
		}
		key, err := d.DecodeInterfaceLoose() // a []byte cannot be a key in Go: a string
		if err != nil {
			return nil, err
		}
		val, err := d.DecodeInterface()
		if err != nil {
			return nil, err
		}
		switch {
		case odd == nil:
			m[key.(string)] = val
		case key != nil && !reflect.TypeOf(key).Comparable():
			return nil, fmt.Errorf("a %T as key of a map", key)
		default:
			odd[key] = val
		}
	}
	if odd != nil {
		return odd, nil
	}
	return m, nil
}
