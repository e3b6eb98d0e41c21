package sessiondata_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

func TestTraceTellsWhatIsCorrupt(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c, log := traced(t, store, sd.Config{})
		require.NoError(t, c.Update(t.Context(), "v", setIn("p", "k", "a longer value")))
		log.take()
		damage(t, store, func(raw []byte) []byte { raw[len(raw)/2] ^= 1; return raw })
		require.ErrorIs(t, c.View(t.Context(), "v", func(*sd.Session) error { return nil }), sd.ErrCorrupt)
		require.ErrorIs(t, log.errs[1], sd.ErrCorrupt)
		require.Equal(t, []string{"loaded", "corrupt"}, log.take())
	})
}

func TestTraceTellsAPackageThatIsCorrupt(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c, log := traced(t, store, sd.Config{})
		require.NoError(t, c.Update(t.Context(), "v", setIn("p", "kkk", "a longer value")))
		log.take()
		damage(t, store, func(raw []byte) []byte {
			// The package's width of ends: none that there is.
			at := bytes.Index(raw, []byte("kkk")) - 3
			require.Equal(t, byte(1), raw[at])
			raw[at] = 7
			for _, key := range keys(t, store) {
				raw = sd.Reseal(raw, key)
			}
			return raw
		})
		require.ErrorIs(t, c.Update(t.Context(), "v", func(s *sd.Session) error {
			require.Zero(t, s.Pkg("p").Len())
			return s.Pkg("q").Set("k", 1)
		}), sd.ErrCorrupt)
		require.Equal(t, []string{"loaded", "corrupt", "failed"}, log.take())
	})
}

// damage rewrites the one item of store.
func damage(t *testing.T, store sd.Store, change func([]byte) []byte) {
	t.Helper()
	for _, key := range keys(t, store) {
		item, err := store.Get(t.Context(), key)
		require.NoError(t, err)
		require.NoError(t, store.CompareAndSwap(t.Context(), key, change(item.Value), 0, item.Version))
	}
}

func TestTraceTellsASessionThatTheStoreHasDropped(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		c, log := traced(t, store, sd.Config{Now: clock.Now, Timeout: time.Hour, Resolution: time.Minute})
		begin := func() (*sd.Txn, *sd.Session) {
			require.NoError(t, c.Update(t.Context(), "v", setIn("p", "k", clock.Now().UnixNano())))
			tx := sd.Begin()
			s, err := c.Session(t.Context(), tx, "v")
			require.NoError(t, err)
			log.take()
			return tx, s
		}
		tx, s := begin()
		require.NoError(t, s.Pkg("p").Set("k", 2))
		evictAll(t, store)
		require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrGone)
		require.Equal(t, []string{"evicted", "failed"}, log.take())

		tx, s = begin()
		_, err := s.Renew()
		require.NoError(t, err)
		evictAll(t, store)
		require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrGone)
		require.Equal(t, []string{"evicted", "failed"}, log.take())

		// Not told: its time was over, or another was made under the id.
		tx, s = begin()
		require.NoError(t, s.Pkg("p").Set("k", 2))
		clock.move(2 * time.Hour)
		evictAll(t, store)
		require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrGone)
		require.Equal(t, []string{"failed"}, log.take())
		tx, s = begin()
		require.NoError(t, s.Pkg("p").Set("k", 2))
		evictAll(t, store)
		require.NoError(t, c.Update(t.Context(), "v", setIn("p", "k", 3)))
		log.take()
		require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrGone)
		require.Equal(t, []string{"failed"}, log.take())

		// A destruction by another looks the same.
		tx, s = begin()
		require.NoError(t, s.Pkg("p").Set("k", 2))
		require.NoError(t, c.Update(t.Context(), "v", (*sd.Session).Destroy))
		log.take()
		require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrGone)
		require.Equal(t, []string{"evicted", "failed"}, log.take())
	})
}

func TestTraceTellsAnAccessThatWasNotRecorded(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		c, log := traced(t, store, sd.Config{Now: clock.Now, Timeout: time.Hour, Resolution: time.Minute})
		begin := func() *sd.Txn {
			require.NoError(t, c.Update(t.Context(), "v", setIn("p", "k", clock.Now().UnixNano())))
			clock.move(2 * time.Minute)
			tx := sd.Begin()
			_, err := c.Session(t.Context(), tx, "v")
			require.NoError(t, err)
			log.take()
			return tx
		}
		require.NoError(t, begin().Commit(t.Context()))
		require.Equal(t, []string{"committed"}, log.take())
		require.True(t, log.lastEnd().Sessions[0].Accessed)
		require.Equal(t, 2, log.lastEnd().RoundTrips)

		tx := begin()
		require.NoError(t, c.View(t.Context(), "v", func(*sd.Session) error { return nil }))
		log.take()
		require.NoError(t, tx.Commit(t.Context()))
		require.ErrorIs(t, log.errs[0], sd.ErrConflict)
		require.Equal(t, []string{"access dropped", "committed"}, log.take())
		require.False(t, log.lastEnd().Sessions[0].Accessed)

		tx = begin()
		evictAll(t, store)
		require.NoError(t, tx.Commit(t.Context()))
		require.Equal(t, []string{"access dropped", "evicted", "committed"}, log.take())

		tx = begin()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, tx.Commit(ctx))
		require.ErrorIs(t, log.errs[0], context.Canceled)
		require.Equal(t, []string{"access dropped", "committed"}, log.take())

		// An undecided transaction over several sessions stands on it.
		require.NoError(t, begin().Rollback())
		writer := sd.Begin()
		for _, id := range []string{"v", "w"} {
			s, err := c.Session(t.Context(), writer, id)
			require.NoError(t, err)
			require.NoError(t, s.Pkg("p").Set("k", 1))
		}
		require.NoError(t, writer.JoinLast(&meanwhile{func() {
			log.take()
			require.NoError(t, c.View(t.Context(), "v", func(*sd.Session) error { return nil }))
			require.ErrorIs(t, log.errs[1], sd.ErrConflict)
			require.Equal(t, []string{"loaded", "access dropped", "committed"}, log.take())
		}}))
		require.NoError(t, writer.Commit(t.Context()))
	})
}

// meanwhile does something while a transaction is prepared and undecided.
type meanwhile struct{ do func() }

func (m *meanwhile) Prepare(context.Context) error  { return nil }
func (m *meanwhile) Commit(context.Context) error   { m.do(); return nil }
func (m *meanwhile) Rollback(context.Context) error { return nil }
