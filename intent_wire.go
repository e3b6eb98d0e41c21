package sessiondata

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"
)

// The sections of the envelope by which several sessions get one outcome. An
// item has at most one of them.
//
//	intent, kind 1: what a transaction will make of this item if it commits
//	  16  transaction id, random
//	   1  flags: 1 the item is to be deleted, 2 a JoinLast participant decides,
//	      4 the new body is sealed, 8 a forward takes the place of the body
//	   8  deadline; only that of the primary counts
//	   8  ttl of the item if it is rolled back, in nanoseconds
//	   8  ttl of the item once installed
//	   1  length of the primary's storage key, then the key
//	      unless the item is to be deleted:
//	  65  head of the new body (its ancestors are those of the old body, and
//	      the old body itself)
//	   .  the changed packages: a table; an empty body drops the package
//	      or, where it is sealed, instead of these two:
//	   .  the whole new body as it is to be stored
//	      or, where the item is to be deleted and leave a forward:
//	   .  the forward
//	note, kind 2: the transaction has committed; on the primary alone
//	  16  transaction id
//	   8  ttl of the item once the note is gone
//	   2  number of keys, then each with its length in 1 byte: the other items
const (
	sectionIntent = 1
	sectionNote   = 2

	intentRemoves = 1
	intentLast    = 2
	intentSealed  = 4
	intentForward = 8

	// maxItems is how many items one transaction can have: the primary and
	// those that its note lists.
	maxItems = 1 + math.MaxUint16

	intentHead = 16 + 1 + 8 + 8 + 8 + 1
	noteHead   = 16 + 8 + 2
)

// txnID names a transaction over several sessions.
type txnID [16]byte

func newTxnID() (id txnID) {
	binary.LittleEndian.PutUint64(id[:], randomID())
	binary.LittleEndian.PutUint64(id[8:], randomID())
	return id
}

type intent struct {
	txn      txnID
	primary  string
	remove   bool
	last     bool
	deadline int64
	keepTTL  time.Duration
	putTTL   time.Duration
	head     head
	pkgs     table
	sealed   []byte // the new body, where it is sealed, in place of head and pkgs
	forward  *forward
}

type note struct {
	txn  txnID
	ttl  time.Duration
	keys []string
}

// section encodes the intent; pkgs are the edits that it makes, whatever
// in.pkgs holds.
func (in *intent) section(pkgs []edit) section {
	var plan tablePlan
	size := intentHead + len(in.primary)
	if in.sealed != nil {
		size += len(in.sealed)
	} else if !in.remove {
		changed := make([]edit, len(pkgs))
		for i, e := range pkgs {
			changed[i] = edit{name: e.name, body: e.body, table: e.table} // dropped: an empty body
		}
		plan = new(table).plan(changed)
		size += headSize + plan.size()
	}
	b := append(make([]byte, 0, size), in.txn[:]...)
	var flags byte
	if in.remove {
		flags |= intentRemoves
	}
	if in.last {
		flags |= intentLast
	}
	if in.sealed != nil {
		flags |= intentSealed
	}
	if in.forward != nil {
		flags |= intentForward
		b = slices.Grow(b, forwardHead+len(in.forward.box))
	}
	b = append(b, flags)
	b = binary.LittleEndian.AppendUint64(b, uint64(in.deadline))
	b = binary.LittleEndian.AppendUint64(b, uint64(in.keepTTL))
	b = binary.LittleEndian.AppendUint64(b, uint64(in.putTTL))
	b = append(append(b, byte(len(in.primary))), in.primary...)
	if in.forward != nil {
		b = append(b, in.forward.section().body...)
	}
	if in.sealed != nil {
		b = append(b, in.sealed...)
	} else if !in.remove {
		head := b[len(b) : len(b)+headSize]
		clear(head)
		in.head.put(head)
		b = plan.appendTo(b[:len(b)+headSize])
	}
	return section{kind: sectionIntent, body: b}
}

func parseIntent(b []byte) (*intent, error) {
	damaged := fmt.Errorf("%w: intent", ErrCorrupt)
	if len(b) < intentHead || b[16]&^(intentRemoves|intentLast|intentSealed|intentForward) != 0 {
		return nil, damaged
	}
	in := &intent{
		txn: txnID(b), remove: b[16]&intentRemoves != 0, last: b[16]&intentLast != 0,
		deadline: int64(binary.LittleEndian.Uint64(b[17:])),
		keepTTL:  time.Duration(binary.LittleEndian.Uint64(b[25:])),
		putTTL:   time.Duration(binary.LittleEndian.Uint64(b[33:])),
	}
	n, flags := int(b[41]), b[16]
	b = b[intentHead:]
	if n > len(b) || in.keepTTL < 0 || in.putTTL < 0 {
		return nil, damaged
	}
	in.primary, b = string(b[:n]), b[n:]
	if !isKey(in.primary) {
		return nil, damaged
	}
	switch {
	case flags&intentForward != 0:
		if !in.remove || flags&intentSealed != 0 {
			return nil, damaged
		}
		var err error
		in.forward, err = parseForward(b)
		return in, err
	case in.remove:
		if len(b) > 0 {
			return nil, damaged
		}
		return in, nil
	}
	if flags&intentSealed != 0 {
		in.sealed = b
		if _, _, rest, err := (storageKey{}).unseal(b); err != nil || len(rest) > 0 || !isEnvelope(b) {
			return nil, damaged
		}
		return in, nil
	}
	if len(b) < headSize {
		return nil, damaged
	}
	in.head = parseHead(b)
	var rest []byte
	var ok bool
	in.pkgs, rest, ok = parseTable(b[headSize:])
	if !ok || len(rest) > 0 || !in.pkgs.check() || !in.head.valid() || in.head.flags != 0 {
		return nil, damaged
	}
	return in, nil
}

// edits returns what the intent changes of the packages.
func (in *intent) edits() []edit {
	edits := make([]edit, in.pkgs.n)
	for i := range edits {
		body := in.pkgs.body(i)
		edits[i] = edit{name: string(in.pkgs.name(i)), body: body, drop: len(body) == 0}
	}
	return edits
}

func (n *note) section() section {
	b := append([]byte(nil), n.txn[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(n.ttl))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(n.keys)))
	for _, key := range n.keys {
		b = append(append(b, byte(len(key))), key...)
	}
	return section{kind: sectionNote, body: b}
}

func parseNote(b []byte) (*note, error) {
	damaged := fmt.Errorf("%w: note", ErrCorrupt)
	if len(b) < noteHead {
		return nil, damaged
	}
	n := &note{txn: txnID(b), ttl: time.Duration(binary.LittleEndian.Uint64(b[16:]))}
	count := int(binary.LittleEndian.Uint16(b[24:]))
	b = b[noteHead:]
	if n.ttl < 0 || count > len(b) {
		return nil, damaged
	}
	for range count {
		if len(b) == 0 || int(b[0]) >= len(b) {
			return nil, damaged
		}
		size := int(b[0])
		key := string(b[1 : 1+size])
		if !isKey(key) {
			return nil, damaged
		}
		n.keys, b = append(n.keys, key), b[1+size:]
	}
	if len(b) > 0 {
		return nil, damaged
	}
	return n, nil
}

// isKey reports whether key is one that a Store takes: damaged ones are not to
// be asked for.
func isKey(key string) bool {
	for i := range len(key) {
		if key[i] < 0x21 || key[i] > 0x7e {
			return false
		}
	}
	return len(key) > 0 && len(key) <= maxKey
}

// holds reports whether m bears an intent of that transaction.
func (m *image) holds(txn txnID) bool { return m != nil && m.intent != nil && m.intent.txn == txn }

// notes reports whether m bears the note of that transaction.
func (m *image) notes(txn txnID) bool { return m != nil && m.note != nil && m.note.txn == txn }

// settled reports whether m may be compared against: it bears neither.
func (m *image) settled() bool { return m.intent == nil && m.note == nil }

// body returns the session in m; nil where m only holds an intent or a note.
func (m *image) body() *image {
	if m == nil || m.flags&flagNoBody != 0 {
		return nil
	}
	return m
}

// withSection returns the bytes of m, unchanged, with s in place of any intent
// or note. A nil m is an item without a body. ErrTooLarge over limit.
func (m *image) withSection(key storageKey, s section, limit int) ([]byte, error) {
	if m.body() == nil {
		return withoutBody(key, limit, s)
	}
	return withSections(key, m.stored, append(m.kept(), s), limit)
}

// withoutBody returns the bytes of an item that only holds sections.
func withoutBody(key storageKey, limit int, sections ...section) ([]byte, error) {
	var b [headSize + tableHead]byte
	(&head{flags: flagNoBody}).put(b[:])
	none := new(table).plan(nil)
	return withSections(key, none.appendTo(b[:headSize]), sections, limit)
}

// withoutSection returns the bytes of m without intent or note; nil where
// nothing is left.
func (m *image) withoutSection(key storageKey) []byte {
	var raw []byte
	switch {
	case m.body() != nil:
		raw, _ = withSections(key, m.stored, m.kept(), math.MaxInt)
	case m.forward != nil:
		raw, _ = withoutBody(key, math.MaxInt, m.forward.section())
	}
	return raw
}

// installed returns the bytes of the item as the intent on it will have it, with
// more sections; nil where it is to be deleted and there are none.
func (m *image) installed(key storageKey, more ...section) ([]byte, error) {
	if m.intent.remove {
		if m.intent.forward != nil {
			more = append(more, m.intent.forward.section())
		}
		if len(more) == 0 {
			return nil, nil
		}
		return withoutBody(key, math.MaxInt, more...)
	}
	if m.intent.sealed != nil {
		return withSections(key, m.intent.sealed, append(m.kept(), more...), math.MaxInt)
	}
	d := draft{head: m.intent.head, prev: m.body(), pkgs: m.intent.edits(), sections: append(m.kept(), more...)}
	return d.encode(key, math.MaxInt)
}
