package sessiondata

import (
	"bytes"
	"errors"
	"fmt"
)

// Merging is three-way, by (package, key). Base is what the transaction loaded,
// mine what it makes of it, theirs what another commit has stored since:
//
//	base -> mine                        base -> theirs         result
//	unchanged                           anything               theirs
//	changed                             unchanged              mine
//	changed, without having read key    changed to the same    that
//	changed                             changed otherwise, or  Resolve, or ErrConflict
//	                                    to the same after a    naming the keys;
//	                                    read                   Overwrite: mine
//
// Two transactions that each read 0 and wrote 1 must make 2, so the same change
// after a read is a conflict. Deletion is a change. The session's own timeout is
// merged as any value is, under the empty package and key.
//
// The functions of this file do no I/O.

// Resolver settles one collision by calling Keep, or leaves Mine by returning
// nil without it, or returns ErrConflict (or another error) to refuse. It is
// called for one collision after the other, in the order of PkgKey, while the
// commit waits: it must not use the transaction. It may be called again for the
// same key when yet another commit came between.
type Resolver func(c *Collision) error

// Collision is a value that two commits changed differently.
type Collision struct {
	PkgKey
	Base, Theirs, Mine Value // Value.IsZero: the key was absent

	codec Codec
	keep  *keyDelta
}

// Keep sets the value to store in place of Mine. A zero Value deletes the key;
// another Value is stored as it is, with its end (see SetFor). ErrValue where v
// cannot be encoded.
func (c *Collision) Keep(v any) error {
	if stored, ok := v.(Value); ok && (stored.IsZero() || stored.codec.ID() == c.codec.ID()) {
		c.keep = &keyDelta{key: c.Key, body: stored.body}
		return nil
	}
	body, err := encodeValue(c.codec, c.PkgKey, v)
	if err == nil {
		c.keep = &keyDelta{key: c.Key, body: body}
	}
	return err
}

// merger merges one session.
type merger struct {
	base, theirs *image // base nil: the session was new
	codec        Codec
	policy       ConflictPolicy
	now          int64 // what has ended by it is absent
	resolve      Resolver
	refused      []PkgKey
}

// merge returns mine as a delta against theirs. A *ConflictError (without its
// Container), ErrCorrupt, or the Resolver's own error.
func (m *merger) merge(mine *delta, reads *readSet) (*delta, error) {
	if m.policy == Serializable {
		if err := m.compareReads(reads); err != nil {
			return nil, err
		}
	}
	out := new(delta)
	var err error
	if out.timeout, err = m.mergeTimeout(mine.timeout); err != nil {
		return nil, err
	}
	for _, p := range mine.pkgs {
		base, err := m.base.live(p.name, m.now)
		if err != nil {
			return nil, err
		}
		theirs, err := m.theirs.live(p.name, m.now)
		if err != nil {
			return nil, err
		}
		merged := pkgDelta{name: p.name}
		for _, k := range p.keys {
			at := PkgKey{p.name, k.key}
			kept, err := m.mergeKey(at, m.stored(base, at), m.stored(theirs, at), k)
			if err != nil {
				return nil, err
			}
			if kept != nil {
				merged.keys = append(merged.keys, *kept)
			}
		}
		if len(merged.keys) > 0 {
			out.pkgs = append(out.pkgs, merged)
		}
	}
	if len(m.refused) > 0 {
		return nil, &ConflictError{Keys: sortKeys(m.refused)}
	}
	return out, nil
}

func (m *merger) stored(t table, at PkgKey) Value {
	if body, ok := t.get(at.Key); ok {
		return Value{codec: m.codec, body: body, at: at}
	}
	return Value{}
}

// mergeKey applies the table above to one key; nil: theirs stays.
func (m *merger) mergeKey(at PkgKey, base, theirs Value, mine keyDelta) (*keyDelta, error) {
	wanted := Value{}
	if mine.body != nil {
		wanted = Value{codec: m.codec, body: mine.body, at: at}
	}
	switch {
	case base.Equal(theirs), m.policy == Overwrite:
		// mine
	case wanted.Equal(theirs) && !mine.read:
		return nil, nil
	case m.resolve == nil, at.Pkg == subjectPkg: // whose session it is no Resolver settles
		m.refused = append(m.refused, at)
		return nil, nil
	default:
		c := &Collision{PkgKey: at, Base: base, Theirs: theirs, Mine: wanted, codec: m.codec}
		if err := m.resolve(c); err != nil {
			return nil, m.refuse(at, err)
		}
		if c.keep != nil {
			mine.body = c.keep.body
		}
	}
	if same := mine.body == nil && theirs.IsZero() || mine.body != nil && !theirs.IsZero() && bytes.Equal(mine.body, theirs.body); same {
		return nil, nil
	}
	return &mine, nil
}

// refuse notes a collision that the Resolver refused, so that the error names
// all of them; another error than ErrConflict ends the merge.
func (m *merger) refuse(at PkgKey, err error) error {
	if errors.Is(err, ErrConflict) {
		m.refused = append(m.refused, at)
		return nil
	}
	return err
}

// mergeTimeout merges the timeout by way of values, so that a Resolver sees it
// as it sees any other: an int64 of nanoseconds, absent where it is the
// container's.
func (m *merger) mergeTimeout(mine *timeoutDelta) (*timeoutDelta, error) {
	if mine == nil {
		return nil, nil
	}
	var base int64
	if m.base != nil {
		base = m.base.timeout
	}
	was, err := m.timeoutValue(base)
	if err != nil {
		return nil, err
	}
	theirs, err := m.timeoutValue(m.theirs.timeout)
	if err != nil {
		return nil, err
	}
	wanted, err := m.timeoutValue(mine.value)
	if err != nil {
		return nil, err
	}
	kept, err := m.mergeKey(PkgKey{}, was, theirs, keyDelta{body: wanted.body, read: mine.read})
	if kept == nil || err != nil {
		return nil, err
	}
	out := &timeoutDelta{read: mine.read}
	if kept.body == nil {
		return out, nil
	}
	v := Value{codec: m.codec, body: kept.body}
	if err := v.Decode(&out.value); err != nil {
		return nil, err
	}
	if out.value < int64(NoTimeout) || out.value == 0 {
		return nil, fmt.Errorf("%w: the Resolver kept a timeout that is none", ErrInvalid)
	}
	return out, nil
}

func (m *merger) timeoutValue(t int64) (Value, error) {
	if t == 0 {
		return Value{}, nil
	}
	body, err := encodeValue(m.codec, PkgKey{}, t)
	return Value{codec: m.codec, body: body}, err
}

// compareReads refuses what another commit has changed of what was read.
func (m *merger) compareReads(reads *readSet) error {
	keys, err := changedReads(m.base, m.theirs, reads, m.now)
	if err == nil && len(keys) > 0 {
		err = &ConflictError{Keys: sortKeys(keys)}
	}
	return err
}

// changedReads returns what of reads differs between two images; a nil one is
// empty.
func changedReads(base, now *image, reads *readSet, at int64) (keys []PkgKey, err error) {
	if reads.timeout && timeoutOf(base) != timeoutOf(now) {
		keys = append(keys, PkgKey{})
	}
	if reads.listed && !sameNames(base.livePkgs(at), now.livePkgs(at)) {
		keys = append(keys, PkgKey{})
	}
	for _, p := range reads.pkgs {
		was, err := base.live(p.name, at)
		if err != nil {
			return nil, err
		}
		is, err := now.live(p.name, at)
		if err != nil {
			return nil, err
		}
		if p.listed && !sameNames(was, is) {
			keys = append(keys, PkgKey{Pkg: p.name})
		}
		for _, key := range p.keys {
			a, inA := was.get(key)
			b, inB := is.get(key)
			if inA != inB || !bytes.Equal(a, b) {
				keys = append(keys, PkgKey{p.name, key})
			}
		}
	}
	return keys, nil
}

func timeoutOf(m *image) int64 {
	if m == nil {
		return 0
	}
	return m.timeout
}

func sameNames(a, b table) bool {
	if a.n != b.n || !bytes.Equal(a.names, b.names) {
		return false
	}
	for i := range a.n {
		x, _ := a.end(i)
		if y, _ := b.end(i); x != y {
			return false
		}
	}
	return true
}
