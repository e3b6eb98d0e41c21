package sessiondata_test

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

func TestTraceTellsTheLifeOfASession(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c, log := traced(t, store, sd.Config{Name: "c"})

		require.NoError(t, c.Update(t.Context(), "v", func(s *sd.Session) error {
			return errors.Join(s.Pkg("a").Set("k", 1), s.Pkg("b").Set("k", 2))
		}))
		require.Equal(t, []string{"loaded", "created", "committed"}, log.take())
		require.True(t, log.loads[0].New)
		require.Zero(t, log.loads[0].Size)
		require.Equal(t, 1, log.loads[0].RoundTrips)
		ref := log.loads[0].Session
		size := stores(t, store)
		require.Equal(t, []sd.CommittedSession{
			{Session: ref, Status: sd.Modified, Created: true, Size: size, Packages: 2, Tries: 1},
		}, log.ends[0].Sessions)
		require.Equal(t, 2, log.ends[0].RoundTrips)

		require.NoError(t, c.Update(t.Context(), "v", setIn("b", "k", 3)))
		require.Equal(t, []string{"loaded", "committed"}, log.take())
		require.False(t, log.loads[1].New)
		require.Equal(t, size, log.loads[1].Size)
		require.Equal(t, []sd.CommittedSession{
			{Session: ref, Status: sd.Modified, Size: stores(t, store), Packages: 1, Tries: 1},
		}, log.lastEnd().Sessions, "one package of two was encoded")

		require.NoError(t, c.View(t.Context(), "v", func(s *sd.Session) error { return nil }))
		require.Equal(t, []string{"loaded", "committed"}, log.take())
		require.Equal(t, []sd.CommittedSession{{Session: ref}}, log.lastEnd().Sessions)
		require.Equal(t, 1, log.lastEnd().RoundTrips)

		var newID string
		require.NoError(t, c.Update(t.Context(), "v", func(s *sd.Session) (err error) {
			newID, err = s.Renew()
			return err
		}))
		renewed := log.refs[len(log.refs)-2]
		require.Equal(t, ref, log.refs[1])
		require.Equal(t, []string{"loaded", "renewed", "renewed to", "committed"}, log.take())

		require.NoError(t, c.Update(t.Context(), newID, (*sd.Session).Destroy))
		require.Equal(t, []sd.SessionRef{renewed, renewed}, log.refs[:2])
		require.Equal(t, []string{"loaded", "destroyed", "committed"}, log.take())
		require.Equal(t, sd.Destroyed, log.lastEnd().Sessions[0].Status)

		// What is rolled back has not happened.
		errMine := errors.New("mine")
		require.ErrorIs(t, c.Update(t.Context(), "other", func(s *sd.Session) error {
			return errors.Join(s.Pkg("a").Set("k", 1), errMine)
		}), errMine)
		require.Equal(t, []string{"loaded"}, log.take())
		require.Empty(t, dump(t, store))
	})
}

func TestTraceTellsOfASessionThatNewHasMade(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c, log := traced(t, store, sd.Config{})
		tx := sd.Begin()
		s, err := c.New(t.Context(), tx)
		require.NoError(t, err)
		require.NoError(t, s.Pkg("p").Set("k", 1))
		_, err = s.Renew()
		require.NoError(t, err)
		require.NoError(t, tx.Commit(t.Context()))
		created := log.refs[0]
		require.Equal(t, []string{"created", "committed"}, log.take())
		require.Equal(t, 1, log.ends[0].RoundTrips)
		require.NoError(t, c.View(t.Context(), s.ID(), func(*sd.Session) error { return nil }))
		require.Equal(t, created, log.loads[0].Session, "the session is named by the id that it is stored under")
	})
}

func TestTraceCountsMergesAndTries(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c, log := traced(t, store, sd.Config{})
		require.NoError(t, c.Update(t.Context(), "v", setIn("p", "k", 1)))
		log.take()
		tx := sd.Begin()
		s, err := c.Session(t.Context(), tx, "v")
		require.NoError(t, err)
		require.NoError(t, s.Pkg("p").Set("mine", 1))
		require.NoError(t, c.Update(t.Context(), "v", setIn("p", "theirs", 1)))
		require.NoError(t, tx.Commit(t.Context()))
		got := log.lastEnd()
		require.Equal(t, 1, got.Sessions[0].Merges)
		require.Equal(t, 2, got.Sessions[0].Tries)
		require.Equal(t, 4, got.RoundTrips, "load, a swap that is refused, load, swap")
		require.Equal(t, []string{"loaded", "loaded", "committed", "committed"}, log.take())

		// Two creators of one session: only the first has created it.
		a, b := sd.Begin(), sd.Begin()
		for i, tx := range []*sd.Txn{a, b} {
			s, err := c.Session(t.Context(), tx, "new")
			require.NoError(t, err)
			require.NoError(t, s.Pkg("p").Set(fmt.Sprint(i), 1))
		}
		require.NoError(t, a.Commit(t.Context()))
		require.NoError(t, b.Commit(t.Context()))
		require.Equal(t, []string{"loaded", "loaded", "created", "committed", "committed"}, log.take())
		require.False(t, log.lastEnd().Sessions[0].Created)
	})
}

func TestTraceTellsConflictsByTheirKeys(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c, log := traced(t, store, sd.Config{})
		first := true
		require.NoError(t, c.Update(t.Context(), "v", func(s *sd.Session) error {
			if first {
				first = false
				require.NoError(t, c.Update(t.Context(), "v", setIn("p", "n", 7)))
			}
			return sd.Modify(s.Pkg("p"), "n", func(n *int) error { *n++; return nil })
		}))
		require.Equal(t, []string{"loaded", "loaded", "created", "committed", "conflict", "loaded", "committed"}, log.take())
		require.Equal(t, []sd.PkgKey{{Pkg: "p", Key: "n"}}, log.ends[1].Keys)
		require.ErrorIs(t, log.ends[1].Err, sd.ErrConflict)
	})
}

func TestTraceTellsFailures(t *testing.T) {
	overStores(t, func(t *testing.T, inner sd.Store, _ *clock) {
		store := &failingStore{Store: inner}
		c, log := traced(t, store, sd.Config{CommitTimeout: 20 * time.Millisecond})
		store.read = sd.ErrUnavailable
		require.ErrorIs(t, c.Update(t.Context(), "v", setIn("p", "k", 1)), sd.ErrUnavailable)
		require.ErrorIs(t, log.errs[0], sd.ErrUnavailable)
		require.Equal(t, []string{"loaded"}, log.take(), "there was no commit to fail")

		store.read, store.write = nil, sd.ErrUnavailable
		require.ErrorIs(t, c.Update(t.Context(), "v", setIn("p", "k", 1)), sd.ErrUnavailable)
		require.Equal(t, []string{"loaded", "failed"}, log.take())
		require.ErrorIs(t, log.lastEnd().Err, sd.ErrUnavailable)

		store.write = sd.ErrOutcomeUnknown
		require.ErrorIs(t, c.Update(t.Context(), "v", setIn("p", "k", 1)), sd.ErrOutcomeUnknown)
		require.Equal(t, []string{"loaded", "failed"}, log.take(), "not created, for that is not known")
		require.Greater(t, log.lastEnd().RoundTrips, 2, "the questions after a lost reply count")
	})
}

// failingStore answers errors.
type failingStore struct {
	sd.Store
	read, write error
}

func (s *failingStore) Get(ctx context.Context, key string) (sd.Item, error) {
	if s.read != nil {
		return sd.Item{}, s.read
	}
	return s.Store.Get(ctx, key)
}

func (s *failingStore) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if s.write != nil {
		return s.write
	}
	return s.Store.Add(ctx, key, value, ttl)
}

func (s *failingStore) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	if s.write != nil {
		return s.write
	}
	return s.Store.CompareAndSwap(ctx, key, value, ttl, v)
}

func TestTraceGivesTheLastContentOfAnExpiredSession(t *testing.T) {
	for name, keys := range map[string][]sd.Key{"plain": nil, "sealed": {key(1)}} {
		t.Run(name, func(t *testing.T) {
			overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
				c, log := traced(t, store,
					sd.Config{Now: clock.Now, Timeout: time.Hour, Resolution: 5 * time.Minute, Keys: keys})
				require.NoError(t, c.Update(t.Context(), "v", setIn("cart", "books", 2)))
				clock.move(time.Hour + 5*time.Minute)
				require.NoError(t, c.View(t.Context(), "v", func(*sd.Session) error { return nil }))
				require.NotContains(t, log.take(), "expired")
				clock.move(time.Hour + 5*time.Minute + time.Second)
				if keys == nil { // a listing does not see when a sealed session ends
					for range c.All(t.Context()) {
						require.Fail(t, "it has expired")
					}
					require.Equal(t, []string{"expired"}, log.take())
					require.Equal(t, map[string]any{"cart/books": int64(2)}, log.last)
				} else {
					require.Len(t, listing(t, c), 1)
					require.Empty(t, log.take())
				}
				for range 2 {
					require.NoError(t, c.View(t.Context(), "v", func(s *sd.Session) error {
						require.True(t, s.IsNew())
						return nil
					}))
					require.Equal(t, log.refs[0], log.refs[1])
					require.Equal(t, []string{"loaded", "expired", "committed"}, log.take())
					require.Equal(t, map[string]any{"cart/books": int64(2)}, log.last)
				}
				require.NoError(t, c.Update(t.Context(), "v", setIn("p", "k", 1)))
				require.Equal(t, []string{"loaded", "expired", "created", "committed"}, log.take())
				require.NoError(t, c.View(t.Context(), "v", func(*sd.Session) error { return nil }))
				require.Equal(t, []string{"loaded", "committed"}, log.take())
			})
		})
	}
}

func TestTraceTellsATransactionOverSeveralSessionsOnce(t *testing.T) {
	overStores(t, func(t *testing.T, inner sd.Store, _ *clock) {
		store := &requestCounter{Store: inner}
		a, log := traced(t, store, sd.Config{Name: "a"})
		b, err := sd.NewContainer(store, sd.Config{Name: "b", Trace: sd.TraceOf(a)})
		require.NoError(t, err)
		other, otherLog := traced(t, store, sd.Config{Name: "c"})
		quiet, err := sd.NewContainer(store, sd.Config{Name: "quiet"})
		require.NoError(t, err)
		require.NoError(t, a.Update(t.Context(), "destroyed", setIn("p", "k", 1)))
		require.NoError(t, a.Update(t.Context(), "renewed", setIn("p", "k", 1)))
		log.take()

		store.n.Store(0)
		tx := sd.Begin()
		session := func(c *sd.Container, id string) *sd.Session {
			s, err := c.Session(t.Context(), tx, id)
			require.NoError(t, err)
			return s
		}
		require.NoError(t, session(a, "destroyed").Destroy())
		_, err = session(a, "renewed").Renew()
		require.NoError(t, err)
		require.NoError(t, session(b, "new").Pkg("p").Set("k", 1))
		require.NoError(t, session(other, "new").Pkg("p").Set("k", 1))
		require.NoError(t, tx.Commit(t.Context()))
		require.Equal(t, []string{
			"loaded", "loaded", "loaded", "destroyed", "renewed", "renewed to", "created", "committed",
		}, log.take())
		require.Equal(t, []string{"loaded", "created", "committed"}, otherLog.take())
		require.Len(t, log.lastEnd().Sessions, 3)
		require.Len(t, otherLog.lastEnd().Sessions, 1)
		require.EqualValues(t, store.n.Load(), log.lastEnd().RoundTrips)
		for _, s := range append(log.lastEnd().Sessions[1:], otherLog.lastEnd().Sessions...) {
			require.Positive(t, s.Size)
			require.Positive(t, s.Tries)
		}

		// A container without a Trace works with it, and is not told of.
		tx = sd.Begin()
		require.NoError(t, session(a, "v").Pkg("p").Set("k", 1))
		require.NoError(t, session(quiet, "v").Pkg("p").Set("k", 1))
		require.NoError(t, tx.Commit(t.Context()))
		require.Len(t, log.lastEnd().Sessions, 1)

		// One that is undone: the sessions that it prepared, and nothing done.
		log.take()
		tx = sd.Begin()
		require.NoError(t, session(a, "v").Pkg("p").Set("k", 2))
		require.NoError(t, session(b, "v").Pkg("p").Set("k", 2))
		errMine := errors.New("mine")
		require.NoError(t, tx.Join(&refusing{errMine}))
		store.n.Store(-2) // loaded already
		require.ErrorIs(t, tx.Commit(t.Context()), errMine)
		require.Equal(t, []string{"loaded", "loaded", "failed"}, log.take())
		require.EqualValues(t, store.n.Load()+4, log.lastEnd().RoundTrips)
		require.Len(t, log.lastEnd().Sessions, 2)
		require.Positive(t, log.lastEnd().Sessions[0].Tries)
	})
}

// refusing is a participant that cannot prepare.
type refusing struct{ err error }

func (r *refusing) Prepare(context.Context) error  { return r.err }
func (r *refusing) Commit(context.Context) error   { return nil }
func (r *refusing) Rollback(context.Context) error { return nil }

func TestTraceNamesASessionTheSameEverywhereAndShowsNoID(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		a, logA := traced(t, store, sd.Config{Name: "c"})
		b, logB := traced(t, store, sd.Config{Name: "c"})
		const id = "the id of the visitor"
		require.NoError(t, a.Update(t.Context(), id, setIn("p", "k", 1)))
		require.NoError(t, b.Update(t.Context(), id, setIn("p", "k", 2)))
		require.NoError(t, b.Update(t.Context(), id+"2", setIn("p", "k", 2)))
		ref := logA.loads[0].Session
		require.Equal(t, ref, logB.loads[0].Session)
		require.NotEqual(t, ref, logB.loads[1].Session)
		require.Regexp(t, "^c/[0-9a-f]{16}$", ref.String())
		shown := fmt.Sprintf("%+v %+v", logA.loads, logA.ends)
		require.NotContains(t, shown, id)
		for _, key := range keys(t, store) {
			require.NotContains(t, shown, strings.TrimPrefix(key, "c:"))
			require.NotContains(t, key, ref.Hash)
		}
	})
}

// A session that was renewed with a grace period goes by the id that it has now,
// whichever it was asked for by; what leads there is no session.
func TestTraceAndListFollowARenewalWithAGracePeriod(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c, log := traced(t, store, sd.Config{})
		require.NoError(t, c.Update(t.Context(), "old", setIn("p", "k", 1)))
		log.take()
		tx := sd.Begin()
		for id, do := range map[string]func(*sd.Session) error{
			"old": func(s *sd.Session) error { _, err := s.RenewAfter(time.Minute); return err },
			"new": setIn("p", "k", 2),
		} {
			s, err := c.Session(t.Context(), tx, id)
			require.NoError(t, err)
			require.NoError(t, do(s))
		}
		during := -1
		require.NoError(t, tx.JoinLast(&meanwhile{func() { during = len(listing(t, c)) }}))
		require.NoError(t, tx.Commit(t.Context()))
		require.Equal(t, 1, during)
		require.Len(t, listing(t, c), 2)
		var renewed sd.SessionRef
		for i, event := range log.events {
			if event == "renewed to" {
				renewed = log.refs[i]
			}
		}
		log.take()
		require.NoError(t, c.View(t.Context(), "old", func(s *sd.Session) error {
			require.False(t, s.IsNew())
			return nil
		}))
		require.Equal(t, renewed, log.refs[0])
		require.Equal(t, 2, log.loads[len(log.loads)-1].RoundTrips)
		require.Equal(t, renewed, log.lastEnd().Sessions[0].Session)

		// By both ids within one transaction it is one session, loaded once.
		require.NoError(t, sd.Run(t.Context(), func(tx *sd.Txn) error {
			first, err := c.Session(t.Context(), tx, "old")
			require.NoError(t, err)
			again, err := c.Session(t.Context(), tx, first.ID())
			require.NoError(t, err)
			require.Same(t, first, again)
			return nil
		}))
		require.Len(t, log.lastEnd().Sessions, 1)
	})
}
