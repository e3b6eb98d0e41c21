package sessiondata

import (
	"reflect"
	"slices"
	"strings"
)

// plainWithin does what plainNumbers does for every any that stands within what
// dst points to: in fields, elements, and keys and values of maps.
func plainWithin(dst any) {
	switch dst.(type) {
	case *string, *bool, *[]byte, *int, *int64, *float64, *any, *map[string]any, *[]any:
		return // the most used, or plain already: no reflection
	}
	v := reflect.ValueOf(dst)
	if v.Kind() == reflect.Pointer && !v.IsNil() && holdsAny(v.Type()) {
		plainIn(v.Elem(), 0)
	}
}

// holdsAny reports whether an interface may stand within t.
func holdsAny(t reflect.Type) bool { return typeShape(t, nil)&unbounded != 0 }

// plainIn walks through v, which can be set. What the decoder has filled is no
// deeper than maxNesting; the bound is for what dst held before.
func plainIn(v reflect.Value, depth int) {
	if depth > 4*maxNesting {
		return
	}
	switch v.Kind() {
	case reflect.Interface:
		if v.Type() == typeAny && !v.IsNil() && v.CanSet() {
			if plain := plainNumber(v.Interface()); plain != nil {
				v.Set(reflect.ValueOf(plain))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			plainIn(v.Elem(), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); encoded(f) && holdsAny(f.Type) {
				plainIn(v.Field(i), depth+1)
			}
		}
	case reflect.Slice, reflect.Array:
		if holdsAny(v.Type().Elem()) {
			for i := range v.Len() {
				plainIn(v.Index(i), depth+1)
			}
		}
	case reflect.Map:
		if (holdsAny(v.Type().Elem()) || v.Type().Key() == typeAny) && v.CanInterface() {
			plainInMap(v, depth)
		}
	}
}

func plainInMap(m reflect.Value, depth int) {
	var narrow []reflect.Value // keys in a form that nobody would look for
	for it := m.MapRange(); it.Next(); {
		if !it.Key().Equal(it.Key()) {
			continue // a NaN: it cannot be replaced
		}
		e := reflect.New(m.Type().Elem()).Elem()
		e.Set(it.Value())
		plainIn(e, depth+1)
		m.SetMapIndex(it.Key(), e)
		if k := it.Key(); k.Type() == typeAny && !k.IsNil() && reflect.TypeOf(plainNumber(k.Interface())) != k.Elem().Type() {
			narrow = append(narrow, k)
		}
	}
	// Where a number stands there in several forms one of them stays, always the
	// same one.
	slices.SortFunc(narrow, func(a, b reflect.Value) int {
		return strings.Compare(a.Elem().Type().String(), b.Elem().Type().String())
	})
	for _, k := range narrow {
		e := m.MapIndex(k)
		m.SetMapIndex(k, reflect.Value{})
		m.SetMapIndex(reflect.ValueOf(plainNumber(k.Interface())), e)
	}
}
