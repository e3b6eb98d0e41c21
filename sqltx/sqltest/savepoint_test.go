package sqltest

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/sqltx"
)

var errStep = errors.New("step fails")

func TestGoingBackToASavepointTakesBackRowsAndValues(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
		c := newCarts(t)
		tx, sqlTx := begun(t, c, db, opts)
		outer, err := tx.Savepoint()
		require.NoError(t, err)
		for n := range 3 { // any number of times
			setCart(t, c, tx, 10+n)
			run(t, sqlTx, "INSERT INTO orders VALUES ('b', 2)")
			inner, err := tx.Savepoint()
			require.NoError(t, err)
			for range 2 {
				setCart(t, c, tx, 20+n)
				run(t, sqlTx, "INSERT INTO orders VALUES ('c', 3)")
				require.NoError(t, inner.Rollback())
			}
			require.NoError(t, outer.Rollback())
			require.ErrorIs(t, inner.Rollback(), sd.ErrSavepointInvalid)
		}
		require.NoError(t, tx.Commit(t.Context()))
		changed(t, c, db)
	})
}

func TestAReleasedSavepointKeepsRowsAndValues(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
		c := newCarts(t)
		tx := sd.Begin()
		sqlTx, err := sqltx.Begin(t.Context(), tx, db, opts)
		require.NoError(t, err)
		outer, err := tx.Savepoint()
		require.NoError(t, err)
		require.NoError(t, tx.Atomic(func() error {
			setCart(t, c, tx, 2)
			run(t, sqlTx, insertOrder)
			return tx.Atomic(func() error { return nil })
		}))
		require.ErrorIs(t, tx.Atomic(func() error {
			setCart(t, c, tx, 3)
			run(t, sqlTx, "DELETE FROM orders")
			return errStep
		}), errStep)
		require.NoError(t, outer.Release())
		require.NoError(t, tx.Commit(t.Context()))
		changed(t, c, db)
	})
}

// A released savepoint is still part of what an earlier one takes back.
func TestAnEarlierSavepointTakesBackAReleasedOne(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
		c := newCarts(t)
		tx, sqlTx := begun(t, c, db, opts)
		outer, err := tx.Savepoint()
		require.NoError(t, err)
		require.NoError(t, tx.Atomic(func() error {
			setCart(t, c, tx, 3)
			run(t, sqlTx, "INSERT INTO orders VALUES ('b', 2)")
			return nil
		}))
		require.NoError(t, outer.Rollback())
		require.NoError(t, tx.Commit(t.Context()))
		changed(t, c, db)
	})
}

func TestASavepointFromBeforeTheSQLTransactionEndsIt(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
		c := newCarts(t)
		tx := sd.Begin()
		sp, err := tx.Savepoint()
		require.NoError(t, err)
		setCart(t, c, tx, 2)
		sqlTx, err := sqltx.Begin(t.Context(), tx, db, opts)
		require.NoError(t, err)
		run(t, sqlTx, insertOrder)
		require.NoError(t, sp.Rollback())
		require.Zero(t, db.Stats().InUse)
		_, err = sqlTx.ExecContext(t.Context(), insertOrder)
		require.ErrorIs(t, err, sql.ErrTxDone)
		require.NoError(t, tx.Commit(t.Context()))
		unchanged(t, c, db, opts)
	})
}

// A statement may fail within a step. PostgreSQL refuses everything after it
// until the step has been taken back; in the others it is as if it had not been.
func TestAFailedStatementWithinAStepDoesNotEndTheTransaction(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
		c := newCarts(t)
		tx, sqlTx := begun(t, c, db, opts)
		err := tx.Atomic(func() error {
			setCart(t, c, tx, 3)
			_, err := sqlTx.ExecContext(t.Context(), insertOrder) // taken
			require.Error(t, err)
			_, after := sqlTx.ExecContext(t.Context(), "SELECT 1")
			require.Equal(t, opts.Dialect == sqltx.PostgreSQL, after != nil, after)
			return err
		})
		require.Error(t, err)
		require.NotErrorIs(t, sqltx.Conflict(err), sd.ErrConflict)
		run(t, sqlTx, "INSERT INTO orders VALUES ('b', 2)")
		require.NoError(t, tx.Commit(t.Context()))
		require.Equal(t, map[string]int{"a": 1, "b": 2}, orders(t, db))
		require.Equal(t, 2, cart(t, c))
	})
}
