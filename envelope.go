package sessiondata

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
)

// The envelope is the wire format of a stored session. Numbers are little
// endian; times are nanoseconds since 1970, durations nanoseconds.
//
//	offset size
//	     0    4  magic 89 53 44 53 ("\x89SDS")
//	     4    1  format version, now 1
//	     5    1  least format version that a reader must know, now 1
//	     6    1  codec of the values: 1 MessagePack, 2 JSON, 128 and above the user's
//	     7    1  flags: 1 there is no body, the item only holds sections;
//	             2 what stands between here and the sections is sealed (seal.go)
//	     8    8  birth id, random, drawn when the session is created
//	    16    8  revision: 1 for the first write, one more with each that changes it
//	    24    8  commit id, random, of the transaction that wrote this
//	    32    8  created
//	    40    8  last access
//	    48    8  timeout of this session alone; 0: the container's; -1: never
//	    56    8  absolute end; 0: none
//	    64    1  number of ancestors, at most 16
//	    65  8*n  ancestors: commit ids of the writes before this, latest first
//	     .    .  the packages: a table (see table.go) of name to table of values
//	             (see valuelife.go)
//	     .    .  sections, each: kind 1 byte, length 4 bytes, that many bytes
//	  last    4  CRC-32C over the storage key and all bytes before
//
// The checksum covers the storage key, so that bytes found under another key
// are not taken for a session of this one.
//
// Promise of compatibility: every version reads what earlier versions wrote
// (testdata/envelope holds encoded samples of each, for ever). A later version
// that only adds what this one may ignore keeps the second version byte at 1
// and puts it into a section whose kind has the high bit set: such sections
// survive a rewrite by this version. Anything else raises the second byte, and
// this version answers ErrUnsupportedVersion and leaves the item alone.
const (
	envelopeMagic   = "\x89SDS"
	envelopeVersion = 1

	flagNoBody = 1

	offVersion   = 4
	offLeast     = 5
	offCodec     = 6
	offFlags     = 7
	offBirth     = 8
	offRevision  = 16
	offCommit    = 24
	offCreated   = 32
	offAccess    = 40
	offTimeout   = 48
	offEnd       = 56
	offAncestors = 64
	headSize     = 65

	maxAncestors = 16
	sectionHead  = 5
	checksumSize = 4

	// ignorable marks the kinds of sections that a reader that does not know
	// them keeps and does not need.
	ignorable = 0x80
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// head holds the facts of a session that are not values.
type head struct {
	codec    uint8
	flags    uint8
	birth    uint64
	revision uint64
	commit   uint64
	created  int64
	access   int64
	timeout  int64
	end      int64
}

// image is one stored session, read-only: its parts are views of what was read.
type image struct {
	head
	stored    []byte // head and packages as they are stored, without sections
	plain     []byte // the same opened; nil: sealed, and this reader has no key to it
	ancestors []byte // commit ids, 8 bytes each
	pkgs      table
	sections  []section
	intent    *intent // see intent_wire.go
	note      *note
	forward   *forward // see forward.go
}

type section struct {
	kind uint8
	body []byte
}

// decodeImage checks raw, which was stored under key, and indexes it. It copies
// nothing but the list of sections, and looks into no package. On an error
// nothing of raw may be used: ErrUnsupportedVersion or ErrCorrupt.
func decodeImage(raw []byte, key storageKey) (*image, error) {
	if len(raw) < sealFrom+checksumSize || !isEnvelope(raw) {
		return nil, fmt.Errorf("%w: not an envelope", ErrCorrupt)
	}
	if least := raw[offLeast]; least > envelopeVersion {
		return nil, fmt.Errorf("%w: version %d of the envelope", ErrUnsupportedVersion, least)
	}
	body, sum := raw[:len(raw)-checksumSize], raw[len(raw)-checksumSize:]
	if key.checksum(body) != binary.LittleEndian.Uint32(sum) {
		return nil, fmt.Errorf("%w: checksum", ErrCorrupt)
	}
	m := new(image)
	var rest []byte
	var err error
	if raw[offFlags]&flagSealed != 0 {
		if m.stored, m.plain, rest, err = key.unseal(body); err != nil {
			return nil, err
		}
		m.flags = raw[offFlags]
		if m.plain != nil {
			if end, err := m.parseBody(m.plain); err != nil || len(end) > 0 {
				return nil, fmt.Errorf("%w: sealed body", ErrCorrupt)
			}
		}
	} else {
		if rest, err = m.parseBody(body); err != nil {
			return nil, err
		}
		m.stored = body[: len(body)-len(rest) : len(body)-len(rest)]
		m.plain = m.stored
	}
	for len(rest) > 0 {
		if len(rest) < sectionHead {
			return nil, fmt.Errorf("%w: sections", ErrCorrupt)
		}
		s, size := section{kind: rest[0]}, binary.LittleEndian.Uint32(rest[1:])
		rest = rest[sectionHead:]
		if uint64(size) > uint64(len(rest)) {
			return nil, fmt.Errorf("%w: sections", ErrCorrupt)
		}
		s.body, rest = rest[:size:size], rest[size:]
		if err := m.addSection(s); err != nil {
			return nil, err
		}
	}
	if m.flags&flagNoBody != 0 && (m.settled() && m.forward == nil || m.pkgs.n > 0) || m.flags&flagNoBody == 0 && m.forward != nil || m.intent != nil && m.note != nil {
		return nil, fmt.Errorf("%w: sections", ErrCorrupt)
	}
	return m, nil
}

func isEnvelope(raw []byte) bool { return string(raw[:len(envelopeMagic)]) == envelopeMagic }

// parseBody reads head, ancestors and packages at the start of b.
func (m *image) parseBody(b []byte) (rest []byte, err error) {
	if len(b) < headSize+tableHead {
		return nil, fmt.Errorf("%w: head", ErrCorrupt)
	}
	m.head = parseHead(b)
	n := 8 * int(b[offAncestors])
	rest = b[headSize:]
	if n > 8*maxAncestors || n > len(rest) || !m.valid() {
		return nil, fmt.Errorf("%w: head", ErrCorrupt)
	}
	m.ancestors, rest = rest[:n], rest[n:]
	var ok bool
	if m.pkgs, rest, ok = parseTable(rest); !ok || !m.pkgs.check() {
		return nil, fmt.Errorf("%w: table of packages", ErrCorrupt)
	}
	return rest, nil
}

func (m *image) addSection(s section) (err error) {
	switch {
	case s.kind == sectionIntent && m.intent == nil:
		m.intent, err = parseIntent(s.body)
	case s.kind == sectionNote && m.note == nil:
		m.note, err = parseNote(s.body)
	case s.kind == sectionForward && m.forward == nil:
		m.forward, err = parseForward(s.body)
	case s.kind == sectionIntent || s.kind == sectionNote || s.kind == sectionForward:
		err = fmt.Errorf("%w: a section stands twice", ErrCorrupt)
	case s.kind&ignorable == 0:
		err = fmt.Errorf("%w: section %d of the envelope", ErrUnsupportedVersion, s.kind)
	default:
		m.sections = append(m.sections, s)
	}
	return err
}

// parseHead reads the head at the start of b, which is long enough.
func parseHead(b []byte) head {
	return head{
		codec:    b[offCodec],
		flags:    b[offFlags],
		birth:    binary.LittleEndian.Uint64(b[offBirth:]),
		revision: binary.LittleEndian.Uint64(b[offRevision:]),
		commit:   binary.LittleEndian.Uint64(b[offCommit:]),
		created:  int64(binary.LittleEndian.Uint64(b[offCreated:])),
		access:   int64(binary.LittleEndian.Uint64(b[offAccess:])),
		timeout:  int64(binary.LittleEndian.Uint64(b[offTimeout:])),
		end:      int64(binary.LittleEndian.Uint64(b[offEnd:])),
	}
}

func (h *head) valid() bool {
	return h.timeout >= int64(NoTimeout) && h.flags&^(flagNoBody|flagSealed) == 0
}

// pkg returns the table of a package, checked. An absent one is empty.
func (m *image) pkg(name string) (table, error) {
	if m == nil {
		return table{}, nil
	}
	body, ok := m.pkgs.get(name)
	if !ok {
		return table{}, nil
	}
	return parsePkg(name, body)
}

func parsePkg(name string, body []byte) (table, error) {
	t, rest, ok := parseTable(body)
	if !ok || len(rest) != 0 || !t.check() {
		return table{}, fmt.Errorf("%w: package %q", ErrCorrupt, name)
	}
	return t, nil
}

// kept returns the sections that survive a rewrite: those that this version does
// not know and may ignore.
func (m *image) kept() []section { return slices.Clip(m.sections) }

// wrote reports whether commit wrote m or one of the writes before it that m
// still names.
func (m *image) wrote(commit uint64) bool {
	if m.commit == commit {
		return true
	}
	for a := m.ancestors; len(a) > 0; a = a[8:] {
		if binary.LittleEndian.Uint64(a) == commit {
			return true
		}
	}
	return false
}

// draft is an image to be: what is changed against prev.
type draft struct {
	head
	prev     *image // nil: nothing is there yet
	pkgs     []edit // bodies are tables of values; a dropped or empty package is dropped
	sections []section
}

// encode returns the bytes to store under key. Packages that are not edited are
// copied as they stand, and the ancestors are those of prev and prev itself.
// ErrTooLarge where they would be more than limit; that is found before
// anything is allocated.
func (d *draft) encode(key storageKey, limit int) ([]byte, error) {
	out, err := d.body(key, d.sections, limit)
	if err != nil {
		return nil, err
	}
	return appendSections(key, out, d.sections), nil
}

// body returns head and packages as they are to be stored, sealed where the key
// says so, with room for sections.
func (d *draft) body(key storageKey, sections []section, limit int) ([]byte, error) {
	plan, ancestors, size := d.layout()
	out, err := roomFor(size+key.extra(), sections, limit)
	if err != nil {
		return nil, err
	}
	out = out[:headSize]
	d.head.put(out)
	out[offFlags] &^= flagSealed
	out[offAncestors] = 0
	if d.prev != nil {
		out[offAncestors] = byte(1 + len(ancestors)/8)
		out = binary.LittleEndian.AppendUint64(out, d.prev.commit)
		out = append(out, ancestors...)
	}
	return key.sealBody(plan.appendTo(out))
}

// layout measures the body: its table, the ancestors beside prev, its size.
func (d *draft) layout() (plan tablePlan, ancestors []byte, size int) {
	if d.prev == nil {
		plan = new(table).plan(d.pkgs)
		return plan, nil, headSize + plan.size()
	}
	plan = d.prev.pkgs.plan(d.pkgs)
	ancestors = d.prev.ancestors[:min(len(d.prev.ancestors), 8*(maxAncestors-1))]
	return plan, ancestors, headSize + 8 + len(ancestors) + plan.size()
}

// fits is the error that encode would answer.
func (d *draft) fits(key storageKey, limit int) error {
	_, _, size := d.layout()
	return checkSize(size+key.extra(), d.sections, limit)
}

// withSections returns a body, as it is stored, with other sections.
func withSections(key storageKey, body []byte, sections []section, limit int) ([]byte, error) {
	out, err := roomFor(len(body), sections, limit)
	if err != nil {
		return nil, err
	}
	return appendSections(key, append(out, body...), sections), nil
}

// roomFor returns an empty slice for a body of that size with its sections and
// checksum; ErrTooLarge where they would be more than limit.
func roomFor(body int, sections []section, limit int) ([]byte, error) {
	if err := checkSize(body, sections, limit); err != nil {
		return nil, err
	}
	return takeBuffer(sizeOf(body, sections)), nil
}

func checkSize(body int, sections []section, limit int) error {
	if size := sizeOf(body, sections); size > limit {
		return fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, size, limit)
	}
	return nil
}

func sizeOf(body int, sections []section) int {
	size := body + checksumSize
	for _, s := range sections {
		size += sectionHead + len(s.body)
	}
	return size
}

func appendSections(key storageKey, out []byte, sections []section) []byte {
	for _, s := range sections {
		out = append(out, s.kind)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(s.body)))
		out = append(out, s.body...)
	}
	return binary.LittleEndian.AppendUint32(out, key.checksum(out))
}

func (h *head) put(out []byte) {
	copy(out, envelopeMagic)
	out[offVersion], out[offLeast] = envelopeVersion, envelopeVersion
	out[offCodec], out[offFlags] = h.codec, h.flags
	binary.LittleEndian.PutUint64(out[offBirth:], h.birth)
	binary.LittleEndian.PutUint64(out[offRevision:], h.revision)
	binary.LittleEndian.PutUint64(out[offCommit:], h.commit)
	binary.LittleEndian.PutUint64(out[offCreated:], uint64(h.created))
	binary.LittleEndian.PutUint64(out[offAccess:], uint64(h.access))
	binary.LittleEndian.PutUint64(out[offTimeout:], uint64(h.timeout))
	binary.LittleEndian.PutUint64(out[offEnd:], uint64(h.end))
}

// touched returns m's bytes with another access time, for the same key.
func (m *image) touched(key storageKey, access int64) ([]byte, error) {
	body := append(make([]byte, 0, sizeOf(len(m.plain)+key.extra(), m.sections)), m.plain...)
	binary.LittleEndian.PutUint64(body[offAccess:], uint64(access))
	body[offFlags] &^= flagSealed
	body, err := key.sealBody(body)
	if err != nil {
		return nil, err
	}
	return appendSections(key, body, m.sections), nil
}

// storageKey is the key under which a store holds a session, with its part of
// the checksum, which is needed at each read and write.
type storageKey struct {
	name string
	sum  uint32
	seal *sealer // nil: what is written is plain
}

func newStorageKey(name string) storageKey {
	return storageKey{name: name, sum: sumOfKey([]byte(name))}
}

func sumOfKey(name []byte) uint32 { return crc32.Update(0, castagnoli, name) }

func (k storageKey) checksum(body []byte) uint32 { return crc32.Update(k.sum, castagnoli, body) }
