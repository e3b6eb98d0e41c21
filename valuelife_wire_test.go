package sessiondata

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What is stored must stay readable, so these bytes are fixed for ever.
func TestTheWireFormOfAValueThatEndsIsFixed(t *testing.T) {
	const end = 0x0102030405060708
	ends := "\xC1\x08\x07\x06\x05\x04\x03\x02\x01"
	for _, c := range []struct{ value, plain, ending string }{
		{"\x01", "\x01", ends + "\x01"},
		{"", "", ends},
		{"\xC1x", "\xC1\x00\x00\x00\x00\x00\x00\x00\x00\xC1x", ends + "\xC1x"},
	} {
		plain := storedForm([]byte(c.value))
		require.Equal(t, c.plain, string(plain))
		ending := withEnd(plain, end)
		require.Equal(t, c.ending, string(ending))
		require.Equal(t, c.plain, string(withEnd(ending, 0)))
		require.Equal(t, c.ending, string(withEnd(ending, end)))
		for stored, at := range map[string]int64{c.plain: 0, c.ending: end} {
			value, got := takeEnd([]byte(stored))
			require.Equal(t, c.value, string(value))
			require.Equal(t, at, got)
		}
		require.False(t, endedAt(ending, end-1))
		require.True(t, endedAt(ending, end))
		require.False(t, endedAt(plain, end))
	}
	// Too short to be one: it is left to its codec, which refuses it.
	value, at := takeEnd([]byte("\xC1\x01"))
	require.Equal(t, "\xC1\x01", string(value))
	require.Zero(t, at)
	require.Error(t, Value{codec: MessagePack(), body: value}.Decode(new(int)))
}
