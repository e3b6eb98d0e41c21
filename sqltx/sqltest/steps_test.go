package sqltest

import (
	"context"
	"database/sql/driver"
)

// steppedConnector wraps a driver and tells of each statement, and of COMMIT,
// before it is sent and after it was answered.
type steppedConnector struct {
	driver.Connector
	step func(name string) error
}

func (c steppedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return steppedConn{Conn: conn, step: c.step}, nil
}

// steppedConn hides all of a connection but what sqltx and the test use.
type steppedConn struct {
	driver.Conn
	step func(name string) error
}

// around runs do between its two steps.
func (c steppedConn) around(name string, do func() error) error {
	if err := c.step("before " + name); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return c.step("after " + name)
}

func (c steppedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (tx driver.Tx, err error) {
	err = c.around("BEGIN", func() error {
		tx, err = c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
		return err
	})
	return steppedTx{tx, c}, err
}

func (c steppedConn) ExecContext(ctx context.Context, stmt string, args []driver.NamedValue) (r driver.Result, err error) {
	err = c.around(stmt, func() error {
		r, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, stmt, args)
		return err
	})
	return r, err
}

type steppedTx struct {
	driver.Tx
	conn steppedConn
}

func (tx steppedTx) Commit() error { return tx.conn.around("COMMIT", tx.Tx.Commit) }
