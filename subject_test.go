package sessiondata_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

func TestSubjectAndLabelAreKeptWithTheSession(t *testing.T) {
	for _, keys := range [][]sd.Key{nil, {key(1)}} {
		overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
			c := oneHour(t, store, func(cfg *sd.Config) { cfg.Keys = keys })
			strange := "\xc1\x01\x00\x00\x00\x00\x00\x00\x00 any bytes \xff\r\n" // C1 begins a value that ends, elsewhere
			require.NoError(t, c.Update(t.Context(), "id", func(s *sd.Session) error {
				require.NoError(t, s.SetSubject(strange+"a", strange))
				require.NoError(t, s.SetLabel(strange+"l"))
				return nil
			}))
			require.NoError(t, c.View(t.Context(), "id", func(s *sd.Session) error {
				audience, subject := s.Subject()
				require.Equal(t, [3]string{strange + "a", strange, strange + "l"}, [3]string{audience, subject, s.Label()})
				require.Empty(t, s.Packages())
				require.ErrorIs(t, s.SetSubject("a", "b"), sd.ErrReadOnly)
				require.ErrorIs(t, s.SetLabel("a"), sd.ErrReadOnly)
				return nil
			}))
			id := ""
			require.NoError(t, c.Update(t.Context(), "id", func(s *sd.Session) (err error) {
				id, err = s.Renew()
				return err
			}))
			require.NoError(t, c.View(t.Context(), id, func(s *sd.Session) error {
				audience, subject := s.Subject()
				require.Equal(t, [3]string{strange + "a", strange, strange + "l"}, [3]string{audience, subject, s.Label()})
				return nil
			}))
			infos, err := c.Sessions(t.Context(), strange+"a", strange)
			require.NoError(t, err)
			require.Len(t, infos, 1)
			for _, other := range [][2]string{{"", strange + "a" + strange}, {strange, strange + "a"}} {
				infos, err := c.Sessions(t.Context(), other[0], other[1])
				require.NoError(t, err)
				require.Empty(t, infos)
			}
		})
	}
}

func TestTheSubjectThatIsThereAlreadyChangesNothing(t *testing.T) {
	overStores(t, func(t *testing.T, inner sd.Store, _ *clock) {
		store := &tally{Store: inner}
		c := oneHour(t, store)
		login(t, c, "id", "alice")
		store.calls()
		require.NoError(t, c.Update(t.Context(), "id", func(s *sd.Session) error {
			require.NoError(t, loginAs("bob", "elsewhere")(s))
			require.Equal(t, sd.Modified, s.Status())
			require.NoError(t, loginAs("alice", "id")(s))
			require.Equal(t, sd.Unmodified, s.Status())
			return nil
		}))
		require.Equal(t, [2]int{1, 0}, store.calls())
	})
}

func TestFaultySubjectsAreRefusedAndNothingIsWritten(t *testing.T) {
	overStores(t, func(t *testing.T, inner sd.Store, _ *clock) {
		store := &tally{Store: inner}
		c := oneHour(t, store)
		long := strings.Repeat("x", sd.MaxSubject+1)
		require.NoError(t, c.Update(t.Context(), "id", func(s *sd.Session) error {
			require.ErrorIs(t, s.SetSubject("shop", ""), sd.ErrInvalid)
			require.ErrorIs(t, s.SetSubject("shop", long), sd.ErrInvalid)
			require.ErrorIs(t, s.SetSubject(long, "alice"), sd.ErrInvalid)
			require.ErrorIs(t, s.SetLabel(strings.Repeat("x", sd.MaxLabel+1)), sd.ErrInvalid)
			require.Equal(t, sd.Unmodified, s.Status())
			return nil
		}))
		for _, who := range []string{"", long} {
			_, err := c.Sessions(t.Context(), "shop", who)
			require.ErrorIs(t, err, sd.ErrInvalid)
			require.ErrorIs(t, c.Revoke(t.Context(), "shop", who), sd.ErrInvalid)
			require.ErrorIs(t, c.RevokeOne(t.Context(), "shop", who, c.Ref("id")), sd.ErrInvalid)
		}
		for _, ref := range []sd.SessionRef{
			{},
			{Container: "c", Hash: "id"},
			{Container: "c", Hash: strings.Repeat(" ", 16)},
			{Container: "c", Hash: c.Ref("id").Hash + "aa"},
			{Container: "other", Hash: c.Ref("id").Hash},
		} {
			require.ErrorIs(t, c.Revoke(t.Context(), "shop", "alice", ref), sd.ErrInvalid)
			require.ErrorIs(t, c.RevokeOne(t.Context(), "shop", "alice", ref), sd.ErrInvalid)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, c.Revoke(ctx, "shop", "alice"), context.Canceled)
		_, err := c.Sessions(ctx, "shop", "alice")
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, c.Close())
		require.ErrorIs(t, c.Revoke(t.Context(), "shop", "alice"), sd.ErrClosed)
		require.Equal(t, [2]int{1, 0}, store.calls())

		_, err = sd.NewContainer(store, sd.Config{MaxSessions: -1, AtMaxSessions: 7})
		require.ErrorIs(t, err, sd.ErrInvalid)
		require.ErrorContains(t, err, "MaxSessions is not between 0 and 100")
		require.ErrorContains(t, err, "AtMaxSessions is not a policy")
		_, err = sd.NewContainer(store, sd.Config{MaxSessions: sd.MaxListed, MaxSize: 4 << 10})
		require.ErrorContains(t, err, "MaxSize has no room")
	})
}

func TestNoSubjectStandsInClearInTheStore(t *testing.T) {
	const who, audience, label, id = "alice@example.org", "the audience", "Firefox in Rome", "the id of the visitor"
	fill := func(keys ...sd.Key) string {
		store := memstore.New(memstore.Config{})
		c := oneHour(t, store, func(cfg *sd.Config) { cfg.Keys = keys })
		var ids []string
		require.NoError(t, c.Update(t.Context(), id, func(s *sd.Session) error {
			ids = append(ids, s.ID())
			require.NoError(t, s.SetLabel(label))
			return s.SetSubject(audience, who)
		}))
		require.NoError(t, c.Update(t.Context(), id, func(s *sd.Session) error {
			next, err := s.Renew()
			ids = append(ids, next)
			return err
		}))
		require.NoError(t, c.Update(t.Context(), "other", func(s *sd.Session) error { return s.SetSubject(audience, who) }))
		require.NoError(t, c.Revoke(t.Context(), audience, who, c.Ref(ids[1])))
		require.True(t, visit(t, c, ids[1]))
		all := string(dump(t, store))
		for _, secret := range append(ids, who, audience) {
			require.NotContains(t, all, secret)
		}
		return all
	}
	require.Contains(t, fill(), label, "the control: without keys the same search finds the label")
	require.NotContains(t, fill(key(1)), label)
}

func TestSavepointsAndRollbacksCoverTheSubject(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c := oneHour(t, store)
		login(t, c, "id", "alice")
		require.NoError(t, c.Update(t.Context(), "id", func(s *sd.Session) error {
			sp, err := s.Txn().Savepoint()
			require.NoError(t, err)
			require.NoError(t, loginAs("bob", "bob's")(s))
			require.NoError(t, sp.Rollback())
			_, who := s.Subject()
			require.Equal(t, [2]string{"alice", "id"}, [2]string{who, s.Label()})
			require.Equal(t, sd.Unmodified, s.Status())
			return nil
		}))
		before := everything(t, store)
		require.ErrorContains(t, c.Update(t.Context(), "id", func(s *sd.Session) error {
			require.NoError(t, loginAs("bob", "bob's")(s))
			return context.DeadlineExceeded
		}), "deadline")
		require.Equal(t, before, everything(t, store))
	})
}

func TestAnEndedOrDestroyedSessionHasNoSubject(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c := oneHour(t, store)
		login(t, c, "id", "alice")
		tx := sd.Begin()
		s, err := c.Session(t.Context(), tx, "id")
		require.NoError(t, err)
		require.NoError(t, s.Destroy())
		_, who := s.Subject()
		require.Empty(t, who+s.Label())
		require.ErrorIs(t, s.SetLabel("x"), sd.ErrGone)
		require.NoError(t, tx.Commit(t.Context()))
		require.ErrorIs(t, s.SetSubject("shop", "alice"), sd.ErrTxnDone)
		require.ErrorIs(t, s.ClearSubject(), sd.ErrTxnDone)
	})
}

func TestThePackageOfTheSubjectIsOutOfReach(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c := oneHour(t, store)
		login(t, c, "id", "alice")
		require.NoError(t, c.Update(t.Context(), "id", func(s *sd.Session) error {
			p := s.Pkg("\x00subject")
			require.ErrorIs(t, p.Set("subject", "bob"), sd.ErrInvalid)
			require.ErrorIs(t, p.Delete("subject"), sd.ErrInvalid)
			require.ErrorIs(t, p.Clear(), sd.ErrInvalid)
			require.ErrorIs(t, p.Get("label", new(string)), sd.ErrInvalid)
			require.Zero(t, p.Len())
			require.Empty(t, s.Packages())
			return nil
		}))
		require.True(t, visit(t, c, "id"))
	})
}

// A session is whose its last login says; but two logins at once are one too
// many, and no Resolver is asked.
func TestTwoSubjectsAtOnceAreAConflict(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		asked := func(*sd.Collision) error { t.Error("asked"); return nil }
		c := oneHour(t, store, func(cfg *sd.Config) { cfg.Resolve = asked })
		tx := sd.Begin()
		s, err := c.Session(t.Context(), tx, "id")
		require.NoError(t, err)
		require.NoError(t, s.SetSubject("shop", "alice"))
		login(t, c, "id", "bob")
		require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrConflict)
		require.Equal(t, []string{"id"}, labels(t, c, "bob"))
		require.Empty(t, labels(t, c, "alice"), "the place of the login that failed is given up")
	})
}

func TestALabelAndAValueMergeWithALogin(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c := oneHour(t, store)
		require.NoError(t, c.Update(t.Context(), "id", setTo("v")))
		tx := sd.Begin()
		s, err := c.Session(t.Context(), tx, "id")
		require.NoError(t, err)
		require.NoError(t, s.SetSubject("shop", "alice"))
		require.NoError(t, c.Update(t.Context(), "id", func(s *sd.Session) error { return s.SetLabel("phone") }))
		require.NoError(t, tx.Commit(t.Context()))
		require.True(t, visit(t, c, "id"))
		v, err := get(t, c, "id")
		require.NoError(t, err)
		require.Equal(t, "v", v)
	})
}

func TestSerializableRefusesASubjectThatWasReadAndHasChanged(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c := oneHour(t, store, func(cfg *sd.Config) { cfg.Conflict = sd.Serializable })
		login(t, c, "id", "alice")
		for _, read := range []bool{false, true} {
			tx := sd.Begin()
			s, err := c.Session(t.Context(), tx, "id")
			require.NoError(t, err)
			if read {
				s.Subject()
			}
			require.NoError(t, s.Pkg("p").Set("k", read))
			require.NoError(t, c.Update(t.Context(), "id", func(s *sd.Session) error { return s.SetLabel(s.Label() + "!") }))
			err = tx.Commit(t.Context())
			require.Equal(t, read, err != nil)
			if read {
				require.ErrorIs(t, err, sd.ErrConflict)
			}
		}
	})
}

func TestASubjectThatWasTamperedWithIsCorrupt(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c := oneHour(t, store)
		login(t, c, "id", "alice")
		for _, key := range keys(t, store) {
			if isIndex(key) {
				continue
			}
			item, err := store.Get(t.Context(), key)
			require.NoError(t, err)
			item.Value[len(item.Value)-5] ^= 1 // the last byte of the last value
			require.NoError(t, store.CompareAndSwap(t.Context(), key, sd.Reseal(item.Value, key), 0, item.Version))
		}
		require.ErrorIs(t, c.View(t.Context(), "id", func(*sd.Session) error { return nil }), sd.ErrCorrupt)
	})
}

// What a subject costs, in round trips.
func TestASubjectCostsNoRoundTripPerRequest(t *testing.T) {
	overStores(t, func(t *testing.T, inner sd.Store, clock *clock) {
		store := &tally{Store: inner}
		c, other := oneHour(t, store, by(clock)), oneHour(t, store, by(clock))
		login(t, c, "id", "alice")
		require.Equal(t, [2]int{2, 2}, store.calls(), "login: the session, and two for the index")
		change := func(c *sd.Container) {
			require.NoError(t, c.Update(t.Context(), "id", func(s *sd.Session) error {
				_, err := sd.SetDefault(s.Pkg("n"), clock.Now().String(), 1)
				return err
			}))
		}
		for range 3 {
			visit(t, c, "id")
			require.Equal(t, [2]int{1, 0}, store.calls(), "a request")
		}
		change(c)
		require.Equal(t, [2]int{1, 1}, store.calls(), "a request that changes something")
		visit(t, other, "id")
		require.Equal(t, [2]int{2, 0}, store.calls(), "the first in this resolution elsewhere")
		visit(t, other, "id")
		require.Equal(t, [2]int{1, 0}, store.calls(), "the next one there")
		clock.move(fiveMinutes)
		visit(t, c, "id")
		require.Equal(t, [2]int{3, 2}, store.calls(), "an access that is recorded, in the session and in the index")
		for range 3 { // changed all the time, its access is never due
			clock.move(3 * time.Minute)
			change(c)
		}
		n := store.calls()
		require.Equal(t, 3+1, n[1], "three commits, and once the index")
	})
}
