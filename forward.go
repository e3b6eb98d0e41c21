package sessiondata

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// A forward stands under the old id of a session that was renewed with a grace
// period, and leads to the new one. It is a section of the envelope, kind 3, of
// an item without a body:
//
//	8   the end of the grace period
//	12  nonce, random
//	.   the new id, encrypted and authenticated with AES-256-GCM; authenticated
//	    with it: the storage key
//
// The key is derived from the old id, and from the ring where there is one: a
// forward is of use to nobody but who knows the old id. Whoever meets one while
// a write is under way follows it, for the session behind it is the same.
const (
	sectionForward = 3
	forwardHead    = 8 + 12

	// maxForwards bounds how many renewals behind an id may be. A grace period
	// holds no more periodic ones.
	maxForwards = 256
)

type forward struct {
	until int64
	box   []byte // nonce and ciphertext
}

func (f *forward) section() section {
	return section{kind: sectionForward, body: append(binary.LittleEndian.AppendUint64(nil, uint64(f.until)), f.box...)}
}

// leaves reports whether now is what the intent on m leaves in its place: the
// very forward, which nobody else can have made.
func (m *image) leaves(now *image) bool {
	return m.intent.forward != nil && now != nil && now.forward != nil && bytes.Equal(m.intent.forward.box, now.forward.box)
}

func parseForward(b []byte) (*forward, error) {
	if len(b) < forwardHead+sealTag {
		return nil, fmt.Errorf("%w: forward", ErrCorrupt)
	}
	return &forward{until: int64(binary.LittleEndian.Uint64(b)), box: b[8:]}, nil
}

// forwardCipher returns the cipher of the forward under an id.
func (c *Container) forwardCipher(id string, key storageKey) (cipher.AEAD, error) {
	if key.seal != nil {
		return key.seal.aead(key.seal.ring[0].id)
	}
	secret, err := hkdf.Key(sha256.New, []byte(id), nil, "sessiondata forward 1\x00"+c.cfg.Name, KeySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// newForward leads from id, stored under key, to another id until a moment.
func (c *Container) newForward(id string, key storageKey, to string, until int64) (*forward, error) {
	aead, err := c.forwardCipher(id, key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, 12, forwardHead+len(to)+sealTag)
	rand.Read(nonce) // never fails, since Go 1.24
	return &forward{until: until, box: aead.Seal(nonce, nonce, []byte(to), []byte(key.name))}, nil
}

// follow returns the id that the forward on m leads to; false where there is
// none, or its grace period is over.
func (c *Container) follow(id string, key storageKey, m *image) (to string, ok bool, err error) {
	if m == nil || m.forward == nil || m.forward.until <= nanos(c.cfg.Now()) {
		return "", false, nil
	}
	box := m.forward.box
	open := func() ([]byte, error) {
		aead, err := c.forwardCipher(id, key)
		if err != nil {
			return nil, err
		}
		return aead.Open(nil, box[:12], box[12:], []byte(key.name))
	}
	plain, err := open()
	for i := 1; err != nil && key.seal != nil && i < len(key.seal.ring); i++ {
		// Made under a key that is no longer the first.
		aead, aerr := key.seal.aead(key.seal.ring[i].id)
		if aerr != nil {
			return "", false, aerr
		}
		plain, err = aead.Open(nil, box[:12], box[12:], []byte(key.name))
	}
	if err != nil || len(plain) == 0 || len(plain) > MaxID {
		return "", false, fmt.Errorf("%w: forward", ErrCorrupt)
	}
	return string(plain), true, nil
}

// forwardTTL is how long a forward is to be stored: its grace period in whole
// seconds, rounded up.
func forwardTTL(grace time.Duration) time.Duration {
	return lease{timeout: grace}.ttl(0)
}

// sectionRenewed, which may be ignored, tells when a session was given its id,
// where that was not at its creation: 8 bytes.
const sectionRenewed = ignorable | 1

// renewedAt returns when the session was given its id.
func (m *image) renewedAt() int64 {
	for _, s := range m.sections {
		if s.kind == sectionRenewed && len(s.body) == 8 {
			return int64(binary.LittleEndian.Uint64(s.body))
		}
	}
	return m.created
}

// withRenewed returns sections with another time of renewal.
func withRenewed(sections []section, at int64) []section {
	out := []section{{kind: sectionRenewed, body: binary.LittleEndian.AppendUint64(nil, uint64(at))}}
	for _, s := range sections {
		if s.kind != sectionRenewed {
			out = append(out, s)
		}
	}
	return out
}
