package sessiondata

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// These look into the index where its rules cannot be seen from outside.

func someRef(i int) refHash { return refHash(fmt.Sprintf("%016d", i)) }

func TestAnEntryComesBackAsItWasStored(t *testing.T) {
	c, err := NewContainer(newMapStore(), Config{Name: "c"})
	require.NoError(t, err)
	key := c.storageKey("id").name
	for _, e := range []entry{
		{key: key},
		{key: key, made: 1, since: -2, seen: 3, ends: 4, spared: 5, label: "any \x00 bytes \xff"},
		{made: -1, left: true},
	} {
		back, ok := parseEntry(e.bytes(), "c:")
		require.True(t, ok)
		require.Empty(t, cmp.Diff(e, back, cmp.AllowUnexported(entry{})))
		require.GreaterOrEqual(t, e.size(), len(e.bytes()))
		for n := range entryHead {
			_, ok := parseEntry(e.bytes()[:n], "c:")
			require.False(t, ok)
		}
	}
	_, ok := parseEntry(entry{key: key}.bytes()[:entryHead+1], "c:")
	require.False(t, ok)
	_, ok = parseEntry(append(entry{left: true}.bytes(), 0), "c:")
	require.False(t, ok)
}

func TestAFullIndexDropsWhatIsMissedLeast(t *testing.T) {
	ix := &subjectIndex{epoch: 10, entries: map[refHash]entry{}}
	for i := range MaxListed {
		ix.entries[someRef(i)] = entry{made: 20, seen: int64(i)}
	}
	ix.entries[someRef(1000)] = entry{made: 5, spared: 10, seen: -1}
	ix.entries[someRef(1001)] = entry{made: -1, spared: 10, left: true, seen: -2}
	ix.entries[someRef(1002)] = entry{made: 20, left: true, seen: 500}
	ix.trim(1 << 20)
	require.Len(t, ix.entries, MaxListed)
	for i, kept := range map[int]bool{0: false, 1: false, 2: true, 1000: true, 1001: true, 1002: false} {
		_, ok := ix.entries[someRef(i)]
		require.Equal(t, kept, ok, i)
	}
	ix.trim(3 * (entry{}).size())
	require.Len(t, ix.entries, 3)
	require.Contains(t, ix.entries, someRef(MaxListed-1))
	ix.trim(-1)
	require.Len(t, ix.entries, 1, "there is room for one in any case")
}

func TestASessionThatHasComeBackDoesNotLeaveAgain(t *testing.T) {
	ix := &subjectIndex{entries: map[refHash]entry{someRef(1): {made: 7}}}
	ix.leave(someRef(1), 6, 100)
	require.True(t, ix.lists(someRef(1)))
	ix.leave(someRef(1), 7, 100)
	require.False(t, ix.lists(someRef(1)))
}

func TestNoTwoSubjectsHaveTheSameID(t *testing.T) {
	seen := map[string]subject{}
	for _, a := range []string{"", "a", "ab", "a\x00", "\x01\x00"} {
		for _, n := range []string{"a", "b", "ba", "\x00a", "bab"} {
			who := subject{a, n}
			require.NotContains(t, seen, who.id())
			seen[who.id()] = who
			require.LessOrEqual(t, len(who.id()), MaxID)
		}
	}
}

// What another commit has found out later, or by a later epoch, stays.
func TestAnIndexThatWasOvertakenIsNotRemembered(t *testing.T) {
	who, res := subject{"a", "b"}, time.Duration(100)
	var c standings
	later := &subjectIndex{epoch: 5}
	c.put(who, 1000, 1001, later, res)
	c.put(who, 1050, 1051, &subjectIndex{epoch: 4}, res)
	require.Same(t, later, c.fresh(who, 1060, res))
	c.put(who, 990, 1061, &subjectIndex{epoch: 5}, res)
	require.Same(t, later, c.fresh(who, 1099, res))
	require.Nil(t, c.fresh(who, 1100, res), "for at most one resolution")
	require.Nil(t, c.fresh(who, 999, res), "nor when the clock goes back")
	lost := &subjectIndex{}
	c.put(who, 1101, 1102, lost, res)
	require.Same(t, lost, c.fresh(who, 1103, res))
	overtaking := &subjectIndex{epoch: 9}
	c.put(who, 1090, 1104, overtaking, res)
	require.Same(t, overtaking, c.fresh(who, 1105, res))
}

func TestAnEntryIsBroughtUpToDateOncePerResolution(t *testing.T) {
	who, res := subject{"a", "b"}, time.Duration(100)
	var c standings
	require.True(t, c.claim(who, someRef(1), 1000, res), "nothing is known")
	c.put(who, 1000, 1000, &subjectIndex{entries: map[refHash]entry{someRef(1): {seen: 950}}}, res)
	require.False(t, c.claim(who, someRef(1), 1050, res))
	require.True(t, c.claim(who, someRef(1), 1051, res))
	require.False(t, c.claim(who, someRef(1), 1060, res), "another is at it")
	require.True(t, c.claim(who, someRef(2), 1060, res), "one that is not listed")
	c.put(who, 1070, 1070, &subjectIndex{}, res)
	require.False(t, c.claim(who, someRef(2), 1080, res), "it has just been listed, and dropped for others")
	require.True(t, c.claim(who, someRef(2), 1161, res))
}

func TestWhatIsRememberedOfSubjectsIsBounded(t *testing.T) {
	var c standings
	entries := map[refHash]entry{}
	for i := range MaxListed {
		entries[someRef(i)] = entry{}
	}
	for i := range 3 * maxStandings / MaxListed {
		who := subject{"a", fmt.Sprint(i)}
		c.put(who, 1000, 1000, &subjectIndex{entries: entries}, 100)
		c.claim(who, someRef(1000+i), 5000, 100)
		require.NotNil(t, c.fresh(who, 1000, 100))
	}
	size := 0
	for _, st := range c.of {
		size += st.size()
	}
	require.Equal(t, size, c.size)
	require.LessOrEqual(t, size, maxStandings+1)
	require.Greater(t, size, maxStandings/2)
}

// brokenIndex returns a container with one session, whose index was broken.
func brokenIndex(t *testing.T, breakIt func(*Session) error) *Container {
	t.Helper()
	c, err := NewContainer(newMapStore(), Config{Name: "c"})
	require.NoError(t, err)
	login := func(s *Session) error { return s.SetSubject("a", "alice") }
	require.NoError(t, c.Update(t.Context(), "id", login))
	require.NoError(t, c.subjects.inner.Update(t.Context(), subject{"a", "alice"}.id(), breakIt))
	return c
}

func TestADamagedIndexIsCorruptAndLeftAsItIs(t *testing.T) {
	for name, breakIt := range map[string]func(*Session) error{
		"entry":       func(s *Session) error { return s.Pkg(entriesPkg).Set(string(someRef(1)), []byte("short")) },
		"not bytes":   func(s *Session) error { return s.Pkg(entriesPkg).Set(string(someRef(1)), 5) },
		"epoch":       func(s *Session) error { return s.Pkg(indexPkg).Set(epochKey, "soon") },
		"high":        func(s *Session) error { return s.Pkg(indexPkg).Set(highKey, "soon") },
		"a wrong key": func(s *Session) error { return s.Pkg(entriesPkg).Set("", []byte("x")) },
	} {
		t.Run(name, func(t *testing.T) {
			c := brokenIndex(t, breakIt)
			_, err := c.Sessions(t.Context(), "a", "alice")
			require.ErrorIs(t, err, ErrCorrupt)
			require.ErrorIs(t, c.Revoke(t.Context(), "a", "alice"), ErrCorrupt)
			err = c.Update(t.Context(), "other", func(s *Session) error { return s.SetSubject("a", "alice") })
			require.ErrorIs(t, err, ErrCorrupt)
			fresh, err := NewContainer(c.store, Config{Name: "c"})
			require.NoError(t, err)
			require.ErrorIs(t, fresh.View(t.Context(), "id", func(*Session) error { return nil }), ErrCorrupt)
		})
	}
}

func TestABusyIndexIsAConflictThatNamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMapStore()
		c, err := NewContainer(store, Config{Name: "c", Attempts: 1})
		require.NoError(t, err)
		other, err := NewContainer(store, Config{Name: "c"})
		require.NoError(t, err)
		login := func(s *Session) error { return s.SetSubject("a", "alice") }
		store.before = func(key string) { // always somebody else first
			store.before, store.saved = nil, store.before
			require.NoError(t, other.Update(t.Context(), fmt.Sprint(rand.Uint64()), login))
			store.before = store.saved
		}
		err = c.Update(t.Context(), "id", login)
		require.ErrorIs(t, err, ErrConflict)
		require.NotErrorIs(t, err, ErrOutcomeUnknown)
		for ref := range c.subjects.cache.of[subject{"a", "alice"}].index.entries {
			require.NotContains(t, err.Error(), string(ref))
		}
		require.NotContains(t, err.Error(), "c~subject")
		store.before = nil
		require.NoError(t, c.Update(t.Context(), "id", login))
	})
}

// mapStore is a store of its own for these tests, which cannot import one.
type mapStore struct {
	items         map[string]Item
	n             uint64
	before, saved func(key string)
}

func newMapStore() *mapStore { return &mapStore{items: map[string]Item{}} }

func (s *mapStore) Get(_ context.Context, key string) (Item, error) {
	if it, ok := s.items[key]; ok {
		return Item{Value: append([]byte(nil), it.Value...), Version: it.Version}, nil
	}
	return Item{}, ErrNotFound
}

func (s *mapStore) put(key string, value []byte) error {
	s.n++
	s.items[key] = Item{Value: append([]byte(nil), value...), Version: Version{ID: s.n}}
	return nil
}

func (s *mapStore) Add(_ context.Context, key string, value []byte, _ time.Duration) error {
	if s.before != nil {
		s.before(key)
	}
	if _, ok := s.items[key]; ok {
		return ErrExists
	}
	return s.put(key, value)
}

func (s *mapStore) holds(key string, v Version) error {
	if s.before != nil {
		s.before(key)
	}
	switch it, ok := s.items[key]; {
	case !ok:
		return ErrNotFound
	case it.Version != v:
		return ErrConflict
	}
	return nil
}

func (s *mapStore) CompareAndSwap(_ context.Context, key string, value []byte, _ time.Duration, v Version) error {
	if err := s.holds(key, v); err != nil {
		return err
	}
	return s.put(key, value)
}

func (s *mapStore) CompareAndDelete(_ context.Context, key string, v Version) error {
	if err := s.holds(key, v); err != nil {
		return err
	}
	delete(s.items, key)
	return nil
}

func (s *mapStore) Ping(context.Context) error { return nil }
func (s *mapStore) Close() error               { return nil }
