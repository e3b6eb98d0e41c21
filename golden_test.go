package sessiondata

import (
	"flag"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var addGolden = flag.Bool("golden", false, "write the samples of testdata/envelope that are missing; those that are there stay")

// goldenKey is the storage key under which all samples are stored.
const goldenKey = "session:rOH1vpdzlwG3DNzTMvrsPBg0Nox07OxFbbtC1HWUtG0"

// sampleEnvelope describes one sample of testdata/envelope.
type sampleEnvelope struct {
	head
	ancestors []uint64
	pkgs      map[string]map[string]any
	sections  []section
	intent    *intent
	changes   map[string]map[string]any // of the intent; a nil map drops the package
	note      *note
}

var (
	goldenTime = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC).UnixNano()
	goldenTxn  = txnID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	goldenHead = head{
		codec: codecMessagePack, birth: 0x1111111111111111, revision: 3, commit: 0x3333333333333333,
		created: goldenTime, access: goldenTime + int64(time.Minute), timeout: int64(2 * time.Hour), end: goldenTime + int64(24*time.Hour),
	}
	goldenCart = map[string]map[string]any{
		"cart": {"items": []any{"tea", "pot"}, "total": int64(4200)},
		"user": {"id": "u-17", "seen": goldenInstant},
	}
	goldenInstant = time.Date(2026, 5, 4, 3, 2, 1, 5, time.UTC)
)

func goldenSamples() map[string]sampleEnvelope {
	fresh := goldenHead
	fresh.revision, fresh.timeout, fresh.end, fresh.access = 1, 0, 0, goldenTime
	json := fresh
	json.codec = codecJSON
	never := fresh
	never.timeout = int64(NoTimeout)
	var sixteen []uint64
	for i := range 16 {
		sixteen = append(sixteen, uint64(0x1000+i))
	}
	values := map[string]any{
		"": "empty key", "nil": nil, "true": true, "int": int64(-1), "uint": uint64(math.MaxUint64), "float": 1.5,
		"bytes": []byte{0, 0xff}, "time": goldenInstant, "list": []any{int64(1), "two", []any{}},
		"map": map[string]any{"b": int64(2), "a": map[string]any{"deep": true}},
	}
	wide := map[string]any{}
	for _, c := range "abcdefgh" {
		wide[string(c)] = strings.Repeat(string(c), 40)
	}
	noBody := head{flags: flagNoBody}
	in := intent{
		txn: goldenTxn, primary: goldenKey, deadline: goldenTime + int64(5*time.Second),
		keepTTL: time.Hour, putTTL: 2 * time.Hour, head: goldenHead,
	}
	in.head.commit, in.head.revision = 0x4444444444444444, 4
	removes := in
	removes.remove, removes.last, removes.head = true, true, head{}
	changes := map[string]map[string]any{"cart": nil, "user": {"id": "u-18"}}
	return map[string]sampleEnvelope{
		"v1-empty":         {head: fresh},
		"v1-small":         {head: fresh, pkgs: map[string]map[string]any{"p": {"k": int64(1)}}},
		"v1-cart":          {head: goldenHead, ancestors: []uint64{0x2222222222222222, 0x1212121212121212}, pkgs: goldenCart},
		"v1-values":        {head: goldenHead, ancestors: []uint64{7}, pkgs: map[string]map[string]any{"": values, "p": {"k": "v"}}},
		"v1-json":          {head: json, pkgs: map[string]map[string]any{"p": {"k": int64(1), "m": map[string]any{"a": []any{nil, 1.5}}}}},
		"v1-never":         {head: never, pkgs: map[string]map[string]any{"p": {"k": int64(1)}}},
		"v1-16-ancestors":  {head: goldenHead, ancestors: sixteen, pkgs: goldenCart},
		"v1-width-2":       {head: goldenHead, pkgs: map[string]map[string]any{"wide": wide, "p": {"k": int64(1)}}},
		"v1-width-4":       {head: goldenHead, pkgs: map[string]map[string]any{"wide": {"k": strings.Repeat("x", 70_000)}}},
		"v1-ignorable":     {head: goldenHead, pkgs: goldenCart, sections: []section{{kind: 0x80, body: []byte("of a later version")}, {kind: 0xff, body: []byte{}}}},
		"v1-intent":        {head: goldenHead, ancestors: []uint64{9}, pkgs: goldenCart, intent: &in, changes: changes},
		"v1-intent-new":    {head: noBody, intent: &in, changes: changes},
		"v1-intent-remove": {head: goldenHead, pkgs: goldenCart, sections: []section{{kind: 0x90, body: []byte("kept")}}, intent: &removes},
		"v1-note":          {head: goldenHead, pkgs: goldenCart, note: &note{txn: goldenTxn, ttl: time.Hour, keys: []string{goldenKey, "other:key"}}},
		"v1-note-removed":  {head: noBody, note: &note{txn: goldenTxn, ttl: time.Hour, keys: []string{goldenKey}}},
	}
}

// encodePackages returns the packages as edits of an empty table.
func encodePackages(t *testing.T, codec uint8, pkgs map[string]map[string]any) []edit {
	t.Helper()
	var edits []edit
	for _, name := range slices.Sorted(maps.Keys(pkgs)) {
		if pkgs[name] == nil {
			edits = append(edits, edit{name: name})
			continue
		}
		vals := map[string][]byte{}
		for key, v := range pkgs[name] {
			c, err := codecOf(codec, MessagePack())
			require.NoError(t, err)
			vals[key], err = encodeValue(c, PkgKey{name, key}, v)
			require.NoError(t, err)
		}
		_, body := tableOf(t, vals)
		edits = append(edits, edit{name: name, body: body})
	}
	return edits
}

// encode makes the bytes from the description alone.
func (s sampleEnvelope) encode(t *testing.T) []byte {
	t.Helper()
	sections := slices.Clone(s.sections)
	if s.intent != nil {
		sections = append(sections, s.intent.section(encodePackages(t, codecMessagePack, s.changes)))
	}
	if s.note != nil {
		sections = append(sections, s.note.section())
	}
	d := draft{head: s.head, pkgs: encodePackages(t, s.codec, s.pkgs), sections: sections}
	if len(s.ancestors) > 0 {
		var older []byte
		for _, id := range s.ancestors[1:] {
			older = append(older, byte(id), byte(id>>8), byte(id>>16), byte(id>>24), byte(id>>32), byte(id>>40), byte(id>>48), byte(id>>56))
		}
		d.prev = &image{head: head{commit: s.ancestors[0]}, ancestors: older}
	}
	raw, err := d.encode(newStorageKey(goldenKey), math.MaxInt)
	require.NoError(t, err)
	return raw
}

func decodePackages(t *testing.T, codec uint8, pkgs table) map[string]map[string]any {
	t.Helper()
	var all map[string]map[string]any
	for i := range pkgs.n {
		if all == nil {
			all = map[string]map[string]any{}
		}
		name := string(pkgs.name(i))
		if len(pkgs.body(i)) == 0 {
			all[name] = nil
			continue
		}
		tab, err := parsePkg(name, pkgs.body(i))
		require.NoError(t, err)
		all[name] = map[string]any{}
		for j := range tab.n {
			c, err := codecOf(codec, MessagePack())
			require.NoError(t, err)
			v, err := Value{codec: c, body: tab.body(j), at: PkgKey{name, string(tab.name(j))}}.Any()
			require.NoError(t, err)
			if at, ok := v.(time.Time); ok {
				v = at.UTC()
			}
			all[name][string(tab.name(j))] = v
		}
	}
	return all
}

// The samples are read for ever as what they were when they were written, and
// written again they are the same bytes.
func TestRule23_SamplesOfEveryVersionAreReadForEver(t *testing.T) {
	samples := goldenSamples()
	if *addGolden {
		for name, s := range samples {
			f, err := os.OpenFile(filepath.Join("testdata/envelope", name+".bin"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
			if os.IsExist(err) {
				continue
			}
			require.NoError(t, err)
			_, err = f.Write(s.encode(t))
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}
	}
	files, err := filepath.Glob("testdata/envelope/*.bin")
	require.NoError(t, err)
	require.Len(t, files, len(samples), "a sample for each description, and none dropped")
	for name, s := range samples {
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join("testdata/envelope", name+".bin"))
			require.NoError(t, err)
			m, err := decodeImage(raw, newStorageKey(goldenKey))
			require.NoError(t, err)
			require.Equal(t, s.head, m.head)
			require.Equal(t, s.pkgs, decodePackages(t, m.codec, m.pkgs))
			require.Equal(t, s.sections, m.sections)
			require.Len(t, m.ancestors, 8*len(s.ancestors))
			for _, id := range s.ancestors {
				require.True(t, m.wrote(id))
			}
			if s.intent == nil {
				require.Nil(t, m.intent)
			} else {
				require.Equal(t, s.changes, decodePackages(t, codecMessagePack, m.intent.pkgs))
				got := *m.intent
				got.pkgs = table{}
				require.Equal(t, *s.intent, got)
			}
			require.Equal(t, s.note, m.note)
			require.Equal(t, raw, s.encode(t), "written again it is the same bytes")

			// So is what was decoded, package by package.
			rebuilt := sampleEnvelope{
				head: m.head, ancestors: s.ancestors, pkgs: decodePackages(t, m.codec, m.pkgs),
				sections: m.sections, intent: m.intent, note: m.note,
			}
			if m.intent != nil {
				rebuilt.changes = decodePackages(t, codecMessagePack, m.intent.pkgs)
			}
			require.Equal(t, raw, rebuilt.encode(t))
		})
	}
}
