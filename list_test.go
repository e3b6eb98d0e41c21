package sessiondata_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// listing returns what All gives, and fails on any error in it.
func listing(t *testing.T, c *sd.Container) (all []*sd.Stored) {
	t.Helper()
	for s, err := range c.All(t.Context()) {
		require.NoError(t, err)
		all = append(all, s)
	}
	return all
}

func TestListShowsEachSessionReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		c, err := sd.NewContainer(store, sd.Config{Name: "c", Timeout: time.Hour, Resolution: 5 * time.Minute, Lifetime: 3 * time.Hour})
		require.NoError(t, err)
		require.Empty(t, listing(t, c))
		start := time.Now()
		for i := range 3 {
			require.NoError(t, c.Update(t.Context(), id(i), func(s *sd.Session) error {
				return errors.Join(s.Pkg("p").Set("v", i), s.Pkg("p").Set("w", "text"), s.Pkg("q").Set("v", i))
			}))
		}
		time.Sleep(30 * time.Minute)
		require.NoError(t, c.View(t.Context(), id(0), func(*sd.Session) error { return nil }))
		before := dump(t, store)
		seen := map[int]sd.SessionRef{}
		for _, s := range listing(t, c) {
			var n int
			require.NoError(t, s.Get("p", "v", &n))
			seen[n] = s.Ref()
			require.Equal(t, []string{"p", "q"}, s.Packages())
			var keys []string
			for key, v := range s.Values("p") {
				keys = append(keys, key)
				require.False(t, v.IsZero())
			}
			require.Equal(t, []string{"v", "w"}, keys)
			for range s.Values("p") {
				break
			}
			require.ErrorIs(t, s.Get("p", "absent", &n), sd.ErrKeyNotFound)
			require.ErrorIs(t, s.Get("absent", "v", &n), sd.ErrKeyNotFound)
			require.ErrorIs(t, s.Get("p", "w", new(int)), sd.ErrValue)
			require.False(t, s.Sealed())
			require.Positive(t, s.Size())
			access := start
			if n == 0 {
				access = start.Add(30 * time.Minute)
			}
			require.Equal(t, start.UnixNano(), s.Created().UnixNano())
			require.Equal(t, access.UnixNano(), s.LastAccess().UnixNano())
			require.Equal(t, access.Add(time.Hour+5*time.Minute).UnixNano(), s.Deadline().UnixNano())
			require.Equal(t, access.Add(time.Hour+10*time.Minute).UnixNano(), s.Expires().UnixNano())
		}
		require.Len(t, seen, 3)
		require.ElementsMatch(t, bytes.Split(before, []byte("c:")), bytes.Split(dump(t, store), []byte("c:")), "it changed what is stored")
	})
}

func TestListShowsNothingOfOthersNorWhatHasExpired(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		c, log := traced(t, store, sd.Config{Now: clock.Now, Name: "c", Timeout: time.Hour})
		for _, name := range []string{"c2", "c.x", "c-", "d"} {
			other, err := sd.NewContainer(store, sd.Config{Now: clock.Now, Name: name})
			require.NoError(t, err)
			require.NoError(t, other.Update(t.Context(), "v", setIn("p", "k", name)))
		}
		for _, foreign := range []string{"c:", "c:index", "c:" + strings.Repeat("A", 44), "c:" + strings.Repeat("A", 42) + ".", "c:" + strings.Repeat("A", 42) + "="} {
			require.NoError(t, store.Add(t.Context(), foreign, []byte("not a session"), 0))
		}
		require.Empty(t, listing(t, c))
		require.NoError(t, c.Update(t.Context(), "old", setIn("p", "k", "old")))
		clock.move(time.Hour + 5*time.Minute + time.Second)
		require.NoError(t, c.Update(t.Context(), "young", setIn("p", "k", "young")))
		log.take()
		all := listing(t, c)
		require.Len(t, all, 1)
		var k string
		require.NoError(t, all[0].Get("p", "k", &k))
		require.Equal(t, "young", k)
		require.Equal(t, []string{"expired"}, log.take(), "a listing tells what it meets")
		require.Equal(t, map[string]any{"p/k": "old"}, log.last)
	})
}

func TestListGoesOnBehindASessionThatCannotBeRead(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c, log := traced(t, store, sd.Config{Name: "c"})
		require.NoError(t, c.Update(t.Context(), "corrupt", setIn("p", "k", 1)))
		damage(t, store, func(raw []byte) []byte { raw[len(raw)/2] ^= 1; return raw })
		corrupt := log.loads[0].Session
		require.NoError(t, c.Update(t.Context(), "good", setIn("p", "k", 1)))
		newer := "c:" + strings.Repeat("A", 43)
		require.NoError(t, store.Add(t.Context(), newer, append([]byte("\x89SDS\x02\x02"), make([]byte, 100)...), 0))
		log.take()
		good, bad := 0, map[sd.SessionRef]error{}
		for s, err := range c.All(t.Context()) {
			require.NotNil(t, s)
			if err == nil {
				good++
				continue
			}
			bad[s.Ref()] = err
			require.Positive(t, s.Size())
			require.Zero(t, s.Created())
			require.Zero(t, s.LastAccess())
			require.Zero(t, s.Deadline())
			require.Empty(t, s.Packages())
			require.False(t, s.Sealed())
			require.ErrorIs(t, s.Get("p", "k", new(int)), sd.ErrNotSupported)
			for range s.Values("p") {
				t.Fatal("values of what could not be read")
			}
		}
		require.Equal(t, 1, good)
		require.Len(t, bad, 2)
		require.ErrorIs(t, bad[corrupt], sd.ErrCorrupt)
		require.Equal(t, []string{"corrupt", "corrupt"}, log.take())
		delete(bad, corrupt)
		for _, err := range bad {
			require.ErrorIs(t, err, sd.ErrUnsupportedVersion)
		}
	})
}

// The listing sees of a transaction over several sessions what any reader sees:
// all or nothing, whichever write was the last of a client that died; but it
// writes nothing itself.
func TestListShowsAllOrNothingOfATransaction(t *testing.T) {
	for name, legs := range shapes {
		t.Run(name, func(t *testing.T) {
			for _, fate := range []storetest.Fault{storetest.DieBefore, storetest.DieAfter} {
				died := true
				for k := 1; died; k++ {
					synctest.Test(t, func(t *testing.T) {
						inner := memstore.New(memstore.Config{})
						w := &world{t: t, legs: legs}
						w.setUp(inner)
						faulty := storetest.NewFaulty(inner, storetest.FaultConfig{Shared: true, Plan: map[int]storetest.Fault{k: fate}})
						_ = w.run(faulty)
						died = faulty.Died()
						before, after := []string{}, []string{}
						for _, m := range legs {
							if m.before != 0 {
								before = append(before, fmt.Sprint(m.container, m.before))
							}
							if m.after != 0 {
								after = append(after, fmt.Sprint(m.container, m.after))
							}
						}
						writes := &failingStore{Store: inner, write: errors.New("a listing writes")}
						listed := []string{}
						for name, c := range containers(t, listable{writes, inner}) {
							for _, s := range listing(t, c) {
								var v int
								require.NoError(t, s.Get("p", "v", &v))
								listed = append(listed, fmt.Sprint(name, v))
							}
						}
						want := before
						if w.outcome(inner, -1) {
							want = after
						}
						slices.Sort(listed)
						slices.Sort(want)
						require.Equal(t, want, listed, "write %d is %v", k, fate)
					})
				}
			}
		})
	}
}

// An intent whose transaction was undone at its primary alone counts as nothing.
func TestListShowsNothingOfATransactionThatWasUndone(t *testing.T) {
	legs := shapes["all changed"]
	for who := range legs {
		synctest.Test(t, func(t *testing.T) {
			inner := memstore.New(memstore.Config{})
			w := &world{t: t, legs: legs}
			w.setUp(inner)
			faulty := storetest.NewFaulty(inner, storetest.FaultConfig{Shared: true, Plan: map[int]storetest.Fault{3: storetest.DieAfter}})
			require.ErrorIs(t, w.run(faulty), sd.ErrUnavailable, "all intents are placed, and nothing is decided")
			time.Sleep(time.Minute) // past the deadline
			require.NoError(t, containers(t, inner)[legs[who].container].Update(t.Context(), id(who), setIn("other", "k", 1)))
			listed := map[int]bool{}
			for _, c := range containers(t, inner) {
				for _, s := range listing(t, c) {
					var v int
					require.NoError(t, s.Get("p", "v", &v))
					listed[v] = true
				}
			}
			require.Equal(t, map[int]bool{1: true, 3: true, 5: true}, listed)
		})
	}
}

// listable is a store that lists what another one has.
type listable struct {
	sd.Store
	lister sd.Lister
}

func (l listable) Keys(ctx context.Context, prefix string) iter.Seq2[sd.KeyInfo, error] {
	return l.lister.Keys(ctx, prefix)
}

func TestListShowsOfSealedSessionsWhatTheStoreKnows(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		plain := sealing(t, store, "c")
		require.NoError(t, plain.Update(t.Context(), "plain", setTo("in clear")))
		ring := []sd.Key{key(1)}
		c := sealing(t, store, "c", ring...)
		require.NoError(t, c.Update(t.Context(), "sealed", setTo("secret")))
		for _, c := range []*sd.Container{c, plain} {
			sealed := 0
			for _, s := range listing(t, c) {
				require.Positive(t, s.Size())
				require.WithinDuration(t, time.Now().Add(time.Hour+10*time.Minute), s.Expires(), time.Minute)
				var v string
				err := s.Get("package name", "key name", &v)
				if !s.Sealed() {
					require.NoError(t, err)
					require.Equal(t, "in clear", v)
					continue
				}
				sealed++
				require.ErrorIs(t, err, sd.ErrNotSupported)
				require.Zero(t, s.Created())
				require.Zero(t, s.Deadline())
				require.Empty(t, s.Packages())
			}
			require.Equal(t, 1, sealed)
		}
		// Also within a transaction over several, wherever its client dies.
		for k := 1; k < 8; k++ {
			faulty := storetest.NewFaulty(store, storetest.FaultConfig{Shared: true, Plan: map[int]storetest.Fault{k: storetest.DieAfter}})
			f := container(t, faulty, sd.Config{Name: "c", Keys: ring, CommitTimeout: 100 * time.Millisecond})
			tx := sd.Begin()
			for _, id := range []string{"a", "b", "c"} {
				s, err := f.Session(t.Context(), tx, fmt.Sprint(id, k))
				require.NoError(t, err)
				require.NoError(t, s.Pkg("p").Set("k", k))
			}
			_ = tx.Commit(t.Context())
			n := len(listing(t, plain))
			require.Zero(t, (n-2)%3, "%d sessions beside the two", n-2)
		}
	})
}

func TestListLeavesOutWhatHasGoneMeanwhileAndTellsWhatCannotBeRead(t *testing.T) {
	store := memstore.New(memstore.Config{})
	c, err := sd.NewContainer(store, sd.Config{})
	require.NoError(t, err)
	require.NoError(t, c.Update(t.Context(), "v", setIn("p", "k", 1)))
	gone := lists(func(yield func(sd.KeyInfo, error) bool) {
		yield(sd.KeyInfo{Key: "session:" + strings.Repeat("A", 43)}, nil)
	})
	l, err := sd.NewContainer(&listable{store, gone}, sd.Config{})
	require.NoError(t, err)
	require.Empty(t, listing(t, l))

	down, err := sd.NewContainer(&listable{&failingStore{Store: store, read: sd.ErrUnavailable}, store}, sd.Config{})
	require.NoError(t, err)
	n := 0
	for s, err := range down.All(t.Context()) {
		n++
		require.NotNil(t, s)
		require.ErrorIs(t, err, sd.ErrUnavailable)
	}
	require.Equal(t, 1, n)
}

func TestListShowsWhatACodecOfAnotherContainerHasStored(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c, err := sd.NewContainer(store, sd.Config{Codec: foreignCodec{sd.JSON()}})
		require.NoError(t, err)
		require.NoError(t, c.Update(t.Context(), "v", setIn("p", "k", 1)))
		other, err := sd.NewContainer(store, sd.Config{})
		require.NoError(t, err)
		s := listing(t, other)[0]
		require.Equal(t, []string{"p"}, s.Packages())
		require.NotZero(t, s.Created())
		require.ErrorIs(t, s.Get("p", "k", new(int)), sd.ErrUnsupportedVersion)
	})
}

type foreignCodec struct{ sd.Codec }

func (foreignCodec) ID() uint8 { return 200 }

func TestListTellsDeadlinesThatAreNone(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c, err := sd.NewContainer(store, sd.Config{Timeout: sd.NoTimeout})
		require.NoError(t, err)
		require.NoError(t, c.Update(t.Context(), "v", setIn("p", "k", 1)))
		s := listing(t, c)[0]
		require.Zero(t, s.Deadline())
		require.Zero(t, s.Expires())
	})
}

func ExampleContainer_All() {
	ctx := context.Background()
	c, _ := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{})
	for visitor, books := range map[string]int{"visitor-1": 2, "visitor-2": 5} {
		_ = c.Update(ctx, visitor, setIn("basket", "books", books))
	}
	total := 0
	for s, err := range c.All(ctx) {
		if s == nil {
			fmt.Println("the listing ended:", err)
			break
		}
		if err != nil {
			fmt.Println(s.Ref(), err) // this one cannot be read; the others can
			continue
		}
		var books int
		if s.Get("basket", "books", &books) == nil {
			total += books
		}
	}
	fmt.Println(total, "books in all baskets")
	// Output: 7 books in all baskets
}

func ExampleTrace() {
	ctx := context.Background()
	c, _ := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{Trace: &sd.Trace{
		Created: func(context.Context, sd.SessionRef) { fmt.Println("a new session") },
		Committed: func(_ context.Context, info sd.CommitInfo) {
			for _, s := range info.Sessions {
				fmt.Println(s.Status, "in", info.RoundTrips, "round trips, packages encoded:", s.Packages)
			}
		},
	}})
	for range 2 {
		_ = c.Update(ctx, "visitor-1", func(s *sd.Session) error {
			return sd.Modify(s.Pkg("stats"), "visits", func(n *int) error { *n++; return nil })
		})
	}
	_ = c.View(ctx, "visitor-1", func(*sd.Session) error { return nil })
	// Output:
	// a new session
	// modified in 2 round trips, packages encoded: 1
	// modified in 2 round trips, packages encoded: 1
	// unmodified in 1 round trips, packages encoded: 0
}
