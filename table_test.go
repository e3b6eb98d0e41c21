package sessiondata

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// names and bodies are short, so that they meet, or long enough to need wider
// ends.
var (
	drawnNames = rapid.OneOf(
		rapid.StringMatching(`[ab]{0,3}`), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 4), func(b []byte) string { return string(b) }),
		rapid.Map(rapid.IntRange(0, 400), func(n int) string { return strings.Repeat("n", n) }),
	)
	drawnBodies = rapid.OneOf(
		rapid.SliceOfN(rapid.Byte(), 0, 6),
		rapid.Map(rapid.IntRange(0, 70_000), func(n int) []byte { return make([]byte, n) }),
	)
)

func tableOf(t require.TestingT, content map[string][]byte) (table, []byte) {
	var edits []edit
	for _, name := range slices.Sorted(maps.Keys(content)) {
		edits = append(edits, edit{name: name, body: content[name]})
	}
	return planned(t, table{}, edits)
}

// planned encodes a plan, and checks that it is as large as it said.
func planned(t require.TestingT, base table, edits []edit) (table, []byte) {
	plan := base.plan(edits)
	raw := plan.appendTo(make([]byte, 0, plan.size()))
	require.Len(t, raw, plan.size())
	parsed, rest, ok := parseTable(append(slices.Clip(raw), "rest"...))
	require.True(t, ok)
	require.Equal(t, "rest", string(rest))
	require.True(t, parsed.check())
	return parsed, raw
}

func contentOf(t table) map[string][]byte {
	content := map[string][]byte{}
	for i := range t.n {
		content[string(t.name(i))] = slices.Clone(t.body(i))
	}
	return content
}

func requireContent(t require.TestingT, want map[string][]byte, got table) {
	require.Equal(t, len(want), got.n)
	require.True(t, maps.EqualFunc(want, contentOf(got), slices.Equal))
	for name, body := range want {
		found, ok := got.get(name)
		require.True(t, ok)
		require.True(t, slices.Equal(body, found))
	}
}

func TestTable_IsAMapWithEdits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := rapid.MapOfN(drawnNames, drawnBodies, 0, 12).Draw(t, "content")
		tab, _ := tableOf(t, content)
		requireContent(t, content, tab)
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			changes := rapid.MapOfN(rapid.OneOf(drawnNames, rapid.SampledFrom(append(slices.Sorted(maps.Keys(content)), ""))),
				rapid.Ptr(drawnBodies, true), 0, 6).Draw(t, "changes")
			var edits []edit
			for _, name := range slices.Sorted(maps.Keys(changes)) {
				if body := changes[name]; body != nil {
					content[name] = *body
					edits = append(edits, edit{name: name, body: *body})
				} else {
					delete(content, name)
					edits = append(edits, edit{name: name, drop: true})
				}
			}
			var raw []byte
			tab, raw = planned(t, tab, edits)
			requireContent(t, content, tab)
			_, fromScratch := tableOf(t, content)
			require.Equal(t, fromScratch, raw, "the bytes do not tell how they came about")
		}
		_, ok := tab.get("an absent name")
		require.False(t, ok)
	})
}

func TestTable_EndsAreAsWideAsTheyMustBe(t *testing.T) {
	for _, c := range []struct{ name, body, width int }{
		{0, 0, 1},
		{1, 255, 1},
		{255, 1, 1},
		{1, 256, 2},
		{256, 1, 2},
		{1, 65535, 2},
		{1, 65536, 4},
		{65536, 0, 4},
	} {
		content := map[string][]byte{strings.Repeat("n", c.name): make([]byte, c.body)}
		tab, raw := tableOf(t, content)
		require.Equal(t, c.width, tab.width)
		require.Len(t, raw, 5+2*c.width+c.name+c.body)
		requireContent(t, content, tab)
	}
	// What counts is the sum, and it may shrink again.
	content := map[string][]byte{}
	for i := range 100 {
		content[string(rune('0'+i))] = make([]byte, 100)
	}
	tab, _ := tableOf(t, content)
	require.Equal(t, 2, tab.width)
	var edits []edit
	for name := range content {
		if name != "0" {
			edits = append(edits, edit{name: name, drop: true})
			delete(content, name)
		}
	}
	slices.SortFunc(edits, func(a, b edit) int { return strings.Compare(a.name, b.name) })
	tab, _ = planned(t, tab, edits)
	require.Equal(t, 1, tab.width)
	requireContent(t, content, tab)
}

func TestTable_DamagedOnesAreFound(t *testing.T) {
	_, raw := tableOf(t, map[string][]byte{"a": {1}, "bb": {}, "c": {2, 3}})
	good := func(b []byte) bool {
		tab, rest, ok := parseTable(b)
		return ok && len(rest) == 0 && tab.check()
	}
	require.True(t, good(raw))
	for i := range raw {
		require.False(t, good(raw[:i]), "cut at %d", i)
	}
	for name, damage := range map[string]func(b []byte){
		"count":              func(b []byte) { b[0] = 4 },
		"a huge count":       func(b []byte) { binary.LittleEndian.PutUint32(b, 1<<32-1) },
		"width 0":            func(b []byte) { b[4] = 0 },
		"width 8":            func(b []byte) { b[4] = 8 },
		"names go back":      func(b []byte) { b[5] = 4 },
		"bodies go back":     func(b []byte) { b[6] = 200 },
		"names out of order": func(b []byte) { b[11] = 'z' },
		"last end too large": func(b []byte) { b[10] = 200 },
	} {
		b := slices.Clone(raw)
		damage(b)
		require.False(t, good(b), name)
	}
	// A name may be empty, but only the first.
	_, raw = tableOf(t, map[string][]byte{"": {1}, "a": {2}})
	require.True(t, good(raw))
	twice := []byte{2, 0, 0, 0, 1, 0, 1, 0, 2, 9, 9}
	require.False(t, good(twice))
}

func TestTable_AnyBytesAreReadWithoutPanic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "raw")
		if len(raw) > 4 && rapid.Bool().Draw(t, "plausible") {
			raw[0], raw[1], raw[2], raw[3] = raw[0]%5, 0, 0, 0
			raw[4] = []byte{1, 2, 4}[raw[4]%3]
		}
		tab, rest, ok := parseTable(raw)
		if !ok || !tab.check() {
			return
		}
		content := contentOf(tab)
		require.Len(t, content, tab.n)
		requireContent(t, content, tab)
		_ = rest
	})
}
