package sessiondata

import (
	"bytes"
	"fmt"
)

// Value is one stored value in encoded form. It is immutable, and stays valid
// after the transaction's end, and after its own (see SetFor); it may be set under
// another key.
type Value struct {
	codec Codec
	body  []byte
	at    PkgKey
}

// IsZero reports whether there is no value: the key was absent.
func (v Value) IsZero() bool { return v.codec == nil }

// Equal reports whether both are absent, or stored as the same bytes by the same
// codec, with the same end (see SetFor).
func (v Value) Equal(o Value) bool {
	if v.IsZero() || o.IsZero() {
		return v.IsZero() == o.IsZero()
	}
	return v.codec.ID() == o.codec.ID() && bytes.Equal(v.body, o.body)
}

// Decode decodes the value into dst, a pointer: ErrValue where it does not fit,
// ErrKeyNotFound where there is none.
func (v Value) Decode(dst any) error {
	if v.IsZero() {
		return ErrKeyNotFound
	}
	value, _ := takeEnd(v.body)
	if err := v.codec.Unmarshal(value, dst); err != nil {
		return &valueError{at: v.at, verb: "decoded into", typ: fmt.Sprintf("%T", dst), cause: err}
	}
	return nil
}

// Any decodes the value without a type: maps as map[string]any, integers as
// int64, or as uint64 where int64 is too small.
func (v Value) Any() (any, error) {
	var out any
	err := v.Decode(&out)
	return out, err
}

// encodeValue encodes v for a session of codec c.
func encodeValue(c Codec, at PkgKey, v any) ([]byte, error) {
	if stored, ok := v.(Value); ok {
		switch {
		case stored.IsZero():
			return nil, fmt.Errorf("%w: package %q key %q: a zero Value", ErrValue, at.Pkg, at.Key)
		case stored.codec.ID() == c.ID():
			return withEnd(stored.body, 0), nil
		}
		var err error
		if v, err = stored.Any(); err != nil {
			return nil, err
		}
	}
	body, err := c.Marshal(v)
	if err != nil {
		return nil, &valueError{at: at, verb: "encoded from", typ: fmt.Sprintf("%T", v), cause: err}
	}
	if body == nil {
		body = []byte{} // an empty encoding is a value all the same
	}
	return storedForm(body), nil
}

// valueError is an ErrValue. Its cause can be had with errors.As and
// errors.Unwrap but is not in the text, where a codec may show the value.
type valueError struct {
	at    PkgKey
	verb  string
	typ   string
	cause error
}

func (e *valueError) Error() string {
	return fmt.Sprintf("%v: package %q key %q cannot be %s %s", ErrValue, e.at.Pkg, e.at.Key, e.verb, e.typ)
}

func (e *valueError) Unwrap() []error { return []error{ErrValue, e.cause} }

// bodies is room for encoded values, from which each is cut: a transaction that
// sets many allocates few times. What was cut is never written again.
type bodies struct {
	room  []byte
	taken int
}

const mostBodies = 8 << 10 // what is set aside at a time

// direct encodes v, if that is of a type for which sizeDirect knows the size.
func (b *bodies) direct(v any, size int) []byte {
	if cap(b.room)-len(b.room) < size {
		b.room = make([]byte, 0, max(size, min(b.taken, mostBodies)))
	}
	b.taken += size
	from := len(b.room)
	b.room = appendDirect(b.room, v)
	return b.room[from:len(b.room):len(b.room)]
}
