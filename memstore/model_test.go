package memstore_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// model is the embedded store as one would describe it: a list in the order of
// use, from which the last is dropped while it is too long.
type model struct {
	clock   *clock
	max     int64
	items   []modelItem // the most recently used first
	writes  int
	evicted uint64
}

type modelItem struct {
	key, value string
	write      int // number of the write: the model's Version
	expires    time.Time
}

func (m *model) now() time.Time { return m.clock.Now() }

// take removes and returns the item under key, dropping all that has expired.
func (m *model) take(key string) (modelItem, bool) {
	m.items = slices.DeleteFunc(m.items, func(it modelItem) bool {
		return !it.expires.IsZero() && !m.now().Before(it.expires)
	})
	for i, it := range m.items {
		if it.key == key {
			m.items = slices.Delete(m.items, i, i+1)
			return it, true
		}
	}
	return modelItem{}, false
}

func (m *model) put(it modelItem) { m.items = slices.Insert(m.items, 0, it) }

func (m *model) bytes() (sum int64) {
	for _, it := range m.items {
		sum += int64(len(it.key)+len(it.value)) + memstore.ItemOverhead
	}
	return sum
}

func (m *model) write(key, value string, ttl time.Duration) {
	m.writes++
	it := modelItem{key: key, value: value, write: m.writes}
	if ttl > 0 {
		it.expires = m.now().Add(ttl)
	}
	m.put(it)
	for m.bytes() > m.max {
		m.items = m.items[:len(m.items)-1]
		m.evicted++
	}
}

func (m *model) get(key string) (string, int, error) {
	it, ok := m.take(key)
	if !ok {
		return "", 0, sd.ErrNotFound
	}
	m.put(it)
	return it.value, it.write, nil
}

func (m *model) tooLarge(key, value string) bool {
	return int64(len(key)+len(value))+memstore.ItemOverhead > m.max
}

func (m *model) find(key string) (int, *modelItem) {
	for i := range m.items {
		if m.items[i].key == key {
			return i, &m.items[i]
		}
	}
	return -1, nil
}

func (m *model) add(key, value string, ttl time.Duration) error {
	if m.tooLarge(key, value) {
		return sd.ErrTooLarge
	}
	m.take("") // only drops what has expired
	if _, it := m.find(key); it != nil {
		return sd.ErrExists
	}
	m.write(key, value, ttl)
	return nil
}

// swap replaces the item, or removes it where value is nil.
func (m *model) swap(key string, value *string, ttl time.Duration, write int) error {
	if value != nil && m.tooLarge(key, *value) {
		return sd.ErrTooLarge
	}
	m.take("")
	i, it := m.find(key)
	switch {
	case it == nil:
		return sd.ErrNotFound
	case it.write != write:
		return sd.ErrConflict
	}
	m.items = slices.Delete(m.items, i, i+1)
	if value != nil {
		m.write(key, *value, ttl)
	}
	return nil
}

func (m *model) keys() map[string]sd.KeyInfo {
	m.take("")
	all := make(map[string]sd.KeyInfo)
	for _, it := range m.items {
		all[it.key] = sd.KeyInfo{Key: it.key, Size: len(it.value), Expires: it.expires}
	}
	return all
}

// TestModel_StoreIsItsModel runs random operations on a small store and on the
// model: what is answered, what was evicted and what is left must agree, and
// the bound hold after each.
func TestModel_StoreIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newClock()
		maxBytes := rapid.Int64Range(memstore.ItemOverhead, 8*memstore.ItemOverhead).Draw(t, "MaxBytes")
		s := memstore.New(memstore.Config{MaxBytes: maxBytes, Now: c.Now})
		m := &model{clock: c, max: maxBytes}
		versions := map[sd.Version]int{{}: 0} // of the store, as the number of the write in the model
		known := []sd.Version{{}}

		key := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "ff", "ggg"})
		value := rapid.Custom(func(t *rapid.T) string {
			return string(make([]byte, rapid.IntRange(0, 2*memstore.ItemOverhead).Draw(t, "size")))
		})
		ttl := rapid.SampledFrom([]time.Duration{0, 0, 1, time.Second, 3 * time.Second, time.Hour})
		version := rapid.Custom(func(t *rapid.T) sd.Version {
			back := min(rapid.IntRange(0, 3).Draw(t, "back"), len(known)-1)
			return known[len(known)-1-back]
		})
		same := func(t *rapid.T, got, want error) {
			if !errors.Is(got, want) {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"Get": func(t *rapid.T) {
				k := key.Draw(t, "key")
				it, err := s.Get(ctx, k)
				want, write, wantErr := m.get(k)
				same(t, err, wantErr)
				if err != nil {
					return
				}
				if string(it.Value) != want {
					t.Fatalf("got %d bytes, want %d", len(it.Value), len(want))
				}
				if w, ok := versions[it.Version]; ok && w != write {
					t.Fatalf("the writes %d and %d have one Version", w, write)
				}
				versions[it.Version] = write
				known = append(known, it.Version)
			},
			"Add": func(t *rapid.T) {
				k, v, d := key.Draw(t, "key"), value.Draw(t, "value"), ttl.Draw(t, "ttl")
				same(t, s.Add(ctx, k, []byte(v), d), m.add(k, v, d))
			},
			"CompareAndSwap": func(t *rapid.T) {
				k, v, d, ver := key.Draw(t, "key"), value.Draw(t, "value"), ttl.Draw(t, "ttl"), version.Draw(t, "version")
				same(t, s.CompareAndSwap(ctx, k, []byte(v), d, ver), m.swap(k, &v, d, versions[ver]))
			},
			"update": func(t *rapid.T) { // what a commit does
				k, v, d := key.Draw(t, "key"), value.Draw(t, "value"), ttl.Draw(t, "ttl")
				it, err := s.Get(ctx, k)
				_, write, wantErr := m.get(k)
				same(t, err, wantErr)
				if err == nil {
					same(t, s.CompareAndSwap(ctx, k, []byte(v), d, it.Version), m.swap(k, &v, d, write))
				}
			},
			"CompareAndDelete": func(t *rapid.T) {
				k, ver := key.Draw(t, "key"), version.Draw(t, "version")
				same(t, s.CompareAndDelete(ctx, k, ver), m.swap(k, nil, 0, versions[ver]))
			},
			"wait": func(t *rapid.T) {
				c.Add(time.Duration(rapid.IntRange(1, 2000).Draw(t, "ms")) * time.Millisecond)
			},
			"": func(t *rapid.T) {
				stats := s.Stats()
				if stats.Bytes > maxBytes {
					t.Fatalf("%d bytes held, the bound is %d", stats.Bytes, maxBytes)
				}
				if stats.Evicted != m.evicted {
					t.Fatalf("%d items evicted, want %d", stats.Evicted, m.evicted)
				}
				got := make(map[string]sd.KeyInfo)
				for info, err := range s.Keys(ctx, "") {
					same(t, err, nil)
					got[info.Key] = info
				}
				if diff := cmp.Diff(m.keys(), got); diff != "" {
					t.Fatalf("keys differ (-model +store):\n%s", diff)
				}
				if stats.Items < len(got) || stats.Bytes < m.bytes() {
					t.Fatalf("%+v, but there are %d items of %d bytes", stats, len(got), m.bytes())
				}
			},
		})
	})
}

// TestBoundHoldsUnderConcurrency works on a full store from several goroutines
// that also list it.
func TestBoundHoldsUnderConcurrency(t *testing.T) {
	const bound = 40 * memstore.ItemOverhead
	s := memstore.New(memstore.Config{MaxBytes: bound})
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				key := fmt.Sprint("k", (worker*7+i)%60)
				it, err := s.Get(ctx, key)
				switch {
				case err != nil:
					err = s.Add(ctx, key, make([]byte, i%100), time.Duration(i%3)*time.Microsecond)
				case i%5 == 0:
					err = s.CompareAndDelete(ctx, key, it.Version)
				default:
					err = s.CompareAndSwap(ctx, key, make([]byte, i%1000), 0, it.Version)
				}
				if err != nil && !errors.Is(err, sd.ErrExists) && !errors.Is(err, sd.ErrConflict) && !errors.Is(err, sd.ErrNotFound) {
					t.Errorf("unexpected error: %v", err)
				}
				if got := s.Stats().Bytes; got > bound || got < 0 {
					t.Errorf("%d bytes held, the bound is %d", got, bound)
				}
				if i%100 == 0 {
					for _, err := range s.Keys(ctx, "") {
						if err != nil {
							t.Errorf("Keys: %v", err)
						}
					}
				}
			}
		})
	}
	wg.Wait()

	// The sums are exact: an emptied store counts nothing.
	for info, err := range s.Keys(ctx, "") {
		require.NoError(t, err)
		it, err := s.Get(ctx, info.Key)
		require.NoError(t, err)
		require.NoError(t, s.CompareAndDelete(ctx, info.Key, it.Version))
	}
	stats := s.Stats()
	require.Zero(t, stats.Items)
	require.Zero(t, stats.Bytes)
}
