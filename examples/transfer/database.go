package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net/url"

	"modernc.org/sqlite"
)

// The database checks an order when it is booked, and that there is a payment
// for it when it commits.
const schema = `
CREATE TABLE IF NOT EXISTS payments (
	id TEXT PRIMARY KEY
);
CREATE TABLE IF NOT EXISTS orders (
	id      TEXT PRIMARY KEY,
	pieces  INTEGER NOT NULL CHECK (pieces > 0),
	payment TEXT NOT NULL REFERENCES payments DEFERRABLE INITIALLY DEFERRED
);`

// openDatabase opens a file. With loseAnswer it commits, but what answers COMMIT
// does not arrive.
func openDatabase(ctx context.Context, path string, loseAnswer bool) (*sql.DB, error) {
	file := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: url.Values{
		// A writer takes its lock at the beginning, and waits for it.
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(5000)", "foreign_keys(1)", "journal_mode(wal)"},
	}.Encode()}
	db := sql.OpenDB(&connector{dsn: file.String(), loseAnswer: loseAnswer})
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// book books an order, and its payment.
func book(ctx context.Context, tx *sql.Tx, id string, n int) error {
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (id, pieces, payment) VALUES (?, ?, ?)", id, n, id); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO payments (id) VALUES (?)", id)
	return err
}

// bookUnpaid books an order that the database will find to be unpaid at COMMIT.
func bookUnpaid(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO orders (id, pieces, payment) VALUES ('unpaid', 1, 'none')")
	return err
}

func countOrders(ctx context.Context, db *sql.DB) (n int, err error) {
	err = db.QueryRowContext(ctx, "SELECT count(*) FROM orders").Scan(&n)
	return n, err
}

// connector opens connections to a file, whose COMMIT may lose its answer.
type connector struct {
	driver     sqlite.Driver
	dsn        string
	loseAnswer bool
}

func (c *connector) Driver() driver.Driver { return &c.driver }

func (c *connector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	if err == nil && c.loseAnswer {
		conn = lossyConn{conn.(sqliteConn)}
	}
	return conn, err
}

// sqliteConn is what of a connection is used here.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
}

type lossyConn struct{ sqliteConn }

func (c lossyConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.sqliteConn.BeginTx(ctx, opts)
	return lossyTx{tx}, err
}

type lossyTx struct{ driver.Tx }

var errAnswerLost = errors.New("failed on demand: the answer to COMMIT was lost")

func (tx lossyTx) Commit() error { return errors.Join(tx.Tx.Commit(), errAnswerLost) }
