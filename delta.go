package sessiondata

import (
	"slices"
	"strings"
)

// delta is what a transaction changes in one session, against some image.
type delta struct {
	pkgs    []pkgDelta // ascending by name, none without keys
	timeout *timeoutDelta
}

type pkgDelta struct {
	name string
	keys []keyDelta // ascending
}

// keyDelta is one changed value; a nil body deletes it.
type keyDelta struct {
	key  string
	body []byte
	read bool // the transaction had read what it replaces
}

// timeoutDelta is the change of the session's own timeout; value 0 is the
// container's.
type timeoutDelta struct {
	value int64
	read  bool
}

func (d *delta) empty() bool { return len(d.pkgs) == 0 && d.timeout == nil }

// collect makes d what s changes, against its base. It begins in the room given.
func (d *delta) collect(s *Session, pkgs []pkgDelta, keys []keyDelta) {
	if s.timeout != s.storedTimeout() {
		d.timeout = &timeoutDelta{value: s.timeout, read: s.timeoutRead}
	}
	changed, values := 0, 0
	for _, p := range s.pkgs {
		if p.dirty > 0 {
			changed++
			values += p.dirty
		}
	}
	pkgs, keys = slices.Grow(pkgs, changed), slices.Grow(keys, values)
	for _, p := range s.pkgs {
		if p.dirty == 0 {
			continue
		}
		from := len(keys)
		for i, c := range p.changes.list {
			if c.what != asStored {
				key := p.changes.keys[i]
				keys = append(keys, keyDelta{key: key, body: c.body, read: p.reads.has(key)})
			}
		}
		own := keys[from:len(keys):len(keys)]
		byKey := func(a, b keyDelta) int { return strings.Compare(a.key, b.key) }
		if !slices.IsSortedFunc(own, byKey) {
			slices.SortFunc(own, byKey)
		}
		pkgs = append(pkgs, pkgDelta{name: p.name, keys: own})
	}
	d.pkgs = pkgs
	d.withMember(s)
}

// readSet is what a transaction read of one session.
type readSet struct {
	pkgs    []pkgReads
	listed  bool // the set of packages
	timeout bool
}

type pkgReads struct {
	name   string
	keys   []string
	listed bool // the set of keys
}

// readSet returns what was read of s.
func (s *Session) readSet() *readSet {
	r := &readSet{listed: s.listed, timeout: s.timeoutRead}
	for _, p := range s.pkgs {
		if len(p.reads.keys) > 0 || p.listed {
			r.pkgs = append(r.pkgs, pkgReads{name: p.name, keys: p.reads.keys, listed: p.listed})
		}
	}
	if s.memberRead {
		r.pkgs = append(r.pkgs, pkgReads{name: subjectPkg, keys: []string{labelKey, subjectKey}})
	}
	return r
}

func (r *readSet) empty() bool { return len(r.pkgs) == 0 && !r.listed && !r.timeout }
