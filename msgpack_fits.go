package sessiondata

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
	"github.com/vmihailenco/tagparser/v2"
)

// The module cuts an integer off in silence where the type that it decodes into
// is too small. And where that is a map it takes an extension for the envelope of
// one, and allocates what the bytes within it say, which are no structure that
// wellFormed could have checked. So the value and the type are walked through
// side by side first. What else may not fit is for the decoder to judge.

var errExtension = errors.New("an extension where a map should be")

// fits refuses data, which is well formed, if an integer in it does not fit what
// dst points to, or an extension stands where that has a map.
func fits(data []byte, dst any) error {
	switch dst.(type) {
	case *string, *bool, *[]byte, *time.Time, *float64, *any, *[]string:
		return nil // the most used: no reflection
	case *map[string]any, *map[string]string:
		if isExtension(data) {
			return errExtension
		}
		return nil
	}
	if t := reflect.TypeOf(dst); t != nil && t.Kind() == reflect.Pointer {
		_, err := fitsType(data, t.Elem())
		return err
	}
	return nil
}

// fitsType returns what follows the first value of data.
func fitsType(data []byte, t reflect.Type) (rest []byte, err error) {
	kind, n, rest, _ := readHead(data)
	switch {
	case kind == kindAtom:
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() == reflect.Map && isExtension(data) && !decodesItself(t) {
			return nil, errExtension
		}
		return rest[n:], fitsInteger(data, t)
	case decodesItself(t):
		return skipped(data), nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return fitsType(data, t.Elem())
	case reflect.Slice, reflect.Array:
		if kind == kindArray {
			return fitsEach(rest, n, func(uint64) reflect.Type { return t.Elem() })
		}
	case reflect.Map:
		if kind == kindMap {
			return fitsEach(rest, 2*n, func(i uint64) reflect.Type {
				if i%2 == 0 {
					return t.Key()
				}
				return t.Elem()
			})
		}
	case reflect.Struct:
		fields := fieldsOf(t)
		if kind == kindMap {
			return fields.fitsMap(rest, n)
		}
		if n == uint64(len(fields.list)) {
			return fitsEach(rest, n, func(i uint64) reflect.Type { return fields.list[i].t })
		}
	}
	return skipped(data), nil
}

func fitsEach(rest []byte, n uint64, t func(i uint64) reflect.Type) (_ []byte, err error) {
	for i := range n {
		if rest, err = fitsType(rest, t(i)); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

func isExtension(data []byte) bool { return msgpcode.IsExt(data[0]) }

func skipped(data []byte) []byte {
	rest, _ := skipValue(data, 0) // it is well formed
	return rest
}

// fitsInteger checks data, an atom, against t.
func fitsInteger(data []byte, t reflect.Type) error {
	k := t.Kind()
	signed, unsigned := k >= reflect.Int && k <= reflect.Int64, k >= reflect.Uint && k <= reflect.Uintptr
	if !signed && !unsigned || decodesItself(t) {
		return nil
	}
	n, negative, ok := integer(data)
	if !ok {
		return nil
	}
	bad := false
	switch {
	case signed && negative:
		bad = t.OverflowInt(int64(n))
	case signed:
		bad = n > math.MaxInt64 || t.OverflowInt(int64(n))
	default:
		bad = negative || t.OverflowUint(n)
	}
	if bad {
		return fmt.Errorf("an integer that %s cannot hold", t)
	}
	return nil
}

// decodesItself reports whether t has a decoding of its own.
func decodesItself(t reflect.Type) bool {
	if t.PkgPath() == "" && t.Kind() != reflect.Struct && t.Kind() != reflect.Pointer {
		return false // a type without a name has methods only by what it embeds
	}
	if known, ok := selfDecoding.Load(t); ok {
		return known.(bool)
	}
	own := implements(t, typeCustomDecoder, typeUnmarshaler, reflect.TypeFor[encoding.BinaryUnmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]())
	selfDecoding.Store(t, own)
	return own
}

var selfDecoding, structFields sync.Map // reflect.Type to bool, to *fieldList

// fieldList holds the fields of a struct as the module names them.
type fieldList struct {
	list  []namedField // in the order of a struct that is encoded as an array
	named map[string]reflect.Type
}

type namedField struct {
	name string
	t    reflect.Type
}

func (l *fieldList) fitsMap(rest []byte, n uint64) ([]byte, error) {
	for range n {
		kind, size, after, _ := readHead(rest)
		var name []byte
		if kind == kindAtom {
			name = after[:size]
		}
		rest = skipped(rest)
		t, ok := l.named[string(name)]
		if !ok {
			rest = skipped(rest)
			continue
		}
		var err error
		if rest, err = fitsType(rest, t); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

func (l *fieldList) add(f namedField) {
	l.list = append(l.list, f)
	l.named[f.name] = f.t
}

func fieldsOf(t reflect.Type) *fieldList {
	if l, ok := structFields.Load(t); ok {
		return l.(*fieldList)
	}
	l := &fieldList{named: make(map[string]reflect.Type)}
	for i := range t.NumField() {
		l.addField(t.Field(i))
	}
	structFields.Store(t, l)
	return l
}

func (l *fieldList) addField(f reflect.StructField) {
	tag := tagparser.Parse(f.Tag.Get("msgpack"))
	if tag.Name == "-" || f.PkgPath != "" && !f.Anonymous {
		return
	}
	name := tag.Name
	if name == "" {
		name = f.Name
	}
	if f.Anonymous && !tag.HasOption("noinline") && l.inline(f.Type, tag.HasOption("inline")) {
		l.named[name] = f.Type
		return
	}
	l.add(namedField{name, f.Type})
	if alias, ok := tag.Options["alias"]; ok {
		l.named[alias] = f.Type
	}
}

// inline takes over the fields of an embedded struct: all, or none where one is
// there already, unless it is asked for.
func (l *fieldList) inline(t reflect.Type, asked bool) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || !asked && (decodesItself(t) || encodesItself(t)) {
		return false
	}
	inner := fieldsOf(t).list
	there := func(f namedField) bool { _, ok := l.named[f.name]; return ok }
	if !asked && slices.ContainsFunc(inner, there) {
		return false
	}
	for _, f := range inner {
		if !there(f) {
			l.add(f)
		}
	}
	return true
}

func encodesItself(t reflect.Type) bool {
	return implements(t, typeCustomEncoder, typeMarshaler, typeBinary, typeText)
}

// implements reports whether t or a pointer to it has the methods of one of the
// interfaces.
func implements(t reflect.Type, interfaces ...reflect.Type) bool {
	return slices.ContainsFunc(interfaces, func(i reflect.Type) bool { return t.Implements(i) || reflect.PointerTo(t).Implements(i) })
}
