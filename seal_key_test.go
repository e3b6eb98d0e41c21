package sessiondata

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Whoever has the ring and a dump of the store, and even knows where a session
// is stored, opens nothing without its id.
func TestSealingKeysOpenNothingWithoutTheID(t *testing.T) {
	var faults []string
	r := newRing([]Key{{ID: 1, Secret: make([]byte, KeySize)}}, func(format string, _ ...any) { faults = append(faults, format) })
	require.Empty(t, faults)
	under := func(id string) storageKey {
		key := newStorageKey("where it is stored")
		key.seal = r.sealer("c", id)
		return key
	}
	plan := new(table).plan([]edit{{name: "k", body: []byte("secret")}})
	values := plan.appendTo(make([]byte, 0, plan.size()))
	d := &draft{head: head{codec: 1, birth: 1, revision: 1, commit: 1}, pkgs: []edit{{name: "p", body: values}}}
	raw, err := d.encode(under("id"), 1<<10)
	require.NoError(t, err)
	_, err = decodeImage(raw, under("id"))
	require.NoError(t, err)
	_, err = decodeImage(raw, under("another"))
	require.ErrorIs(t, err, ErrCorrupt)
	key := under("id")
	key.seal = r.sealer("another container", "id")
	_, err = decodeImage(raw, key)
	require.ErrorIs(t, err, ErrCorrupt)
}
