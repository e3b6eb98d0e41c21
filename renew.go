package sessiondata

import (
	"context"
	"errors"
	"fmt"
)

// renew moves the session to its new id: Add there, then CompareAndDelete under
// the old one, which decides. There is no moment without a session, and for a
// writer in flight under the old id it is gone.
//
// Half way: if the old id turns out to be gone, or cannot be removed, the new
// one is taken back. If that fails too, or if the reply of the removal is lost
// and the old one is absent (which may have been a logout), the outcome is
// unknown; both may then live until their timeout.
func (w *write) renew(budget, ctx context.Context) error {
	next := w.s.c.storageKey(w.s.newID)
	if !w.s.comparable {
		if _, err := w.rebase(budget, ctx, 0, true); err != nil {
			return err
		}
	}
	against := w.against
	raw, ttl, err := w.image(next)
	if err != nil {
		return err
	}
	w.against = Version{}
	placed, err := w.put(budget, next, raw, ttl)
	w.against = against
	if err != nil {
		return err
	}
	if placed != applied {
		return fmt.Errorf("%w: a session under the new id", ErrExists)
	}
	for try := 0; ; try++ {
		m, v, err := w.removeOld(budget, try)
		if err != nil {
			return w.takeBack(budget, next, err)
		}
		if m == nil {
			return nil
		}
		// The old one has changed: the new one must have that too.
		if err := w.mergeWith(m); err != nil {
			return w.takeBack(budget, next, err)
		}
		w.cur = m
		if err := w.replace(budget, next); err != nil {
			return w.takeBack(budget, next, err)
		}
		w.against = v
		if err := ended(ctx); err != nil {
			return w.takeBack(budget, next, err)
		}
	}
}

// removeOld removes the session under the old id if it is still the one read as
// against. If another commit changed it, it returns what is there now.
func (w *write) removeOld(ctx context.Context, try int) (*image, Version, error) {
	for ; ; try++ {
		w.stats.tries++
		err := w.s.c.store.CompareAndDelete(ctx, w.key.name, w.against)
		switch {
		case err == nil:
			return nil, Version{}, nil
		case isNotFound(err):
			w.stats.absent = true
			return nil, Version{}, ErrGone
		case certain(err) && !errors.Is(err, ErrConflict):
			return nil, Version{}, err
		}
		lost := !certain(err)
		m, v, err := w.lookAtOld(ctx, try, lost)
		if err != nil {
			return nil, Version{}, err
		}
		if lost && v == w.against {
			continue // not removed: the same again, as both bear this version
		}
		return m, v, nil
	}
}

// lookAtOld reads what is stored under the old id, after a refusal or a lost
// reply of its removal.
func (w *write) lookAtOld(ctx context.Context, try int, lost bool) (*image, Version, error) {
	for ; ; try++ {
		if (try > 0 || lost) && pause(ctx, retryBase, retryMax, try) != nil {
			if lost {
				return nil, Version{}, fmt.Errorf("%w: no answer within CommitTimeout", ErrOutcomeUnknown)
			}
			return nil, Version{}, w.tired()
		}
		m, v, err := w.s.c.clean(ctx, w.key, true)
		switch {
		case err != nil && lost:
			continue
		case err != nil:
			return nil, Version{}, err
		case m != nil && m.birth == w.s.base.birth:
			return m, v, nil
		case lost:
			return nil, Version{}, fmt.Errorf("%w: the old session is absent after a lost reply", ErrOutcomeUnknown)
		default:
			w.stats.absent = m == nil
			return nil, Version{}, ErrGone
		}
	}
}

// replace writes the merged session over the one that this commit has placed
// under the new id.
func (w *write) replace(ctx context.Context, key storageKey) error {
	raw, ttl, err := w.image(key)
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		item, err := w.s.c.store.Get(ctx, key.name)
		if err != nil {
			return storeError(err)
		}
		m, err := decodeImage(item.Value, key)
		if err != nil {
			return err
		}
		if m.commit != w.commit {
			return fmt.Errorf("%w: the new id is in use already", ErrConflict)
		}
		err = w.s.c.store.CompareAndSwap(ctx, key.name, raw, ttl, item.Version)
		if err == nil || certain(err) {
			return err
		}
		// Lost. Sent again with what is there then, it is the same in the end:
		// nobody else knows the new id.
		if pause(ctx, retryBase, retryMax, try) != nil {
			return fmt.Errorf("%w: no answer within CommitTimeout", ErrOutcomeUnknown)
		}
	}
}

// takeBack removes what this commit has placed under the new id, and returns
// why; where it cannot, the outcome is unknown.
func (w *write) takeBack(ctx context.Context, key storageKey, why error) error {
	for try := 0; ; try++ {
		item, err := w.s.c.store.Get(ctx, key.name)
		if isNotFound(err) {
			return why
		}
		if err == nil {
			if m, err := decodeImage(item.Value, key); err != nil || m.commit != w.commit {
				return unknown(why)
			}
			err = w.s.c.store.CompareAndDelete(ctx, key.name, item.Version)
			if err == nil || isNotFound(err) {
				return why
			}
		}
		if pause(ctx, retryBase, retryMax, try) != nil {
			return unknown(why)
		}
	}
}
