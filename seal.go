package sessiondata

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"sync"
)

// Sealing. What is stored is encrypted and authenticated with AES-256-GCM (NIST
// SP 800-38D) under a key that is derived by HKDF (RFC 5869) from a key of the
// ring and the session id. The id is nowhere in the store, so a dump of it and a
// stolen ring still open nothing without the visitor's cookie. The storage key is
// bound in, so that a value found under another key is ErrCorrupt.
//
// In the envelope the flag 2 says that everything between the first 8 bytes and
// the sections is sealed; there stand instead
//
//	4  id of the key in the ring
//	4  length of the rest
//	12 nonce, random
//	.  ciphertext and 16 bytes of tag; authenticated with it: the storage key,
//	   and the first 8 bytes of the envelope
//
// Intents and notes stay readable to whoever has to settle them, who need not
// know the session; the packages within an intent are sealed as the body is.
const (
	flagSealed = 2

	sealInfo = "sessiondata 1\x00"

	sealHead  = 4 + 4 + 12
	sealTag   = 16
	sealExtra = sealHead + sealTag
	sealFrom  = offBirth // what stands before is in clear

	// KeySize is the size of Key.Secret, in bytes.
	KeySize = 32
)

// Key is one key of a ring. Secret is KeySize random bytes, as from
// crypto/rand; a passphrase is no key.
type Key struct {
	ID     uint32 // stored with what it seals; each once in a ring
	Secret []byte
}

// ring holds the keys of a container, the sealing one first.
type ring []ringKey

type ringKey struct {
	id   uint32
	macs *sync.Pool // of *expander
}

// expander derives keys from one key of a ring. Its HMAC is under the HKDF
// extract of the secret, and keeps what it has hashed of that.
type expander struct {
	mac hash.Hash
	buf []byte
}

// expand is HKDF-Expand (RFC 5869, 2.3) for a key of one block, its T(1): the
// HMAC of info and the byte 1.
func (e *expander) expand(container, id string) []byte {
	e.buf = append(append(e.buf[:0], sealInfo...), container...)
	e.buf = append(append(append(e.buf, 0), id...), 1)
	e.mac.Reset()
	e.mac.Write(e.buf)
	e.buf = e.mac.Sum(e.buf[:0])
	return e.buf
}

var sealRoom [sealExtra]byte

// newRing copies what it needs of keys. Faults are told one by one.
func newRing(keys []Key, fault func(string, ...any)) ring {
	seen := map[uint32]bool{}
	r := make(ring, 0, len(keys))
	for i, k := range keys {
		if len(k.Secret) != KeySize {
			fault("the secret of Keys[%d] has %d bytes, want %d", i, len(k.Secret), KeySize)
			continue
		}
		if seen[k.ID] {
			fault("the id %d stands twice in Keys", k.ID)
		}
		seen[k.ID] = true
		prk, err := hkdf.Extract(sha256.New, k.Secret, nil)
		if err != nil {
			fault("Keys[%d] cannot be used: %v", i, err)
			continue
		}
		r = append(r, ringKey{k.ID, &sync.Pool{New: func() any { return &expander{mac: hmac.New(sha256.New, prk)} }}})
	}
	return r
}

// sealer seals and opens one session. It is not safe for concurrent use.
type sealer struct {
	ring      ring
	container string
	id        string
	// The cipher that was used last, and the id of its key. A session is read
	// and written under one key, but for the first write after a rotation.
	last   cipher.AEAD
	lastID uint32
}

func (r ring) sealer(container, id string) *sealer {
	if len(r) == 0 {
		return nil
	}
	return &sealer{ring: r, container: container, id: id}
}

// aead returns the cipher under one key of the ring.
func (s *sealer) aead(id uint32) (cipher.AEAD, error) {
	if s.last != nil && s.lastID == id {
		return s.last, nil
	}
	for _, k := range s.ring {
		if k.id != id {
			continue
		}
		e := k.macs.Get().(*expander)
		block, err := aes.NewCipher(e.expand(s.container, s.id))
		k.macs.Put(e)
		if err != nil {
			return nil, err
		}
		if s.last, err = cipher.NewGCM(block); err != nil {
			return nil, err
		}
		s.lastID = id
		return s.last, nil
	}
	return nil, fmt.Errorf("%w: sealed with a key that is not in Config.Keys", ErrUnsupportedVersion)
}

// extra is how many bytes longer a body is stored than it is.
func (k storageKey) extra() int {
	if k.seal == nil {
		return 0
	}
	return sealExtra
}

// sealBody seals a body under the first key of the ring. It may use what body
// has room for.
func (k storageKey) sealBody(body []byte) ([]byte, error) {
	if k.seal == nil {
		return body, nil
	}
	id := k.seal.ring[0].id
	aead, err := k.seal.aead(id)
	if err != nil {
		return nil, err
	}
	plain := len(body) - sealFrom
	body = append(body, sealRoom[:]...)
	// The plaintext moves behind the nonce and is encrypted where it stands.
	text := body[sealFrom+sealHead : sealFrom+sealHead+plain]
	copy(text, body[sealFrom:sealFrom+plain])
	body[offFlags] |= flagSealed
	binary.LittleEndian.PutUint32(body[sealFrom:], id)
	binary.LittleEndian.PutUint32(body[sealFrom+4:], uint32(12+plain+sealTag))
	nonce := body[sealFrom+8 : sealFrom+sealHead]
	rand.Read(nonce) // never fails, since Go 1.24
	with := k.sealedWith(body)
	aead.Seal(text[:0], nonce, text, *with)
	additional.Put(with)
	return body, nil
}

// unseal returns the sealed body at the start of b as it is stored, opened, and
// what follows it. Where k has no ring it is not opened. ErrUnsupportedVersion:
// the key is not in the ring. ErrCorrupt: it was sealed for another session, or
// changed since.
func (k storageKey) unseal(b []byte) (stored, plain, rest []byte, err error) {
	if len(b) < sealFrom+sealExtra {
		return nil, nil, nil, fmt.Errorf("%w: sealed body", ErrCorrupt)
	}
	n := uint64(binary.LittleEndian.Uint32(b[sealFrom+4:]))
	if n < 12+sealTag || n > uint64(len(b)-sealFrom-8) {
		return nil, nil, nil, fmt.Errorf("%w: sealed body", ErrCorrupt)
	}
	end := sealFrom + 8 + int(n)
	stored, rest = b[:end:end], b[end:]
	if k.seal == nil {
		return stored, nil, rest, nil
	}
	aead, err := k.seal.aead(binary.LittleEndian.Uint32(b[sealFrom:]))
	if err != nil {
		return nil, nil, nil, err
	}
	plain = make([]byte, sealFrom, end)
	copy(plain, b[:sealFrom])
	with := k.sealedWith(b)
	plain, err = aead.Open(plain, stored[sealFrom+8:sealFrom+sealHead], stored[sealFrom+sealHead:], *with)
	additional.Put(with)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%w: seal", ErrCorrupt)
	}
	return stored, plain, rest, nil
}

// sealedWith is the additional data of the seal: where the body stands, and what
// of it is in clear. It goes back to the pool after its use.
func (k storageKey) sealedWith(body []byte) *[]byte {
	with := additional.Get().(*[]byte)
	*with = append(append((*with)[:0], k.name...), body[:sealFrom]...)
	return with
}

var additional = sync.Pool{New: func() any { b := make([]byte, 0, maxKey+sealFrom); return &b }}

// readable is the error of a body that is sealed where there is no ring.
func (m *image) readable() error {
	if m.body() != nil && m.plain == nil {
		return fmt.Errorf("%w: sealed, and Config.Keys is empty", ErrUnsupportedVersion)
	}
	return nil
}
