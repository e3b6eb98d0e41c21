package sessiondata

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Whoever meets an item with an intent or a note settles it: asks the primary
// what has become of the transaction, and brings the item to that. Every write
// of this file is conditional on the item as it was read, so that a settlement
// which comes late, or twice, does nothing.

// skewAllowance is how far past its deadline an intent is left alone where a
// JoinLast participant decides: its commit cannot be told from here, so clocks
// that differ by less must not undo it.
const skewAllowance = 5 * time.Second

// waitMax bounds the pauses of who waits for another transaction. It is longer
// than for a conflict: each look takes two reads, and the one waited for may be
// dead, or wait for a last participant.
const waitMax = 100 * time.Millisecond

// errWait says that a foreign transaction is undecided and its deadline has not
// passed.
var errWait = fmt.Errorf("%w: another transaction over several sessions is under way", ErrConflict)

// truth is what an item stands for at one moment.
type truth struct {
	body       *image // nil: absent
	forwarded  *image // an item that holds a forward
	version    Version
	comparable bool // version may be compared against: there was neither intent nor note
	undecided  bool // a foreign transaction is
}

// stored reads the item under key. A nil image: there is none.
func (c *Container) stored(ctx context.Context, key storageKey) (*image, Version, error) {
	item, err := c.store.Get(ctx, key.name)
	if isNotFound(err) {
		return nil, Version{}, nil
	}
	if err != nil {
		return nil, Version{}, storeError(err)
	}
	m, err := decodeImage(item.Value, key)
	return m, item.Version, err
}

// own is stored for a session that is to be used, so its body must be readable.
func (c *Container) own(ctx context.Context, key storageKey) (*image, Version, error) {
	m, v, err := c.stored(ctx, key)
	if err == nil {
		err = m.readable()
	}
	return m, v, err
}

// truth reads a session. It does not wait: while a transaction over it is
// undecided the old body is the truth. One round trip, unless there is an
// intent.
func (c *Container) truth(ctx context.Context, key storageKey) (truth, error) {
	installed := false
	for {
		m, v, err := c.own(ctx, key)
		if err != nil || m == nil {
			return truth{comparable: true}, err
		}
		t := truth{body: m.body(), version: v, comparable: m.settled()}
		if m.forward != nil {
			t.forwarded = m
		}
		if m.intent == nil {
			return t, nil
		}
		fate, _, _, err := c.fateOf(ctx, key, m)
		switch {
		case err != nil:
			return truth{}, err
		case fate == txnUndecided:
			t.undecided = true
			return t, nil
		case fate == txnUndone:
			// Unless the item has changed since it was read: then it was settled
			// in between, perhaps the other way.
			now, nowV, err := c.stored(ctx, key)
			if err != nil {
				return truth{}, err
			}
			if now != nil && nowV == v {
				return t, nil
			}
			continue
		}
		// Committed: the new body is the truth, whether or not it can be
		// installed by this reader.
		if !installed {
			installed = true
			if _, err := c.install(ctx, key, m, v); err == nil {
				continue // for a version to compare against
			}
		}
		raw, err := m.installed(key)
		if err != nil || raw == nil {
			return truth{}, err
		}
		now, err := decodeImage(raw, key)
		if err != nil {
			return truth{}, err
		}
		t.body, t.forwarded = now.body(), nil
		if now.forward != nil {
			t.forwarded = now
		}
		return t, now.readable()
	}
}

// txnFate is what has become of a transaction over several sessions.
type txnFate int

const (
	txnUndecided txnFate = iota
	txnCommitted
	txnUndone // for good
)

// fateOf asks the primary of the intent on m. It also returns the primary.
func (c *Container) fateOf(ctx context.Context, key storageKey, m *image) (txnFate, *image, Version, error) {
	in := m.intent
	if in.primary == key.name {
		return txnUndecided, m, Version{}, nil
	}
	p, v, err := c.stored(ctx, newStorageKey(in.primary))
	switch {
	case err != nil:
		return 0, nil, Version{}, err
	case p.notes(in.txn):
		return txnCommitted, p, v, nil
	case p.holds(in.txn):
		return txnUndecided, p, v, nil
	}
	return txnUndone, p, v, nil
}

// clean brings an item to a state without intent or note and returns it: a nil
// image where it is absent. It waits while a foreign transaction is undecided,
// for as long as ctx allows, unless wait is false; then it is errWait.
func (c *Container) clean(ctx context.Context, key storageKey, wait bool) (*image, Version, error) {
	for try := 0; ; try++ {
		m, v, err := c.own(ctx, key)
		if err != nil || m == nil || m.settled() {
			return m, v, err
		}
		err = c.settle(ctx, key, m, v)
		if errors.Is(err, errWait) && wait {
			if pause(ctx, retryBase, waitMax, try) == nil {
				continue
			}
		}
		if err != nil {
			return nil, Version{}, err
		}
		if err := ended(ctx); err != nil {
			return nil, Version{}, err
		}
	}
}

// settle takes one step towards an item without intent or note. errWait: the
// transaction is undecided.
func (c *Container) settle(ctx context.Context, key storageKey, m *image, v Version) error {
	if m.note != nil {
		// Only a note tells that its transaction has committed: it may go when
		// nobody needs to ask any more.
		if err := c.installAll(ctx, m.note); err != nil {
			return err
		}
		_, err := c.strip(ctx, key, m, v)
		return err
	}
	fate, p, pv, err := c.fateOf(ctx, key, m)
	switch {
	case err != nil:
	case fate == txnCommitted:
		_, err = c.install(ctx, key, m, v)
	case fate == txnUndone:
		_, err = c.strip(ctx, key, m, v)
	case !c.lapsed(p.intent):
		err = errWait
	case p == m:
		_, err = c.strip(ctx, key, m, v)
	default:
		// The primary's intent goes first, so that a late decision fails. The
		// next step finds the transaction undone.
		_, err = c.strip(ctx, newStorageKey(m.intent.primary), p, pv)
	}
	return err
}

// lapsed reports whether the deadline of a primary's intent has passed.
func (c *Container) lapsed(in *intent) bool {
	deadline := in.deadline
	if in.last {
		deadline = addTime(deadline, skewAllowance)
	}
	return deadline < nanos(c.cfg.Now())
}

// strip takes the intent or note off an item. It reports whether it certainly
// did.
func (c *Container) strip(ctx context.Context, key storageKey, m *image, v Version) (bool, error) {
	var ttl time.Duration
	if m.note != nil {
		ttl = m.note.ttl
	} else {
		ttl = m.intent.keepTTL
	}
	return c.rewrite(ctx, key, m.withoutSection(key), ttl, v)
}

// install brings an item to what its intent says. It reports whether it
// certainly did.
func (c *Container) install(ctx context.Context, key storageKey, m *image, v Version) (bool, error) {
	raw, err := m.installed(key)
	if err != nil {
		return false, err
	}
	return c.rewrite(ctx, key, raw, m.intent.putTTL, v)
}

// rewrite swaps an item for raw, or removes it where raw is nil. That it was
// refused, or that its reply was lost, is no error: the next look at the item
// tells.
func (c *Container) rewrite(ctx context.Context, key storageKey, raw []byte, ttl time.Duration, v Version) (bool, error) {
	var err error
	if raw == nil {
		err = c.store.CompareAndDelete(ctx, key.name, v)
	} else {
		err = c.store.CompareAndSwap(ctx, key.name, raw, ttl, v)
	}
	if err == nil || !certain(err) || errors.Is(err, ErrConflict) || isNotFound(err) {
		return err == nil, nil
	}
	return false, err
}

// installAll installs the items that a note lists, all at once.
func (c *Container) installAll(ctx context.Context, n *note) error {
	return inParallel(len(n.keys), func(i int) error {
		key := newStorageKey(n.keys[i])
		for try := 0; ; try++ {
			m, v, err := c.stored(ctx, key)
			if errors.Is(err, ErrCorrupt) {
				return nil // nobody can read its intent, and ask for the note
			}
			if err != nil || !m.holds(n.txn) {
				return err
			}
			if try > 0 {
				if err := pause(ctx, retryBase, retryMax, try); err != nil {
					return err
				}
			}
			if done, err := c.install(ctx, key, m, v); done || err != nil {
				return err
			}
		}
	})
}

// withdraw takes a transaction's own intent off an item, wherever it got to.
func (c *Container) withdraw(ctx context.Context, key storageKey, txn txnID) error {
	for try := 0; ; try++ {
		m, v, err := c.stored(ctx, key)
		if err != nil || !m.holds(txn) {
			return err
		}
		if try > 0 {
			if err := pause(ctx, retryBase, retryMax, try); err != nil {
				return err
			}
		}
		if done, err := c.strip(ctx, key, m, v); done || err != nil {
			return err
		}
	}
}
