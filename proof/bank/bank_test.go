package bank

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	seed   = flag.Uint64("seed", 0, "of the transfers and faults; 0 draws one")
	runFor = flag.Duration("for", 8*time.Second, "how long TestBank runs")
)

// The short form of what make proof runs.
func TestBank(t *testing.T) {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed=%d", s)
	f, err := Run(t.Context(), Config{Seed: s, For: *runFor, Out: t.Output()})
	require.NoError(t, err)
	require.Greater(t, f.Transfers, 50)
	require.Greater(t, f.Audits, f.Generations)
	require.NotZero(t, f.Kills)
	require.NotZero(t, f.Partitions)
}
