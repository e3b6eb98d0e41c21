package memcachestore

import (
	"testing"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/stretchr/testify/require"

	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

// BenchmarkGet is what this package's care costs: the same read by the store,
// and by gomemcache alone.
func BenchmarkGet(b *testing.B) {
	srv := mct.Start(b)
	s := open(b, []string{srv.Addr()})
	require.NoError(b, s.Add(b.Context(), "k", make([]byte, 2000), 0))
	b.Run("store", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Get(b.Context(), "k"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("gomemcache", func(b *testing.B) {
		c := memcache.New(srv.Addr())
		defer c.Close()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Get("k"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
