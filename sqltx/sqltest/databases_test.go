package sqltest

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/seed-ad7f1900/sessiondata/sqltx"
)

var postgres, mariadb *server

var postgresKind = serverKind{
	name: "postgres", install: "postgresql", account: "postgres", stop: syscall.SIGINT,
	setUp:    []string{"initdb", "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "--pgdata"},
	initArgs: func(data string) []string { return []string{data} },
	program:  "postgres",
	args: func(_, data string, port int) []string {
		return []string{
			"-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", "", // no socket but this
			"-F", "-c", "shared_buffers=16MB", "-c", "max_connections=50", "-c", "deadlock_timeout=100ms",
		}
	},
	open: openPostgres, admin: "postgres",
}

var mariadbKind = serverKind{
	name: "mariadb", install: "mariadb-server", account: "mysql", stop: syscall.SIGTERM,
	setUp:    []string{"mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"},
	initArgs: func(data string) []string { return []string{"--datadir=" + data} },
	program:  "mariadbd",
	args: func(dir, data string, port int) []string {
		return []string{
			"--no-defaults", "--datadir=" + data, "--bind-address=127.0.0.1", "--port=" + strconv.Itoa(port),
			"--socket=" + filepath.Join(dir, "socket"), "--pid-file=" + filepath.Join(dir, "pid"), "--tmpdir=" + dir,
			"--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M",
		}
	},
	open: openMariaDB, admin: "mysql",
}

func openPostgres(port int, database string) (*sql.DB, error) {
	cfg, err := pgx.ParseConfig(fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=%s sslmode=disable", port, database))
	if err != nil {
		return nil, err
	}
	return stdlib.OpenDB(*cfg), nil
}

func openMariaDB(port int, database string) (*sql.DB, error) {
	return openMariaDBAs("root", port, database)
}

func openMariaDBAs(user string, port int, database string) (*sql.DB, error) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr, cfg.DBName = user, "tcp", "127.0.0.1:"+strconv.Itoa(port), database
	cfg.Logger = &mysql.NopLogger{} // while the server starts
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// openSQLite opens a file. What waits for a lock there waits for so many ms.
func openSQLite(path string, wait int, more string) (*sql.DB, error) {
	return sql.Open("sqlite", fmt.Sprintf("file:%s?_pragma=busy_timeout(%d)%s", path, wait, more))
}

// source is where to find a database, in a form that another process can be
// told.
type source struct {
	Dialect sqltx.Dialect
	Port    int
	Name    string // of the database, or of the file
}

func (s source) open() (*sql.DB, error) {
	switch s.Dialect {
	case sqltx.PostgreSQL:
		return openPostgres(s.Port, s.Name)
	case sqltx.MySQL:
		return openMariaDB(s.Port, s.Name)
	default:
		return openSQLite(s.Name, 2000, "&_pragma=journal_mode(wal)&_txlock=immediate")
	}
}

func (s source) options() *sqltx.Options { return &sqltx.Options{Dialect: s.Dialect} }

var databases atomic.Int64

// newSource makes an empty database.
func newSource(t *testing.T, d sqltx.Dialect) source {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	var s *server
	var k serverKind
	switch d {
	case sqltx.SQLite:
		return source{Dialect: d, Name: filepath.Join(t.TempDir(), name+".sqlite")}
	case sqltx.PostgreSQL:
		s, k = postgres, postgresKind
	case sqltx.MySQL:
		s, k = mariadb, mariadbKind
	}
	require.NoError(t, s.err)
	admin, err := k.open(s.port, k.admin)
	require.NoError(t, err)
	defer admin.Close()
	_, err = admin.ExecContext(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	return source{Dialect: d, Port: s.port, Name: name}
}

// open opens a database that must not have a connection in use in the end.
func open(t *testing.T, s source) *sql.DB {
	t.Helper()
	db, err := s.open()
	require.NoError(t, err)
	t.Cleanup(func() {
		require.Zero(t, db.Stats().InUse, "connections still in use")
		require.NoError(t, db.Close())
	})
	return db
}

// onEach runs a test on every dialect, on a database with a table of orders.
func onEach(t *testing.T, test func(t *testing.T, db *sql.DB, opts *sqltx.Options)) {
	for _, d := range []sqltx.Dialect{sqltx.SQLite, sqltx.PostgreSQL, sqltx.MySQL} {
		on(t, d, test)
	}
}

func on(t *testing.T, d sqltx.Dialect, test func(t *testing.T, db *sql.DB, opts *sqltx.Options)) {
	t.Run(d.String(), func(t *testing.T) {
		s := newSource(t, d)
		db := open(t, s)
		createOrders(t, db)
		test(t, db, s.options())
	})
}

func createOrders(t *testing.T, db *sql.DB) {
	t.Helper()
	run(t, db, "CREATE TABLE orders (id VARCHAR(20) PRIMARY KEY, n INTEGER NOT NULL)")
}

// execer is an *sql.DB, *sql.Tx or *sql.Conn.
type execer interface {
	ExecContext(ctx context.Context, stmt string, args ...any) (sql.Result, error)
}

func run(t *testing.T, db execer, stmt string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), stmt)
	require.NoError(t, err, stmt)
}

// orders returns what is in the table, for all to see.
func orders(t *testing.T, db *sql.DB) map[string]int {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT id, n FROM orders")
	require.NoError(t, err)
	defer rows.Close()
	found := map[string]int{}
	for rows.Next() {
		var id string
		var n int
		require.NoError(t, rows.Scan(&id, &n))
		found[id] = n
	}
	require.NoError(t, rows.Err())
	return found
}

func TestMain(m *testing.M) { os.Exit(withServers(m.Run)) }
