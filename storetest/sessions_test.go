package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

func TestSessionsHoldOverStoresThatKeepTheContract(t *testing.T) {
	t.Run("memstore", func(t *testing.T) {
		RunSessions(t, func(*testing.T) sd.Store { return memstore.New(memstore.Config{}) })
	})
	t.Run("toy", func(t *testing.T) {
		RunSessions(t, func(*testing.T) sd.Store { return newToy(time.Now, "") })
	})
}

// lastWins is a store that compares no versions, as one is on which every
// session library of the day is built.
type lastWins struct{ *memstore.Store }

func (s lastWins) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, _ sd.Version) error {
	for {
		it, err := s.Get(ctx, key)
		if err != nil {
			return err
		}
		if err := s.Store.CompareAndSwap(ctx, key, value, ttl, it.Version); err == nil {
			return nil
		}
	}
}

func TestSessionsRulesFindAStoreThatComparesNoVersions(t *testing.T) {
	found := map[string]bool{}
	for range 5 { // the loss is a matter of chance
		for _, r := range sessionRules {
			if r.try(newEnv(lastWins{memstore.New(memstore.Config{})}, newFakeClock())) != nil {
				found[r.name] = true
			}
		}
	}
	for _, name := range []string{
		"Rule15_ACounterOfManyWorkersOnTwoServersLosesNothing",
		"Rule15_KeysOfManyWorkersOnTwoServersAreAllThere",
		"Rule16_APopIsDeliveredOnce",
		"Rule19_AHistoryIsLinearizablePerKey",
		"Rule19_AHistoryUnderSerializableIsSerializable",
	} {
		require.Contains(t, found, name)
	}
}

func TestFindCycle(t *testing.T) {
	graph := func(edges ...[2]int) map[int]map[int]bool {
		g := map[int]map[int]bool{}
		for _, e := range edges {
			if g[e[0]] == nil {
				g[e[0]] = map[int]bool{}
			}
			g[e[0]][e[1]] = true
		}
		return g
	}
	require.Nil(t, findCycle(nil))
	require.Nil(t, findCycle(graph([2]int{1, 2}, [2]int{2, 3}, [2]int{1, 3})))
	cycle := findCycle(graph([2]int{1, 2}, [2]int{2, 3}, [2]int{3, 2}))
	require.Len(t, cycle, 3)
	require.Equal(t, cycle[0], cycle[2])
}
