package sessiondata_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

// Events, listing and values that end, over a memcached that evicts nothing but
// forgets what it holds when it is restarted.
func TestLifeOverMemcached(t *testing.T) {
	server := memcachedtest.Start(t)
	store := appServer(t, server)
	var ahead atomic.Int64 // how far the container's clock is before the server's
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	c, log := traced(t, store, sd.Config{Name: "c", Now: now})
	c2, err := sd.NewContainer(store, sd.Config{Name: "c2", Now: now})
	require.NoError(t, err)

	require.NoError(t, c.Update(t.Context(), "v", func(s *sd.Session) error {
		return errors.Join(s.Pkg("p").Set("k", 1), s.Pkg("p").SetFor("code", "1234", 10*time.Minute))
	}))
	require.Equal(t, []string{"loaded", "created", "committed"}, log.take())
	require.Equal(t, 2, log.lastEnd().RoundTrips)
	require.NoError(t, c2.Update(t.Context(), "v", setIn("p", "k", 2)))
	s := listing(t, c)
	require.Len(t, s, 1)
	var code string
	require.NoError(t, s[0].Get("p", "code", &code))
	require.Equal(t, "1234", code)
	require.Positive(t, s[0].Size())
	require.False(t, s[0].Expires().Before(s[0].Deadline().Truncate(time.Second)))

	ahead.Store(int64(10 * time.Minute))
	view(t, c, func(s *sd.Session) { require.Equal(t, []string{"k"}, s.Pkg("p").Keys()) })
	require.ErrorIs(t, listing(t, c)[0].Get("p", "code", &code), sd.ErrKeyNotFound)

	// The server still holds what has expired by our clock.
	ahead.Store(int64(3 * time.Hour))
	log.take()
	require.Empty(t, listing(t, c))
	require.Equal(t, []string{"expired"}, log.take())
	require.Equal(t, map[string]any{"p/k": int64(1)}, log.last)
	ahead.Store(0)

	tx := sd.Begin()
	in, err := c.Session(t.Context(), tx, "v")
	require.NoError(t, err)
	require.NoError(t, in.Pkg("p").Set("k", 3))
	server.Restart()
	log.take()
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrGone)
	require.Equal(t, []string{"evicted", "failed"}, log.take())
	require.Empty(t, listing(t, c))
}
