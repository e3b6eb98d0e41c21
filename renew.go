package sessiondata

import (
	"context"
	"errors"
	"fmt"
)

// renew moves the session to its new id: Add there, then CompareAndDelete under
// the old one, which decides, or with a grace period CompareAndSwap for a
// forward. There is no moment without a session, and for a writer in flight under
// the old id it is gone, or renewed.
//
// Half way: if the old id turns out to be gone, or cannot be removed, the new
// one is taken back. If that fails too, or if the reply of the removal is lost
// and the old one is absent (which may have been a logout), the outcome is
// unknown; both may then live until their timeout.
//
// errRenewed: another commit has done what this periodic renewal was to do, and
// the session is found under the id that it was given.
func (w *write) renew(budget, ctx context.Context) error {
	next := w.s.c.storageKey(w.s.newID)
	if !w.s.comparable {
		if _, err := w.rebase(budget, ctx, 0, true); err != nil {
			return err
		}
		if w.late() {
			return w.dropRenewal()
		}
	}
	against := w.against
	raw, ttl, err := w.image(next, w.s.newID)
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
		w.cur, w.against = m, v
		if w.late() {
			return w.takeBack(budget, next, w.dropRenewal())
		}
		if err := w.replace(budget, next); err != nil {
			return w.takeBack(budget, next, err)
		}
		if err := ended(ctx); err != nil {
			return w.takeBack(budget, next, err)
		}
	}
}

var errRenewed = errors.New("sessiondata: renewed by another commit")

// late reports whether another commit was first with a periodic renewal.
func (w *write) late() bool { return w.s.periodic && w.cur.renewedAt() != w.s.base.renewedAt() }

// dropRenewal makes the write one of a session that keeps its id.
func (w *write) dropRenewal() error {
	w.renews = false
	w.s.keepID()
	return errRenewed
}

// keepID takes a periodic renewal back.
func (s *Session) keepID() {
	s.u.tx.mu.Lock()
	defer s.u.tx.mu.Unlock()
	s.newID = ""
}

// forwardItem returns what is to stand under the old id; nil: nothing.
func (w *write) forwardItem() (*forward, []byte, error) {
	if w.s.grace == 0 {
		return nil, nil, nil
	}
	c := w.s.c
	f, err := c.newForward(w.id, w.key, w.s.newID, addTime(nanos(c.cfg.Now()), w.s.grace))
	if err != nil {
		return nil, nil, err
	}
	raw, err := withoutBody(w.key, c.cfg.MaxSize, f.section())
	return f, raw, err
}

// removeOld removes the session under the old id, or puts a forward there, if it
// is still the one read as against. If another commit changed it, it returns what
// is there now.
func (w *write) removeOld(ctx context.Context, try int) (*image, Version, error) {
	lost := false                  // once a reply is lost, a refusal may be the echo of that copy
	old := w.key.name              // lookAtOld follows the session to where another renewal moved it
	f, raw, err := w.forwardItem() // once: each copy that is sent is to be known again
	if err != nil {
		return nil, Version{}, err
	}
	for ; ; try++ {
		var err error
		w.stats.tries++
		if f == nil {
			err = w.s.c.store.CompareAndDelete(ctx, w.key.name, w.against)
		} else {
			err = w.s.c.store.CompareAndSwap(ctx, w.key.name, raw, forwardTTL(w.s.grace), w.against)
		}
		switch {
		case err == nil:
			return nil, Version{}, nil
		case !certain(err):
			lost = true
		case isNotFound(err) && !lost:
			w.stats.absent = true
			return nil, Version{}, ErrGone
		case isNotFound(err), errors.Is(err, ErrConflict):
		case lost:
			return nil, Version{}, unknown(err) // the first copy may still arrive
		default:
			return nil, Version{}, err
		}
		m, v, err := w.lookAtOld(ctx, try, lost, f)
		if err != nil || m == nil {
			return nil, Version{}, err
		}
		if lost && w.key.name == old && v == w.against {
			continue // not removed: the same again, as both bear this version
		}
		return m, v, nil
	}
}

// lookAtOld reads what is stored under the old id, after a refusal or a lost
// reply of its removal, or where another renewal has moved the session meanwhile.
// A nil image without an error: our own forward f.
func (w *write) lookAtOld(ctx context.Context, try int, lost bool, f *forward) (*image, Version, error) {
	for ; ; try++ {
		if (try > 0 || lost) && pause(ctx, retryBase, retryMax, try) != nil {
			if lost {
				return nil, Version{}, fmt.Errorf("%w: no answer within CommitTimeout", ErrOutcomeUnknown)
			}
			return nil, Version{}, w.tired()
		}
		m, v, err := w.reach(ctx, true, f)
		switch {
		case err == errOwnForward:
			return nil, Version{}, nil
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
	raw, ttl, err := w.image(key, w.s.newID)
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		item, err := w.s.c.store.Get(ctx, key.name)
		if isNotFound(err) {
			return errNewEvicted
		}
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
		if isNotFound(err) {
			return errNewEvicted
		}
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

// errNewEvicted: the old session is untouched, so that running again is safe.
var errNewEvicted = fmt.Errorf("%w: the session under the new id was evicted", ErrConflict)

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
