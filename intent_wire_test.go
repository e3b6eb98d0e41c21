package sessiondata

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// sectionsOf returns the sections of these kinds that the samples hold.
func sectionsOf(f testing.TB, kinds ...uint8) (bodies [][]byte) {
	for _, raw := range goldenBytes(f) {
		m, err := decodeImage(raw, newStorageKey(goldenKey))
		require.NoError(f, err)
		rest := raw[len(m.stored) : len(raw)-checksumSize]
		for len(rest) > 0 {
			size := int(rest[1]) | int(rest[2])<<8 | int(rest[3])<<16
			if slices.Contains(kinds, rest[0]) {
				bodies = append(bodies, rest[sectionHead:sectionHead+size])
			}
			rest = rest[sectionHead+size:]
		}
	}
	require.NotEmpty(f, bodies)
	return bodies
}

// FuzzParseIntent parses any bytes as an intent: they are damaged, or what they
// say is the same when written and parsed again, and an item with them can be
// installed and rolled back.
func FuzzParseIntent(f *testing.F) {
	for _, b := range sectionsOf(f, sectionIntent) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := parseIntent(b)
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		require.True(t, isKey(in.primary))
		written := in.section(in.pkgs.all())
		require.LessOrEqual(t, len(written.body), len(b), "nothing is made up")
		again, err := parseIntent(written.body)
		require.NoError(t, err)
		require.Equal(t, in.edits(), again.edits())
		same := *again
		same.pkgs = in.pkgs
		require.Equal(t, in, &same)

		key := newStorageKey(goldenKey)
		for _, m := range []*image{nil, bodyWith(t, key)} {
			raw, err := m.withSection(key, section{kind: sectionIntent, body: b}, math.MaxInt)
			require.NoError(t, err)
			item, err := decodeImage(raw, key)
			require.NoError(t, err)
			require.Equal(t, in, item.intent)
			if undone := item.withoutSection(key); m == nil {
				require.Nil(t, undone)
			} else {
				require.Equal(t, m.withoutSection(key), undone, "as it was")
			}
			if raw, err = item.installed(key); err != nil || raw == nil {
				require.True(t, err != nil || in.remove)
				continue
			}
			done, err := decodeImage(raw, key)
			if err != nil {
				requireUnreadable(t, err)
				continue
			}
			require.True(t, done.settled())
		}
	})
}

// bodyWith is a session with the packages that the samples' intents change.
func bodyWith(t testing.TB, key storageKey) *image {
	none := new(table).plan(nil)
	d := draft{head: goldenHead, pkgs: []edit{{name: "cart", body: none.appendTo(make([]byte, 0, tableHead))}}}
	raw, err := d.encode(key, math.MaxInt)
	require.NoError(t, err)
	m, err := decodeImage(raw, key)
	require.NoError(t, err)
	return m
}

// FuzzParseNote parses any bytes as a note.
func FuzzParseNote(f *testing.F) {
	for _, b := range sectionsOf(f, sectionNote) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := parseNote(b)
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		for _, key := range n.keys {
			require.True(t, isKey(key), "a store is asked for nothing else")
		}
		require.Equal(t, b, n.section().body)
	})
}

// Every truncation, and every byte too many, of an intent or note is found
// without the checksum, too: what is asked of a store comes out of them.
func TestRule23_IntentsAndNotesOfTheWrongLengthAreDamaged(t *testing.T) {
	for _, b := range sectionsOf(t, sectionIntent) {
		in, err := parseIntent(b)
		require.NoError(t, err)
		for n := range b {
			_, err := parseIntent(b[:n:n])
			if in.forward == nil { // its length is what is left
				require.ErrorIs(t, err, ErrCorrupt, n)
			}
		}
		if _, err := parseIntent(append(b[:len(b):len(b)], 0)); in.forward == nil {
			require.ErrorIs(t, err, ErrCorrupt)
		}
	}
	for _, b := range sectionsOf(t, sectionNote) {
		for n := range b {
			_, err := parseNote(b[:n:n])
			require.ErrorIs(t, err, ErrCorrupt, n)
		}
		_, err := parseNote(append(b[:len(b):len(b)], 0))
		require.ErrorIs(t, err, ErrCorrupt)
	}
}
