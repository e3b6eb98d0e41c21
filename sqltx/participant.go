package sqltx

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/seed-ad7f1900/sessiondata"
)

// participant is the SQL transaction's part in a session transaction.
type participant struct {
	looks      look
	isConflict func(error) bool
	sqlTx      *sql.Tx

	// life is the context of sqlTx. database/sql rolls back when it ends, and
	// some drivers commit under it. It follows the context of Begin, called
	// outer, until the commit begins, and then nothing but end.
	life   context.Context
	end    context.CancelFunc
	outer  context.Context
	follow func() (stopped bool) // stops following outer

	over  atomic.Bool  // Commit or Rollback has been called
	saves atomic.Int64 // savepoints taken, for their names
}

var _ sessiondata.Savepointer = (*participant)(nil)

func (p *participant) begin(ctx context.Context, db *sql.DB, opts *sql.TxOptions) error {
	p.outer = ctx
	p.life, p.end = context.WithCancel(context.WithoutCancel(ctx))
	p.follow = context.AfterFunc(ctx, p.end)
	if ctx.Err() != nil {
		p.end() // AfterFunc does so in its own time
	}
	var err error
	p.sqlTx, err = db.BeginTx(p.life, opts)
	if err == nil && p.looks.begun != "" {
		_, err = p.sqlTx.ExecContext(p.life, p.looks.begun)
	}
	if err == nil {
		return nil
	}
	err = p.failed("begin", err) // before life ends by our own doing
	_ = p.Rollback(context.Background())
	return err
}

// letGo is the hook before the commit: from here on outer does not count.
func (p *participant) letGo(context.Context) error {
	if p.over.Load() || p.follow() {
		return nil
	}
	p.end() // as follow may be about to do
	return p.failed("commit", sql.ErrTxDone)
}

// Savepoint sets an SQL savepoint.
func (p *participant) Savepoint() (restore func() error, err error) {
	name := fmt.Sprintf("sessiondata_%d", p.saves.Add(1))
	if err := p.exec(p.life, "SAVEPOINT "+name); err != nil {
		return nil, p.failed("savepoint", err)
	}
	return func() error {
		// The savepoint itself outlives this, in every dialect.
		if err := p.exec(p.life, "ROLLBACK TO SAVEPOINT "+name); err != nil {
			return p.failed("rollback to a savepoint", err)
		}
		return nil
	}, nil
}

// Prepare is the last look: the database must still be in the transaction that
// Begin started, able to commit.
func (p *participant) Prepare(ctx context.Context) error {
	err := p.exec(ctx, p.looks.last)
	if err == nil {
		return nil
	}
	if c := codeOf(err); c.transactionLost() {
		return fmt.Errorf("%w: the SQL transaction was ended by one of its statements, or aborted by an error that was dropped: %w",
			sessiondata.ErrInvalid, err)
	}
	return p.failed("prepare", err)
}

// Commit commits, and is the decision. It returns when ctx ends, whatever the
// driver does: the answer that comes later is not waited for.
func (p *participant) Commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sessiondata: SQL commit: not sent: %w", context.Cause(ctx))
	}
	p.over.Store(true)
	type answer struct {
		err      error
		panicked any
	}
	answered := make(chan answer, 1)
	go func() {
		defer p.end()
		a := answer{err: errNoReturn}
		defer func() {
			a.panicked = recover()
			answered <- a
		}()
		a.err = p.sqlTx.Commit()
	}()
	var a answer
	select {
	case a = <-answered:
	case <-ctx.Done():
		select {
		case a = <-answered:
		default:
			p.end() // a driver that commits under life gives up
			return fmt.Errorf("%w: SQL commit: %w", sessiondata.ErrOutcomeUnknown, context.Cause(ctx))
		}
	}
	switch {
	case a.panicked != nil:
		panic(a.panicked) // in the caller's goroutine, where it can be recovered
	case a.err == nil:
		return nil
	case p.conflict(a.err):
		return conflictError(a.err)
	case codeOf(a.err).refused():
		return fmt.Errorf("sessiondata: SQL commit: refused: %w", a.err)
	}
	// Also sql.ErrTxDone: the application ended it since Prepare, one way or the
	// other.
	return fmt.Errorf("%w: SQL commit: %w", sessiondata.ErrOutcomeUnknown, a.err)
}

var errNoReturn = errors.New("the driver did not return")

// Rollback rolls back, once.
func (p *participant) Rollback(context.Context) error {
	if !p.over.CompareAndSwap(false, true) {
		return nil
	}
	p.follow()
	defer p.end()
	if p.sqlTx == nil {
		return nil
	}
	err := p.sqlTx.Rollback()
	if err == nil || errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	// The connection is broken; the database rolls back when it notices.
	return fmt.Errorf("%w: SQL rollback: %w", sessiondata.ErrUnavailable, err)
}

func (p *participant) exec(ctx context.Context, stmt string) error {
	_, err := p.sqlTx.ExecContext(ctx, stmt)
	return err
}

// failed is the error of a step before the decision.
func (p *participant) failed(step string, err error) error {
	switch {
	case p.life.Err() != nil && p.outer.Err() != nil:
		// What database/sql says then depends on how far it has come.
		return fmt.Errorf("sessiondata: SQL %s: the context given to sqltx.Begin has ended: %w", step, context.Cause(p.outer))
	case errors.Is(err, sql.ErrTxDone):
		return fmt.Errorf("%w: SQL %s: the application has ended the SQL transaction itself: %w", sessiondata.ErrInvalid, step, err)
	case p.conflict(err):
		return conflictError(err)
	}
	return fmt.Errorf("sessiondata: SQL %s: %w", step, err)
}

func (p *participant) conflict(err error) bool {
	return errors.Is(err, sessiondata.ErrConflict) || codeOf(err).conflict() || p.isConflict != nil && p.isConflict(err)
}
