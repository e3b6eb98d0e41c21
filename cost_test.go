package sessiondata_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// countingCodec counts the values that are encoded and decoded.
type countingCodec struct {
	sd.Codec
	encoded, decoded atomic.Int64
}

func (*countingCodec) ID() uint8 { return 201 }

func (c *countingCodec) Marshal(v any) ([]byte, error) {
	c.encoded.Add(1)
	return c.Codec.Marshal(v)
}

func (c *countingCodec) Unmarshal(data []byte, dst any) error {
	c.decoded.Add(1)
	return c.Codec.Unmarshal(data, dst)
}

func (c *countingCodec) take() (encoded, decoded int64) {
	return c.encoded.Swap(0), c.decoded.Swap(0)
}

func TestCost_ReadingOneValueDecodesNothingElse(t *testing.T) {
	codec := &countingCodec{Codec: sd.MessagePack()}
	c := container(t, newWire(), sd.Config{Codec: codec})
	benchShapes[2].fill(t, c)
	codec.take()
	require.NoError(t, c.View(t.Context(), "id", func(s *sd.Session) error {
		_, err := sd.Get[benchValue](s.Pkg(pkgName(50)), keyName(10))
		return err
	}))
	encoded, decoded := codec.take()
	require.EqualValues(t, 0, encoded)
	require.EqualValues(t, 1, decoded)

	require.NoError(t, c.View(t.Context(), "id", func(s *sd.Session) error {
		for _, name := range s.Packages() {
			require.Equal(t, 20, s.Pkg(name).Len())
			require.True(t, s.Pkg(name).Has(keyName(3)))
			require.Len(t, s.Pkg(name).Keys(), 20)
		}
		return nil
	}))
	encoded, decoded = codec.take()
	require.Zero(t, encoded+decoded, "names tell nothing of values")
}

func TestCost_UpdatingOneValueEncodesThatValueAlone(t *testing.T) {
	codec := &countingCodec{Codec: sd.MessagePack()}
	c := container(t, newWire(), sd.Config{Codec: codec})
	benchShapes[2].fill(t, c)
	codec.take()
	set(t, c, "id", pkgName(50), keyName(10), newBenchValue(99))
	encoded, decoded := codec.take()
	require.EqualValues(t, 1, encoded)
	require.EqualValues(t, 0, decoded)

	// Also where it is merged with another commit, deletes, and goes back.
	tx, s := begin(t, c, "id")
	require.NoError(t, s.Pkg(pkgName(1)).Set(keyName(1), 1))
	require.NoError(t, s.Pkg(pkgName(2)).Delete(keyName(1)))
	require.NoError(t, s.DeletePkg(pkgName(3)))
	stepBack(t, tx, s.Pkg(pkgName(4)), keyName(1))
	set(t, c, "id", pkgName(5), keyName(10), newBenchValue(100))
	require.NoError(t, tx.Commit(t.Context()))
	encoded, decoded = codec.take()
	require.EqualValues(t, 3, encoded)
	require.EqualValues(t, 0, decoded)
}

// perRun returns the allocations and bytes that one call of fn costs: the least
// of many, because under the race detector pools drop some of what they hold.
func perRun(fn func()) (allocs, bytes uint64) {
	var before, after runtime.MemStats
	for i := range 200 {
		runtime.ReadMemStats(&before)
		fn()
		runtime.ReadMemStats(&after)
		if n := after.Mallocs - before.Mallocs; i == 0 || n < allocs {
			allocs = n
		}
		if n := after.TotalAlloc - before.TotalAlloc; i == 0 || n < bytes {
			bytes = n
		}
	}
	return allocs, bytes
}

func TestCost_ASavepointCostsTheSameHoweverLargeTheSession(t *testing.T) {
	var allocs, bytes []uint64
	for _, sh := range []benchShape{benchShapes[0], benchShapes[2]} {
		c := container(t, memstore.New(memstore.Config{}))
		sh.fill(t, c)
		tx, s := begin(t, c, "id")
		p, key := s.Pkg(pkgName(sh.pkgs/2)), keyName(sh.keys/2)
		a, n := perRun(func() { stepBack(t, tx, p, key) })
		allocs, bytes = append(allocs, a), append(bytes, n)
	}
	t.Logf("%v allocations, %v bytes", allocs, bytes)
	require.Equal(t, allocs[0], allocs[1])
	require.Equal(t, bytes[0], bytes[1])
	require.Less(t, bytes[1], uint64(500))
}

func TestCost_ReadingAndChangingTakeFewAllocations(t *testing.T) {
	for _, sh := range benchShapes {
		c := container(t, memstore.New(memstore.Config{}))
		sh.fill(t, c)
		set(t, c, "id", pkgName(0), "text", "of a common type")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		read, _ := perRun(func() {
			if err := c.View(ctx, "id", func(s *sd.Session) error {
				_, err := sd.Get[string](s.Pkg(pkgName(0)), "text")
				return err
			}); err != nil {
				t.Error(err)
			}
		})
		n := 0
		changed, _ := perRun(func() {
			n++
			if err := c.Update(ctx, "id", func(s *sd.Session) error { return s.Pkg(pkgName(0)).Set(keyName(2), n) }); err != nil {
				t.Error(err)
			}
		})
		t.Logf("%s: %v to read, %v to change", sh.name, read, changed)
		// Of the store in memory, there is one in reading and one more in writing.
		require.LessOrEqual(t, read, uint64(8))
		require.LessOrEqual(t, changed, uint64(16))
	}
}

func TestCost_WhatIsNotChangedIsNotBuilt(t *testing.T) {
	perSession := func(sh benchShape) uint64 {
		c := container(t, memstore.New(memstore.Config{}))
		sh.fill(t, c)
		n := 0
		allocs, _ := perRun(func() {
			n++
			if err := c.Update(t.Context(), "id", func(s *sd.Session) error { return s.Pkg(pkgName(0)).Set(keyName(2), n) }); err != nil {
				t.Error(err)
			}
		})
		return allocs
	}
	require.InDelta(t, perSession(benchShapes[0]), perSession(benchShapes[2]), 4, "allocations do not grow with the session")
}
