package memcachestore

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

func TestExpirationAtItsEdges(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Unix(1_800_000_000, 0)
	half := now.Add(500 * time.Millisecond)
	end := time.Unix(math.MaxInt32, 0)
	for _, c := range []struct {
		name string
		ttl  time.Duration
		now  time.Time
		want int64
	}{
		{"never", 0, now, 0},
		{"less than a second is not 0", 1, now, 2},
		{"a second", time.Second, now, 2},
		{"parts of a second count", 1001 * time.Millisecond, now, 3},
		{"half an hour", 30 * time.Minute, now, 1801},
		{"the last relative one", 30*day - time.Second, now, 30 * 24 * 3600},
		{"30 days are a date", 30 * day, now, now.Unix() + 30*24*3600 + 1},
		{"one second more", 30*day + time.Second, now, now.Unix() + 30*24*3600 + 2},
		{"parts of the clock count", 40 * day, half, now.Unix() + 40*24*3600 + 2},
		{"parts of both", 40*day + 500*time.Millisecond, half, now.Unix() + 40*24*3600 + 2},
		{"parts of both, over", 40*day + 501*time.Millisecond, half, now.Unix() + 40*24*3600 + 3},
		{"a year", 365 * day, now, now.Unix() + 365*24*3600 + 1},
		{"the last date", end.Sub(now) - time.Second, now, math.MaxInt32},
		{"past the last date", end.Sub(now), now, math.MaxInt32},
		{"the longest", math.MaxInt64, now, math.MaxInt32},
		{"30 days before the end", 40 * day, end.Add(-30 * day), math.MaxInt32},
		{"less than 30 days before it", 40 * day, end.Add(-29 * day), 30 * 24 * 3600},
		{"after it", 40 * day, end.Add(day), 30 * 24 * 3600},
		{"after it, short", time.Minute, end.Add(day), 61},
	} {
		require.Equal(t, c.want, int64(expiration(c.ttl, c.now)), c.name)
	}
}

func TestTheServerKeepsAnItemForItsTTLAndTwoSecondsAtMost(t *testing.T) {
	srv, s := one(t)
	const day = 24 * time.Hour
	for _, ttl := range []time.Duration{1, time.Second, time.Minute, 30 * day, 30*day + time.Second, 90 * day, 365*day + 300*time.Millisecond} {
		clock, err := strconv.ParseInt(srv.Stats("")["time"], 10, 64)
		require.NoError(t, err)
		require.NoError(t, s.Add(t.Context(), "k", []byte("x"), ttl))
		v := get(t, s, "k", "x")
		k := only(t, s)
		lives := k.Expires.Sub(time.Unix(clock, 0)) // clock may be a second behind
		require.GreaterOrEqual(t, lives, ttl, "%v", ttl)
		require.LessOrEqual(t, lives, ttl+3*time.Second, "%v", ttl)
		require.NoError(t, s.CompareAndSwap(t.Context(), "k", []byte("y"), ttl, v))
		again := only(t, s).Expires.Sub(k.Expires)
		require.True(t, again >= 0 && again <= 2*time.Second, "a swap gives the same time")
		require.NoError(t, s.CompareAndDelete(t.Context(), "k", get(t, s, "k", "y")))
	}
	require.NoError(t, s.Add(t.Context(), "k", nil, 0))
	require.True(t, only(t, s).Expires.IsZero(), "ttl 0 never expires")
	require.NoError(t, s.Add(t.Context(), "l", nil, math.MaxInt64))
	for k, err := range s.Keys(t.Context(), "l") {
		require.NoError(t, err)
		require.EqualValues(t, math.MaxInt32, k.Expires.Unix(), "what cannot be said is cut, not wrapped")
	}
}

func only(t *testing.T, s *Store) sd.KeyInfo {
	t.Helper()
	var all []sd.KeyInfo
	for k, err := range s.Keys(t.Context(), "") {
		require.NoError(t, err)
		all = append(all, k)
	}
	require.Len(t, all, 1)
	return all[0]
}

func TestANegativeTTLIsRefused(t *testing.T) {
	_, s := one(t)
	require.ErrorIs(t, s.Add(t.Context(), "k", nil, -1), sd.ErrInvalid)
	absent(t, s, "k")
	v := put(t, s, "k", "x")
	require.ErrorIs(t, s.CompareAndSwap(t.Context(), "k", nil, -time.Hour, v), sd.ErrInvalid)
	get(t, s, "k", "x")
}

func TestAnItemIsGoneAfterItsTTL(t *testing.T) {
	_, s := one(t)
	start := time.Now()
	require.NoError(t, s.Add(t.Context(), "k", []byte("x"), time.Second))
	for {
		_, err := s.Get(t.Context(), "k")
		lived := time.Since(start)
		if err != nil {
			require.ErrorIs(t, err, sd.ErrNotFound)
			require.GreaterOrEqual(t, lived, time.Second)
			return
		}
		require.Less(t, lived, 5*time.Second)
		time.Sleep(20 * time.Millisecond)
	}
}
