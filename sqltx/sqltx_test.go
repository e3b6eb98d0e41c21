package sqltx_test

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

var postgres = &sqltx.Options{Dialect: sqltx.PostgreSQL}

// newCarts returns a container with one session, "s", whose cart holds 1.
func newCarts(t *testing.T) *sd.Container {
	t.Helper()
	c, err := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{})
	require.NoError(t, err)
	require.NoError(t, c.Update(t.Context(), "s", func(s *sd.Session) error { return s.Pkg("cart").Set("n", 1) }))
	return c
}

// cart reads what the cart holds.
func cart(t *testing.T, c *sd.Container) (n int) {
	t.Helper()
	require.NoError(t, c.View(t.Context(), "s", func(s *sd.Session) (err error) {
		n, err = sd.Get[int](s.Pkg("cart"), "n")
		return err
	}))
	return n
}

// setCart changes the cart within tx.
func setCart(t *testing.T, c *sd.Container, tx *sd.Txn, n int) {
	t.Helper()
	s, err := c.Session(t.Context(), tx, "s")
	require.NoError(t, err)
	require.NoError(t, s.Pkg("cart").Set("n", n))
}

// begun returns a transaction that has set the cart to 2, with SQL beside it.
func begun(t *testing.T, c *sd.Container, db *sql.DB, opts *sqltx.Options) (*sd.Txn, *sql.Tx) {
	t.Helper()
	tx := sd.Begin()
	setCart(t, c, tx, 2)
	sqlTx, err := sqltx.Begin(t.Context(), tx, db, opts)
	require.NoError(t, err)
	return tx, sqlTx
}

func TestSQLCommitsWhileTheSessionsAreUndecidedAndDecidesForThem(t *testing.T) {
	f, db := openFake(t)
	c := newCarts(t)
	seen := 0
	f.commit = func(context.Context) error {
		seen = cart(t, c)
		return nil
	}
	tx, _ := begun(t, c, db, postgres)
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, 1, seen, "seen during COMMIT")
	require.Equal(t, 2, cart(t, c))
	require.Equal(t, sd.Committed, tx.State())
}

func TestARollbackOfTheSessionTransactionIsOneOfSQL(t *testing.T) {
	for name, end := range map[string]func(*sd.Txn) error{
		"rolled back": (*sd.Txn).Rollback,
		"doomed": func(tx *sd.Txn) error {
			tx.Doom()
			err := tx.Commit(context.Background())
			if !errors.Is(err, sd.ErrDoomed) {
				return err
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, db := openFake(t)
			c := newCarts(t)
			tx, _ := begun(t, c, db, postgres)
			require.NoError(t, end(tx))
			require.Equal(t, []string{"connect", "BEGIN", "ROLLBACK"}, f.log())
			require.Equal(t, 1, cart(t, c))
		})
	}
}

func TestAFailedRollbackIsReportedAndCommitsNothing(t *testing.T) {
	f, db := openFake(t)
	tx, _ := begun(t, newCarts(t), db, postgres)
	lost := errors.New("connection reset")
	f.failAt("ROLLBACK", lost)
	err := tx.Rollback()
	require.ErrorIs(t, err, sd.ErrUnavailable)
	require.ErrorIs(t, err, lost)
	require.NotContains(t, f.log(), "COMMIT")
}

func TestASecondRollbackOfTheParticipantIsHarmless(t *testing.T) {
	f, db := openFake(t)
	tx := sd.Begin()
	sp, err := tx.Savepoint()
	require.NoError(t, err)
	_, err = sqltx.Begin(t.Context(), tx, db, postgres)
	require.NoError(t, err)
	require.NoError(t, sp.Rollback()) // it has joined since, and leaves
	require.NoError(t, sp.Rollback())
	require.Equal(t, []string{"connect", "BEGIN", "ROLLBACK"}, f.log())

	// The place is free again, and the hook of the one that left does not speak.
	_, err = sqltx.Begin(t.Context(), tx, db, postgres)
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []string{"BEGIN", "SAVEPOINT sessiondata_last", "COMMIT"}, f.log()[3:])
}

// The application ends the SQL transaction itself: the commit of the session
// transaction notices before anything is decided.
func TestAnSQLTransactionEndedByHandFailsTheCommit(t *testing.T) {
	for name, end := range map[string]func(*sql.Tx) error{"committed": (*sql.Tx).Commit, "rolled back": (*sql.Tx).Rollback} {
		t.Run(name, func(t *testing.T) {
			_, db := openFake(t)
			c := newCarts(t)
			tx, sqlTx := begun(t, c, db, postgres)
			require.NoError(t, end(sqlTx))
			_, err := tx.Savepoint()
			require.ErrorIs(t, err, sd.ErrInvalid)
			err = tx.Commit(t.Context())
			require.ErrorIs(t, err, sd.ErrInvalid)
			require.ErrorIs(t, err, sql.ErrTxDone)
			require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
			require.Equal(t, sd.RolledBack, tx.State())
			require.Equal(t, 1, cart(t, c))
		})
	}
}

func TestARollbackAfterOneByHandIsNoError(t *testing.T) {
	_, db := openFake(t)
	tx, sqlTx := begun(t, newCarts(t), db, postgres)
	require.NoError(t, sqlTx.Rollback())
	require.NoError(t, tx.Rollback())
}

// What the last look asks, and what its answers mean.
func TestALastLookPrecedesTheCommit(t *testing.T) {
	for dialect, want := range map[sqltx.Dialect][]string{
		sqltx.PostgreSQL: {"connect", "BEGIN", "SAVEPOINT sessiondata_last", "COMMIT"},
		sqltx.MySQL:      {"connect", "BEGIN", "SAVEPOINT sessiondata_begun", "RELEASE SAVEPOINT sessiondata_begun", "COMMIT"},
		sqltx.SQLite:     {"connect", "BEGIN", "SAVEPOINT sessiondata_begun", "RELEASE SAVEPOINT sessiondata_begun", "COMMIT"},
	} {
		t.Run(dialect.String(), func(t *testing.T) {
			f, db := openFake(t)
			tx, _ := begun(t, newCarts(t), db, &sqltx.Options{Dialect: dialect})
			require.NoError(t, tx.Commit(t.Context()))
			require.Equal(t, want, f.log())
		})
	}
}

func TestALastLookThatFailsRollsBothBack(t *testing.T) {
	look := map[sqltx.Dialect]string{
		sqltx.PostgreSQL: "SAVEPOINT sessiondata_last",
		sqltx.MySQL:      "RELEASE SAVEPOINT sessiondata_begun",
		sqltx.SQLite:     "RELEASE SAVEPOINT sessiondata_begun",
	}
	other := errors.New("connection reset")
	for name, c := range map[string]struct {
		dialect sqltx.Dialect
		answer  error
		want    error
	}{
		"aborted":             {sqltx.PostgreSQL, pgError("25P02"), sd.ErrInvalid},
		"ended by hand":       {sqltx.PostgreSQL, pgError("25P01"), sd.ErrInvalid},
		"committed by DDL":    {sqltx.MySQL, &mysqlError{Number: 1305}, sd.ErrInvalid},
		"rolled back":         {sqltx.SQLite, &moderncError{1}, sd.ErrInvalid},
		"rolled back (mattn)": {sqltx.SQLite, mattnError{1, 1}, sd.ErrInvalid},
		"deadlock":            {sqltx.MySQL, &mysqlError{Number: 1213}, sd.ErrConflict},
		"busy":                {sqltx.SQLite, &moderncError{5}, sd.ErrConflict},
		"anything else":       {sqltx.PostgreSQL, other, other},
	} {
		t.Run(name, func(t *testing.T) {
			f, db := openFake(t)
			carts := newCarts(t)
			tx, _ := begun(t, carts, db, &sqltx.Options{Dialect: c.dialect})
			f.failAt(look[c.dialect], c.answer)
			err := tx.Commit(t.Context())
			require.ErrorIs(t, err, c.want)
			require.ErrorIs(t, err, c.answer)
			require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
			require.Equal(t, 1, cart(t, carts))
			setAgain(t, carts)
			require.NotContains(t, f.log(), "COMMIT")
			require.Equal(t, "ROLLBACK", f.log()[len(f.log())-1])
		})
	}
}

// setAgain writes the cart, which nothing may hold up any more.
func setAgain(t *testing.T, c *sd.Container) {
	t.Helper()
	require.NoError(t, c.Update(t.Context(), "s", func(s *sd.Session) error { return s.Pkg("cart").Set("n", 7) }))
	require.Equal(t, 7, cart(t, c))
}

func TestASavepointIsAnSQLSavepoint(t *testing.T) {
	f, db := openFake(t)
	c := newCarts(t)
	tx, _ := begun(t, c, db, postgres)
	first, err := tx.Savepoint()
	require.NoError(t, err)
	setCart(t, c, tx, 3)
	_, err = tx.Savepoint()
	require.NoError(t, err)
	for range 2 { // any number of times
		require.NoError(t, first.Rollback())
	}
	require.ErrorContains(t, tx.Atomic(func() error { return errors.New("step fails") }), "step fails")
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []string{
		"connect", "BEGIN",
		"SAVEPOINT sessiondata_1", "SAVEPOINT sessiondata_2",
		"ROLLBACK TO SAVEPOINT sessiondata_1", "ROLLBACK TO SAVEPOINT sessiondata_1",
		"SAVEPOINT sessiondata_3", "ROLLBACK TO SAVEPOINT sessiondata_3",
		"SAVEPOINT sessiondata_last", "COMMIT",
	}, f.log())
	require.Equal(t, 2, cart(t, c))
}

func TestASavepointThatCannotBeSetIsAnError(t *testing.T) {
	f, db := openFake(t)
	tx, _ := begun(t, newCarts(t), db, postgres)
	f.failAt("SAVEPOINT sessiondata_1", pgError("40P01"))
	_, err := tx.Savepoint()
	require.ErrorIs(t, err, sd.ErrConflict)
	require.NoError(t, tx.Rollback())
}

func TestASavepointThatSQLCannotGoBackToDoomsTheTransaction(t *testing.T) {
	f, db := openFake(t)
	c := newCarts(t)
	tx, _ := begun(t, c, db, &sqltx.Options{Dialect: sqltx.MySQL})
	sp, err := tx.Savepoint()
	require.NoError(t, err)
	gone := &mysqlError{Number: 1305}
	f.failAt("ROLLBACK TO SAVEPOINT sessiondata_1", gone)
	require.ErrorIs(t, sp.Rollback(), gone)
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrDoomed)
	require.NotContains(t, f.log(), "COMMIT")
	require.Equal(t, 1, cart(t, c))
}

func TestTheOptionsReachTheDriver(t *testing.T) {
	f, db := openFake(t)
	tx := sd.Begin()
	_, err := sqltx.Begin(t.Context(), tx, db, &sqltx.Options{
		Dialect:   sqltx.PostgreSQL,
		TxOptions: sql.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true},
	})
	require.NoError(t, err)
	require.NoError(t, tx.Rollback())
	require.Equal(t, []string{"connect", "BEGIN READ ONLY Serializable", "ROLLBACK"}, f.log())
}

func TestBeginRefusesBadInput(t *testing.T) {
	f, db := openFake(t)
	ended := sd.Begin()
	require.NoError(t, ended.Rollback())
	for name, c := range map[string]struct {
		tx   *sd.Txn
		db   *sql.DB
		opts *sqltx.Options
		want error
		text string
	}{
		"nil transaction":  {nil, db, postgres, sd.ErrInvalid, "nil session transaction"},
		"nil handle":       {sd.Begin(), nil, postgres, sd.ErrInvalid, "nil database handle"},
		"nil options":      {sd.Begin(), db, nil, sd.ErrInvalid, "dialect is required"},
		"no dialect":       {sd.Begin(), db, &sqltx.Options{}, sd.ErrInvalid, "unknown dialect Dialect(0)"},
		"unknown dialect":  {sd.Begin(), db, &sqltx.Options{Dialect: 9}, sd.ErrInvalid, "unknown dialect Dialect(9)"},
		"ended":            {ended, db, postgres, sd.ErrTxnDone, ""},
		"everything wrong": {nil, nil, nil, sd.ErrInvalid, "nil database handle"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sqltx.Begin(t.Context(), c.tx, c.db, c.opts)
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, c.text)
			require.Empty(t, f.log(), "the database was asked")
			if c.tx != nil && c.tx != ended {
				require.NoError(t, c.tx.Commit(t.Context()), "something has joined")
			}
		})
	}
}

// Whatever stops Begin, nothing has joined and no connection stays in use.
func TestABeginThatFailsLeavesNothing(t *testing.T) {
	refused := errors.New("no more connections")
	for name, c := range map[string]struct {
		at, answer string
		err, want  error
		undone     bool // the SQL transaction had begun
	}{
		"no connection":   {at: "connect", err: refused, want: refused},
		"refused":         {at: "BEGIN", err: refused, want: refused},
		"busy":            {at: "BEGIN", err: &moderncError{517}, want: sd.ErrConflict},
		"lost at a guard": {at: "SAVEPOINT sessiondata_begun", err: refused, want: refused, undone: true},
	} {
		t.Run(name, func(t *testing.T) {
			f, db := openFake(t)
			f.failAt(c.at, c.err)
			tx := sd.Begin()
			_, err := sqltx.Begin(t.Context(), tx, db, &sqltx.Options{Dialect: sqltx.SQLite})
			require.ErrorIs(t, err, c.want)
			require.Zero(t, db.Stats().InUse)
			require.Equal(t, c.undone, f.log()[len(f.log())-1] == "ROLLBACK")
			f.failAt(c.at, nil)
			_, err = sqltx.Begin(t.Context(), tx, db, &sqltx.Options{Dialect: sqltx.SQLite})
			require.NoError(t, err, "the place of the last participant is not free")
			require.NoError(t, tx.Commit(t.Context()))
		})
	}
}

func TestAClosedHandleIsAnErrorOfBegin(t *testing.T) {
	_, db := openFake(t)
	require.NoError(t, db.Close())
	tx := sd.Begin()
	_, err := sqltx.Begin(t.Context(), tx, db, postgres)
	require.ErrorContains(t, err, "sql: database is closed")
	require.NoError(t, tx.Commit(t.Context()))
}

func TestASecondSQLTransactionIsRefusedAndRolledBack(t *testing.T) {
	f, db := openFake(t)
	c := newCarts(t)
	tx, _ := begun(t, c, db, postgres)
	_, err := sqltx.Begin(t.Context(), tx, db, postgres)
	require.ErrorIs(t, err, sd.ErrInvalid)
	require.Equal(t, 1, db.Stats().InUse)
	require.Equal(t, "ROLLBACK", f.log()[len(f.log())-1])
	require.NoError(t, tx.Commit(t.Context()), "the first is not concerned")
	require.Equal(t, 2, cart(t, c))
}
