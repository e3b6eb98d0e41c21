package sqltest

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/sqltx"
)

// refusals make a database refuse the COMMIT itself, for good. lift takes back
// what they changed for all.
var refusals = map[sqltx.Dialect]map[string]func(t *testing.T, db *sql.DB, sqlTx *sql.Tx) (lift func()){
	sqltx.PostgreSQL: {
		"deferred constraint": func(t *testing.T, _ *sql.DB, sqlTx *sql.Tx) func() {
			run(t, sqlTx, "CREATE TABLE parent (id INTEGER PRIMARY KEY)")
			run(t, sqlTx, "CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
			run(t, sqlTx, "INSERT INTO child VALUES (1)")
			return func() {}
		},
		"deferred trigger": func(t *testing.T, db *sql.DB, sqlTx *sql.Tx) func() {
			run(t, sqlTx, "CREATE TABLE watched (id INTEGER)")
			run(t, sqlTx, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not today'; END$$")
			run(t, sqlTx, "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON watched DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()")
			run(t, sqlTx, "INSERT INTO watched VALUES (1)")
			return func() {}
		},
	},
	sqltx.SQLite: {
		"deferred constraint": func(t *testing.T, _ *sql.DB, sqlTx *sql.Tx) func() {
			run(t, sqlTx, "CREATE TABLE parent (id INTEGER PRIMARY KEY)")
			run(t, sqlTx, "CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
			run(t, sqlTx, "INSERT INTO child VALUES (1)")
			return func() {}
		},
	},
	sqltx.MySQL: {
		"read-only server": func(t *testing.T, db *sql.DB, sqlTx *sql.Tx) func() {
			run(t, db, "SET GLOBAL read_only = 1")
			return func() { run(t, db, "SET GLOBAL read_only = 0") }
		},
	},
}

// The connection goes back to its pool after a refused COMMIT: what the next
// user of it commits must not bring the refused work in.
func TestACommitThatTheDatabaseRefusesIsRolledBackOnBothSides(t *testing.T) {
	for d, cases := range refusals {
		for name, refuse := range cases {
			t.Run(name, func(t *testing.T) {
				s := newSource(t, d)
				admin := open(t, s)
				createOrders(t, admin)
				db := admin
				switch d {
				case sqltx.SQLite:
					db = openAt(t, sqliteAt(s.Name, 0, "&_pragma=foreign_keys(1)"))
				case sqltx.MySQL:
					db = openAsVisitor(t, admin, s) // root may write to a read-only server
				}
				db.SetMaxOpenConns(1)
				c := newCarts(t)
				tx, sqlTx := begun(t, c, db, s.options())
				lift := refuse(t, admin, sqlTx)
				err := tx.Commit(t.Context())
				lift()
				require.Error(t, err)
				require.ErrorContains(t, err, "SQL commit: refused")
				require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
				require.NotErrorIs(t, err, sd.ErrConflict)
				require.Equal(t, sd.RolledBack, tx.State())
				unchanged(t, c, db, s.options())
			})
		}
	}
}

// openAsVisitor opens s with an account that has no privilege but on it.
func openAsVisitor(t *testing.T, admin *sql.DB, s source) *sql.DB {
	t.Helper()
	run(t, admin, "CREATE USER visitor@'127.0.0.1'")
	run(t, admin, "GRANT ALL ON "+s.Name+".* TO visitor@'127.0.0.1'")
	t.Cleanup(func() {
		_, err := admin.Exec("DROP USER visitor@'127.0.0.1'")
		require.NoError(t, err)
	})
	connector, err := mariadbAs("visitor", s.Port, s.Name)
	require.NoError(t, err)
	return openAt(t, connector)
}

// An error of a statement that was dropped has aborted the transaction: nothing
// of it may be committed.
func TestADroppedErrorInPostgreSQLFailsTheCommit(t *testing.T) {
	on(t, sqltx.PostgreSQL, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
		c := newCarts(t)
		tx, sqlTx := begun(t, c, db, opts)
		_, err := sqlTx.ExecContext(t.Context(), "SELECT nonsense")
		require.Error(t, err)
		err = tx.Commit(t.Context())
		require.ErrorIs(t, err, sd.ErrInvalid)
		require.ErrorContains(t, err, "aborted")
		require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
		unchanged(t, c, db, opts)
	})
}

// DDL commits in MySQL whatever was done before; the session transaction cannot
// take that back, but it does not claim to have committed with it.
func TestDDLInMySQLCommitsImplicitlyAndFailsTheCommit(t *testing.T) {
	on(t, sqltx.MySQL, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
		c := newCarts(t)
		tx, sqlTx := begun(t, c, db, opts)
		sp, err := tx.Savepoint()
		require.NoError(t, err)
		run(t, sqlTx, "CREATE TABLE other (id INTEGER)")
		require.Equal(t, map[string]int{"a": 1}, orders(t, db), "for all to see")
		require.ErrorContains(t, sp.Rollback(), "SAVEPOINT")
		require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrDoomed)
		require.Equal(t, 1, cart(t, c))
	})
	on(t, sqltx.MySQL, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
		c := newCarts(t)
		tx, sqlTx := begun(t, c, db, opts)
		run(t, sqlTx, "CREATE TABLE other (id INTEGER)")
		run(t, sqlTx, "INSERT INTO orders VALUES ('b', 2)") // commits by itself
		err := tx.Commit(t.Context())
		require.ErrorIs(t, err, sd.ErrInvalid)
		require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
		require.Equal(t, 1, cart(t, c))
	})
}

// In the others DDL is part of the transaction.
func TestDDLInPostgreSQLAndSQLiteIsRolledBack(t *testing.T) {
	for _, d := range []sqltx.Dialect{sqltx.PostgreSQL, sqltx.SQLite} {
		on(t, d, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
			c := newCarts(t)
			tx, sqlTx := begun(t, c, db, opts)
			require.ErrorIs(t, tx.Atomic(func() error {
				run(t, sqlTx, "CREATE TABLE other (id INTEGER)")
				return errStep
			}), errStep)
			run(t, sqlTx, "CREATE TABLE other (id VARCHAR(5))")
			require.NoError(t, tx.Commit(t.Context()))
			run(t, db, "INSERT INTO other VALUES ('text')")
			changed(t, c, db)
		})
	}
}

// SQLite can roll the whole transaction back at an error, after which statements
// commit by themselves.
func TestATransactionThatSQLiteHasRolledBackFailsTheCommit(t *testing.T) {
	on(t, sqltx.SQLite, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
		c := newCarts(t)
		tx, sqlTx := begun(t, c, db, opts)
		_, err := sqlTx.ExecContext(t.Context(), "INSERT OR ROLLBACK INTO orders VALUES ('a', 2)")
		require.Error(t, err)
		run(t, sqlTx, "INSERT INTO orders VALUES ('b', 2)")
		err = tx.Commit(t.Context())
		require.ErrorIs(t, err, sd.ErrInvalid)
		require.Equal(t, 1, cart(t, c))
		require.Equal(t, map[string]int{"b": 2}, orders(t, db), "what came after had its own transaction")
	})
}
