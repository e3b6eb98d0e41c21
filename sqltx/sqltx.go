package sqltx

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/seed-ad7f1900/sessiondata"
)

// Dialect is the kind of database. It decides how a transaction is looked at
// before its commit; savepoints are written alike in all of them.
type Dialect int

// The dialects. The zero Dialect is none of them.
const (
	PostgreSQL Dialect = iota + 1 // and what speaks its protocol with its SQLSTATEs
	MySQL                         // and MariaDB
	SQLite
)

// String returns the name of the dialect.
func (d Dialect) String() string {
	switch d {
	case PostgreSQL:
		return "PostgreSQL"
	case MySQL:
		return "MySQL"
	case SQLite:
		return "SQLite"
	}
	return fmt.Sprintf("Dialect(%d)", int(d))
}

// Options say how to begin. Dialect is required.
type Options struct {
	Dialect Dialect
	// TxOptions are the isolation level and the access mode, for the driver.
	sql.TxOptions
	// IsConflict reports errors of the driver that count as ErrConflict beside
	// those that [Conflict] knows. It must be true only where the database
	// certainly did not commit.
	IsConflict func(error) bool
}

// Begin starts an SQL transaction that joins tx by JoinLast: it commits last,
// and decides for both. Its statements are the caller's, its end is not: never
// call Commit or Rollback of the *sql.Tx. A commit that finds it ended fails
// with ErrInvalid and rolls tx back; what was committed by hand stays.
//
// While tx is open ctx governs the SQL transaction as in [sql.DB.BeginTx]: when
// it ends, the SQL transaction is rolled back, and a later commit of tx fails
// with its error before anything is sent. When the commit of tx begins ctx is
// let go of: a commit is not abandoned half way. From then on the context that
// the commit hands out counts; if that ends while COMMIT is under way the
// outcome is ErrOutcomeUnknown.
//
// A tx or db that is nil, options that are nil, and an unknown dialect are
// ErrInvalid, a tx that has ended is ErrTxnDone, and a tx that another
// participant has joined last is ErrInvalid; a closed db, or one that refuses,
// is the driver's error, which matches ErrConflict where the database is busy.
// In all these cases nothing has joined, and no connection is held. Begin waits
// for a connection as database/sql does: a second Begin for the same tx, over a
// pool of one connection, waits until ctx ends.
//
// It costs the round trips of BEGIN, with MySQL one more; the commit costs two,
// of which one is the last look.
func Begin(ctx context.Context, tx *sessiondata.Txn, db *sql.DB, opts *Options) (*sql.Tx, error) {
	if err := check(tx, db, opts); err != nil {
		return nil, err
	}
	if err := tx.Err(); err != nil {
		return nil, err
	}
	p := &participant{looks: looks[opts.Dialect], isConflict: opts.IsConflict}
	if err := p.begin(ctx, db, &opts.TxOptions); err != nil {
		return nil, err
	}
	joined := false
	defer func() {
		if !joined {
			_ = p.Rollback(context.Background())
		}
	}()
	// The hook first: once p has joined, nothing here may fail.
	if err := tx.BeforeCommit(p.letGo); err != nil {
		return nil, err
	}
	if err := tx.JoinLast(p); err != nil {
		return nil, err
	}
	joined = true
	return p.sqlTx, nil
}

func check(tx *sessiondata.Txn, db *sql.DB, opts *Options) error {
	var faults []error
	fault := func(text string) {
		faults = append(faults, fmt.Errorf("%w: sqltx.Begin: %s", sessiondata.ErrInvalid, text))
	}
	if tx == nil {
		fault("a nil session transaction")
	}
	if db == nil {
		fault("a nil database handle")
	}
	if opts == nil {
		fault("nil options: the dialect is required")
	} else if _, known := looks[opts.Dialect]; !known {
		fault("unknown dialect " + opts.Dialect.String())
	}
	return errors.Join(faults...)
}

// look is how a dialect tells, before the commit, that the transaction which is
// to be committed is still the one that was begun.
type look struct {
	begun string // run after BEGIN; "": nothing
	last  string // run before COMMIT; fails where the transaction is over or aborted
}

// MySQL and SQLite can end a transaction under the caller's feet (an implicit
// commit by DDL, a deadlock, a full disk), and what he runs then commits by
// itself, statement by statement. Savepoints end with their transaction, so one
// that was set at the beginning tells. PostgreSQL keeps a failed transaction and
// refuses all statements in it; there the savepoint need not be set early, where
// it would cost a round trip and make all that follows a subtransaction.
var looks = map[Dialect]look{
	PostgreSQL: {last: "SAVEPOINT sessiondata_last"},
	MySQL:      {begun: "SAVEPOINT sessiondata_begun", last: "RELEASE SAVEPOINT sessiondata_begun"},
	SQLite:     {begun: "SAVEPOINT sessiondata_begun", last: "RELEASE SAVEPOINT sessiondata_begun"},
}
