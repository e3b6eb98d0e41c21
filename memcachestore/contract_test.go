package memcachestore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

func TestAVersionIsOfOneWriteWhateverTheBytes(t *testing.T) {
	srv, s := one(t)
	other := open(t, []string{srv.Addr()})
	v := put(t, s, "k", "same")
	w := get(t, other, "k", "same")
	require.Equal(t, v, w, "two readers read one version")
	require.NoError(t, other.CompareAndSwap(t.Context(), "k", []byte("same"), time.Minute, w))
	require.ErrorIs(t, s.CompareAndSwap(t.Context(), "k", []byte("mine"), time.Minute, v), sd.ErrConflict)
	require.ErrorIs(t, s.CompareAndDelete(t.Context(), "k", v), sd.ErrConflict)
	get(t, s, "k", "same")
}

func TestReadingAndTouchingByOthersKeepsTheVersion(t *testing.T) {
	srv, s := one(t)
	v := put(t, s, "k", "x")
	srv.Raw("touch k 100")
	srv.Raw("gat 100 k")
	srv.Raw("get k")
	require.NoError(t, s.CompareAndSwap(t.Context(), "k", []byte("y"), time.Minute, v))
}

func TestAbsentFlushedAndExpiredItemsAreNotFound(t *testing.T) {
	srv, s := one(t)
	v := put(t, s, "k", "x")
	srv.Raw("delete k")
	require.ErrorIs(t, s.CompareAndSwap(t.Context(), "k", nil, 0, v), sd.ErrNotFound)
	require.ErrorIs(t, s.CompareAndDelete(t.Context(), "k", v), sd.ErrNotFound)

	v = put(t, s, "k", "x")
	srv.Raw("flush_all")
	require.ErrorIs(t, s.CompareAndSwap(t.Context(), "k", nil, 0, v), sd.ErrNotFound)

	v = put(t, s, "l", "x")
	srv.Raw("touch l -1")
	require.ErrorIs(t, s.CompareAndSwap(t.Context(), "l", nil, 0, v), sd.ErrNotFound)
	absent(t, s, "l")
}

func TestCompareAndDeleteLeavesNothing(t *testing.T) {
	srv, s := one(t)
	v := put(t, s, "k", "x")
	require.NoError(t, s.CompareAndDelete(t.Context(), "k", v))
	absent(t, s, "k")
	for k, err := range s.Keys(t.Context(), "") {
		t.Fatal(k, err)
	}
	require.ErrorIs(t, s.CompareAndDelete(t.Context(), "k", v), sd.ErrNotFound)
	put(t, s, "k", "again")
	require.Zero(t, srv.Stats("")["cmd_flush"][0]-'0')
}

func TestTheZeroVersionMatchesNothing(t *testing.T) {
	_, s := one(t)
	require.ErrorIs(t, s.CompareAndSwap(t.Context(), "k", nil, 0, sd.Version{}), sd.ErrNotFound)
	put(t, s, "k", "x")
	require.ErrorIs(t, s.CompareAndSwap(t.Context(), "k", nil, 0, sd.Version{}), sd.ErrConflict)
	require.ErrorIs(t, s.CompareAndDelete(t.Context(), "k", sd.Version{}), sd.ErrConflict)
	get(t, s, "k", "x")
}

// The client takes the empty key, and the server then reads the value as
// commands.
func TestKeysThatMemcachedWouldMisreadAreRefusedBeforeAnythingIsSent(t *testing.T) {
	srv, p, s := proxied(t)
	put(t, s, "victim", "x")
	before := p.RoundTrips()
	for _, key := range []string{
		"", " ", "a b", "a\r\nflush_all", "a\nb", "\x00", "a\x7f", "é", strings.Repeat("k", 201),
	} {
		_, err := s.Get(t.Context(), key)
		for _, err := range []error{
			err,
			s.Add(t.Context(), key, []byte("delete victim\r\n"), 0),
			s.CompareAndSwap(t.Context(), key, nil, 0, sd.Version{ID: 1, Epoch: 1}),
			s.CompareAndDelete(t.Context(), key, sd.Version{ID: 1, Epoch: 1}),
		} {
			require.ErrorIs(t, err, sd.ErrInvalid)
			if len(key) > 1 {
				require.NotContains(t, err.Error(), key)
			}
		}
	}
	require.Equal(t, before, p.RoundTrips())
	require.Equal(t, 1, srv.Stat("curr_items"))
	put(t, s, strings.Repeat("k", 200), "the longest")
	put(t, s, "!~%=?\"", "odd")
}

func TestBinaryValuesComeBackAsTheyWere(t *testing.T) {
	_, s := one(t)
	for i, v := range []string{"", "\r\nEND\r\n", "VALUE k 0 1 1\r\n", string(make([]byte, 5000)), strings.Repeat("\xff\r\n", 30_000), strings.Repeat("x", 4096)} {
		put(t, s, fmt.Sprint("k", i), v)
	}
}

func TestAReadIsOneRoundTripAndSoIsAWrite(t *testing.T) {
	_, p, s := proxied(t)
	v := put(t, s, "k", "x")
	require.Equal(t, 2, p.RoundTrips())
	require.NoError(t, s.CompareAndSwap(t.Context(), "k", []byte("y"), 0, v))
	require.Equal(t, 3, p.RoundTrips())
	v = get(t, s, "k", "y")
	require.NoError(t, s.CompareAndDelete(t.Context(), "k", v))
	require.Equal(t, 5, p.RoundTrips())
	require.Equal(t, 1, p.Accepted())
	require.Equal(t, 2, p.Requests("stats"), "a connection starts with two questions, sent together")
}

func TestAContextThatHasEndedSendsNothing(t *testing.T) {
	srv, p, s := proxied(t)
	v := put(t, s, "k", "x")
	why := errors.New("the visitor has gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	before := p.RoundTrips()
	_, err := s.Get(ctx, "k")
	for _, err := range []error{
		err, s.Add(ctx, "l", nil, 0), s.CompareAndSwap(ctx, "k", nil, 0, v), s.CompareAndDelete(ctx, "k", v), s.Ping(ctx),
	} {
		require.ErrorIs(t, err, why)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, sd.ErrUnavailable, "certainly nothing was written")
	}
	for _, err := range s.Keys(ctx, "") {
		require.ErrorIs(t, err, why)
	}
	require.Equal(t, before, p.RoundTrips())
	require.Equal(t, 1, srv.Stat("curr_items"))
}

func TestAValueIsTheCallersOwn(t *testing.T) {
	_, s := one(t)
	buf := []byte("value")
	require.NoError(t, s.Add(t.Context(), "k", buf, 0))
	copy(buf, "XXXXX")
	item, err := s.Get(t.Context(), "k")
	require.NoError(t, err)
	copy(item.Value, "YYYYY")
	get(t, s, "k", "value")
}
