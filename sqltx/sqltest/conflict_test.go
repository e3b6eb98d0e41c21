package sqltest

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/sqltx"
)

// clash is a transaction that cannot go on for what others do meanwhile.
type clash struct {
	dialect   sqltx.Dialect
	isolation sql.IsolationLevel
	dsn       string // of SQLite
	setUp     string // in the SQL transaction, before all else
	// provoke returns the error, of a statement or of commit. The table holds
	// ('x', 1) and ('y', 1).
	provoke func(t *testing.T, db *sql.DB, sqlTx *sql.Tx, commit func() error) error
	code    string // within the error's text
}

const (
	raiseX = "UPDATE orders SET n = n + 1 WHERE id = 'x'"
	raiseY = "UPDATE orders SET n = n + 1 WHERE id = 'y'"
	sum    = "SELECT sum(n) FROM orders"
)

var clashes = map[string]clash{
	"PostgreSQL, changed since the snapshot": {
		dialect: sqltx.PostgreSQL, isolation: sql.LevelRepeatableRead,
		provoke: staleSnapshot, code: "40001",
	},
	"PostgreSQL, write skew found at COMMIT": {
		dialect: sqltx.PostgreSQL, isolation: sql.LevelSerializable,
		provoke: func(t *testing.T, db *sql.DB, sqlTx *sql.Tx, commit func() error) error {
			query(t, sqlTx, sum)
			run(t, sqlTx, raiseX)
			other, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelSerializable})
			require.NoError(t, err)
			query(t, other, sum)
			run(t, other, raiseY)
			require.NoError(t, other.Commit())
			return commit()
		},
		code: "40001",
	},
	"PostgreSQL, deadlock": {dialect: sqltx.PostgreSQL, provoke: deadlock, code: "40P01"},
	"PostgreSQL, lock timeout": {
		dialect: sqltx.PostgreSQL, setUp: "SET LOCAL lock_timeout = '20ms'",
		provoke: lockedRow, code: "55P03",
	},
	"MariaDB, deadlock": {dialect: sqltx.MySQL, provoke: deadlock, code: "1213"},
	"MariaDB, lock wait timeout": {
		dialect: sqltx.MySQL, setUp: "SET SESSION innodb_lock_wait_timeout = 0",
		provoke: lockedRow, code: "1205",
	},
	"MariaDB, changed since the snapshot": {
		dialect: sqltx.MySQL, isolation: sql.LevelRepeatableRead, setUp: "SET SESSION innodb_snapshot_isolation = ON",
		provoke: staleSnapshot, code: "1020",
	},
	"SQLite, changed since the snapshot": {
		dialect: sqltx.SQLite, dsn: "&_pragma=journal_mode(wal)",
		provoke: staleSnapshot, code: "(517)",
	},
	"SQLite, another writes": {
		dialect: sqltx.SQLite, dsn: "&_pragma=journal_mode(wal)",
		provoke: lockedRow, code: "SQLITE_BUSY",
	},
	"SQLite, COMMIT while another reads": {
		dialect: sqltx.SQLite, dsn: "&_pragma=journal_mode(delete)",
		provoke: func(t *testing.T, db *sql.DB, sqlTx *sql.Tx, commit func() error) error {
			run(t, sqlTx, raiseX)
			reader, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, reader.Rollback()) }()
			query(t, reader, sum)
			return commit()
		},
		code: "SQLITE_BUSY",
	},
}

// staleSnapshot reads, lets another write and writes the same row.
func staleSnapshot(t *testing.T, db *sql.DB, sqlTx *sql.Tx, _ func() error) error {
	query(t, sqlTx, sum)
	run(t, db, raiseX)
	_, err := sqlTx.ExecContext(t.Context(), raiseX)
	return err
}

// lockedRow writes what another has written and not committed.
func lockedRow(t *testing.T, db *sql.DB, sqlTx *sql.Tx, _ func() error) error {
	other, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, other.Rollback()) }()
	run(t, other, raiseX)
	_, err = sqlTx.ExecContext(t.Context(), raiseX)
	return err
}

// deadlock waits for another that waits for it, and returns the victim's error,
// whichever of the two the database chose.
func deadlock(t *testing.T, db *sql.DB, sqlTx *sql.Tx, _ func() error) error {
	run(t, sqlTx, raiseX)
	other, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = other.Rollback() }() // where it was the victim MariaDB has done so
	run(t, other, raiseY)
	theirs := make(chan error, 1)
	go func() {
		_, err := other.ExecContext(t.Context(), raiseX)
		theirs <- err
	}()
	_, mine := sqlTx.ExecContext(t.Context(), raiseY)
	if mine != nil {
		require.NoError(t, <-theirs)
		return mine
	}
	return <-theirs
}

func query(t *testing.T, tx *sql.Tx, stmt string) (n int) {
	t.Helper()
	require.NoError(t, tx.QueryRowContext(t.Context(), stmt).Scan(&n))
	return n
}

func TestWhatTheDatabaseCannotSerializeIsAConflict(t *testing.T) {
	for name, c := range clashes {
		t.Run(name, func(t *testing.T) {
			s := newSource(t, c.dialect)
			db := open(t, s)
			if c.dialect == sqltx.SQLite {
				db = openAt(t, sqliteAt(s.Name, 0, c.dsn))
			}
			createOrders(t, db)
			run(t, db, "INSERT INTO orders VALUES ('x', 1), ('y', 1)")
			carts := newCarts(t)
			tx := sd.Begin()
			setCart(t, carts, tx, 2)
			sqlTx, err := sqltx.Begin(t.Context(), tx, db, &sqltx.Options{Dialect: c.dialect, TxOptions: sql.TxOptions{Isolation: c.isolation}})
			require.NoError(t, err)
			if c.setUp != "" {
				run(t, sqlTx, c.setUp)
			}
			committed := false
			err = c.provoke(t, db, sqlTx, func() error {
				committed = true
				return tx.Commit(t.Context())
			})
			require.ErrorContains(t, err, c.code)
			if !committed {
				require.NotErrorIs(t, err, sd.ErrConflict, "not before it is asked for")
				require.NoError(t, tx.Rollback())
			}
			require.ErrorIs(t, sqltx.Conflict(err), sd.ErrConflict)
			require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
			require.Equal(t, sd.RolledBack, tx.State())
			require.Equal(t, 1, cart(t, carts))
			// The connection is fit for the next.
			db.SetMaxOpenConns(1)
			run(t, db, raiseX)
			run(t, db, raiseY)
		})
	}
}

// MariaDB rolls the whole transaction of a deadlock's victim back. Where its error
// is dropped, what comes after commits by itself; the session transaction does
// not claim to have committed with it.
func TestADeadlockInMariaDBWhoseErrorIsDroppedFailsTheCommit(t *testing.T) {
	on(t, sqltx.MySQL, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
		run(t, db, "INSERT INTO orders VALUES ('x', 1), ('y', 1)")
		c := newCarts(t)
		tx := sd.Begin()
		setCart(t, c, tx, 2)
		sqlTx, err := sqltx.Begin(t.Context(), tx, db, opts)
		require.NoError(t, err)
		run(t, sqlTx, raiseX)
		other, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		for i := range 10 { // the victim is who has changed less
			run(t, other, fmt.Sprintf("INSERT INTO orders VALUES ('other %d', 1)", i))
		}
		run(t, other, raiseY)
		theirs := make(chan error, 1)
		go func() {
			_, err := other.ExecContext(t.Context(), raiseX)
			theirs <- err
		}()
		_, err = sqlTx.ExecContext(t.Context(), raiseY)
		require.ErrorIs(t, sqltx.Conflict(err), sd.ErrConflict)
		require.NoError(t, <-theirs)
		require.NoError(t, other.Rollback())

		run(t, sqlTx, insertOrder)
		require.Equal(t, 1, orders(t, db)["a"], "for all to see")
		err = tx.Commit(t.Context())
		require.ErrorIs(t, err, sd.ErrInvalid)
		require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
		require.Equal(t, 1, cart(t, c))
		require.Equal(t, map[string]int{"a": 1, "x": 1, "y": 1}, orders(t, db))
	})
}

func TestABeginThatFindsSQLiteBusyIsAConflict(t *testing.T) {
	s := newSource(t, sqltx.SQLite)
	db := openAt(t, sqliteAt(s.Name, 0, "&_txlock=immediate"))
	createOrders(t, db)
	first := sd.Begin()
	_, err := sqltx.Begin(t.Context(), first, db, s.options())
	require.NoError(t, err)
	second := sd.Begin()
	_, err = sqltx.Begin(t.Context(), second, db, s.options())
	require.ErrorIs(t, err, sd.ErrConflict)
	require.Equal(t, 1, db.Stats().InUse)
	require.NoError(t, first.Commit(t.Context()))
	require.NoError(t, second.Commit(t.Context()))
}

// A bank that is kept twice: every account is a session and a row, and each
// transfer changes two of both. Run sees to it that all of them happen, and both
// books always say the same.
func TestTransfersThatRunAgainKeepBothBooksEqual(t *testing.T) {
	const accounts, workers, transfers = 4, 4, 15
	seed := rand.Uint64()
	t.Log("seed", seed)
	onEach(t, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
		opts.Isolation = sql.LevelSerializable
		if opts.Dialect == sqltx.SQLite {
			opts.Isolation = sql.LevelDefault // it has no other
		}
		c, err := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{})
		require.NoError(t, err)
		id := func(i int) string { return fmt.Sprintf("account-%d", i) }
		for i := range accounts {
			require.NoError(t, c.Update(t.Context(), id(i), func(s *sd.Session) error { return s.Pkg("bank").Set("n", 100) }))
			run(t, db, fmt.Sprintf("INSERT INTO orders VALUES ('%s', 100)", id(i)))
		}
		move := func(tx *sd.Txn, sqlTx *sql.Tx, i, by int) error {
			s, err := c.Session(t.Context(), tx, id(i))
			if err != nil {
				return err
			}
			if err := sd.Modify(s.Pkg("bank"), "n", func(n *int) error { *n += by; return nil }); err != nil {
				return err
			}
			var n int
			if err := sqlTx.QueryRowContext(t.Context(), "SELECT n FROM orders WHERE id = '"+id(i)+"'").Scan(&n); err != nil {
				return err
			}
			_, err = sqlTx.ExecContext(t.Context(), fmt.Sprintf("UPDATE orders SET n = %d WHERE id = '%s'", n+by, id(i)))
			return err
		}
		var all sync.WaitGroup
		failed := make([]error, workers)
		for w := range workers {
			random := rand.New(rand.NewPCG(seed, uint64(w)))
			all.Go(func() {
				for range transfers {
					pair := random.Perm(accounts)
					err := sd.Retry{Attempts: 200}.Run(t.Context(), func(tx *sd.Txn) error {
						sqlTx, err := sqltx.Begin(t.Context(), tx, db, opts)
						if err != nil {
							return err
						}
						if err := move(tx, sqlTx, pair[0], -1); err != nil {
							return sqltx.Conflict(err)
						}
						return sqltx.Conflict(move(tx, sqlTx, pair[1], +1))
					})
					if err != nil {
						failed[w] = err
						return
					}
				}
			})
		}
		all.Wait()
		for _, err := range failed {
			require.NoError(t, err)
		}
		total := 0
		for account, n := range orders(t, db) {
			require.NoError(t, c.View(t.Context(), account, func(s *sd.Session) error {
				kept, err := sd.Get[int](s.Pkg("bank"), "n")
				require.Equal(t, n, kept, "the row and the session of "+strings.TrimPrefix(account, "account-"))
				return err
			}))
			total += n
		}
		require.Equal(t, accounts*100, total)
	})
}
