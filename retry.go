package sessiondata

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Retry says how often, and with which pauses, a transaction is run again on
// ErrConflict. The zero value has the defaults.
type Retry struct {
	Attempts  int           // default 10
	Base, Max time.Duration // pauses; defaults 1 ms and 250 ms, each with full jitter
}

const (
	defaultAttempts = 10
	defaultBase     = time.Millisecond
	defaultMax      = 250 * time.Millisecond
)

// Run runs fn in a transaction and commits it, with Retry's defaults.
func Run(ctx context.Context, fn func(*Txn) error) error { return Retry{}.Run(ctx, fn) }

// Run runs fn in a transaction and commits it. On ErrConflict, from fn or from
// the commit, it does so again in a new transaction, until Attempts or ctx end
// it: so fn must be safe to run several times. Any other error, a panic and
// runtime.Goexit of fn roll back. fn must not end the transaction: Commit and
// Rollback in it are ErrInvalid.
func (r Retry) Run(ctx context.Context, fn func(*Txn) error) error {
	return r.run(ctx, task{fn: fn})
}

// task is what is run in a transaction: fn, or with on the session of an id.
type task struct {
	fn       func(*Txn) error
	c        *Container
	id       string
	with     func(*Session) error
	readOnly bool
}

// begin returns the transaction for one try.
func (t *task) begin() *Txn {
	if t.with == nil {
		return &Txn{guarded: true}
	}
	// It will have a session: both stand in one piece of memory.
	both := new(struct {
		tx   Txn
		unit unit
	})
	both.tx.guarded, both.tx.readOnly, both.tx.spare = true, t.readOnly, &both.unit
	return &both.tx
}

func (t *task) do(ctx context.Context, tx *Txn) error {
	if t.fn != nil {
		return t.fn(tx)
	}
	s, err := t.c.Session(ctx, tx, t.id)
	if err != nil {
		return err
	}
	return t.with(s)
}

func (r Retry) run(ctx context.Context, t task) error {
	if r.Attempts < 0 || r.Base < 0 || r.Max < 0 {
		return fmt.Errorf("%w: a negative Retry", ErrInvalid)
	}
	if t.fn == nil && t.with == nil {
		return fmt.Errorf("%w: a nil function", ErrInvalid)
	}
	if r.Attempts == 0 {
		r.Attempts = defaultAttempts
	}
	if r.Base == 0 {
		r.Base = defaultBase
	}
	if r.Max == 0 {
		r.Max = defaultMax
	}
	for try := 1; ; try++ {
		if err := ended(ctx); err != nil {
			return err
		}
		err := once(ctx, &t)
		if !errors.Is(err, ErrConflict) || errors.Is(err, ErrOutcomeUnknown) {
			return err
		}
		if try >= r.Attempts {
			return withAttempts(err, try)
		}
		if perr := pause(ctx, r.Base, r.Max, try-1); perr != nil {
			return joined(withAttempts(err, try), perr)
		}
	}
}

func once(ctx context.Context, t *task) error {
	tx := t.begin()
	returned := false
	defer func() {
		if !returned {
			_ = tx.rollback(fmt.Errorf("%w: the function did not return", ErrTxnDone))
		}
	}()
	err := t.do(ctx, tx)
	returned = true
	if err != nil {
		return joined(err, tx.rollback(err))
	}
	return tx.commit(ctx)
}

// withAttempts notes in a ConflictError how many tries were made.
func withAttempts(err error, n int) error {
	var conflict *ConflictError
	if !errors.As(err, &conflict) {
		return fmt.Errorf("%w (after %d tries)", err, n)
	}
	noted := *conflict
	noted.Attempts = n
	if err == error(conflict) {
		return &noted
	}
	return joined(&noted, err)
}

// pause waits a random time of less than base doubled n times and than most, or
// until ctx ends, which is its error.
func pause(ctx context.Context, base, most time.Duration, n int) error {
	top := most
	if n < 63 && base <= most>>n {
		top = base << n
	}
	t := time.NewTimer(rand.N(top))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

// ended returns the error of a ctx that has ended, else nil.
func ended(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	err := ctx.Err()
	if cause := context.Cause(ctx); !errors.Is(cause, err) {
		return fmt.Errorf("sessiondata: %w: %w", err, cause)
	}
	return fmt.Errorf("sessiondata: %w", err)
}
