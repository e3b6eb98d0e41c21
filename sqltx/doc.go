// Package sqltx lets an SQL transaction and a session transaction have one
// outcome: both commit, or neither.
//
//	err := sessiondata.Run(ctx, func(tx *sessiondata.Txn) error {
//		cart, err := carts.Session(ctx, tx, id)
//		if err != nil {
//			return err
//		}
//		sqlTx, err := sqltx.Begin(ctx, tx, db, &sqltx.Options{Dialect: sqltx.PostgreSQL})
//		if err != nil {
//			return err
//		}
//		if _, err := sqlTx.ExecContext(ctx, `INSERT INTO orders ...`); err != nil {
//			return sqltx.Conflict(err)
//		}
//		return cart.Pkg("cart").Clear()
//	})
//
// It needs no driver but the one that the application has chosen, and asks
// nothing more of it than database/sql does.
//
// # One outcome
//
// The SQL transaction joins by [sessiondata.Txn.JoinLast]: a plain SQL
// transaction cannot promise that its COMMIT will succeed, so that COMMIT is the
// decision. The changed sessions are prepared first, where nobody sees them yet.
// Then the SQL transaction is looked at once more: one that the application has
// ended itself, that a statement has ended (MySQL commits implicitly at DDL), or
// that an error has aborted fails here with ErrInvalid. Then comes COMMIT:
//
//   - It succeeds: the sessions follow.
//   - The database refuses it (a deferred constraint, a serialization failure):
//     the sessions are rolled back, and the error is the driver's.
//   - Its outcome is unknown (the connection was lost, the deadline passed): so
//     is that of the session transaction, ErrOutcomeUnknown. The sessions are as
//     before. Ask the database, for example for a row that the transaction
//     inserts, before running it again.
//
// A rollback of the session transaction, also of one that fails at any step
// before, rolls the SQL transaction back. The application ends the session
// transaction alone, and never calls Commit or Rollback of the [sql.Tx].
//
// # The window
//
// There is one, which no protocol over a database that cannot prepare will
// close: COMMIT has succeeded, and the process dies, or outlasts the deadline,
// before the primary session is told. Then the database has the change and the
// sessions have not. The shortest history, of an order booked for a cart:
//
//	prepare   intent on the cart's session
//	COMMIT    the row is there
//	kill -9
//	          whoever reads the cart sees it full, and after the deadline
//	          (Config.CommitTimeout, plus an allowance for clocks that differ)
//	          it can be written again
//
// Between the two steps lies one round trip to the store. Who must know closes
// it by asking the database: give the row a key that the session holds, and
// look for it before running the transaction again.
//
// The other way round, sessions changed and the row missing, does not happen
// while the database keeps what it has acknowledged.
//
// # Conflicts
//
// A serialization failure, a deadlock or a lock that could not be had matches
// [sessiondata.ErrConflict], so that Run, Retry and Update run the function
// again. Begin, savepoints and the commit see to that themselves; for the
// statements of the function call [Conflict].
//
// # Savepoints
//
// A savepoint of the session transaction is an SQL savepoint too, and going back
// to it takes back the rows with the values. Close every [sql.Rows] before taking
// one, before going back to one and before the commit, where a driver cannot send
// a statement while rows are open.
//
// Taking one costs a round trip, and so does going back. Releasing one costs
// none: it stays in the database until the transaction ends or goes back to an
// earlier one. PostgreSQL slows down with more than 64 in a transaction that
// writes after each.
//
// # What the databases do
//
// PostgreSQL refuses everything in a transaction after a statement has failed,
// until it goes back to a savepoint: run what may fail within
// [sessiondata.Txn.Atomic].
//
// MySQL and MariaDB commit implicitly before and after DDL and some others
// (LOCK TABLES, ALTER, CREATE, DROP, GRANT; see "Statements That Cause an
// Implicit Commit" in the manual): what was done before stays whatever happens,
// the savepoints are gone, and the commit fails with ErrInvalid. A deadlock rolls
// the whole transaction back, and statements after it would commit by themselves:
// return its error. A lock wait timeout rolls back its statement alone. Tables
// of an engine without transactions are changed at once.
//
// SQLite has one writer at a time. With its own BEGIN, which takes no lock, a
// transaction that reads first can find that it may not write any more
// (SQLITE_BUSY_SNAPSHOT); where it is to write, let it take the lock at the
// beginning (with modernc.org/sqlite _txlock=immediate in the DSN) and set
// busy_timeout. A full disk and some other errors roll the whole transaction
// back: return them.
//
// # Drivers
//
// A context is not heard by every driver while it commits. The session
// transaction returns at its deadline all the same, but the connection stays
// taken until the driver returns: give go-sql-driver/mysql a readTimeout and a
// writeTimeout.
package sqltx
