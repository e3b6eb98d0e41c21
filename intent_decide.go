package sessiondata

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// What follows when all intents are placed: reading them back, deciding,
// installing, or taking them away.

// readBack reads all items, for the versions that deciding and installing
// compare against.
func (j *joint) readBack(ctx context.Context) error {
	return inParallel(len(j.items), func(i int) error { return j.reread(ctx, j.items[i]) })
}

func (j *joint) reread(ctx context.Context, it *item) error {
	m, v, err := it.c.stored(ctx, it.key)
	if err != nil {
		return err
	}
	if !m.holds(j.txn) {
		return errUndone
	}
	it.placed, it.version = m, v
	return nil
}

// errUndone says that somebody took an intent away, after its deadline.
var errUndone = fmt.Errorf("%w: the transaction was not decided in time and has been undone", ErrConflict)

// extend moves the primary's deadline past the time for which a JoinLast
// participant may take to commit. That the primary can still be swapped is the
// last look at this side.
func (j *joint) extend(ctx context.Context, by time.Duration) error {
	it := j.items[0]
	in := *it.placed.intent
	in.deadline = addTime(nanos(it.c.cfg.Now()), by)
	raw, err := it.placed.body().withSection(it.key, in.section(in.pkgs.all()), it.c.cfg.MaxSize)
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		err := it.c.store.CompareAndSwap(ctx, it.key.name, raw, it.ttl, it.version)
		if errors.Is(err, ErrConflict) || isNotFound(err) {
			// With a lost reply before it, this may be our own write.
			if try == 0 {
				return errUndone
			}
		} else if err != nil && certain(err) {
			return err
		}
		lost := err != nil
		if err := j.reread(ctx, it); err != nil {
			return undecided(err)
		}
		if !lost || it.placed.intent.deadline == in.deadline {
			return nil
		}
		if err := pause(ctx, retryBase, retryMax, try); err != nil {
			return fmt.Errorf("%w: while preparing: %v", ErrUnavailable, err)
		}
	}
}

// decide swaps the primary for its new body and a note. insist: a JoinLast
// participant has committed already, so there is no way back.
func (j *joint) decide(ctx context.Context, insist bool) error {
	if ctx.Err() != nil && !insist {
		return fmt.Errorf("%w: preparing took all of CommitTimeout", ErrUnavailable)
	}
	it := j.items[0]
	n := &note{txn: j.txn, ttl: it.placed.intent.putTTL}
	ttl := time.Second
	for _, o := range j.items {
		ttl = longer(ttl, o.ttl)
		if o != it {
			n.keys = append(n.keys, o.key.name)
		}
	}
	var noted []section
	if j.notes() {
		noted = append(noted, n.section())
	} else {
		ttl = n.ttl
	}
	raw, err := it.placed.installed(it.key, noted...)
	if err != nil {
		return err
	}
	doubt := false
	for try := 0; ; try++ {
		err := it.c.store.CompareAndSwap(ctx, it.key.name, raw, ttl, it.version)
		switch refusal := errors.Is(err, ErrConflict) || isNotFound(err); {
		case err == nil:
			j.decided = true
			return nil
		case !certain(err) || refusal && doubt:
			doubt = true
			decided, err := j.look(ctx, it, try)
			if decided || err != nil {
				j.decided = decided
				return err
			}
		case refusal:
			return errUndone
		case !doubt && !insist:
			return err
		}
		if perr := pause(ctx, retryBase, retryMax, try); perr != nil {
			if doubt {
				return fmt.Errorf("%w: no answer within CommitTimeout", ErrOutcomeUnknown)
			}
			return err
		}
	}
}

// look finds out, after a lost reply, whether the primary was decided. Neither
// an answer nor an error: the same write may be sent again.
func (j *joint) look(ctx context.Context, it *item, try int) (decided bool, err error) {
	for ; ; try++ {
		m, v, err := it.c.stored(ctx, it.key)
		switch {
		case err != nil && (errors.Is(err, ErrCorrupt) || errors.Is(err, ErrUnsupportedVersion)):
			return false, unknown(err)
		case err != nil:
			if pause(ctx, retryBase, retryMax, try) != nil {
				return false, fmt.Errorf("%w: no answer within CommitTimeout", ErrOutcomeUnknown)
			}
		case m.notes(j.txn), m.body() != nil && !it.remove && m.wrote(it.w.commit), it.placed.leaves(m):
			return true, nil
		case m != nil && v == it.version:
			return false, nil
		case m.body() != nil && it.placed.body() != nil && m.wrote(it.placed.commit):
			// It descends from the old body without naming us.
			return false, errUndone
		default:
			return false, fmt.Errorf("%w: the primary was replaced after a lost reply", ErrOutcomeUnknown)
		}
	}
}

// finish installs the other items, all at once, and then lets the note go. What
// fails of it is left to whoever meets the items.
func (j *joint) finish(ctx context.Context) {
	if len(j.items) == 0 || !j.notes() {
		return
	}
	primary := j.items[0]
	var noted *image
	var v Version
	installed := make([]bool, len(j.items))
	err := inParallel(len(j.items), func(i int) (err error) {
		it := j.items[i]
		if i == 0 {
			noted, v, err = it.c.stored(ctx, it.key)
			return err
		}
		installed[i], err = it.c.install(ctx, it.key, it.placed, it.version)
		return err
	})
	switch {
	case err != nil || !noted.notes(j.txn):
	case slices.Contains(installed[1:], false):
		_ = primary.c.settle(ctx, primary.key, noted, v) // looks at each once more
	default:
		_, _ = primary.c.strip(ctx, primary.key, noted, v)
	}
}

// rollback takes the intents away, the primary's first. What cannot be reached
// lapses.
func (j *joint) rollback(ctx context.Context) {
	if len(j.items) == 0 {
		return
	}
	_ = j.withdraw(ctx, j.items[0])
	others := j.items[1:]
	_ = inParallel(len(others), func(i int) error { return j.withdraw(ctx, others[i]) })
}

func (j *joint) withdraw(ctx context.Context, it *item) error {
	if !it.tried {
		return nil
	}
	return it.c.withdraw(ctx, it.key, j.txn)
}
