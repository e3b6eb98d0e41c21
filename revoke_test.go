package sessiondata_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

func TestRevokeEndsTheListedAtOnceAndLeavesTheOthers(t *testing.T) {
	for _, keys := range [][]sd.Key{nil, {key(1)}} {
		overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
			sealed := func(cfg *sd.Config) { cfg.Keys = keys }
			c, other := oneHour(t, store, sealed), oneHour(t, store, sealed)
			for _, id := range []string{"a1", "a2", "a3"} {
				login(t, c, id, "alice")
				require.True(t, visit(t, other, id))
			}
			login(t, c, "b1", "bob")
			require.NoError(t, c.Update(t.Context(), "nobody", setTo("v")))
			tx := sd.Begin()
			slow, err := other.Session(t.Context(), tx, "a1")
			require.NoError(t, err)
			require.NoError(t, slow.Pkg("p").Set("k", 1))

			require.NoError(t, c.Revoke(t.Context(), "shop", "alice", c.Ref("a3")))
			require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrGone)
			for id, accepted := range map[string]bool{"a1": false, "a2": false, "a3": true, "b1": true} {
				require.Equal(t, accepted, visit(t, c, id), id)
				require.Equal(t, accepted, visit(t, other, id), id)
			}
			require.Equal(t, []string{"a3"}, labels(t, c, "alice"))
			require.Equal(t, []string{"b1"}, labels(t, other, "bob"))
			v, err := get(t, c, "nobody")
			require.NoError(t, err)
			require.Equal(t, "v", v)
			login(t, c, "a4", "alice")
			require.True(t, visit(t, c, "a4"), "a login after the revocation")
			require.NoError(t, c.Revoke(t.Context(), "shop", "alice"))
			require.False(t, visit(t, c, "a3"), "spared once, not for ever")
			require.False(t, visit(t, c, "a4"))
		})
	}
}

func TestRevokedSessionsReadAsAbsentAndTheirIDsCanBeUsedAgain(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		c, other := oneHour(t, store, by(clock)), oneHour(t, store, by(clock))
		for _, id := range []string{"id", "existing"} {
			require.NoError(t, c.Update(t.Context(), id, setTo("secret")))
			login(t, c, id, "alice")
		}
		loseIndexes(t, store)
		require.NoError(t, other.Revoke(t.Context(), "shop", "alice"))
		clock.move(5 * time.Minute)
		_, err := c.Existing(t.Context(), sd.Begin(), "existing")
		require.ErrorIs(t, err, sd.ErrNotFound)
		// Two that met it before either wrote do not fall back to it.
		tx1, tx2 := sd.Begin(), sd.Begin()
		for i, tx := range []*sd.Txn{tx1, tx2} {
			s, err := c.Session(t.Context(), tx, "id")
			require.NoError(t, err)
			require.True(t, s.IsNew())
			require.NoError(t, s.Pkg("p").Set(fmt.Sprint(i), i))
		}
		require.NoError(t, tx1.Commit(t.Context()))
		require.NoError(t, tx2.Commit(t.Context()))
		require.NoError(t, c.View(t.Context(), "id", func(s *sd.Session) error {
			require.Equal(t, []string{"p"}, s.Packages())
			require.Equal(t, []string{"0", "1"}, s.Pkg("p").Keys())
			return nil
		}))
	})
}

// A session that was found revoked and could not be removed is not merged into.
func TestARevokedSessionIsReplacedWholeWhenAWriterTouchesItMeanwhile(t *testing.T) {
	overStores(t, func(t *testing.T, inner sd.Store, clock *clock) {
		store := &tally{Store: inner}
		c, other, stale := oneHour(t, store, by(clock)), oneHour(t, inner, by(clock)), oneHour(t, inner, by(clock))
		login(t, c, "id", "alice")
		require.True(t, visit(t, stale, "id"))
		loseIndexes(t, inner)
		require.NoError(t, other.Revoke(t.Context(), "shop", "alice"))
		late := sd.Begin()
		old, err := stale.Session(t.Context(), late, "id")
		require.NoError(t, err)
		require.False(t, old.IsNew(), "within the resolution, elsewhere")
		require.NoError(t, old.Pkg("p").Set("old", 1))
		clock.move(5 * time.Minute)
		store.on = func(op, _ string) error {
			if op == "delete" {
				return sd.ErrUnavailable
			}
			return nil
		}
		require.NoError(t, c.Update(t.Context(), "id", func(s *sd.Session) error {
			require.True(t, s.IsNew())
			if late != nil {
				require.NoError(t, late.Commit(t.Context()))
				late = nil
			}
			return s.Pkg("p").Set("new", 1)
		}))
		store.on = nil
		require.NoError(t, c.View(t.Context(), "id", func(s *sd.Session) error {
			require.Equal(t, []string{"new"}, s.Pkg("p").Keys())
			return nil
		}))
	})
}

func TestWhatTheListMissesEndsWithinOneResolution(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		c, other := oneHour(t, store, by(clock)), oneHour(t, store, by(clock))
		for _, id := range []string{"a", "b"} {
			login(t, c, id, "alice")
		}
		require.True(t, visit(t, other, "a"))
		loseIndexes(t, store)
		require.Empty(t, labels(t, c, "alice"))
		require.NoError(t, c.Revoke(t.Context(), "shop", "alice"))
		require.False(t, visit(t, c, "a"), "at once where it was called")
		clock.move(5 * time.Minute)
		require.False(t, visit(t, other, "b"))
		require.False(t, visit(t, other, "a"))
	})
}

// The epoch of an index that was lost comes back with a session that was made
// under it.
func TestAnEpochThatWasLostComesBack(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		c := oneHour(t, store, by(clock))
		login(t, c, "old", "alice")
		loseIndexes(t, store)
		require.NoError(t, c.Revoke(t.Context(), "shop", "alice"))
		login(t, c, "new", "alice")
		loseIndexes(t, store)
		clock.move(fiveMinutes)
		require.True(t, visit(t, c, "new"))
		fresh := oneHour(t, store, by(clock))
		require.False(t, visit(t, fresh, "old"))
		require.True(t, visit(t, fresh, "new"))
	})
}

func TestALoginAtTheSameMomentEndsWithinOneResolution(t *testing.T) {
	for _, ahead := range []time.Duration{0, -time.Minute, time.Minute} { // of the server that logs in
		overStores(t, func(t *testing.T, inner sd.Store, clock *clock) {
			store := &tally{Store: inner}
			fast := func(cfg *sd.Config) { cfg.Now = func() time.Time { return clock.Now().Add(ahead) } }
			c, other := oneHour(t, store, fast), oneHour(t, inner, by(clock))
			store.on = func(op, key string) error {
				if op == "add" && !isIndex(key) { // listed, not written yet
					require.NoError(t, other.Revoke(t.Context(), "shop", "alice"))
				}
				return nil
			}
			login(t, c, "id", "alice")
			store.on = nil
			clock.move(5 * time.Minute)
			require.False(t, visit(t, c, "id"))
			require.False(t, visit(t, other, "id"))
			require.Empty(t, labels(t, other, "alice"))
			login(t, c, "next", "alice")
			require.True(t, visit(t, other, "next"))
		})
	}
}

// Where the reply is lost and nothing tells what has become of the write, it is
// made again; those who logged in meanwhile stay.
func TestARevocationWhoseReplyIsLostHurtsNobodyWhoCameAfterIt(t *testing.T) {
	for _, evict := range []bool{false, true} {
		overStores(t, func(t *testing.T, inner sd.Store, clock *clock) {
			store := &tally{Store: inner}
			c, other := oneHour(t, store, by(clock)), oneHour(t, inner, by(clock))
			login(t, other, "old", "alice")
			const n = 20 // more than the index names of the commits before
			store.swapped = func(key string) error {
				if !isIndex(key) {
					return nil
				}
				store.swapped = nil
				for i := range n {
					login(t, other, fmt.Sprint(i), "alice")
				}
				if evict {
					loseIndexes(t, inner)
				}
				clock.move(time.Second)
				return errors.New("lost")
			}
			require.NoError(t, c.Revoke(t.Context(), "shop", "alice"))
			require.Nil(t, store.swapped)
			clock.move(5 * time.Minute)
			require.False(t, visit(t, c, "old"))
			for i := range n {
				require.True(t, visit(t, c, fmt.Sprint(i)))
			}
		})
	}
}

func TestALoginWhileRevokeRemovesIsNotHurt(t *testing.T) {
	overStores(t, func(t *testing.T, inner sd.Store, _ *clock) {
		store := &tally{Store: inner}
		c, other := oneHour(t, store), oneHour(t, inner)
		login(t, c, "id", "alice")
		once := false
		store.on = func(op, key string) error {
			if op == "delete" && !isIndex(key) && !once {
				once = true
				// The old session logs out, and in again under the same id.
				require.NoError(t, other.Update(t.Context(), "id", func(s *sd.Session) error { return s.Destroy() }))
				login(t, other, "id", "alice")
			}
			return nil
		}
		require.NoError(t, c.Revoke(t.Context(), "shop", "alice"))
		require.True(t, once)
		require.True(t, visit(t, oneHour(t, inner), "id"))
		require.Equal(t, []string{"id"}, labels(t, c, "alice"))
	})
}

// The index lives as long as the longest-lived session that it may have to end.
func TestAnEpochOutlivesEverySessionThatItEnds(t *testing.T) {
	const month = 30 * 24 * time.Hour
	remember := func(s *sd.Session) error { return s.SetTimeout(month) }
	for name, change := range map[string]func(*sd.Config){
		"own timeout":         func(*sd.Config) {},
		"lifetime":            func(cfg *sd.Config) { cfg.Timeout, cfg.Lifetime = sd.NoTimeout, 2*month },
		"timeout without end": func(cfg *sd.Config) { cfg.Timeout = sd.NoTimeout },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New(memstore.Config{})
				c := oneHour(t, store, change)
				for _, id := range []string{"listed", "missed"} {
					login(t, c, id, "alice")
					require.NoError(t, c.Update(t.Context(), id, remember))
				}
				require.NoError(t, c.Update(t.Context(), "bob's", remember))
				login(t, c, "bob's", "bob")
				loseIndexes(t, store)
				require.NoError(t, c.Update(t.Context(), "short", func(s *sd.Session) error {
					return errors.Join(loginAs("alice", "short")(s), s.SetTimeout(time.Hour))
				}))
				require.NoError(t, c.Revoke(t.Context(), "shop", "alice"))
				time.Sleep(month - time.Hour)
				require.False(t, visit(t, c, "missed"))
				require.True(t, visit(t, c, "bob's"), "the control: it would live")
				time.Sleep(month - time.Hour)
				require.Equal(t, []string{"bob's"}, labels(t, c, "bob"))
			})
		})
	}
}

func TestAListedSessionOfATransactionUnderWayIsSettledAndRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		c := oneHour(t, store)
		for _, id := range []string{"a", "b"} {
			login(t, c, id, "alice")
		}
		tx := sd.Begin()
		for _, id := range []string{"a", "b"} {
			s, err := c.Session(t.Context(), tx, id)
			require.NoError(t, err)
			require.NoError(t, s.Pkg("p").Set("k", 1))
		}
		revoked := make(chan error, 1)
		require.NoError(t, tx.Join(&inPrepare{func() { // the intents are placed
			go func() { revoked <- c.Revoke(t.Context(), "shop", "alice") }()
			time.Sleep(time.Second)
		}}))
		require.NoError(t, tx.Commit(t.Context()))
		require.NoError(t, <-revoked)
		require.False(t, visit(t, c, "a"))
		require.False(t, visit(t, c, "b"))
		for info, err := range store.Keys(t.Context(), "c:") {
			require.NoError(t, err)
			t.Errorf("%d bytes are left", info.Size)
		}
	})
}

// inPrepare is a participant that does something while it is prepared.
type inPrepare struct{ do func() }

func (p *inPrepare) Prepare(context.Context) error  { p.do(); return nil }
func (p *inPrepare) Commit(context.Context) error   { return nil }
func (p *inPrepare) Rollback(context.Context) error { return nil }

func TestRevokeSaysWhatItCouldNotRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memstore.New(memstore.Config{})
		store := &tally{Store: inner}
		c, other := oneHour(t, store), oneHour(t, inner)
		login(t, c, "id", "alice")
		for _, op := range []string{"get", "delete"} {
			store.on = func(is, key string) error {
				if is == op && !isIndex(key) {
					return fmt.Errorf("%w: as planned", sd.ErrUnavailable)
				}
				return nil
			}
			err := c.Revoke(t.Context(), "shop", "alice")
			require.ErrorIs(t, err, sd.ErrUnavailable)
			require.ErrorContains(t, err, "revoked, but")
			require.NotContains(t, err.Error(), c.Ref("id").Hash)
			store.on = nil
			time.Sleep(5 * time.Minute)
			require.False(t, visit(t, other, "id"))
			login(t, c, "id", "alice")
		}
		// Its reply is lost for ever.
		store.on = func(op, key string) error {
			if op == "delete" && !isIndex(key) {
				return errors.New("lost")
			}
			return nil
		}
		require.ErrorIs(t, c.Revoke(t.Context(), "shop", "alice"), sd.ErrUnavailable)
	})
}
