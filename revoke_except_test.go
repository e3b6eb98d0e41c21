package sessiondata_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

func TestRevokeSparesTheSessionThatAsksForIt(t *testing.T) {
	for name, before := range map[string]func(*sd.Session) error{
		"as it is": func(*sd.Session) error { return nil },
		"renewed":  func(s *sd.Session) error { _, err := s.Renew(); return err },
		"changed":  func(s *sd.Session) error { return s.Pkg("p").Set("k", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
				c, other := oneHour(t, store, by(clock)), oneHour(t, store, by(clock))
				login(t, c, "mine", "alice")
				login(t, c, "theirs", "alice")
				id := ""
				require.NoError(t, c.Update(t.Context(), "mine", func(s *sd.Session) error {
					require.NoError(t, before(s))
					id = s.ID()
					return c.Revoke(t.Context(), "shop", "alice", s.Ref())
				}))
				for range 20 { // it stays, through many resolutions
					require.True(t, visit(t, other, id))
					require.NoError(t, c.Update(t.Context(), id, func(s *sd.Session) error {
						return s.Pkg("p").Set("at", clock.Now())
					}))
					require.Equal(t, []string{"mine"}, labels(t, c, "alice"))
					clock.move(fiveMinutes)
				}
				require.False(t, visit(t, other, "theirs"))
				// Once it has been written it does not need its entry any more.
				login(t, c, "newer", "alice")
				loseIndexes(t, store)
				clock.move(fiveMinutes)
				require.True(t, visit(t, c, "newer"), "it brings the epoch back")
				require.True(t, visit(t, oneHour(t, store, by(clock)), id))
			})
		})
	}
}

func TestASessionThatIsNotListedCanBeSpared(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		c := oneHour(t, store, by(clock))
		login(t, c, "mine", "alice")
		login(t, c, "theirs", "alice")
		loseIndexes(t, store)
		require.NoError(t, c.Revoke(t.Context(), "shop", "alice", c.Ref("mine"), c.Ref("no session")))
		require.Empty(t, labels(t, c, "alice"))
		require.True(t, visit(t, c, "mine"))
		require.False(t, visit(t, c, "theirs"))
		clock.move(fiveMinutes)
		require.True(t, visit(t, c, "mine"))
		require.Equal(t, []string{"mine"}, labels(t, c, "alice"))
	})
}

func TestALoginMayRevokeAllOthers(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c := oneHour(t, store)
		login(t, c, "old", "alice")
		id := ""
		require.NoError(t, sd.Run(t.Context(), func(tx *sd.Txn) error {
			s, err := c.New(t.Context(), tx)
			require.NoError(t, err)
			require.NoError(t, loginAs("alice", "new")(s))
			id = s.ID()
			return c.Revoke(t.Context(), "shop", "alice", s.Ref())
		}))
		require.Equal(t, []string{"new"}, labels(t, c, "alice"))
		require.True(t, visit(t, c, id))
		require.False(t, visit(t, c, "old"))
	})
}

func TestRevokeOneEndsOneSession(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c, other := oneHour(t, store), oneHour(t, store)
		for _, id := range []string{"a", "b"} {
			login(t, c, id, "alice")
			require.True(t, visit(t, other, id))
		}
		login(t, c, "bob's", "bob")
		require.ErrorIs(t, c.RevokeOne(t.Context(), "shop", "alice", c.Ref("bob's")), sd.ErrNotFound)
		require.NoError(t, c.RevokeOne(t.Context(), "shop", "alice", c.Ref("a")))
		require.ErrorIs(t, c.RevokeOne(t.Context(), "shop", "alice", c.Ref("a")), sd.ErrNotFound)
		require.False(t, visit(t, other, "a"))
		require.True(t, visit(t, other, "b"))
		require.True(t, visit(t, other, "bob's"))
		require.Equal(t, []string{"b"}, labels(t, other, "alice"))

		// One that is not there any more.
		infos, err := c.Sessions(t.Context(), "shop", "alice")
		require.NoError(t, err)
		require.Equal(t, c.Ref("b"), infos[0].Ref)
		for _, key := range keys(t, store) {
			if !isIndex(key) {
				item, err := store.Get(t.Context(), key)
				require.NoError(t, err)
				require.NoError(t, store.CompareAndDelete(t.Context(), key, item.Version))
			}
		}
		require.ErrorIs(t, c.RevokeOne(t.Context(), "shop", "alice", infos[0].Ref), sd.ErrNotFound)
		require.Empty(t, labels(t, c, "alice"))
	})
}
