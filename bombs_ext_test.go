package sessiondata_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

type embedsMap struct{ Deep map[string]any }

type manyMaps struct {
	Plain     map[string]any
	Strings   map[string]string
	Ints      map[int]int
	Named     namedMap
	Pointer   *map[string]any
	Tagged    map[string]any `msgpack:"tag"`
	Quoted    map[string]any `msgpack:"'quo,ted'"`
	Aliased   map[string]any `msgpack:"real,alias:other"`
	List      []map[string]any
	Inner     struct{ M map[string]any }
	MapOfMaps map[string]map[string]any
	embedsMap
	*EmbedsToo
}

type EmbedsToo struct {
	Far map[string]any `msgpack:"far"`
}

type namedMap map[string]any

type asArray struct {
	_msgpack struct{} `msgpack:",as_array"`
	A        int
	M        map[string]any
}

// The module takes an extension for the envelope of a map, and allocates what
// the bytes within it say, whatever stands around them: ten bytes would end the
// process.
func TestRule24_AnExtensionWhereAMapShouldBeIsAnError(t *testing.T) {
	var asArray asArray
	asArray.A = 1
	_ = asArray._msgpack
	const bomb = "\xd7\xff\xdf\x30\x30\x30\x30\x30\x30\x30" // a time of 8 bytes, which are a map of 808464432
	const wide = "\xc7\x05\x01\xdf\xff\xff\xff\xff"         // an extension of 5 bytes
	field := func(name, value string) string { return "\x81" + string([]byte{byte(0xa0 | len(name))}) + name + value }
	for _, ext := range []string{bomb, wide} {
		for name, c := range map[string]struct {
			data string
			dst  any
		}{
			"map[string]any":      {ext, new(map[string]any)},
			"map[string]string":   {ext, new(map[string]string)},
			"map[any]any":         {ext, new(map[any]any)},
			"map[int]int":         {ext, new(map[int]int)},
			"named":               {ext, new(namedMap)},
			"*map":                {ext, new(*map[string]any)},
			"in a list":           {"\x91" + ext, new([]map[string]any)},
			"in an array":         {"\x91" + ext, new([1]map[string]any)},
			"in a map":            {field("k", ext), new(map[string]map[string]any)},
			"field":               {field("Plain", ext), new(manyMaps)},
			"field of strings":    {field("Strings", ext), new(manyMaps)},
			"field of ints":       {field("Ints", ext), new(manyMaps)},
			"named field":         {field("Named", ext), new(manyMaps)},
			"pointer field":       {field("Pointer", ext), new(manyMaps)},
			"tagged field":        {field("tag", ext), new(manyMaps)},
			"quoted field":        {field("quo,ted", ext), new(manyMaps)},
			"aliased field":       {field("real", ext), new(manyMaps)},
			"alias of a field":    {field("other", ext), new(manyMaps)},
			"list field":          {field("List", "\x91"+ext), new(manyMaps)},
			"inner field":         {field("Inner", field("M", ext)), new(manyMaps)},
			"maps within maps":    {field("MapOfMaps", field("x", ext)), new(manyMaps)},
			"embedded":            {field("Deep", ext), new(manyMaps)},
			"embedded as a field": {field("embedsMap", field("Deep", ext)), new(manyMaps)},
			"embedded by pointer": {field("far", ext), new(manyMaps)},
			"as an array": {"\x92\x01" + ext, new(struct {
				A int
				M map[string]any
			})},
			"tagged as an array": {"\x92\x01" + ext, &asArray},
		} {
			var err error
			used := allocated(func() { err = sd.MessagePack().Unmarshal([]byte(c.data), c.dst) })
			require.Error(t, err, name)
			require.Less(t, used, uint64(bombFloor), name)
		}
		var v any
		require.NoError(t, sd.MessagePack().Unmarshal([]byte(bomb), &v), "where no map is asked for, it is the time that it says")
	}
}
