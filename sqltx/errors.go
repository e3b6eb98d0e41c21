package sqltx

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/seed-ad7f1900/sessiondata"
)

// Conflict makes an error of an SQL statement match [sessiondata.ErrConflict]
// where the database reports a serialization failure, a deadlock or a lock that
// could not be had, so that Update, Run and Retry run the function again:
//
//	if _, err := sqlTx.ExecContext(ctx, stmt, args...); err != nil {
//		return sqltx.Conflict(err)
//	}
//
// These are SQLSTATE 40001, 40P01 and 55P03 of PostgreSQL, errors 1020, 1205,
// 1213, 3101 and 3572 of MySQL and MariaDB, and SQLITE_BUSY and SQLITE_LOCKED
// with all their extended codes. Any other error is returned as it is, and so is
// nil. The original stays within reach of errors.As.
//
// Drivers tell their codes by a method SQLState() string (pgx, lib/pq) or
// Code() int (modernc.org/sqlite), or by an exported field: Number, a uint16
// (go-sql-driver/mysql), or ExtendedCode, an integer (mattn/go-sqlite3). For
// another driver wrap its errors with ErrConflict yourself, and see
// Options.IsConflict.
func Conflict(err error) error {
	if err == nil || !codeOf(err).conflict() {
		return err
	}
	return conflictError(err)
}

func conflictError(err error) error {
	if errors.Is(err, sessiondata.ErrConflict) {
		return err
	}
	return fmt.Errorf("%w: %w", sessiondata.ErrConflict, err)
}

// code is what the database has answered, as far as the driver tells. Of the
// three codes at most one is set.
type code struct {
	state  string // SQLSTATE
	number uint16 // of MySQL
	sqlite int    // result code, extended or not
}

// codeOf finds the code in err and what it wraps.
func codeOf(err error) code {
	var c code
	var stater interface{ SQLState() string }
	var coder interface{ Code() int }
	switch {
	case errors.As(err, &stater):
		c.state = stater.SQLState()
	case errors.As(err, &coder):
		c.sqlite = coder.Code()
	default:
		findField(err, &c)
	}
	return c
}

// findField looks for drivers whose errors have no method to tell the code: the
// field is as exported as a method would be, but no interface reaches it, and to
// name its type is to depend on the driver.
func findField(err error, c *code) bool {
	v := reflect.Indirect(reflect.ValueOf(err))
	if v.Kind() == reflect.Struct {
		if f := v.FieldByName("Number"); f.IsValid() && f.Kind() == reflect.Uint16 {
			c.number = uint16(f.Uint())
			return true
		}
		if f := v.FieldByName("ExtendedCode"); f.IsValid() && f.CanInt() {
			c.sqlite = int(f.Int())
			return true
		}
	}
	switch w := err.(type) {
	case interface{ Unwrap() error }:
		inner := w.Unwrap()
		return inner != nil && findField(inner, c)
	case interface{ Unwrap() []error }:
		for _, inner := range w.Unwrap() {
			if inner != nil && findField(inner, c) {
				return true
			}
		}
	}
	return false
}

// Result codes of SQLite, without their extensions.
const (
	sqliteError      = 1
	sqliteAbort      = 4
	sqliteBusy       = 5
	sqliteLocked     = 6
	sqliteReadonly   = 8
	sqliteFull       = 13
	sqliteConstraint = 19
)

// primary is the result code of SQLite without its extension.
func (c code) primary() int { return c.sqlite & 0xff }

// conflict: running the transaction again may well succeed. All these say that
// it has not committed, also where they answer a COMMIT.
func (c code) conflict() bool {
	switch c.state {
	case "40001", // serialization_failure
		"40P01", // deadlock_detected
		"55P03": // lock_not_available: lock_timeout, as MySQL's 1205; NOWAIT
		return true
	}
	switch c.number {
	case 1020, // ER_CHECKREAD: changed since the snapshot (MariaDB, innodb_snapshot_isolation)
		1205, // ER_LOCK_WAIT_TIMEOUT
		1213, // ER_LOCK_DEADLOCK; in a Galera cluster also at COMMIT
		3101, // ER_TRANSACTION_ROLLBACK_DURING_COMMIT: group replication, at COMMIT
		3572: // ER_LOCK_NOWAIT
		return true
	}
	return c.primary() == sqliteBusy || c.primary() == sqliteLocked
}

// transactionLost: the answer to the last look that says that there is no
// transaction to commit.
func (c code) transactionLost() bool {
	switch c.state {
	case "25P01", // no_active_sql_transaction
		"25P02": // in_failed_sql_transaction
		return true
	}
	const noSuchSavepoint = 1305 // ER_SP_DOES_NOT_EXIST
	return c.number == noSuchSavepoint || c.sqlite == sqliteError
}

// refused: as the answer to a COMMIT, it says that the database has not
// committed. Where that is not certain it is false. What a driver says of its
// connection is not taken for an answer: pgx 5.12 calls an error SafeToRetry,
// and others use driver.ErrBadConn, also where the server has done the work and
// the connection was lost before its answer.
func (c code) refused() bool {
	switch {
	case c.state != "":
		// An ERROR that answers COMMIT has aborted: past its commit record
		// PostgreSQL knows no ERROR, only PANIC. What ends the connection may have
		// come after it: a server that shuts down (57P01 to 57P05) while COMMIT
		// waits for a standby has committed.
		class := c.state[:min(2, len(c.state))]
		return class != "08" && class != "58" && class != "XX" &&
			c.state != "40003" && !strings.HasPrefix(c.state, "57P")
	case c.number != 0:
		switch c.number {
		case 1290, // ER_OPTION_PREVENTS_STATEMENT: read_only
			1792, // ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
			1836, // ER_READ_ONLY_MODE
			3100: // ER_RUN_HOOK_ERROR: rolled back by a plugin
			return true
		}
		return false // 1180 (error during COMMIT), 1053 (shutdown) and their like leave it open
	}
	switch c.primary() {
	case sqliteAbort, sqliteReadonly, sqliteFull, sqliteConstraint:
		return true
	}
	return false
}
