package sessiondata

import (
	"encoding"
	"reflect"
	"sync"

	"github.com/vmihailenco/msgpack/v5"
)

// shape says what the encoding of a Go type depends on beside its fields.
type shape uint8

const (
	unsortedMap shape = 1 << iota // a map that the module does not sort
	ownEncoding                   // a type that encodes or decodes itself
	unbounded                     // an interface, or a type that holds itself: only the value tells
)

var shapes sync.Map // reflect.Type to shape

var (
	typeCustomEncoder = reflect.TypeFor[msgpack.CustomEncoder]()
	typeCustomDecoder = reflect.TypeFor[msgpack.CustomDecoder]()
	typeMarshaler     = reflect.TypeFor[msgpack.Marshaler]()
	typeUnmarshaler   = reflect.TypeFor[msgpack.Unmarshaler]()
	typeBinary        = reflect.TypeFor[encoding.BinaryMarshaler]()
	typeText          = reflect.TypeFor[encoding.TextMarshaler]()
	typeString        = reflect.TypeFor[string]()
	typeBool          = reflect.TypeFor[bool]()
	typeAny           = reflect.TypeFor[any]()
)

// shapeOf returns the shape of v, looking into v only where its type leaves
// something open, which stays noted. A value without an end in sight, as any
// cyclic one is, is an error: the module would run out of stack.
func shapeOf(v any) (shape, error) {
	s := typeShape(reflect.TypeOf(v), nil)
	if s&unbounded == 0 {
		return s, nil
	}
	s, err := valueShape(reflect.ValueOf(v), 0)
	return s | unbounded, err
}

func typeShape(t reflect.Type, within []reflect.Type) shape {
	if s, ok := shapes.Load(t); ok {
		return s.(shape)
	}
	for _, outer := range within {
		if outer == t {
			return unbounded
		}
	}
	s := newShape(t, append(within, t))
	// What stands within a type that holds itself is known only with it.
	if len(within) == 0 || s&unbounded == 0 {
		shapes.Store(t, s)
	}
	return s
}

func newShape(t reflect.Type, within []reflect.Type) shape {
	p := reflect.PointerTo(t)
	for _, own := range []reflect.Type{typeCustomEncoder, typeCustomDecoder, typeMarshaler, typeUnmarshaler} {
		if t.Implements(own) || p.Implements(own) {
			return ownEncoding
		}
	}
	if t.Kind() != reflect.Interface && (p.Implements(typeBinary) || p.Implements(typeText)) {
		return 0 // encoded as bytes or text
	}
	switch t.Kind() {
	case reflect.Interface:
		return unbounded
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return typeShape(t.Elem(), within)
	case reflect.Map:
		s := typeShape(t.Key(), within) | typeShape(t.Elem(), within)
		if e := t.Elem(); t.Key() != typeString || e != typeString && e != typeBool && e != typeAny {
			s |= unsortedMap
		}
		return s
	case reflect.Struct:
		var s shape
		for i := range t.NumField() {
			if f := t.Field(i); encoded(f) {
				s |= typeShape(f.Type, within)
			}
		}
		return s
	}
	return 0
}

// encoded reports whether the module encodes the field.
func encoded(f reflect.StructField) bool {
	return (f.IsExported() || f.Anonymous) && f.Tag.Get("msgpack") != "-"
}

func valueShape(v reflect.Value, depth int) (shape, error) {
	if !v.IsValid() {
		return 0, nil
	}
	s := typeShape(v.Type(), nil)
	if s&unbounded == 0 {
		return s, nil
	}
	// Interfaces and pointers count here, but not in the encoding, whose own
	// bound is checked once it is there.
	if depth > 4*maxNesting {
		return 0, errNesting
	}
	s &^= unbounded
	add := func(e reflect.Value) error {
		of, err := valueShape(e, depth+1)
		s |= of
		return err
	}
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		return s, add(v.Elem())
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if err := add(v.Index(i)); err != nil {
				return 0, err
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if err := add(it.Key()); err != nil {
				return 0, err
			}
			if err := add(it.Value()); err != nil {
				return 0, err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !encoded(v.Type().Field(i)) {
				continue
			}
			if err := add(v.Field(i)); err != nil {
				return 0, err
			}
		}
	}
	return s, nil
}
