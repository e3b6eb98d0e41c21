package memcachestore

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

const routed = 40_000

// places counts where keys go, and returns where each went.
func places(t *testing.T, servers ...string) (map[string]int, []string) {
	s := open(t, servers)
	counts, at := map[string]int{}, make([]string, routed)
	for i := range at {
		at[i] = s.route(fmt.Sprintf("sd:web:%d", i)).name
		counts[at[i]]++
	}
	return counts, at
}

func moved(a, b []string) float64 {
	n := 0
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return float64(n) / float64(len(a))
}

func TestOneMoreServerMovesAboutOneOfNPlusOneAndOnlyToItself(t *testing.T) {
	names := []string{"cache1:11211"}
	for n := 1; n <= 8; n++ {
		counts, before := places(t, names...)
		for name, k := range counts {
			require.InDelta(t, 1/float64(n), float64(k)/routed, 0.015, name)
		}
		added := fmt.Sprintf("cache%d:11211", n+1)
		names = append(names, added)
		_, after := places(t, names...)
		require.InDelta(t, 1/float64(n+1), moved(before, after), 0.015)
		for i := range after {
			require.True(t, after[i] == before[i] || after[i] == added)
		}
	}
}

func TestTheOrderOfTheListMovesNothing(t *testing.T) {
	names := []string{"a:1", "b:1", "c:1", "d:1"}
	_, before := places(t, names...)
	slices.Reverse(names)
	_, after := places(t, names...)
	require.Zero(t, moved(before, after))
}

func TestARenamedAddressUnderTheSameNameMovesNothing(t *testing.T) {
	_, before := places(t, "a:1", "b:1", "c:1")
	_, after := places(t, "c:1=unix:/s", "a:1=10.1.1.1:5", "b:1=x:1")
	require.Zero(t, moved(before, after))
}

// Programs of different versions share sessions: where they lie must not change.
func TestWhereSessionsLieIsFixedForEver(t *testing.T) {
	s := open(t, []string{"a:1", "b:1", "c:1", "d:1"})
	var got string
	for i := range 40 {
		got += s.route(fmt.Sprintf("key-%d", i)).name[:1]
	}
	require.Equal(t, "dbacbbcaaccbbacccbcbcbdcbdddbbbcdcdacaaa", got)
}
