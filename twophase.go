package sessiondata

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// The phases of a commit: hooks, prepare, decide, commit. A failure before the
// decision rolls back every participant once; after it the others go on, and
// what failed makes the outcome unknown.

func (tx *Txn) commit(ctx context.Context) (err error) {
	tx.mu.Lock()
	if tx.phase != open {
		tx.mu.Unlock()
		return ErrTxnDone
	}
	tx.phase = hooks
	tx.mu.Unlock()

	// Whatever stops this function, a panic or runtime.Goexit in a participant
	// included, rolls back, or where the decision may have fallen says Unknown.
	outcome, decided, undoing, finished := RolledBack, false, false, false
	defer func() {
		if finished {
			return
		}
		tx.close() // a hook that did not return left it open
		if !undoing {
			outcome, err = tx.undo(ctx, outcome, decided, errNoReturn)
		}
		tx.end(outcome, err)
	}()
	err = tx.runBefore(ctx)
	if err == nil {
		err = tx.prepare(ctx)
	}
	if err == nil {
		outcome = Unknown // until the deciding write has answered
		decided, err = tx.decide(ctx)
		if !decided && !errors.Is(err, ErrOutcomeUnknown) {
			outcome = RolledBack
		}
	}
	if decided {
		if err = joined(err, tx.commitParts(ctx)); err == nil {
			outcome = Committed
		}
	} else {
		undoing = true
		outcome, err = tx.undo(ctx, outcome, false, err)
	}
	finished = true
	tx.end(outcome, err)
	return err
}

var errNoReturn = fmt.Errorf("%w: a participant or hook did not return", ErrTxnDone)

// undo rolls back what can be, once the commit has failed with err. After the
// decision nothing is rolled back; where it is unknown the decider's part is
// left to be settled.
func (tx *Txn) undo(ctx context.Context, outcome State, decided bool, err error) (State, error) {
	switch {
	case decided:
		return Unknown, unknown(err)
	case outcome == Unknown:
		return Unknown, joined(unknown(err), tx.rollbackParts(ctx, tx.decider))
	}
	return RolledBack, joined(err, tx.rollbackParts(ctx, nil))
}

// runBefore runs the hooks, which may add hooks and participants, and closes
// the transaction for work.
func (tx *Txn) runBefore(ctx context.Context) error {
	for i := 0; ; i++ {
		tx.mu.Lock()
		if i == len(tx.before) {
			tx.phase = closed
			doomed := tx.state == Doomed
			tx.mu.Unlock()
			if doomed {
				return ErrDoomed
			}
			return nil
		}
		hook := tx.before[i]
		tx.mu.Unlock()
		if err := hook(ctx); err != nil {
			tx.close()
			return err
		}
	}
}

// prepare prepares the decider, then the others in join order, the last one
// last. From here on nothing changes parts, decider and last.
func (tx *Txn) prepare(ctx context.Context) error {
	if tx.decider != nil {
		tx.decider.company(len(tx.parts) > 1, tx.last != nil)
		if err := tx.decider.Prepare(ctx); err != nil {
			return err
		}
	}
	for _, p := range tx.parts {
		if p != tx.decider {
			if err := p.Prepare(ctx); err != nil {
				return err
			}
		}
	}
	if tx.last != nil {
		return tx.last.Prepare(ctx)
	}
	return nil
}

// decide lets the outcome fall, and reports whether it is to commit. An error
// that comes with true is of the work that follows the decision.
func (tx *Txn) decide(ctx context.Context) (decided bool, err error) {
	if tx.last == nil {
		if tx.decider == nil {
			return true, nil
		}
		err = tx.decider.decide(ctx)
		return err == nil, err
	}
	lastCtx := ctx
	if tx.decider != nil {
		yielded, cancel, err := tx.decider.yield(ctx)
		if err != nil {
			return false, err
		}
		defer cancel()
		lastCtx = yielded
	}
	if err := tx.last.Commit(lastCtx); err != nil {
		return false, err
	}
	if tx.decider != nil {
		if err := tx.decider.decide(ctx); err != nil {
			return true, unknown(err)
		}
	}
	return true, nil
}

// close ends the time for work.
func (tx *Txn) close() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.phase = closed
}

// commitParts makes the decided outcome final everywhere. The last participant
// has committed already.
func (tx *Txn) commitParts(ctx context.Context) error {
	return each(tx.parts, func(p Participant) error {
		if err := p.Commit(ctx); err != nil {
			return unknown(err)
		}
		return nil
	})
}

// rollbackParts rolls every participant back once, latest first, but for spare.
func (tx *Txn) rollbackParts(ctx context.Context, spare decider) error {
	all := slices.Clone(tx.parts)
	if tx.last != nil {
		all = append(all, tx.last)
	}
	slices.Reverse(all)
	ctx = context.WithoutCancel(ctx)
	return each(all, func(p Participant) error {
		if spare != nil && p == Participant(spare) {
			return nil
		}
		return p.Rollback(ctx)
	})
}

// each calls do for every element, also for those behind one at which it
// panics or ends the goroutine, and joins the errors.
func each[T any](all []T, do func(T) error) (failed error) {
	for i, e := range all {
		func() {
			returned := false
			defer func() {
				if !returned {
					_ = each(all[i+1:], do)
				}
			}()
			failed = joined(failed, do(e))
			returned = true
		}()
	}
	return failed
}

// rollback ends the transaction undone; cause is what the hooks are told.
func (tx *Txn) rollback(cause error) error {
	tx.mu.Lock()
	if tx.phase != open {
		tx.mu.Unlock()
		return ErrTxnDone
	}
	tx.phase = closed
	tx.mu.Unlock()
	finished := false
	defer func() {
		if !finished {
			tx.end(RolledBack, cause)
		}
	}()
	err := tx.rollbackParts(context.Background(), nil)
	finished = true
	tx.end(RolledBack, cause)
	return err
}

// end sets the final state and runs the hooks after the end, outside the lock.
func (tx *Txn) end(state State, err error) {
	tx.mu.Lock()
	tx.state = state
	after := tx.after
	tx.after, tx.before, tx.saves = nil, nil, nil
	tx.mu.Unlock()
	_ = each(after, func(hook func(error)) error {
		hook(err)
		return nil
	})
}
