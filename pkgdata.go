package sessiondata

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// PkgData is the map of one package. Values are encoded when set and decoded
// when read: what is read is the caller's own copy, and a later change to it is
// not seen until it is set again. After the transaction's end the methods that
// return no error answer zero values. It is safe for concurrent use by the
// goroutines of its transaction.
//
// Names of packages and keys are free text of at most MaxName bytes; a longer
// one is ErrInvalid, and so is the package "\x00subject", which the library keeps
// for itself. If the stored package is broken, methods that return an
// error answer ErrCorrupt, the others show it empty, and the transaction can
// only fail with ErrCorrupt.
type PkgData struct {
	s      *Session
	name   string
	opened bool
	fault  error
	base   table // as stored, without what had ended when it was loaded

	// All below is guarded by Txn.mu.
	changes changeSet
	dirty   int // changes that differ from base
	reads   keySet
	listed  bool // the set of keys was read
}

// Name returns the name of the package.
func (p *PkgData) Name() string { return p.name }

// Get decodes the value of key into dst, a pointer. ErrKeyNotFound: there is
// none; a stored nil is there. ErrValue: it does not fit dst, which may then
// hold a part.
func (p *PkgData) Get(key string, dst any) error {
	v, err := p.read(key)
	if err != nil {
		return err
	}
	return v.Decode(dst)
}

// Set stores v under key. A value that cannot be encoded is ErrValue and leaves
// no trace; an equal value changes nothing. v may be a Value.
func (p *PkgData) Set(key string, v any) error {
	var body []byte
	var err error
	direct := 0 // the most bytes of a value that is encoded under the lock, in room of the session's
	if _, ok := p.s.codec.(msgpackCodec); ok {
		direct = sizeDirect(v)
	}
	if direct == 0 { // that may take its time, and call the user's code
		body, err = encodeValue(p.s.codec, PkgKey{p.name, key}, v)
	}
	p.s.u.tx.mu.Lock()
	defer p.s.u.tx.mu.Unlock()
	if err := p.changeable(key); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	if direct > 0 {
		body = p.s.bodies.direct(v, direct)
	}
	p.put(key, body)
	return nil
}

// Delete removes key. An absent one is no error and no change.
func (p *PkgData) Delete(key string) error {
	p.s.u.tx.mu.Lock()
	defer p.s.u.tx.mu.Unlock()
	if err := p.changeable(key); err != nil {
		return err
	}
	p.remove(key)
	return nil
}

// Clear deletes every key that the package holds. It does not count as reading
// them: a key that another transaction adds meanwhile stays.
func (p *PkgData) Clear() error {
	p.s.u.tx.mu.Lock()
	defer p.s.u.tx.mu.Unlock()
	if err := p.changeable(""); err != nil {
		return err
	}
	for i := range p.base.n {
		p.remove(string(p.base.name(i)))
	}
	for _, key := range slices.Clone(p.changes.keys) {
		p.remove(key)
	}
	return nil
}

// Has reports whether key holds a value.
func (p *PkgData) Has(key string) bool {
	v, err := p.read(key)
	return err == nil && !v.IsZero()
}

// Len returns the number of keys.
func (p *PkgData) Len() int {
	p.s.u.tx.mu.Lock()
	defer p.s.u.tx.mu.Unlock()
	if p.readable("") != nil || p.s.destroyed {
		return 0
	}
	p.listed = true
	return p.count()
}

// Keys returns the keys, sorted.
func (p *PkgData) Keys() []string {
	p.s.u.tx.mu.Lock()
	defer p.s.u.tx.mu.Unlock()
	if p.readable("") != nil || p.s.destroyed {
		return nil
	}
	p.listed = true
	return p.liveKeys()
}

// All ranges over the keys and values as they are when the loop begins, in the
// order of Keys. It counts as reading all of them. Changes within the loop are
// allowed and not seen by it.
func (p *PkgData) All() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		p.s.u.tx.mu.Lock()
		var keys []string
		var vals []Value
		if p.readable("") == nil && !p.s.destroyed {
			p.listed = true
			keys = p.liveKeys()
			vals = make([]Value, len(keys))
			for i, key := range keys {
				vals[i] = p.look(key)
			}
		}
		p.s.u.tx.mu.Unlock()
		for i, key := range keys {
			if p.s.u.tx.Err() != nil || !yield(key, vals[i]) {
				return
			}
		}
	}
}

func (p *PkgData) read(key string) (Value, error) {
	p.s.u.tx.mu.Lock()
	defer p.s.u.tx.mu.Unlock()
	if err := p.readable(key); err != nil {
		return Value{}, err
	}
	return p.look(key), nil
}

// The methods below are called with Txn.mu held.

// usable indexes the stored package at its first use.
func (p *PkgData) usable() error {
	if !p.opened {
		p.opened = true
		if p.base, p.fault = p.s.base.live(p.name, p.s.at); p.fault != nil {
			p.s.u.fault = joined(p.s.u.fault, p.fault)
		}
	}
	return p.fault
}

func (p *PkgData) readable(key string) error {
	if err := p.s.u.tx.err(); err != nil {
		return err
	}
	if len(p.name) > MaxName || len(key) > MaxName {
		return fmt.Errorf("%w: the name of a package or key is longer than %d bytes", ErrInvalid, MaxName)
	}
	if p.name == subjectPkg {
		return fmt.Errorf("%w: the name of the package is kept for the session's subject", ErrInvalid)
	}
	return p.usable()
}

func (p *PkgData) changeable(key string) error {
	if err := p.s.changeable(); err != nil {
		return err
	}
	return p.readable(key)
}

// look returns the value of key and notes that it was read, unless this
// transaction has set it.
func (p *PkgData) look(key string) Value {
	if p.s.destroyed {
		return Value{}
	}
	v, own := p.current(key)
	if !own {
		p.reads.add(key)
		// An absent key is one of many: its set was read.
		p.listed = p.listed || v.IsZero()
	}
	return v
}

// peek returns the value of key without noting it.
func (p *PkgData) peek(key string) Value {
	v, _ := p.current(key)
	return v
}

// current returns the value of key, and whether this transaction has changed it.
func (p *PkgData) current(key string) (v Value, own bool) {
	if i := p.changes.find(key); i >= 0 && p.changes.list[i].what != asStored {
		if c := p.changes.list[i]; c.what == isSet {
			return p.value(key, c.body), true
		}
		return Value{}, true
	}
	if body, ok := p.base.get(key); ok {
		return p.value(key, body), false
	}
	return Value{}, false
}

func (p *PkgData) value(key string, body []byte) Value {
	return Value{codec: p.s.codec, body: body, at: PkgKey{p.name, key}}
}

func (p *PkgData) put(key string, body []byte) {
	i := p.changes.find(key)
	stored, there := p.base.get(key)
	is, to := p.now(i, stored), change{what: isSet, body: body, stored: there}
	switch {
	case is != nil && bytes.Equal(is, body):
		return
	case there && bytes.Equal(stored, body):
		to = change{what: asStored, stored: true}
	}
	p.change(i, key, to)
}

func (p *PkgData) remove(key string) {
	i := p.changes.find(key)
	stored, there := p.base.get(key)
	to := change{what: asStored}
	switch {
	case p.now(i, stored) == nil:
		return
	case there:
		to = change{what: isDeleted, stored: true}
	}
	p.change(i, key, to)
}

// now returns the value of a key, nil where it is absent: changed at position i,
// or as stored.
func (p *PkgData) now(i int, stored []byte) []byte {
	if i >= 0 && p.changes.list[i].what != asStored {
		return p.changes.list[i].body
	}
	return stored
}

// change notes what is to become of key, at position i of the changes or, below
// 0, at none yet, and how to take that back.
func (p *PkgData) change(i int, key string, to change) {
	if i < 0 {
		i = p.changes.place(key)
	}
	if log := &p.s.u.log; log.on {
		was := p.changes.list[i]
		log.note(func() { p.assign(i, was) })
	}
	p.assign(i, to)
}

func (p *PkgData) assign(i int, to change) {
	if p.changes.list[i].what != asStored {
		p.dirty--
	}
	if to.what != asStored {
		p.dirty++
	}
	p.changes.list[i] = to
}

func (p *PkgData) count() int {
	n := p.base.n
	for _, c := range p.changes.list {
		switch {
		case c.what == isSet && !c.stored:
			n++
		case c.what == isDeleted:
			n--
		}
	}
	return n
}

func (p *PkgData) liveKeys() []string {
	keys := make([]string, 0, p.count())
	for i := range p.base.n {
		name := p.base.name(i)
		if j := p.changes.find(string(name)); j < 0 || p.changes.list[j].what != isDeleted {
			keys = append(keys, string(name))
		}
	}
	for j, c := range p.changes.list {
		if c.what == isSet && !c.stored {
			keys = append(keys, p.changes.keys[j])
		}
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}
