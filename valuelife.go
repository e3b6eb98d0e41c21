package sessiondata

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"
)

// A value may end before its session. Its end is stored with it, in front of
// what the codec has made:
//
//	1  C1, which begins no value of MessagePack (the one byte that its
//	   specification never uses) and none of JSON (it is in no UTF-8 text)
//	8  end, in nanoseconds since 1970; 0: with the session
//	.  the value
//
// A value of another codec that begins with C1 is stored in this form too, with
// the end 0. So all that compares, merges, copies and seals values sees one
// string of bytes, of which the end is a part; only reading takes it apart.
//
// A value ends for a transaction by the moment at which its session was loaded,
// so that what it reads does not change under it. For a commit, which writes,
// merges and compares, it ends by the moment of that: what has ended is absent
// on both sides, so that the passing of time, and another commit that has swept
// the value out, are no conflict.
const (
	lifeMark = 0xC1
	lifeHead = 1 + 8
)

// SetFor is Set for a value that ends after d, or with its session if that is
// earlier. From then on it reads as absent, for every transaction that loads the
// session later; d is counted from now by Config.Now. It is removed from the
// store by the next write of its package, and that it has ended is no change and
// no conflict by itself.
//
// Set and SetDefault store a value without an end, Modify keeps the end that the
// value has, and SetFor gives it a new one: which is a change, also where the
// value is equal. Merging takes value and end as one. A d of 0 or less is
// ErrInvalid. It takes 9 bytes more than Set.
func (p *PkgData) SetFor(key string, v any, d time.Duration) error {
	body, err := encodeValue(p.s.codec, PkgKey{p.name, key}, v)
	p.s.u.tx.mu.Lock()
	defer p.s.u.tx.mu.Unlock()
	if err := p.changeable(key); err != nil {
		return err
	}
	if d <= 0 {
		return fmt.Errorf("%w: package %q key %q: a life that is not positive", ErrInvalid, p.name, key)
	}
	if err != nil {
		return err
	}
	p.put(key, withEnd(body, absoluteEnd(nanos(p.s.c.cfg.Now()), d)))
	return nil
}

// Expires returns when the value ends; zero: with its session.
func (v Value) Expires() time.Time {
	_, end := takeEnd(v.body)
	if end == 0 {
		return time.Time{}
	}
	return time.Unix(0, end).UTC()
}

// takeEnd takes a stored value apart; 0: it ends with the session.
func takeEnd(body []byte) (value []byte, end int64) {
	if len(body) < lifeHead || body[0] != lifeMark {
		return body, 0
	}
	return body[lifeHead:], int64(binary.LittleEndian.Uint64(body[1:]))
}

// withEnd returns a stored value with another end.
func withEnd(body []byte, end int64) []byte {
	value, was := takeEnd(body)
	if was == end {
		return body
	}
	if end == 0 && (len(value) == 0 || value[0] != lifeMark) {
		return value
	}
	out := append(make([]byte, 0, lifeHead+len(value)), lifeMark)
	return append(binary.LittleEndian.AppendUint64(out, uint64(end)), value...)
}

// storedForm returns what a codec has made in the form in which it is stored.
func storedForm(value []byte) []byte {
	if len(value) == 0 || value[0] != lifeMark {
		return value
	}
	return append(append(make([]byte, 0, lifeHead+len(value)), lifeMark, 0, 0, 0, 0, 0, 0, 0, 0), value...)
}

// endedAt reports whether a stored value has ended.
func endedAt(body []byte, now int64) bool {
	_, end := takeEnd(body)
	return end != 0 && end <= now
}

// live returns a package's table, which was checked, without what has ended.
// Where nothing in it can end, that is t itself.
func (t table) live(now int64) table {
	if !t.marked {
		return t
	}
	var ended []edit
	for i := range t.n {
		if endedAt(t.body(i), now) {
			ended = append(ended, edit{name: string(t.name(i)), drop: true})
		}
	}
	if ended == nil {
		return t
	}
	return t.edited(ended)
}

// live returns the table of a package without what has ended.
func (m *image) live(name string, now int64) (table, error) {
	t, err := m.pkg(name)
	return t.live(now), err
}

// livePkgs returns the table of packages without those of which all has ended. A
// broken one is there.
func (m *image) livePkgs(now int64) table {
	if m == nil {
		return table{}
	}
	if bytes.IndexByte(m.pkgs.bodies, lifeMark) < 0 {
		return m.pkgs
	}
	var ended []edit
	for i := range m.pkgs.n {
		name := string(m.pkgs.name(i))
		if t, err := m.live(name, now); err == nil && t.n == 0 {
			ended = append(ended, edit{name: name, drop: true})
		}
	}
	if ended == nil {
		return m.pkgs
	}
	return m.pkgs.edited(ended)
}
