package sessiondata_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// tarrying is a store whose answers to CompareAndSwap come late, once it is told
// so.
type tarrying struct {
	sd.Store
	by *atomic.Int64
}

func (s tarrying) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	err := s.Store.CompareAndSwap(ctx, key, value, ttl, v)
	time.Sleep(time.Duration(s.by.Load()))
	return err
}

// Preparing that takes all of CommitTimeout is ErrUnavailable, and not the error
// of a context that is none of the caller's: here in the validation of a session
// that bears the intent of a client that has died.
func TestPreparingForTooLongIsErrUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := storeA(t, serializable)
		ids := ascending(t, 3)
		fill(t, c, 0, ids...)
		left(t, w, false, ids[1], ids[2])
		time.Sleep(2 * c.Config().CommitTimeout)

		store := tarrying{w.Store, new(atomic.Int64)}
		c = containerA(t, store, serializable)
		tx := sd.Begin()
		puts(t, c, tx, ids[0], reads(t, c, tx, ids[1])+5)
		store.by.Store(int64(c.Config().CommitTimeout * 2 / 3))
		err := tx.Commit(t.Context())
		require.ErrorIs(t, err, sd.ErrUnavailable)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, sd.RolledBack, tx.State())
		store.by.Store(0)
		time.Sleep(2 * c.Config().CommitTimeout)
		require.Equal(t, []any{int64(0), int64(0), int64(0)}, holding(t, c, ids...))
	})
}
