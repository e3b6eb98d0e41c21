package memstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// benchStore holds n sessions of size bytes, and returns their keys.
func benchStore(b *testing.B, n, size int) (*memstore.Store, []string) {
	b.Helper()
	s := memstore.New(memstore.Config{})
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("session:%032x", i)
		require.NoError(b, s.Add(ctx, keys[i], make([]byte, size), time.Hour))
	}
	return s, keys
}

func BenchmarkGet(b *testing.B) {
	for _, size := range []int{0, 256, 8192} {
		b.Run(fmt.Sprint("size=", size), func(b *testing.B) {
			s, keys := benchStore(b, 1000, size)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := s.Get(ctx, keys[i%len(keys)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGetParallel(b *testing.B) {
	s, keys := benchStore(b, 1000, 256)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := s.Get(ctx, keys[i%len(keys)]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkAdd adds to a full store: each Add evicts one item.
func BenchmarkAdd(b *testing.B) {
	s := memstore.New(memstore.Config{MaxBytes: 10_000 * (256 + 40 + memstore.ItemOverhead)})
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = fmt.Sprintf("session:%032x", i)
	}
	value := make([]byte, 256)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := s.Add(ctx, keys[i%len(keys)], value, time.Hour); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCompareAndSwap is a Get and a CompareAndSwap, as a commit makes.
func BenchmarkCompareAndSwap(b *testing.B) {
	s, keys := benchStore(b, 100_000, 256)
	value := make([]byte, 256)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		key := keys[i%len(keys)]
		it, err := s.Get(ctx, key)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.CompareAndSwap(ctx, key, value, time.Hour, it.Version); err != nil {
			b.Fatal(err)
		}
	}
}
