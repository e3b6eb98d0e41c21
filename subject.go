package sessiondata

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// A session may belong to a subject: whoever has logged in. What it says of
// that is kept with its values, in a package of its own, so that transactions,
// savepoints, merging, renewing and sealing hold for it as for any value:
//
//	label    1 byte: 1; what SetLabel was given
//	subject  1 byte: 1, the form of what follows
//	         12 nonce, random
//	         .  ciphertext and 16 bytes of tag, AES-256-GCM, of:
//	            8 made, 8 after, 8 since (see membership), 2 length of the
//	            audience, the audience, the subject
//
// The subject is encrypted under a key that is derived from the session id,
// which no store ever sees: so it is not in clear in a dump of the store, also
// without Config.Keys, and yet the session can tell it. A renewed session has
// another id, so its subject is encrypted anew.
const (
	// MaxSubject is the longest audience, and the longest subject, in bytes. An
	// OpenID Connect subject has at most 255 (OpenID Connect Core 1.0, section 2).
	MaxSubject = 256
	// MaxLabel is the longest label, in bytes.
	MaxLabel = 128

	subjectPkg = "\x00subject"
	labelKey   = "label"
	subjectKey = "subject"

	labelForm    = 1 // neither form begins a value that ends, see valuelife.go
	subjectForm  = 1
	subjectHead  = 3*8 + 2
	subjectNonce = 12
)

// subject is whose session it is, within an audience. Zero: nobody's.
type subject struct{ audience, name string }

func newSubject(audience, name string) (subject, error) {
	switch {
	case name == "":
		return subject{}, fmt.Errorf("%w: an empty subject", ErrInvalid)
	case len(name) > MaxSubject || len(audience) > MaxSubject:
		return subject{}, fmt.Errorf("%w: an audience or subject longer than %d bytes", ErrInvalid, MaxSubject)
	}
	return subject{audience, name}, nil
}

// id is the subject as one string: no two have the same.
func (w subject) id() string {
	b := binary.LittleEndian.AppendUint16(make([]byte, 0, 2+len(w.audience)+len(w.name)), uint16(len(w.audience)))
	return string(append(append(b, w.audience...), w.name...))
}

// membership is what a session says of its subject. It is immutable.
type membership struct {
	subject
	label string
	// Stamps of the index (subject_index.go), given when the subject was set.
	made  int64 // the session is accepted if no later epoch is in force
	after int64 // the epoch that was in force
	since int64 // nanoseconds since 1970
}

// says is what the application has set.
func (m *membership) says() (who subject, label string) {
	if m == nil {
		return subject{}, ""
	}
	return m.subject, m.label
}

func (m *membership) who() subject { who, _ := m.says(); return who }

// SetSubject says whose session this is: do it at a login, together with Renew.
// Audience tells apart the applications or kinds of account that share a
// container; it may be empty. Both are any bytes, of at most MaxSubject. The
// subject that the session has already changes nothing.
//
// The commit then lists the session under its subject, for Sessions and Revoke:
// two round trips more, before the session is written, so that no session is
// written whose place under Config.MaxSessions is not sure. If that fails, as
// with ErrTooMany, nothing is committed. A later transaction on the session asks
// once per Config.Resolution, subject and container whether it was revoked (one
// round trip more when loading), and with an access that is recorded brings the
// list up to date (two more, also at most once per Resolution).
//
// Nothing in a store shows the subject. Whoever has a dump of the store can, all
// the same, test a guess of it: use an opaque number for the subject, or a keyed
// hash of it, where it could be guessed and that matters.
//
// Errors: ErrInvalid for an empty or too long subject; ErrReadOnly, ErrTxnDone,
// ErrGone as for any change.
func (s *Session) SetSubject(audience, subject string) error {
	who, err := newSubject(audience, subject)
	return s.setMember(err, func(m *membership) { m.subject = who })
}

// ClearSubject makes this nobody's session again: a logout that keeps the rest.
// The commit takes it off its subject's list before it is written: two round
// trips more, also where SetSubject gives it another subject.
func (s *Session) ClearSubject() error {
	return s.setMember(nil, func(m *membership) { m.subject = subject{} })
}

// Subject returns whose session it is; two empty strings where nobody's.
func (s *Session) Subject() (audience, subject string) {
	s.u.tx.mu.Lock()
	defer s.u.tx.mu.Unlock()
	who, _ := s.look().says()
	return who.audience, who.name
}

// SetLabel names the session for those who look at a list of their sessions: the
// device, the place. It is any bytes, of at most MaxLabel, else ErrInvalid; empty
// takes it away. It may be set before there is a subject.
func (s *Session) SetLabel(label string) error {
	var err error
	if len(label) > MaxLabel {
		err = fmt.Errorf("%w: a label longer than %d bytes", ErrInvalid, MaxLabel)
	}
	return s.setMember(err, func(m *membership) { m.label = label })
}

// Label returns what SetLabel has set.
func (s *Session) Label() string {
	s.u.tx.mu.Lock()
	defer s.u.tx.mu.Unlock()
	_, label := s.look().says()
	return label
}

// look returns the membership and notes that it was read; tx.mu is held.
func (s *Session) look() *membership {
	if s.u.tx.err() != nil || s.destroyed {
		return nil
	}
	s.memberRead = s.memberRead || s.member == s.stored
	return s.member
}

// setMember changes the membership, unless there is a fault.
func (s *Session) setMember(fault error, change func(*membership)) error {
	s.u.tx.mu.Lock()
	defer s.u.tx.mu.Unlock()
	if err := s.changeable(); err != nil {
		return err
	}
	if fault != nil {
		return fault
	}
	var m membership
	if s.member != nil {
		m = *s.member
	}
	change(&m)
	before, to := s.member, s.stored
	if who, label := to.says(); m.subject != who || m.label != label {
		m.made, m.after, m.since = 0, 0, 0 // given by the index at the commit
		if to != nil && m.subject == who {
			m.made, m.after, m.since = to.made, to.after, to.since
		}
		to = &m
	}
	s.u.log.note(func() { s.member = before })
	s.member = to
	return nil
}

// joins reports whether the commit makes the session one of its subject's.
func (s *Session) joins() bool {
	who := s.member.who()
	return !s.destroyed && who != (subject{}) && who != s.stored.who()
}

// leaves reports whether the commit makes it its subject's no more.
func (s *Session) leaves() bool {
	who := s.stored.who()
	return !s.destroyed && who != (subject{}) && who != s.member.who()
}

// Ref names the session of that id, as it is listed and traced.
func (c *Container) Ref(id string) SessionRef { return newSessionRef(c, c.storageKey(id).name) }

// Ref names the session as it is listed and traced. As long as a Renew is not
// committed that of a stored session is the old one.
func (s *Session) Ref() SessionRef {
	s.u.tx.mu.Lock()
	defer s.u.tx.mu.Unlock()
	if s.base != nil {
		return newSessionRef(s.c, s.key.name)
	}
	return newSessionRef(s.c, s.nextKey().name)
}

// lastID is the id under which the commit leaves, or has left, the session.
func (s *Session) lastID() string {
	switch {
	case s.newID != "":
		return s.newID
	case s.movedTo != "":
		return s.movedTo
	}
	return s.id
}

// nextKey is the storage key of lastID.
func (s *Session) nextKey() storageKey {
	if id := s.lastID(); id != s.id {
		return s.c.storageKey(id)
	}
	return s.key
}

// withMember adds what s changes of its membership to the changes of a commit.
// The subject stands there in clear: write.sealed encrypts it.
func (d *delta) withMember(s *Session) {
	if s.destroyed || s.member == nil && s.stored == nil {
		return
	}
	p := pkgDelta{name: subjectPkg}
	who, label := s.member.says()
	wasWho, wasLabel := s.stored.says()
	if label != wasLabel {
		k := keyDelta{key: labelKey}
		if label != "" {
			k.body = append([]byte{labelForm}, label...)
		}
		p.keys = append(p.keys, k)
	}
	switch {
	case who != (subject{}) && (who != wasWho || s.spared > s.member.made):
		m := *s.member
		m.made = max(m.made, s.spared)
		p.keys = append(p.keys, keyDelta{key: subjectKey, body: m.bytes()})
	case who == (subject{}) && wasWho != who:
		p.keys = append(p.keys, keyDelta{key: subjectKey})
	}
	if len(p.keys) > 0 {
		i, _ := findPkgDelta(d.pkgs)
		d.pkgs = slices.Insert(d.pkgs, i, p)
	}
}

// findPkgDelta returns the position of subjectPkg, or where it would stand.
func findPkgDelta(pkgs []pkgDelta) (int, bool) {
	return slices.BinarySearchFunc(pkgs, subjectPkg, func(p pkgDelta, name string) int { return strings.Compare(p.name, name) })
}

// sealed returns the changes of a commit with the subject encrypted for the id
// under which the session is to be stored. Where that is not the one under which
// it is stored, the subject that it has is encrypted anew.
func (w *write) sealed(pkgs []pkgDelta, id string) ([]pkgDelta, error) {
	i, found := findPkgDelta(pkgs)
	moved := w.cur != nil && id != w.id
	if !found && !moved {
		return pkgs, nil
	}
	p := pkgDelta{name: subjectPkg}
	if found {
		p.keys = slices.Clone(pkgs[i].keys)
	}
	name := w.s.c.cfg.Name
	switch last := len(p.keys) - 1; {
	case found && p.keys[last].key == subjectKey:
		if p.keys[last].body != nil {
			p.keys[last].body = sealSubject(p.keys[last].body, name, id)
		}
	case moved:
		m, err := w.s.c.memberOf(w.cur, w.id)
		if err != nil {
			return nil, err
		}
		if m.who() == (subject{}) {
			return pkgs, nil
		}
		p.keys = append(p.keys, keyDelta{key: subjectKey, body: sealSubject(m.bytes(), name, id)})
	}
	pkgs = slices.Clone(pkgs)
	if !found {
		return slices.Insert(pkgs, i, p), nil
	}
	pkgs[i] = p
	return pkgs, nil
}

// memberOf reads the membership of a stored session; nil where there is none.
func (c *Container) memberOf(m *image, id string) (*membership, error) {
	if _, ok := m.pkgs.find(subjectPkg); !ok {
		return nil, nil
	}
	t, err := m.pkg(subjectPkg)
	if err != nil {
		return nil, err
	}
	out := new(membership)
	if sealed, ok := t.get(subjectKey); ok && !out.open(sealed, c.cfg.Name, id) {
		return nil, fmt.Errorf("%w: subject", ErrCorrupt)
	}
	if label, ok := t.get(labelKey); ok && len(label) > 0 {
		out.label = string(label[1:])
	}
	return out, nil
}

// bytes returns the subject and its stamps in clear.
func (m *membership) bytes() []byte {
	text := make([]byte, 0, subjectHead+len(m.audience)+len(m.name))
	text = binary.LittleEndian.AppendUint64(text, uint64(m.made))
	text = binary.LittleEndian.AppendUint64(text, uint64(m.after))
	text = binary.LittleEndian.AppendUint64(text, uint64(m.since))
	text = binary.LittleEndian.AppendUint16(text, uint16(len(m.audience)))
	return append(append(text, m.audience...), m.name...)
}

// sealSubject encrypts a subject for a session of that id.
func sealSubject(text []byte, container, id string) []byte {
	out := make([]byte, 1+subjectNonce, 1+subjectNonce+len(text)+sealTag)
	out[0] = subjectForm
	rand.Read(out[1:]) // never fails, since Go 1.24
	return subjectCipher(container, id).Seal(out, out[1:1+subjectNonce], text, nil)
}

// open reads what sealSubject made, and reports whether it did.
func (m *membership) open(sealed []byte, container, id string) bool {
	if len(sealed) < 1+subjectNonce || sealed[0] != subjectForm {
		return false
	}
	text, err := subjectCipher(container, id).Open(nil, sealed[1:1+subjectNonce], sealed[1+subjectNonce:], nil)
	if err != nil || len(text) < subjectHead {
		return false
	}
	m.made = int64(binary.LittleEndian.Uint64(text))
	m.after = int64(binary.LittleEndian.Uint64(text[8:]))
	m.since = int64(binary.LittleEndian.Uint64(text[16:]))
	n, text := int(binary.LittleEndian.Uint16(text[24:])), text[subjectHead:]
	if n >= len(text) {
		return false
	}
	m.audience, m.name = string(text[:n]), string(text[n:])
	return true
}

// subjectCipher is AES-256-GCM under a key for the subject of one session alone,
// by HKDF (RFC 5869).
func subjectCipher(container, id string) cipher.AEAD {
	key, err := hkdf.Key(sha256.New, []byte("sessiondata subject 1\x00"+id), nil, container, KeySize)
	if err != nil {
		panic(err) // only for more than 255 hashes of output
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // only for a key of another length
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // only for a block of another length
	}
	return aead
}
