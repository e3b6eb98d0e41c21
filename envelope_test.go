package sessiondata

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var testKey = newStorageKey("session:test")

// encodeImage encodes a session of these packages on top of prev.
func encodeImage(t require.TestingT, prev *image, h head, pkgs map[string]map[string][]byte, sections ...section) (*image, []byte) {
	d := draft{head: h, prev: prev, sections: sections}
	if prev != nil {
		for i := range prev.pkgs.n {
			if name := string(prev.pkgs.name(i)); pkgs[name] == nil {
				d.pkgs = append(d.pkgs, edit{name: name, drop: true})
			}
		}
	}
	for name, vals := range pkgs {
		_, body := tableOf(t, vals)
		d.pkgs = append(d.pkgs, edit{name: name, body: body})
	}
	slices.SortFunc(d.pkgs, func(a, b edit) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	raw, err := d.encode(testKey, math.MaxInt)
	require.NoError(t, err)
	m, err := decodeImage(raw, testKey)
	require.NoError(t, err)
	return m, raw
}

// packagesOf decodes all packages of an image.
func packagesOf(t require.TestingT, m *image) map[string]map[string][]byte {
	pkgs := map[string]map[string][]byte{}
	for i := range m.pkgs.n {
		name := string(m.pkgs.name(i))
		tab, err := m.pkg(name)
		require.NoError(t, err)
		pkgs[name] = contentOf(tab)
	}
	return pkgs
}

var (
	drawnPackages = rapid.MapOfN(drawnNames, rapid.MapOfN(drawnNames, rapid.SliceOfN(rapid.Byte(), 0, 6), 1, 5), 0, 5)
	drawnHead     = rapid.Custom(func(t *rapid.T) head {
		return head{
			codec: rapid.Byte().Draw(t, "codec"), birth: rapid.Uint64().Draw(t, "birth"), revision: rapid.Uint64().Draw(t, "revision"),
			commit: rapid.Uint64().Draw(t, "commit"), created: moments.Draw(t, "created"), access: moments.Draw(t, "access"),
			timeout: rapid.Int64Min(-1).Draw(t, "timeout"), end: moments.Draw(t, "end"),
		}
	})
)

func TestEnvelope_WhatIsEncodedIsDecoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var prev *image
		var commits []uint64
		for range rapid.IntRange(1, 20).Draw(t, "writes") {
			h := drawnHead.Draw(t, "head")
			pkgs := drawnPackages.Draw(t, "packages")
			var extra []section
			if rapid.Bool().Draw(t, "section") {
				extra = []section{{kind: 0x80 | rapid.Byte().Draw(t, "kind"), body: rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "body")}}
			}
			m, raw := encodeImage(t, prev, h, pkgs, extra...)
			require.Equal(t, h, m.head)
			require.Equal(t, pkgs, packagesOf(t, m))
			require.Equal(t, len(extra), len(m.sections))
			if len(extra) > 0 {
				require.Equal(t, extra, m.kept())
			}
			if prev != nil {
				commits = append([]uint64{prev.commit}, commits...)
			}
			require.Len(t, m.ancestors, 8*min(len(commits), maxAncestors))
			for i, id := range commits {
				if i < maxAncestors {
					require.Equal(t, id, binary.LittleEndian.Uint64(m.ancestors[8*i:]), "latest first")
					require.True(t, m.wrote(id))
				}
			}
			require.True(t, m.wrote(m.commit))
			require.Equal(t, byte(1), raw[offVersion])
			require.Equal(t, byte(1), raw[offLeast])
			prev = m
		}
		at := moments.Draw(t, "access")
		rewritten, err := prev.touched(testKey, at)
		require.NoError(t, err)
		touched, err := decodeImage(rewritten, testKey)
		require.NoError(t, err)
		h := prev.head
		h.access = at
		require.Equal(t, h, touched.head)
		require.Equal(t, packagesOf(t, prev), packagesOf(t, touched))
		require.Equal(t, prev.ancestors, touched.ancestors)
	})
}

func TestEnvelope_UnchangedPackagesAreCopiedByteForByte(t *testing.T) {
	m, _ := encodeImage(t, nil, head{codec: 1, commit: 1}, map[string]map[string][]byte{"a": {"k": {1}}, "b": {"k": {2}}, "c": {"k": {3}}})
	_, body := tableOf(t, map[string][]byte{"k": {9}})
	raw, err := (&draft{head: m.head, prev: m, pkgs: []edit{{name: "b", body: body}}}).encode(testKey, math.MaxInt)
	require.NoError(t, err)
	next, err := decodeImage(raw, testKey)
	require.NoError(t, err)
	require.Equal(t, map[string]map[string][]byte{"a": {"k": {1}}, "b": {"k": {9}}, "c": {"k": {3}}}, packagesOf(t, next))
}

func TestEnvelope_TheLimitIsExactAndFoundBeforeAnythingIsAllocated(t *testing.T) {
	pkgs := map[string]map[string][]byte{"p": {"k": make([]byte, 100_000)}}
	_, raw := encodeImage(t, nil, head{codec: 1}, pkgs, section{kind: 0x80, body: make([]byte, 50)})
	_, body := tableOf(t, pkgs["p"])
	d := draft{head: head{codec: 1}, pkgs: []edit{{name: "p", body: body}}, sections: []section{{kind: 0x80, body: make([]byte, 50)}}}
	_, err := d.encode(testKey, len(raw))
	require.NoError(t, err)
	_, err = d.encode(testKey, len(raw)-1)
	require.ErrorIs(t, err, ErrTooLarge)
	require.Less(t, testing.AllocsPerRun(10, func() { _, _ = d.encode(testKey, 1000) }), 10.0)
}

func TestEnvelope_AnItemWithoutABodyHoldsASection(t *testing.T) {
	// flagNoBody, no packages, nothing else: nobody writes that.
	h := head{flags: flagNoBody}
	raw, err := (&draft{head: h}).encode(testKey, math.MaxInt)
	require.NoError(t, err)
	_, err = decodeImage(raw, testKey)
	require.ErrorIs(t, err, ErrCorrupt)
}

func TestEnvelope_TheKeyIsPartOfTheChecksum(t *testing.T) {
	_, raw := encodeImage(t, nil, head{codec: 1}, nil)
	for _, other := range []string{"session:tes", "session:test2", "", "Session:test"} {
		_, err := decodeImage(raw, newStorageKey(other))
		require.ErrorIs(t, err, ErrCorrupt)
	}
}

// Whatever stands in bytes whose checksum is right: they are read without a
// panic, or refused; and what was read can be rewritten.
func TestRule23_ForgedBytesAreReadOrRefusedNeverAPanic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, raw := encodeImage(t, nil, drawnHead.Draw(t, "head"), drawnPackages.Draw(t, "packages"))
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			i := rapid.IntRange(offFlags, len(raw)-1).Draw(t, "at")
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				raw[i] = rapid.Byte().Draw(t, "byte")
			case 1:
				raw = slices.Insert(raw, i, rapid.SliceOfN(rapid.Byte(), 1, 8).Draw(t, "bytes")...)
			default:
				if len(raw) > offAncestors+20 {
					raw = slices.Delete(raw, i, min(len(raw), i+rapid.IntRange(1, 5).Draw(t, "n")))
				}
			}
		}
		requireReadOrRefused(t, raw)
	})
}

// requireReadOrRefused gives raw its checksum and reads all of it.
func requireReadOrRefused(t require.TestingT, raw []byte) {
	raw = slices.Clone(raw)
	if len(raw) >= checksumSize {
		body := raw[:len(raw)-checksumSize]
		binary.LittleEndian.PutUint32(raw[len(body):], testKey.checksum(body))
	}
	m, err := decodeImage(raw, testKey)
	if err != nil {
		requireUnreadable(t, err)
		return
	}
	intact := map[string][]byte{}
	for i := range m.pkgs.n {
		name := string(m.pkgs.name(i))
		tab, err := m.pkg(name)
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			continue
		}
		intact[name] = m.pkgs.body(i)
		for j := range tab.n {
			for _, codec := range []Codec{MessagePack(), JSON()} {
				v := Value{codec: codec, body: tab.body(j), at: PkgKey{name, string(tab.name(j))}}
				_, _ = v.Any()
				_ = v.Decode(new(map[string]int))
			}
		}
	}
	_ = m.wrote(1)
	l := lease{access: m.access, timeout: 1, resolution: 1, end: m.end}
	_, _ = l.expired(m.created), l.ttl(m.created)
	if m.flags&flagNoBody != 0 {
		return // without its section it is none
	}
	rewritten, err := (&draft{head: m.head, prev: m, sections: m.kept()}).encode(testKey, math.MaxInt)
	require.NoError(t, err)
	next, err := decodeImage(rewritten, testKey)
	require.NoError(t, err)
	for name, body := range intact {
		got, ok := next.pkgs.get(name)
		require.True(t, ok)
		require.Equal(t, body, got)
	}
}

func requireUnreadable(t require.TestingT, err error) {
	for _, kind := range []error{ErrCorrupt, ErrUnsupportedVersion} {
		if fmt.Sprintf("%.*s", len(kind.Error()), err) == kind.Error() {
			return
		}
	}
	require.Fail(t, "another error", "%v", err)
}

func TestEnvelope_MapsMeetOnNoSharedMemory(t *testing.T) {
	pkgs := map[string]map[string][]byte{"p": {"k": []byte("value")}}
	m, raw := encodeImage(t, nil, head{codec: 1}, pkgs)
	_, next := encodeImage(t, m, head{codec: 1}, pkgs)
	for i := range raw {
		raw[i] = 0xee
	}
	got, err := decodeImage(next, testKey)
	require.NoError(t, err)
	require.True(t, maps.EqualFunc(pkgs["p"], packagesOf(t, got)["p"], slices.Equal))
}
