package sessiondata

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Savepoint is a point of a transaction to go back to. Hooks are not part of
// it: they stay. Taking one, and going back to it, costs the same however large
// the sessions are, beside taking back the changes themselves; nothing is sent
// to a store.
type Savepoint struct {
	tx       *Txn
	valid    bool
	released bool
	joined   int // participants that had joined
	restores []restore
}

type restore struct {
	part Participant
	back func() error
}

// Savepoint marks this moment. A participant that has joined and cannot take
// savepoints makes it fail with ErrNoSavepoint before anyone is touched.
func (tx *Txn) Savepoint() (*Savepoint, error) {
	tx.mu.Lock()
	if err := tx.err(); err != nil {
		tx.mu.Unlock()
		return nil, err
	}
	sp := &Savepoint{tx: tx, joined: len(tx.parts)}
	n := len(tx.parts)
	if tx.last != nil {
		n++
	}
	if n > 0 {
		sp.restores = make([]restore, n)
		for i, p := range tx.parts {
			sp.restores[i].part = p
		}
		if tx.last != nil {
			sp.restores[n-1].part = tx.last
		}
	}
	// It stands in the list from now on, so that a container that joins while
	// the participants are asked notes what it is to take back.
	tx.saves = append(tx.saves, sp)
	tx.mu.Unlock()
	defer sp.settle()

	// Participants are called without the lock: they may ask the transaction.
	for _, r := range sp.restores {
		if _, ok := r.part.(Savepointer); !ok {
			return nil, fmt.Errorf("%w: %T", ErrNoSavepoint, r.part)
		}
	}
	for i := range sp.restores {
		r := &sp.restores[i]
		back, err := r.part.(Savepointer).Savepoint()
		if err != nil {
			return nil, err
		}
		if back == nil {
			return nil, fmt.Errorf("%w: the savepoint of %T has no way back", ErrInvalid, r.part)
		}
		r.back = back
	}

	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.err(); err != nil {
		return nil, err
	}
	if !slices.Contains(tx.saves, sp) {
		return nil, ErrSavepointInvalid // another goroutine went back to before it
	}
	sp.valid = true
	return sp, nil
}

// settle drops a savepoint that could not be taken.
func (sp *Savepoint) settle() {
	sp.tx.mu.Lock()
	defer sp.tx.mu.Unlock()
	if !sp.valid {
		sp.tx.saves = slices.DeleteFunc(sp.tx.saves, func(o *Savepoint) bool { return o == sp })
	}
}

// Rollback takes back every change made since, in all sessions and
// participants; handles held by the caller stay valid and show the earlier
// values. It may be called any number of times; it invalidates the savepoints
// taken later. A participant that joined later is rolled back and leaves the
// transaction (a container stays, emptied of changes). If a participant cannot
// go back the transaction is doomed, and the error is returned.
//
// What was read since stays read: under Serializable, and where a changed key
// is merged, it counts at the commit.
func (sp *Savepoint) Rollback() error {
	tx := sp.tx
	tx.mu.Lock()
	if err := sp.usable(); err != nil {
		tx.mu.Unlock()
		return err
	}
	sp.dropFrom(slices.Index(tx.saves, sp) + 1)
	leave := slices.Clone(tx.parts[sp.joined:])
	tx.parts = tx.parts[:sp.joined]
	if tx.last != nil && !sp.holds(tx.last) {
		leave = append(leave, tx.last)
		tx.last = nil
	}
	if d := tx.decider; d != nil && slices.Contains(leave, Participant(d)) {
		leave = slices.DeleteFunc(leave, func(p Participant) bool { return p == Participant(d) })
		tx.parts = append(tx.parts, d)
		defer d.empty()
	}
	tx.mu.Unlock()

	steps := make([]func() error, 0, len(leave)+len(sp.restores))
	for _, p := range slices.Backward(leave) {
		steps = append(steps, func() error { return p.Rollback(context.Background()) })
	}
	for _, r := range slices.Backward(sp.restores) {
		steps = append(steps, r.back)
	}
	back := false
	defer func() {
		if !back {
			tx.Doom()
		}
	}()
	err := each(steps, func(step func() error) error { return step() })
	back = err == nil
	return err
}

// Release forgets this savepoint and the later ones and keeps the work.
func (sp *Savepoint) Release() error {
	sp.tx.mu.Lock()
	defer sp.tx.mu.Unlock()
	if err := sp.usable(); err != nil {
		return err
	}
	from := slices.Index(sp.tx.saves, sp)
	for _, later := range sp.tx.saves[from:] {
		later.released = true
	}
	sp.dropFrom(from)
	return nil
}

// usable tells why sp cannot be used; tx.mu is held.
func (sp *Savepoint) usable() error {
	if err := sp.tx.err(); err != nil {
		return err
	}
	if !sp.valid {
		return ErrSavepointInvalid
	}
	return nil
}

// dropFrom invalidates the savepoints from position i; tx.mu is held.
func (sp *Savepoint) dropFrom(i int) {
	for _, later := range sp.tx.saves[i:] {
		later.valid = false
	}
	clear(sp.tx.saves[i:])
	sp.tx.saves = sp.tx.saves[:i]
}

func (sp *Savepoint) holds(p Participant) bool {
	return slices.ContainsFunc(sp.restores, func(r restore) bool { return r.part == p })
}

// Atomic runs one step of a workflow: an error, a panic or runtime.Goexit of fn
// takes back what fn changed, and nothing else; the error is returned. Steps
// may stand within steps.
func (tx *Txn) Atomic(fn func() error) error {
	if fn == nil {
		return fmt.Errorf("%w: a nil function", ErrInvalid)
	}
	sp, err := tx.Savepoint()
	if err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned {
			_ = sp.rollbackStep()
		}
	}()
	err = fn()
	returned = true
	if err != nil {
		return joined(err, sp.rollbackStep())
	}
	err = sp.Release()
	if errors.Is(err, ErrSavepointInvalid) {
		return nil // fn went back to before this step, or released it: nothing is left to do
	}
	return err
}

// rollbackStep takes back a failed step. That its savepoint had gone already,
// with an earlier one or with the transaction, is no error. If the step itself
// released it, by an earlier one, it cannot be taken back: the transaction is
// doomed.
func (sp *Savepoint) rollbackStep() error {
	err := sp.Rollback()
	if errors.Is(err, ErrTxnDone) {
		return nil
	}
	if errors.Is(err, ErrSavepointInvalid) {
		sp.tx.mu.Lock()
		released := sp.released
		sp.tx.mu.Unlock()
		if !released {
			return nil
		}
		sp.tx.Doom()
	}
	return err
}

// undoLog holds what takes changes back, latest last. A savepoint is a position
// in it, so it costs the same whatever the sessions hold. While no savepoint
// asks for it, nothing is noted. It is guarded by Txn.mu.
type undoLog struct {
	on    bool
	steps []func()
}

// note adds the step that takes back the change being made.
func (l *undoLog) note(back func()) {
	if l.on {
		l.steps = append(l.steps, back)
	}
}

// mark returns the position of this moment, and notes from now on.
func (l *undoLog) mark() int {
	l.on = true
	return len(l.steps)
}

// backTo takes back the changes since a position.
func (l *undoLog) backTo(mark int) {
	for len(l.steps) > mark {
		back := l.steps[len(l.steps)-1]
		l.steps[len(l.steps)-1] = nil
		l.steps = l.steps[:len(l.steps)-1]
		back()
	}
}
