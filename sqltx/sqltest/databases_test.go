package sqltest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

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
	connector: postgresAt, admin: "public",
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
	connector: mariadbAt, admin: "mysql",
}

func postgresAt(port int, database string) (driver.Connector, error) {
	// A schema for each, since PostgreSQL takes its time to make a database.
	cfg, err := pgx.ParseConfig(fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres search_path=%s sslmode=disable", port, database))
	if err != nil {
		return nil, err
	}
	return stdlib.GetConnector(*cfg), nil
}

func mariadbAt(port int, database string) (driver.Connector, error) {
	return mariadbAs("root", port, database)
}

func mariadbAs(user string, port int, database string) (driver.Connector, error) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr, cfg.DBName = user, "tcp", "127.0.0.1:"+strconv.Itoa(port), database
	cfg.Logger = &mysql.NopLogger{} // while the server starts
	return mysql.NewConnector(cfg)
}

// sqliteAt is a file. What waits for a lock there waits for so many ms.
func sqliteAt(path string, wait int, more string) driver.Connector {
	return &sqliteConnector{dsn: fmt.Sprintf("file:%s?_pragma=busy_timeout(%d)%s", path, wait, more)}
}

type sqliteConnector struct {
	driver sqlite.Driver
	dsn    string
}

func (c *sqliteConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c *sqliteConnector) Driver() driver.Driver                        { return &c.driver }

// source is where to find a database, in a form that another process can be
// told.
type source struct {
	Dialect sqltx.Dialect
	Port    int
	Name    string // of the database, or of the file
}

func (s source) connector() (driver.Connector, error) {
	switch s.Dialect {
	case sqltx.PostgreSQL:
		return postgresAt(s.Port, s.Name)
	case sqltx.MySQL:
		return mariadbAt(s.Port, s.Name)
	default:
		return sqliteAt(s.Name, 2000, "&_pragma=journal_mode(wal)&_txlock=immediate"), nil
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
	connector, err := k.connector(s.port, k.admin)
	require.NoError(t, err)
	admin := sql.OpenDB(connector)
	defer admin.Close()
	_, err = admin.ExecContext(t.Context(), "CREATE SCHEMA "+name) // in MariaDB, a database
	require.NoError(t, err)
	return source{Dialect: d, Port: s.port, Name: name}
}

// open opens a database that must not have a connection in use in the end.
func open(t *testing.T, s source) *sql.DB {
	t.Helper()
	connector, err := s.connector()
	require.NoError(t, err)
	return openAt(t, connector)
}

func openAt(t *testing.T, connector driver.Connector) *sql.DB {
	t.Helper()
	db := sql.OpenDB(connector)
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

func TestAServerThatIsNotInstalledSaysHowToInstallIt(t *testing.T) {
	_, err := find("no-such-server", mariadbKind)
	require.EqualError(t, err, "no-such-server is not installed: apt-get install mariadb-server")
}
