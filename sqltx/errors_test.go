package sqltx_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/sqltx"
)

var conflicts = map[string]error{
	"pg serialization failure": pgError("40001"),
	"pg deadlock":              pgError("40P01"),
	"pg lock timeout":          pgError("55P03"),
	"mysql deadlock":           &mysqlError{Number: 1213},
	"mysql lock wait timeout":  &mysqlError{Number: 1205},
	"mysql changed since":      &mysqlError{Number: 1020},
	"mysql group replication":  &mysqlError{Number: 3101},
	"mysql nowait":             &mysqlError{Number: 3572},
	"sqlite busy":              &moderncError{5},
	"sqlite busy snapshot":     &moderncError{517},
	"sqlite busy recovery":     &moderncError{261},
	"sqlite locked":            &moderncError{6},
	"sqlite shared cache":      &moderncError{262},
	"mattn busy":               mattnError{5, 5},
	"mattn busy snapshot":      mattnError{5, 517},
}

// Answers to a COMMIT that say that it has not happened and that running it
// again would not help.
var refusals = map[string]error{
	"pg deferred constraint":    pgError("23505"),
	"pg raise in a trigger":     pgError("P0001"),
	"pg cancelled":              pgError("57014"),
	"mysql read only":           &mysqlError{Number: 1290},
	"mysql hook":                &mysqlError{Number: 3100},
	"sqlite deferred key":       &moderncError{787},
	"sqlite full":               &moderncError{13},
	"sqlite read only (mattn)":  mattnError{8, 8},
	"sqlite refused by a hook":  &moderncError{19 | 2<<8},
	"sqlite aborted by a hook":  &moderncError{4},
	"mysql read only in a tree": errors.Join(io.EOF, fmt.Errorf("commit: %w", &mysqlError{Number: 1290})),
}

// Answers to a COMMIT that leave it open.
var doubts = map[string]error{
	"connection lost":             io.ErrUnexpectedEOF,
	"bad connection":              driver.ErrBadConn,
	"context":                     context.DeadlineExceeded,
	"ended by hand since":         sql.ErrTxDone,
	"pg connection failure":       pgError("08006"),
	"pg completion unknown":       pgError("40003"),
	"pg shutdown":                 pgError("57P01"),
	"pg crash":                    pgError("57P02"),
	"pgx claims nothing was sent": unsentError{errors.New("conn closed")},
	"pg disk":                     pgError("58030"),
	"pg internal":                 pgError("XX000"),
	"mysql error during commit":   &mysqlError{Number: 1180},
	"mysql shutdown":              &mysqlError{Number: 1053},
	"mysql killed":                &mysqlError{Number: 1317},
	"sqlite disk":                 &moderncError{10},
	"sqlite corrupt":              &moderncError{11},
	"unlike any":                  errors.New("computer says no"),
	"another database's Number":   struct{ other }{},
	"pg says neither yes nor no ": fmt.Errorf("commit: %w", pgError("08007")),
}

// other has a field of the right name but not of the right type.
type other struct{ Number int32 }

func (other) Error() string { return "other" }

func TestConflictMarksWhatMayBeRunAgainAndNothingElse(t *testing.T) {
	for name, err := range conflicts {
		t.Run(name, func(t *testing.T) {
			for _, err := range []error{err, fmt.Errorf("insert: %w", err), errors.Join(io.EOF, err)} {
				marked := sqltx.Conflict(err)
				require.ErrorIs(t, marked, sd.ErrConflict)
				require.ErrorIs(t, marked, err)
				require.Equal(t, marked, sqltx.Conflict(marked), "marked twice")
			}
		})
	}
	for _, all := range []map[string]error{refusals, doubts} {
		for name, err := range all {
			t.Run(name, func(t *testing.T) { require.Equal(t, err, sqltx.Conflict(err)) })
		}
	}
	require.NoError(t, sqltx.Conflict(nil))
}

// commitAnswered commits a changed cart with a database that answers so.
func commitAnswered(t *testing.T, answer error, opts *sqltx.Options) (*sd.Container, *sd.Txn, error) {
	f, db := openFake(t)
	f.failAt("COMMIT", answer)
	c := newCarts(t)
	tx, _ := begun(t, c, db, opts)
	return c, tx, tx.Commit(t.Context())
}

func TestACommitThatTheDatabaseRefusesRollsTheSessionsBack(t *testing.T) {
	for name, answer := range refusals {
		t.Run(name, func(t *testing.T) {
			c, tx, err := commitAnswered(t, answer, postgres)
			require.ErrorIs(t, err, answer)
			require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
			require.NotErrorIs(t, err, sd.ErrConflict)
			require.Equal(t, sd.RolledBack, tx.State())
			require.Equal(t, 1, cart(t, c))
			setAgain(t, c)
		})
	}
}

func TestACommitThatTheDatabaseCannotSerializeIsAConflict(t *testing.T) {
	for name, answer := range conflicts {
		t.Run(name, func(t *testing.T) {
			c, tx, err := commitAnswered(t, answer, postgres)
			require.ErrorIs(t, err, sd.ErrConflict)
			require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
			require.Equal(t, sd.RolledBack, tx.State())
			setAgain(t, c)
		})
	}
}

func TestACommitWhoseOutcomeIsNotKnownSaysSo(t *testing.T) {
	for name, answer := range doubts {
		t.Run(name, func(t *testing.T) {
			c, tx, err := commitAnswered(t, answer, postgres)
			require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
			require.ErrorIs(t, err, answer)
			require.Equal(t, sd.Unknown, tx.State())
			require.Equal(t, 1, cart(t, c), "nobody has said that it is decided")
		})
	}
}

func TestIsConflictAddsErrorsOfTheDriver(t *testing.T) {
	mine := errors.New("try again")
	opts := &sqltx.Options{Dialect: sqltx.SQLite, IsConflict: func(err error) bool { return errors.Is(err, mine) }}
	_, tx, err := commitAnswered(t, mine, opts)
	require.ErrorIs(t, err, sd.ErrConflict)
	require.ErrorIs(t, err, mine)
	require.Equal(t, sd.RolledBack, tx.State())
	_, _, err = commitAnswered(t, &moderncError{5}, opts)
	require.ErrorIs(t, err, sd.ErrConflict, "beside those that are known")
}

func TestRunRunsAgainWhatTheDatabaseCouldNotSerialize(t *testing.T) {
	for name, stmt := range map[string]string{
		"BEGIN": "BEGIN", "a statement": "INSERT", "the last look": "SAVEPOINT sessiondata_last", "COMMIT": "COMMIT",
	} {
		t.Run(name, func(t *testing.T) {
			f, db := openFake(t)
			c := newCarts(t)
			tries := 0
			err := sd.Run(t.Context(), func(tx *sd.Txn) error {
				tries++
				f.failAt(stmt, nil)
				if tries < 3 {
					f.failAt(stmt, pgError("40001"))
				}
				s, err := c.Session(t.Context(), tx, "s")
				require.NoError(t, err)
				require.NoError(t, sd.Modify(s.Pkg("cart"), "n", func(n *int) error { *n++; return nil }))
				sqlTx, err := sqltx.Begin(t.Context(), tx, db, postgres)
				if err != nil {
					return err
				}
				_, err = sqlTx.ExecContext(t.Context(), "INSERT")
				return sqltx.Conflict(err)
			})
			require.NoError(t, err)
			require.Equal(t, 3, tries)
			require.Equal(t, 2, cart(t, c))
		})
	}
}

func TestADriverThatPanicsInCommitPanicsInTheCallersGoroutine(t *testing.T) {
	f, db := openFake(t)
	c := newCarts(t)
	tx, _ := begun(t, c, db, postgres)
	f.commit = func(context.Context) error { panic("driver is broken") }
	f.lost = 1 // by database/sql, whose Tx.Commit has not returned
	require.PanicsWithValue(t, "driver is broken", func() { _ = tx.Commit(t.Context()) })
	require.Equal(t, sd.Unknown, tx.State())
	require.Equal(t, 1, cart(t, c))
}

func TestADriverThatExitsItsGoroutineInCommitLeavesTheOutcomeUnknown(t *testing.T) {
	f, db := openFake(t)
	tx, _ := begun(t, newCarts(t), db, postgres)
	f.commit = func(context.Context) error { runtime.Goexit(); return nil }
	f.lost = 1
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrOutcomeUnknown)
	require.Equal(t, sd.Unknown, tx.State())
}
