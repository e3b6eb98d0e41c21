package sessiondata

import (
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const second = int64(time.Second)

func TestRule20_FormulasAtTheirEdgesToTheSecond(t *testing.T) {
	l := lease{access: 1000 * second, timeout: 600 * time.Second, resolution: 50 * time.Second}
	require.False(t, l.due(1050*second))
	require.True(t, l.due(1050*second+1))
	require.False(t, l.expired(1650*second))
	require.True(t, l.expired(1650*second+1))
	d, ok := l.deadline()
	require.True(t, ok)
	require.Equal(t, 1650*second, d)
	require.Equal(t, 700*time.Second, l.ttl(1000*second))
	require.Equal(t, 700*time.Second, l.ttl(0), "it counts from the write, whenever that is")

	// A clock that went backwards: nothing expires and nothing is due.
	for _, now := range []int64{999 * second, 0, -second, math.MinInt64} {
		require.False(t, l.due(now))
		require.False(t, l.expired(now))
		require.Equal(t, 700*time.Second, l.ttl(now))
	}
	require.True(t, l.expired(math.MaxInt64))
}

func TestRule20_ALifetimeThatEndsFirst(t *testing.T) {
	l := lease{access: 1000 * second, timeout: 600 * time.Second, resolution: 50 * time.Second, end: 1100 * second}
	require.False(t, l.expired(1100*second-1))
	require.True(t, l.expired(1100*second), "the end itself is out")
	d, ok := l.deadline()
	require.True(t, ok)
	require.Equal(t, 1100*second, d)
	require.Equal(t, 100*time.Second, l.ttl(1000*second))
	require.Equal(t, time.Second, l.ttl(1100*second-1), "rounded up")
	require.Equal(t, 2*time.Second, l.ttl(1098*second+1))
	require.Equal(t, time.Second, l.ttl(2000*second), "never 0 or less, even when it has passed")
	require.Equal(t, 700*time.Second, l.ttl(0), "the timeout is shorter again")
}

func TestRule20_NoTimeout(t *testing.T) {
	l := lease{access: 1000 * second, timeout: NoTimeout, resolution: 50 * time.Second}
	require.False(t, l.expired(math.MaxInt64))
	require.False(t, l.due(math.MaxInt64), "there is nothing to record it for")
	_, ok := l.deadline()
	require.False(t, ok)
	require.Zero(t, l.ttl(0))
	l.end = 2000 * second
	require.False(t, l.expired(2000*second-1))
	require.True(t, l.expired(2000*second))
	d, ok := l.deadline()
	require.True(t, ok)
	require.Equal(t, 2000*second, d)
	require.Equal(t, 1000*time.Second, l.ttl(1000*second))
}

func TestRule20_TimesAreClampedToWhatFits(t *testing.T) {
	require.Equal(t, int64(math.MaxInt64), nanos(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)))
	require.Equal(t, int64(math.MinInt64), nanos(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)))
	for _, at := range []time.Time{time.Unix(0, 0), time.Unix(-1, 5), time.Date(2262, 4, 11, 0, 0, 0, 0, time.UTC), time.Date(1677, 9, 22, 0, 0, 0, 0, time.UTC)} {
		require.Equal(t, at.UnixNano(), nanos(at))
	}
	require.Zero(t, absoluteEnd(5, 0))
	require.Equal(t, int64(7), absoluteEnd(5, 2))
	require.Equal(t, int64(1), absoluteEnd(-2, 2), "0 stands for none")
	require.Equal(t, int64(math.MaxInt64), absoluteEnd(5, math.MaxInt64))
}

// times draws moments and durations, the edges often.
var (
	moments   = rapid.OneOf(rapid.Int64(), rapid.Int64Range(-2e18, 2e18), rapid.SampledFrom([]int64{0, 1, -1, math.MaxInt64, math.MinInt64, second}))
	durations = rapid.OneOf(
		rapid.Int64Range(1, math.MaxInt64), rapid.Int64Range(1, int64(60*24*time.Hour)),
		rapid.SampledFrom([]int64{1, second, second - 1, second + 1, int64(30 * 24 * time.Hour), math.MaxInt64}),
	)
)

func clampBig(n *big.Int) *big.Int {
	lo, hi := big.NewInt(math.MinInt64), big.NewInt(math.MaxInt64)
	if n.Cmp(lo) < 0 {
		return lo
	}
	if n.Cmp(hi) > 0 {
		return hi
	}
	return n
}

func sumBig(ns ...int64) *big.Int {
	total := new(big.Int)
	for _, n := range ns {
		total.Add(total, big.NewInt(n))
	}
	return total
}

// The formulas are computed without bounds, and clamped at the end.
func TestModel_Rule20_FormulasHoldForAllTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := moments.Draw(t, "now")
		l := lease{
			access:     moments.Draw(t, "access"),
			timeout:    time.Duration(durations.Draw(t, "timeout")),
			resolution: time.Duration(durations.Draw(t, "resolution")),
		}
		if rapid.Bool().Draw(t, "no timeout") {
			l.timeout = NoTimeout
		}
		if rapid.Bool().Draw(t, "lifetime") {
			l.end = moments.Draw(t, "end")
		}
		idle := l.timeout != NoTimeout
		before := func(n *big.Int) bool { return clampBig(n).Cmp(big.NewInt(now)) < 0 }

		ended := l.end != 0 && l.end <= now
		require.Equal(t, ended || idle && before(sumBig(l.access, int64(l.timeout), int64(l.resolution))), l.expired(now))
		require.Equal(t, idle && before(sumBig(l.access, int64(l.resolution))), l.due(now))

		left := sumBig(int64(l.timeout), int64(l.resolution), int64(l.resolution))
		if !idle {
			left = big.NewInt(math.MaxInt64)
		}
		if l.end != 0 {
			if untilEnd := new(big.Int).Sub(big.NewInt(l.end), big.NewInt(now)); untilEnd.Cmp(left) < 0 {
				left = untilEnd
			}
		}
		ttl := l.ttl(now)
		if !idle && l.end == 0 {
			require.Zero(t, ttl)
			return
		}
		require.GreaterOrEqual(t, ttl, time.Second)
		require.Zero(t, ttl%time.Second)
		rounded := new(big.Int).Add(left, big.NewInt(second-1))
		rounded.Div(rounded, big.NewInt(second)).Mul(rounded, big.NewInt(second)) // Euclidean: rounds down
		switch longest := big.NewInt(math.MaxInt64 / second * second); {
		case rounded.Cmp(big.NewInt(second)) < 0:
			require.Equal(t, time.Second, ttl)
		case rounded.Cmp(longest) > 0:
			require.Equal(t, longest.Int64(), int64(ttl))
		default:
			require.Equal(t, rounded.Int64(), int64(ttl))
		}

		// What the formulas are for: the deadline is the last moment, and the
		// store keeps the item until then if it is written when it is read.
		d, ok := l.deadline()
		require.True(t, ok)
		if d > math.MinInt64+1 && d < math.MaxInt64 {
			require.Equal(t, l.end != 0 && d == l.end, l.expired(d))
			require.True(t, l.expired(d+1))
		}
		if now >= l.access && !l.expired(now) && d < math.MaxInt64-second && int64(ttl) < math.MaxInt64/second*second {
			require.GreaterOrEqual(t, addTime(now, ttl), d, "the store drops it before it ends")
		}
	})
}

// Whoever uses a session within its timeout never loses it, and who does not
// loses it by timeout and resolution after the recorded access: whatever the
// pattern of uses.
func TestModel_Rule20_ASessionUsedWithinItsTimeoutIsNeverEnded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		timeout := time.Duration(rapid.Int64Range(1, int64(90*24*time.Hour)).Draw(t, "timeout"))
		resolution := time.Duration(rapid.Int64Range(1, int64(2*timeout)).Draw(t, "resolution"))
		now := moments.Draw(t, "start") / 4
		l := lease{access: now, timeout: timeout, resolution: resolution}
		kept := addTime(now, l.ttl(now))
		for range rapid.IntRange(1, 30).Draw(t, "uses") {
			now += rapid.Int64Range(0, int64(timeout)).Draw(t, "pause")
			require.False(t, l.expired(now))
			require.Less(t, now, kept, "the store had dropped it")
			if l.due(now) {
				l.access = now
				kept = addTime(now, l.ttl(now))
			}
		}
		require.True(t, l.expired(now+int64(timeout)+int64(resolution)+1))
	})
}
