package histories

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	seed   = flag.Uint64("seed", 0, "of the programs; 0 draws one")
	atOnce = flag.Int("histories", 12, "how many histories TestHistories runs at once")
	runFor = flag.Duration("for", 4*time.Second, "how long TestHistories runs")
)

// The short form of what make proof runs.
func TestHistories(t *testing.T) {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed=%d", s)
	f, err := Run(t.Context(), Config{Seed: s, For: *runFor, Operations: 2000, Faults: 200, Parallel: *atOnce, Out: t.Output()})
	t.Logf("%v", f)
	require.NoError(t, err)
	require.NotZero(t, f.Registers)
	require.NotZero(t, f.Unknown)
	require.NotZero(t, f.Kills)
	require.NotZero(t, f.Deaths)
}

func TestTheSameSeedDrawsTheSameProgram(t *testing.T) {
	for _, p := range programs {
		if p.registers {
			require.Equal(t, registers(7, 3, 1, p.Each), registers(7, 3, 1, p.Each))
			continue
		}
		require.Equal(t, p.draw(7, 3, 1), p.draw(7, 3, 1))
		require.NotEqual(t, p.draw(7, 3, 1), p.draw(7, 3, 2))
	}
}
