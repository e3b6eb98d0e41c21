package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/sqltx"
)

const insertOrder = "INSERT INTO orders VALUES ('a', 1)"

// newCarts returns a container with a session "s" whose cart holds 1.
func newCarts(t *testing.T) *sd.Container {
	t.Helper()
	c, err := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{})
	require.NoError(t, err)
	require.NoError(t, c.Update(t.Context(), "s", func(s *sd.Session) error { return s.Pkg("cart").Set("n", 1) }))
	return c
}

func cart(t *testing.T, c *sd.Container) (n int) {
	t.Helper()
	require.NoError(t, c.View(t.Context(), "s", func(s *sd.Session) (err error) {
		n, err = sd.Get[int](s.Pkg("cart"), "n")
		return err
	}))
	return n
}

func setCart(t *testing.T, c *sd.Container, tx *sd.Txn, n int) {
	t.Helper()
	s, err := c.Session(t.Context(), tx, "s")
	require.NoError(t, err)
	require.NoError(t, s.Pkg("cart").Set("n", n))
}

// begun returns a transaction that has set the cart to 2 and booked an order.
func begun(t *testing.T, c *sd.Container, db *sql.DB, opts *sqltx.Options) (*sd.Txn, *sql.Tx) {
	t.Helper()
	tx := sd.Begin()
	setCart(t, c, tx, 2)
	sqlTx, err := sqltx.Begin(t.Context(), tx, db, opts)
	require.NoError(t, err)
	run(t, sqlTx, insertOrder)
	return tx, sqlTx
}

// unchanged checks that neither side holds anything of the transaction, and that
// both can be written: no lock, no intent and no open transaction is left.
func unchanged(t *testing.T, c *sd.Container, db *sql.DB, opts *sqltx.Options) {
	t.Helper()
	require.Equal(t, 1, cart(t, c))
	require.Empty(t, orders(t, db))
	tx, _ := begun(t, c, db, opts)
	require.NoError(t, tx.Commit(t.Context()))
	changed(t, c, db)
}

func changed(t *testing.T, c *sd.Container, db *sql.DB) {
	t.Helper()
	require.Equal(t, 2, cart(t, c))
	require.Equal(t, map[string]int{"a": 1}, orders(t, db))
}

func TestSessionAndDatabaseCommitTogether(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
		c := newCarts(t)
		tx, _ := begun(t, c, db, opts)
		require.NoError(t, tx.Commit(t.Context()))
		changed(t, c, db)
	})
}

func TestSessionAndDatabaseRollBackTogether(t *testing.T) {
	errHook := errors.New("hook refuses")
	for name, end := range map[string]func(t *testing.T, tx *sd.Txn){
		"Rollback": func(t *testing.T, tx *sd.Txn) { require.NoError(t, tx.Rollback()) },
		"a hook refuses": func(t *testing.T, tx *sd.Txn) {
			require.NoError(t, tx.BeforeCommit(func(context.Context) error { return errHook }))
			require.ErrorIs(t, tx.Commit(t.Context()), errHook)
		},
		"another participant refuses": func(t *testing.T, tx *sd.Txn) {
			require.NoError(t, tx.Join(&refuser{errHook}))
			require.ErrorIs(t, tx.Commit(t.Context()), errHook)
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
				c := newCarts(t)
				tx, _ := begun(t, c, db, opts)
				end(t, tx)
				unchanged(t, c, db, opts)
			})
		})
	}
}

// refuser is a participant that cannot be prepared.
type refuser struct{ err error }

func (r *refuser) Prepare(context.Context) error  { return r.err }
func (r *refuser) Commit(context.Context) error   { return nil }
func (r *refuser) Rollback(context.Context) error { return nil }

func TestASessionThatCannotCommitRollsTheDatabaseBack(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
		c := newCarts(t)
		tx := sd.Begin()
		s, err := c.Session(t.Context(), tx, "s")
		require.NoError(t, err)
		require.NoError(t, sd.Modify(s.Pkg("cart"), "n", func(n *int) error { *n = 2; return nil }))
		sqlTx, err := sqltx.Begin(t.Context(), tx, db, opts)
		require.NoError(t, err)
		run(t, sqlTx, insertOrder)
		require.NoError(t, c.Update(t.Context(), "s", func(s *sd.Session) error { return s.Pkg("cart").Set("n", 10) }))
		require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrConflict)
		require.Empty(t, orders(t, db))
		require.Equal(t, 10, cart(t, c))
	})
}

func TestAnSQLTransactionEndedByHandFailsTheCommit(t *testing.T) {
	for name, end := range map[string]func(*sql.Tx) error{"committed": (*sql.Tx).Commit, "rolled back": (*sql.Tx).Rollback} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
				c := newCarts(t)
				tx, sqlTx := begun(t, c, db, opts)
				require.NoError(t, end(sqlTx))
				require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrInvalid)
				require.Equal(t, 1, cart(t, c))
			})
		})
	}
}

// The same by a statement, of which database/sql knows nothing.
func TestAnSQLTransactionEndedByAStatementFailsTheCommit(t *testing.T) {
	for _, stmt := range []string{"COMMIT", "ROLLBACK"} {
		t.Run(stmt, func(t *testing.T) {
			onEach(t, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
				c := newCarts(t)
				tx, sqlTx := begun(t, c, db, opts)
				run(t, sqlTx, stmt)
				err := tx.Commit(t.Context())
				require.ErrorIs(t, err, sd.ErrInvalid)
				require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
				require.Equal(t, 1, cart(t, c))
			})
		})
	}
}

func TestTheContextOfBeginEndsTheSQLTransaction(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
		c := newCarts(t)
		tx := sd.Begin()
		setCart(t, c, tx, 2)
		ctx, leave := context.WithCancelCause(t.Context())
		sqlTx, err := sqltx.Begin(ctx, tx, db, opts)
		require.NoError(t, err)
		run(t, sqlTx, insertOrder)
		left := errors.New("the visitor has left")
		leave(left)
		require.ErrorIs(t, tx.Commit(t.Context()), left)
		unchanged(t, c, db, opts)
	})
}

func TestACommitGoesOnWhenTheRequestEnds(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
		c := newCarts(t)
		tx := sd.Begin()
		setCart(t, c, tx, 2)
		ctx, leave := context.WithCancel(t.Context())
		sqlTx, err := sqltx.Begin(ctx, tx, db, opts)
		require.NoError(t, err)
		run(t, sqlTx, insertOrder)
		require.NoError(t, tx.BeforeCommit(func(context.Context) error { leave(); return nil }))
		require.NoError(t, tx.Commit(t.Context()))
		changed(t, c, db)
	})
}

func TestASecondSQLTransactionIsRefusedAndItsConnectionGivenBack(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
		tx := sd.Begin()
		readOnly := &sqltx.Options{Dialect: opts.Dialect, TxOptions: sql.TxOptions{ReadOnly: true}} // SQLite has one writer
		_, err := sqltx.Begin(t.Context(), tx, db, readOnly)
		require.NoError(t, err)
		_, err = sqltx.Begin(t.Context(), tx, db, readOnly)
		require.ErrorIs(t, err, sd.ErrInvalid)
		require.Equal(t, 1, db.Stats().InUse)
		require.NoError(t, tx.Commit(t.Context()))
	})
}

func TestAClosedHandleAndAServerThatIsNotThereAreErrorsOfBegin(t *testing.T) {
	for _, d := range []sqltx.Dialect{sqltx.SQLite, sqltx.PostgreSQL, sqltx.MySQL} {
		t.Run(d.String(), func(t *testing.T) {
			s := newSource(t, d)
			db := open(t, s)
			require.NoError(t, db.Close())
			tx := sd.Begin()
			_, err := sqltx.Begin(t.Context(), tx, db, s.options())
			require.ErrorContains(t, err, "database is closed")

			s.Port, s.Name = 1, t.TempDir() // nobody listens there; a directory is no database
			_, err = sqltx.Begin(t.Context(), tx, open(t, s), s.options())
			require.Error(t, err)
			require.NotErrorIs(t, err, sd.ErrConflict)
			require.NoError(t, tx.Commit(t.Context()), "something has joined")
		})
	}
}

func TestReadOnlyAndIsolationReachTheDatabase(t *testing.T) {
	for _, d := range []sqltx.Dialect{sqltx.PostgreSQL, sqltx.MySQL} { // SQLite's driver has neither
		on(t, d, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
			opts.TxOptions = sql.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true}
			tx := sd.Begin()
			sqlTx, err := sqltx.Begin(t.Context(), tx, db, opts)
			require.NoError(t, err)
			if d == sqltx.PostgreSQL {
				var level string
				require.NoError(t, sqlTx.QueryRowContext(t.Context(), "SHOW transaction_isolation").Scan(&level))
				require.Equal(t, "serializable", level)
			}
			_, err = sqlTx.ExecContext(t.Context(), insertOrder)
			require.Regexp(t, "(?i)read.only transaction", err.Error())
			require.NoError(t, tx.Rollback())
		})
	}
}

// Rows that the application has left open: a driver that cannot send a statement
// meanwhile fails the last look, and both sides are rolled back.
func TestRowsLeftOpenFailTheCommitOrDoNotMatter(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
		run(t, db, "INSERT INTO orders VALUES ('x', 1), ('y', 1)")
		c := newCarts(t)
		tx, sqlTx := begun(t, c, db, opts)
		rows, err := sqlTx.QueryContext(t.Context(), "SELECT id FROM orders")
		require.NoError(t, err)
		require.True(t, rows.Next())
		err = tx.Commit(t.Context())
		_ = rows.Close()
		require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
		happened := orders(t, db)["a"] == 1
		require.Equal(t, err == nil, happened, err)
		require.Equal(t, happened, cart(t, c) == 2)
	})
}
