package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

var (
	_ sd.Store  = (*memstore.Store)(nil)
	_ sd.Lister = (*memstore.Store)(nil)
)

func TestStoreKeepsTheContract(t *testing.T) {
	t.Run("real clock", func(t *testing.T) {
		storetest.Run(t, func(*testing.T) sd.Store { return memstore.New(memstore.Config{}) })
	})
	t.Run("given clock", func(t *testing.T) {
		storetest.RunWithClock(t, func(_ *testing.T, now func() time.Time) sd.Store {
			return memstore.New(memstore.Config{Now: now})
		})
	})
	t.Run("bounded", func(t *testing.T) {
		storetest.RunWithClock(t, func(_ *testing.T, now func() time.Time) sd.Store {
			return memstore.New(memstore.Config{MaxBytes: 4 << 20, Now: now})
		})
	})
}

// clock is set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var ctx = context.Background()

// room is a MaxBytes for n items of one byte under keys of one byte.
func room(n int) int64 { return int64(n) * (2 + memstore.ItemOverhead) }

func add(t *testing.T, s *memstore.Store, keys ...string) {
	t.Helper()
	for _, k := range keys {
		require.NoError(t, s.Add(ctx, k, []byte("v"), 0))
	}
}

// stored returns which of the keys a to z are there, without using them.
func stored(t *testing.T, s *memstore.Store) string {
	t.Helper()
	var present [256]bool
	for info, err := range s.Keys(ctx, "") {
		require.NoError(t, err)
		present[info.Key[0]] = true
	}
	var b strings.Builder
	for c := 'a'; c <= 'z'; c++ {
		if present[c] {
			b.WriteRune(c)
		}
	}
	return b.String()
}

func get(t *testing.T, s *memstore.Store, key string) sd.Item {
	t.Helper()
	it, err := s.Get(ctx, key)
	require.NoError(t, err)
	return it
}

func TestLeastRecentlyUsedItemGoesFirst(t *testing.T) {
	s := memstore.New(memstore.Config{MaxBytes: room(3)})
	add(t, s, "a", "b", "c")
	add(t, s, "d")
	require.Equal(t, "bcd", stored(t, s))

	get(t, s, "b") // reading is a use
	add(t, s, "e")
	require.Equal(t, "bde", stored(t, s))

	require.NoError(t, s.CompareAndSwap(ctx, "d", []byte("w"), 0, get(t, s, "d").Version))
	add(t, s, "f")
	require.Equal(t, "def", stored(t, s), "writing is a use")

	require.ErrorIs(t, s.Add(ctx, "e", nil, 0), sd.ErrExists)
	require.ErrorIs(t, s.CompareAndSwap(ctx, "e", nil, 0, sd.Version{}), sd.ErrConflict)
	add(t, s, "g")
	require.Equal(t, "dfg", stored(t, s), "a write that is refused, or a listing, is no use")
	require.Equal(t, memstore.Stats{Items: 3, Bytes: room(3), Evicted: 4}, s.Stats())
}

func TestWriteThatGrowsEvictsOthersButNotItself(t *testing.T) {
	s := memstore.New(memstore.Config{MaxBytes: room(3)})
	add(t, s, "a", "b", "c")
	v := get(t, s, "a").Version
	get(t, s, "b")
	get(t, s, "c") // a is now the least recently used
	largest := make([]byte, room(3)-1-memstore.ItemOverhead)
	require.NoError(t, s.CompareAndSwap(ctx, "a", largest, 0, v))
	require.Equal(t, "a", stored(t, s))
	require.Equal(t, memstore.Stats{Items: 1, Bytes: room(3), Evicted: 2}, s.Stats())
	require.Len(t, get(t, s, "a").Value, len(largest))
}

func TestValueOverTheBoundIsRefusedAndEvictsNothing(t *testing.T) {
	s := memstore.New(memstore.Config{MaxBytes: room(3)})
	add(t, s, "a", "b", "c")
	before := get(t, s, "a")
	tooLarge := make([]byte, room(3)-memstore.ItemOverhead)
	require.ErrorIs(t, s.Add(ctx, "d", tooLarge, 0), sd.ErrTooLarge)
	require.ErrorIs(t, s.CompareAndSwap(ctx, "a", tooLarge, 0, before.Version), sd.ErrTooLarge)
	require.Equal(t, before, get(t, s, "a"))
	require.Equal(t, "abc", stored(t, s))
	require.NoError(t, s.Add(ctx, "d", tooLarge[:len(tooLarge)-1], 0), "the largest that fits")
}

func TestExpiredItemsGoBeforeLiveOnes(t *testing.T) {
	c := newClock()
	s := memstore.New(memstore.Config{MaxBytes: room(20), Now: c.Now})
	add(t, s, "a", "b") // the least recently used
	for i := range 18 {
		require.NoError(t, s.Add(ctx, string(rune('c'+i)), []byte("v"), time.Second))
	}
	c.Add(time.Second)
	// One item that needs the room of more items than a write sweeps.
	require.NoError(t, s.Add(ctx, "z", make([]byte, room(17)), 0))
	require.Equal(t, "abz", stored(t, s))
	require.Equal(t, uint64(18), s.Stats().Expired)
	require.Zero(t, s.Stats().Evicted)
}

func TestExpiredItemsGoBeforeLiveOnesWhateverTheirTTLWasBefore(t *testing.T) {
	for changed, ttls := range map[string][]time.Duration{
		"d": {time.Second},            // sooner
		"c": {time.Hour, time.Second}, // later, then sooner
		"b": {0, time.Second},         // never, then at a time again
	} {
		c := newClock()
		s := memstore.New(memstore.Config{MaxBytes: room(4), Now: c.Now})
		for i, key := range []string{"a", "b", "c", "d"} {
			require.NoError(t, s.Add(ctx, key, []byte("v"), time.Duration(i+1)*time.Minute))
		}
		for _, ttl := range ttls {
			v := get(t, s, changed).Version
			require.NoError(t, s.CompareAndSwap(ctx, changed, []byte("v"), ttl, v))
		}
		c.Add(time.Second)
		add(t, s, "e")
		require.Equal(t, strings.ReplaceAll("abcde", changed, ""), stored(t, s))
		require.Equal(t, memstore.Stats{Items: 4, Bytes: room(4), Expired: 1}, s.Stats())
	}
}

func TestKeyIsNotHeldWithTheTextThatItIsAPartOf(t *testing.T) {
	const n, size = 20, 1 << 20
	s := memstore.New(memstore.Config{})
	before := heap()
	for i := range n {
		text := fmt.Sprint("key", i, " ") + strings.Repeat("x", size)
		key, _, _ := strings.Cut(text, " ")
		require.NoError(t, s.Add(ctx, key, nil, 0))
	}
	require.Less(t, heap()-before, int64(n*size/2))
	runtime.KeepAlive(s)
}

func TestExpiredItemsAreSweptByWrites(t *testing.T) {
	const n = 1000
	c := newClock()
	s := memstore.New(memstore.Config{Now: c.Now})
	for i := range n {
		require.NoError(t, s.Add(ctx, fmt.Sprint(i), []byte("v"), time.Second))
	}
	c.Add(time.Second)
	require.Equal(t, n, s.Stats().Items)
	add(t, s, "k")
	after := s.Stats()
	require.Less(t, after.Items, n, "a write drops some")
	require.Greater(t, after.Items, n-20, "but a bounded number")
	for range n / 2 {
		require.NoError(t, s.CompareAndSwap(ctx, "k", []byte("v"), 0, get(t, s, "k").Version))
	}
	require.Equal(t, memstore.Stats{Items: 1, Bytes: room(1), Expired: n}, s.Stats())

	// Deletes sweep as well: a store that only shrinks keeps nothing dead.
	for i := range 10 {
		require.NoError(t, s.Add(ctx, fmt.Sprint(i), []byte("v"), time.Second))
	}
	add(t, s, "l", "m")
	c.Add(time.Second)
	for _, key := range []string{"k", "l", "m"} {
		require.NoError(t, s.CompareAndDelete(ctx, key, get(t, s, key).Version))
	}
	require.Equal(t, memstore.Stats{Expired: n + 10}, s.Stats())
}

func TestItemExpiresExactlyAtItsTTL(t *testing.T) {
	for _, ttl := range []time.Duration{1, time.Millisecond, time.Second, 31 * 24 * time.Hour, math.MaxInt64 / 2} {
		c := newClock()
		s := memstore.New(memstore.Config{Now: c.Now})
		require.NoError(t, s.Add(ctx, "k", []byte("v"), ttl))
		v := get(t, s, "k").Version
		for info := range s.Keys(ctx, "") {
			require.Equal(t, c.Now().Add(ttl), info.Expires)
		}
		c.Add(ttl - 1)
		get(t, s, "k")
		c.Add(1)
		require.Empty(t, stored(t, s))
		_, err := s.Get(ctx, "k")
		require.ErrorIs(t, err, sd.ErrNotFound)
		require.ErrorIs(t, s.CompareAndSwap(ctx, "k", nil, 0, v), sd.ErrNotFound)
		require.ErrorIs(t, s.CompareAndDelete(ctx, "k", v), sd.ErrNotFound)
		require.Equal(t, memstore.Stats{Expired: 1}, s.Stats())
		add(t, s, "k")
	}
}

func TestClockThatGoesBackwardsExpiresNothing(t *testing.T) {
	c := newClock()
	s := memstore.New(memstore.Config{Now: c.Now})
	c.Add(-time.Hour)
	require.NoError(t, s.Add(ctx, "k", []byte("v"), time.Minute))
	require.NoError(t, s.Add(ctx, "for ever"[:3], []byte("v"), math.MaxInt64))
	c.Add(-time.Hour)
	get(t, s, "k")
	c.Add(time.Hour + time.Minute)
	_, err := s.Get(ctx, "k")
	require.ErrorIs(t, err, sd.ErrNotFound)
	get(t, s, "for")
}

func TestDefaultClockIsTheProcesss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New(memstore.Config{})
		time.Sleep(time.Minute)
		require.NoError(t, s.Add(ctx, "k", []byte("v"), time.Second))
		for info := range s.Keys(ctx, "") {
			require.Equal(t, time.Now().Add(time.Second).Round(0), info.Expires)
		}
		time.Sleep(time.Second - time.Nanosecond)
		get(t, s, "k")
		time.Sleep(time.Nanosecond)
		_, err := s.Get(ctx, "k")
		require.ErrorIs(t, err, sd.ErrNotFound)
	})
}

func TestStoreHasNoGoroutine(t *testing.T) {
	// Within a bubble a goroutine that outlives the test is a failure, too.
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		s := memstore.New(memstore.Config{MaxBytes: room(3)})
		for _, key := range []string{"a", "b", "c", "d"} {
			require.NoError(t, s.Add(ctx, key, []byte("v"), time.Second))
		}
		require.LessOrEqual(t, runtime.NumGoroutine(), before)
		time.Sleep(time.Hour)
		add(t, s, "e")
	})
}

func TestVersionsOfTwoStoresDiffer(t *testing.T) {
	seen := make(map[sd.Version]bool)
	for range 3 {
		s := memstore.New(memstore.Config{})
		for range 100 {
			add(t, s, "k")
			v := get(t, s, "k").Version
			require.False(t, seen[v])
			require.NotZero(t, v)
			seen[v] = true
			require.NoError(t, s.CompareAndDelete(ctx, "k", v))
		}
	}
}

func TestListingLeavesTheStoreUnlocked(t *testing.T) {
	s := memstore.New(memstore.Config{})
	add(t, s, "a", "b", "c")
	done := make(chan struct{})
	for range s.Keys(ctx, "") {
		go func() {
			defer close(done)
			add(t, s, "d")
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatal("a write waits for a listing")
		}
		break
	}
}

func TestListingEndsWithItsContext(t *testing.T) {
	s := memstore.New(memstore.Config{})
	add(t, s, "a", "b", "c")
	cause := errors.New("enough")
	listing, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var got []error
	for _, err := range s.Keys(listing, "") {
		got = append(got, err)
		cancel(cause)
	}
	require.Len(t, got, 2)
	require.NoError(t, got[0])
	require.ErrorIs(t, got[1], cause)
}

func TestClosedStoreHoldsNothing(t *testing.T) {
	s := memstore.New(memstore.Config{})
	require.NoError(t, s.Add(ctx, "a", []byte("v"), time.Second))
	require.NoError(t, s.Close())
	require.Equal(t, memstore.Stats{}, s.Stats())
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.CompareAndDelete(ctx, "a", sd.Version{}), sd.ErrClosed)
}

func TestNegativeMaxBytesPanics(t *testing.T) {
	require.PanicsWithValue(t, "memstore: Config.MaxBytes is negative", func() {
		memstore.New(memstore.Config{MaxBytes: -1})
	})
}

func TestErrorsShowNeitherKeyNorValue(t *testing.T) {
	s := memstore.New(memstore.Config{MaxBytes: 300})
	for _, key := range []string{"sec ret", "secret\n", strings.Repeat("secret", 50)} {
		_, err := s.Get(ctx, key)
		require.ErrorIs(t, err, sd.ErrInvalid)
		require.NotContains(t, err.Error(), "sec")
	}
	err := s.Add(ctx, "secret", []byte(strings.Repeat("secret", 50)), 0)
	require.ErrorIs(t, err, sd.ErrTooLarge)
	require.NotContains(t, err.Error(), "secret")
	require.True(t, strings.HasPrefix(err.Error(), sd.ErrTooLarge.Error()))
}

// TestOverheadCoversTheMemory measures what the runtime really holds for each
// item: MaxBytes is a promise about memory, not about a sum.
func TestOverheadCoversTheMemory(t *testing.T) {
	const n, size = 70_000, 512 // a number at which maps are half empty; a size class
	s := memstore.New(memstore.Config{})
	value := make([]byte, size)
	before := heap()
	for i := range n {
		require.NoError(t, s.Add(ctx, fmt.Sprintf("session:%024d", i), value, time.Hour))
	}
	used, counted := heap()-before, s.Stats().Bytes
	t.Logf("%d bytes per item beside key and value, ItemOverhead is %d", used/n-size-32, memstore.ItemOverhead)
	require.LessOrEqual(t, used, counted)
	require.Greater(t, used, counted*8/10, "the overhead is counted far too high")
	runtime.KeepAlive(s)
}

// heap returns the bytes of live objects.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
