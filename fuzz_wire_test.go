package sessiondata

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-ad7f1900/sessiondata/internal/bounds"
)

// Targets for what stands on the wire beside the envelope itself: sealed bodies,
// forwards, values that end, and what the index of a subject holds.

// sealingKey is testKey of a container that seals.
func sealingKey(t testing.TB, container, id string) storageKey {
	t.Helper()
	key := newStorageKey(testKey.name)
	key.seal = newRing([]Key{{ID: 7, Secret: bytes.Repeat([]byte{1}, KeySize)}}, t.Fatalf).sealer(container, id)
	return key
}

// FuzzSealedBody seals any bytes as a body: sealed and opened, they are read or
// refused as they are in clear. One byte changed, another id or another place:
// they are refused, but for sections, which stand outside the seal.
func FuzzSealedBody(f *testing.F) {
	for _, raw := range goldenBytes(f) {
		f.Add(raw[:len(raw)-checksumSize], uint16(len(raw)/2), byte(1))
	}
	f.Fuzz(func(t *testing.T, body []byte, at uint16, flip byte) {
		if len(body) < sealFrom || !isEnvelope(body) || body[offLeast] > envelopeVersion || body[offFlags]&flagSealed != 0 {
			return // refused before anything is opened, or not a body in clear
		}
		// The body alone is sealed: sections follow it in clear.
		clear := new(image)
		rest, err := clear.parseBody(body)
		plain := body
		if err == nil {
			plain = body[:len(body)-len(rest)]
		}
		key := sealingKey(t, "c", "id")
		var sealed []byte
		require.NoError(t, bounds.Check(len(body), 16, func() {
			var serr error
			sealed, serr = key.sealBody(slices.Clone(plain))
			require.NoError(t, serr)
		}))
		raw := appendSections(key, slices.Clone(sealed), []section{{kind: ignorable | 9, body: []byte("kept")}})
		var m *image
		var oerr error
		require.NoError(t, bounds.Check(len(raw), 16, func() { m, oerr = decodeImage(raw, key) }))
		if err != nil {
			require.ErrorIs(t, oerr, ErrCorrupt)
		} else if clear.flags&flagNoBody == 0 {
			require.NoError(t, oerr)
			h := m.head
			h.flags &^= flagSealed
			require.Equal(t, clear.head, h)
			require.Equal(t, clear.ancestors, m.ancestors)
			require.Equal(t, contentOf(clear.pkgs), contentOf(m.pkgs))
			require.Equal(t, sealed, m.stored)
		}

		// What was not sealed for this session, here and like this, is not opened.
		for _, other := range []storageKey{sealingKey(t, "c", "other"), sealingKey(t, "other", "id")} {
			_, _, _, err := other.unseal(sealed)
			require.ErrorIs(t, err, ErrCorrupt)
		}
		elsewhere := sealingKey(t, "c", "id")
		elsewhere.name = "session:elsewhere"
		_, _, _, err = elsewhere.unseal(sealed)
		require.ErrorIs(t, err, ErrCorrupt)
		if flip != 0 {
			bad := slices.Clone(sealed)
			bad[int(at)%len(bad)] ^= flip
			_, _, rest, err := key.unseal(bad)
			require.True(t, err != nil, "opened although a byte was changed; rest %d", len(rest))
			requireUnreadable(t, err)
		}
		_, _, _, _ = key.unseal(body) // any bytes in the place of the sealed ones
	})
}

// FuzzForward reads any bytes as a forward: only those that were made under the
// id lead anywhere, and only until their end.
func FuzzForward(f *testing.F) {
	now := int64(1000)
	c := &Container{cfg: Config{Name: "c", Now: func() time.Time { return time.Unix(0, now) }}}
	sealing := &Container{cfg: c.cfg, ring: newRing([]Key{{ID: 7, Secret: bytes.Repeat([]byte{1}, KeySize)}}, f.Fatalf)}
	made := []string{"x", "another id"} // in this process, or in the one that has made the seeds
	for _, c := range []*Container{c, sealing} {
		for _, to := range made {
			fw, err := c.newForward("id", c.storageKey("id"), to, 2000)
			require.NoError(f, err)
			f.Add(fw.section().body)
		}
	}
	for _, b := range sectionsOf(f, sectionForward, sectionIntent) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		require.NoError(t, bounds.Check(len(b), 16, func() {
			fw, err := parseForward(b)
			if err != nil {
				require.ErrorIs(t, err, ErrCorrupt)
				return
			}
			require.Equal(t, b, fw.section().body)
			raw, err := withoutBody(testKey, math.MaxInt, fw.section())
			require.NoError(t, err)
			m, err := decodeImage(raw, testKey)
			require.NoError(t, err)
			for _, c := range []*Container{c, sealing} {
				to, ok, err := c.follow("id", c.storageKey("id"), m)
				if fw.until <= now {
					require.False(t, ok)
					require.NoError(t, err)
					continue
				}
				if ok {
					require.Contains(t, made, to)
				} else {
					require.ErrorIs(t, err, ErrCorrupt)
				}
			}
		}))
	})
}

// FuzzValueEnds puts ends on any values and takes them off, and drops what has
// ended from a table of such values.
func FuzzValueEnds(f *testing.F) {
	for _, v := range []string{"", "\x01", "\xC1", "\xC1\x08\x07\x06\x05\x04\x03\x02\x01", "\xC1\x00\x00\x00\x00\x00\x00\x00\x00\xC1x"} {
		f.Add([]byte(v), []byte("\xC1\x01"), int64(5), int64(7))
		f.Add([]byte(v), []byte{}, int64(0), int64(math.MinInt64))
	}
	f.Fuzz(func(t *testing.T, value, raw []byte, end, now int64) {
		require.NoError(t, bounds.Check(len(value)+len(raw), 64, func() {
			plain := storedForm(value)
			got, at := takeEnd(plain)
			require.True(t, bytes.Equal(value, got))
			require.Zero(t, at)
			ending := withEnd(plain, end)
			got, at = takeEnd(ending)
			require.True(t, bytes.Equal(value, got))
			require.Equal(t, end, at)
			require.True(t, bytes.Equal(plain, withEnd(ending, 0)))
			require.Equal(t, end != 0 && end <= now, endedAt(ending, now))

			// Any bytes may stand in a stored table.
			content := map[string][]byte{"a": plain, "b": ending, "c": raw}
			tab, _ := tableOf(t, content)
			for name, body := range content {
				if _, at := takeEnd(body); at != 0 && at <= now {
					delete(content, name)
				}
			}
			require.True(t, tab.check())
			requireContent(t, content, tab.live(now))
			for _, body := range [][]byte{plain, ending, raw} {
				v := Value{codec: MessagePack(), body: body}
				_ = v.Expires()
				_, _ = v.Any()
			}
		}))
	})
}

// FuzzIndexEntry reads any bytes as an entry of a subject's index.
func FuzzIndexEntry(f *testing.F) {
	hash := base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{9}, entryKey))
	for _, e := range []entry{
		{},
		{made: 1, ends: 2, left: true},
		{key: "c:" + hash, label: "Firefox on Linux"},
		{key: "c:" + hash, made: math.MaxInt64, since: -1, seen: 3, ends: math.MinInt64, spared: 5},
	} {
		f.Add(e.bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		require.NoError(t, bounds.Check(len(b), 16, func() {
			e, ok := parseEntry(b, "c:")
			if !ok {
				return
			}
			require.True(t, e.left || isKey(e.key), "a store is asked for nothing else")
			again, ok := parseEntry(e.bytes(), "c:")
			require.True(t, ok)
			require.Equal(t, e, again)
			require.LessOrEqual(t, len(e.bytes()), e.size())

			// Whatever it says, the index stays within its bounds with it.
			ix := &subjectIndex{entries: map[refHash]entry{"ref": e, "other": {key: "c:" + hash, made: 5}}, epoch: e.made}
			ix.settle(e.seen)
			for _, ref := range ix.live() {
				require.True(t, isKey(ix.entries[ref].key))
			}
			ix.trim(e.size())
			require.LessOrEqual(t, len(ix.entries), 2)
		}))
	})
}

// FuzzMembership reads any bytes as the subject of a session: as sealed ones, and
// as what stands under a seal that fits.
func FuzzMembership(f *testing.F) {
	m := &membership{made: 1, after: 2, since: 3}
	m.audience, m.name = "shop", "alice"
	f.Add(m.bytes())
	f.Add(sealSubject(m.bytes(), "c", "id"))
	f.Add(binary.LittleEndian.AppendUint16(make([]byte, subjectHead-2), math.MaxUint16))
	f.Fuzz(func(t *testing.T, b []byte) {
		require.NoError(t, bounds.Check(len(b), 16, func() {
			_ = new(membership).open(b, "c", "id")
			var got membership
			sealed := sealSubject(b, "c", "id")
			require.False(t, new(membership).open(sealed, "c", "other"))
			require.False(t, new(membership).open(sealed, "other", "id"))
			if !got.open(sealed, "c", "id") {
				return
			}
			require.NotEmpty(t, got.name)
			require.Equal(t, b, got.bytes())
		}))
	})
}
