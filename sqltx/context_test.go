package sqltx_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/sqltx"
)

var errLeft = errors.New("the visitor has left")

func TestTheContextOfBeginEndsTheSQLTransactionBeforeTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, db := openFake(t)
		c := newCarts(t)
		tx := sd.Begin()
		setCart(t, c, tx, 2)
		ctx, leave := context.WithCancelCause(t.Context())
		_, err := sqltx.Begin(ctx, tx, db, postgres)
		require.NoError(t, err)
		leave(errLeft)
		synctest.Wait()
		require.Equal(t, []string{"connect", "BEGIN", "ROLLBACK"}, f.log())
		_, err = tx.Savepoint()
		require.ErrorIs(t, err, errLeft)
		err = tx.Commit(t.Context())
		require.ErrorIs(t, err, errLeft)
		require.NotErrorIs(t, err, sd.ErrInvalid, "it is not misuse")
		require.Equal(t, sd.RolledBack, tx.State())
		require.Equal(t, 1, cart(t, c))
	})
}

func TestABeginUnderAContextThatHasEndedIsItsError(t *testing.T) {
	f, db := openFake(t)
	ctx, leave := context.WithCancelCause(t.Context())
	leave(errLeft)
	tx := sd.Begin()
	_, err := sqltx.Begin(ctx, tx, db, postgres)
	require.ErrorIs(t, err, errLeft)
	require.NotContains(t, f.log(), "COMMIT")
	require.NoError(t, tx.Commit(t.Context()))
}

// The request ends while its commit is under way: that goes on to its end.
func TestACommitIsNotAbandonedWhenTheContextOfBeginEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, db := openFake(t)
		c := newCarts(t)
		tx := sd.Begin()
		setCart(t, c, tx, 2)
		ctx, leave := context.WithCancelCause(t.Context())
		_, err := sqltx.Begin(ctx, tx, db, postgres)
		require.NoError(t, err)
		// A hook that comes later stands for all that follows.
		require.NoError(t, tx.BeforeCommit(func(context.Context) error {
			leave(errLeft)
			synctest.Wait()
			return nil
		}))
		f.commit = func(ctx context.Context) error { return ctx.Err() }
		require.NoError(t, tx.Commit(t.Context()))
		require.Equal(t, 2, cart(t, c))
		require.NotContains(t, f.log(), "ROLLBACK")
	})
}

// COMMIT is never answered: the session transaction returns at its deadline and
// says that it does not know.
func TestACommitThatOutlastsTheDeadlineIsUnknown(t *testing.T) {
	for name, deaf := range map[string]bool{"driver that hears its context": false, "driver that does not": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, db := openFake(t)
				c := newCarts(t)
				release := make(chan struct{})
				f.commit = func(ctx context.Context) error {
					if deaf {
						<-release
						return nil
					}
					<-ctx.Done()
					return ctx.Err()
				}
				tx, _ := begun(t, c, db, postgres)
				start := time.Now()
				err := tx.Commit(t.Context())
				require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, sd.Unknown, tx.State())
				require.Equal(t, 5*time.Second, time.Since(start), "Config.CommitTimeout")
				require.Equal(t, 1, cart(t, c))
				close(release)
				synctest.Wait()
				require.Zero(t, db.Stats().InUse, "the connection is given back once the driver has returned")
				time.Sleep(time.Minute)
				setAgain(t, c)
			})
		})
	}
}

// With no session changed the commit runs under the caller's own context.
func TestACommitUnderAContextThatHasEndedSendsNothing(t *testing.T) {
	f, db := openFake(t)
	tx := sd.Begin()
	_, err := sqltx.Begin(t.Context(), tx, db, postgres)
	require.NoError(t, err)
	ctx, leave := context.WithCancelCause(t.Context())
	leave(errLeft)
	err = tx.Commit(ctx)
	require.Error(t, err)
	require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
	require.Equal(t, sd.RolledBack, tx.State())
	require.NotContains(t, f.log(), "COMMIT")
	require.Contains(t, f.log(), "ROLLBACK")
}

func TestAContextThatEndsBetweenTheLastLookAndCommitSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, db := openFake(t)
		tx := sd.Begin()
		_, err := sqltx.Begin(t.Context(), tx, db, postgres)
		require.NoError(t, err)
		ctx, leave := context.WithCancelCause(t.Context())
		f.look = func() { leave(errLeft) }
		err = tx.Commit(ctx)
		require.ErrorIs(t, err, errLeft)
		require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
		require.NotContains(t, f.log(), "COMMIT")
		require.Contains(t, f.log(), "ROLLBACK")
	})
}
