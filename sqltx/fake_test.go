package sqltx_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeDB is a database that answers on demand what real ones answer seldom. It
// keeps what it was asked, in order.
type fakeDB struct {
	mu     sync.Mutex
	asked  []string
	fail   map[string]error                // by statement
	commit func(ctx context.Context) error // nil: succeeds; ctx is of BeginTx
	look   func()                          // called at the end of the last look
	lost   int                             // connections that stay in use
}

func openFake(t *testing.T) (*fakeDB, *sql.DB) {
	t.Helper()
	f := &fakeDB{fail: map[string]error{}}
	db := sql.OpenDB(f)
	t.Cleanup(func() {
		require.Equal(t, f.lost, db.Stats().InUse, "connections still in use")
		require.NoError(t, db.Close())
	})
	return f, db
}

func (f *fakeDB) ask(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, what)
	return f.fail[what]
}

func (f *fakeDB) failAt(stmt string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail[stmt] = err
}

func (f *fakeDB) log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

func (f *fakeDB) Driver() driver.Driver { return nil }

func (f *fakeDB) Connect(context.Context) (driver.Conn, error) {
	if err := f.ask("connect"); err != nil {
		return nil, err
	}
	return &fakeConn{db: f}, nil
}

type fakeConn struct {
	db  *fakeDB
	ctx context.Context
}

func (c *fakeConn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not used") }
func (c *fakeConn) Begin() (driver.Tx, error)           { return nil, errors.New("not used") }
func (c *fakeConn) Close() error                        { return nil }
func (c *fakeConn) ResetSession(context.Context) error  { return nil }
func (c *fakeConn) IsValid() bool                       { return true }

func (c *fakeConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	what := "BEGIN"
	if opts.ReadOnly {
		what += " READ ONLY"
	}
	if level := sql.IsolationLevel(opts.Isolation); level != sql.LevelDefault {
		what += " " + level.String()
	}
	c.ctx = ctx
	return c, c.db.ask(what)
}

func (c *fakeConn) ExecContext(ctx context.Context, stmt string, _ []driver.NamedValue) (driver.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err := c.db.ask(stmt)
	if stmt == "SAVEPOINT sessiondata_last" && c.db.look != nil {
		c.db.look()
	}
	return driver.RowsAffected(0), err
}

func (c *fakeConn) Commit() error {
	err := c.db.ask("COMMIT")
	if commit := c.db.commit; err == nil && commit != nil {
		err = commit(c.ctx)
	}
	return err
}

func (c *fakeConn) Rollback() error { return c.db.ask("ROLLBACK") }

// The errors of drivers, in the shapes in which they tell their codes.

// pgError is shaped as that of pgx and lib/pq.
type pgError string

func (e pgError) Error() string    { return "server says " + string(e) }
func (e pgError) SQLState() string { return string(e) }

// mysqlError is shaped as that of go-sql-driver/mysql.
type mysqlError struct {
	Number   uint16
	SQLState [5]byte
	Message  string
}

func (e *mysqlError) Error() string { return "server says " + e.Message }

// moderncError is shaped as that of modernc.org/sqlite.
type moderncError struct{ code int }

func (e *moderncError) Error() string { return "database says no" }
func (e *moderncError) Code() int     { return e.code }

// mattnError is shaped as that of mattn/go-sqlite3.
type (
	mattnError struct {
		Code         mattnErrNo
		ExtendedCode mattnErrNoExtended
	}
	mattnErrNo         int
	mattnErrNoExtended int
)

func (e mattnError) Error() string { return "database says no" }

// unsentError is shaped as that of pgx for a connection that was lost.
type unsentError struct{ error }

func (e unsentError) SafeToRetry() bool { return true }
func (e unsentError) Unwrap() error     { return e.error }
