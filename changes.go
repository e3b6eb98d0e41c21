package sessiondata

import "slices"

// change is what a transaction does to one key.
type change struct {
	what   changeKind
	stored bool   // the key is there in base
	body   []byte // of a set value; immutable
}

type changeKind uint8

const (
	asStored  changeKind = iota // nothing, or it was taken back
	isSet                       // stored with body
	isDeleted                   // removed; only of a key that is stored
)

// changeSet holds the changes to one package, in the order in which their keys
// were first touched. A position stays valid, so that the undo log can hold it.
type changeSet struct {
	keySet
	list  []change // beside keys
	first [1]change
}

// place returns the position of key, making one where it has none.
func (c *changeSet) place(key string) int {
	i := c.add(key)
	if c.list == nil {
		c.list = c.first[:0]
	}
	if i == len(c.list) {
		c.list = append(withRoom(c.list), change{})
	}
	return i
}

// keySet is a set of keys in the order of adding. Most hold a handful, for which
// a scan is cheaper than a map.
type keySet struct {
	keys  []string
	at    map[string]int // nil up to scanned keys
	first [1]string      // the room of keys until there are more
}

const scanned = 24

// find returns the position of key, or -1.
func (s *keySet) find(key string) int {
	if s.at != nil {
		if i, ok := s.at[key]; ok {
			return i
		}
		return -1
	}
	return slices.Index(s.keys, key)
}

// add returns the position of key, adding it where it is missing.
func (s *keySet) add(key string) int {
	if i := s.find(key); i >= 0 {
		return i
	}
	if s.keys == nil {
		s.keys = s.first[:0]
	}
	s.keys = append(withRoom(s.keys), key)
	if s.at != nil {
		s.at[key] = len(s.keys) - 1
	} else if len(s.keys) > scanned {
		s.at = make(map[string]int, 2*len(s.keys))
		for i, k := range s.keys {
			s.at[k] = i
		}
	}
	return len(s.keys) - 1
}

func (s *keySet) has(key string) bool { return s.find(key) >= 0 }

// withRoom returns s with room for one more, and for several where it is full.
func withRoom[T any](s []T) []T {
	if len(s) < cap(s) {
		return s
	}
	return slices.Grow(s, 7+2*len(s))
}
