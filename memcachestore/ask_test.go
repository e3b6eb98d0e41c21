package memcachestore

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// However many connections a restart has ended, one call passes them all over.
func TestAWritePassesOverEveryConnectionThatHasEnded(t *testing.T) {
	srv, s := one(t)
	for i, write := range []func(v sd.Version) error{
		func(sd.Version) error { return s.Add(t.Context(), "new", nil, time.Minute) },
		func(v sd.Version) error { return s.CompareAndSwap(t.Context(), "k0", nil, time.Minute, v) },
		func(v sd.Version) error { return s.CompareAndDelete(t.Context(), "k1", v) },
	} {
		v := put(t, s, fmt.Sprint("k", i), "x")
		warmPool(t, s, 5*writeTries)
		srv.Restart()
		err := write(v)
		if i == 0 {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, sd.ErrNotFound, "it went with the server")
		}
	}
}

// A process may stand still between taking a connection and sending.
func TestARequestThatIsLateIsSentAllTheSame(t *testing.T) {
	_, p, s := proxied(t)
	put(t, s, "k", "of k")
	srv := s.servers[0]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	late := func() *conn {
		c, err := srv.conn(ctx, true)
		require.NoError(t, err)
		require.True(t, c.patient)
		time.Sleep(2 * patience)
		return c
	}
	item, _, err := srv.getOver(ctx, late(), "k")
	require.NoError(t, err)
	require.Equal(t, "of k", string(item.Value))
	require.Equal(t, 1, srv.open, "over the same connection")

	// And the connection is looked at all the same.
	p.Surplus("END\r\n")
	before := p.RoundTrips()
	_, again, err := srv.getOver(ctx, late(), "k")
	require.ErrorIs(t, err, errStale, "a session that is there would read as absent")
	require.True(t, again)
	require.Equal(t, before, p.RoundTrips(), "nothing was sent")
	get(t, s, "k", "of k")
}
