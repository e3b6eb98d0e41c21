package sessiondata

import (
	"context"
	"fmt"
)

// What has become of a write whose reply was lost. A write is never repeated
// blindly: the session is read again, and the commit ids in it tell.

// settle finds out what has become of a write to key whose reply was lost.
// again: it was not applied, and the same may be sent once more.
func (w *write) settle(ctx context.Context, key storageKey, try int) (again bool, _ fate, err error) {
	for ; ; try++ {
		if pause(ctx, retryBase, retryMax, try) != nil {
			return false, refused, fmt.Errorf("%w: no answer within CommitTimeout", ErrOutcomeUnknown)
		}
		item, err := w.s.c.store.Get(ctx, key.name)
		if isNotFound(err) {
			// Evicted, destroyed by another, or not arrived yet: nothing tells.
			return false, refused, fmt.Errorf("%w: the session is absent after a lost reply", ErrOutcomeUnknown)
		}
		if err != nil {
			continue
		}
		m, err := decodeImage(item.Value, key)
		switch {
		case err != nil:
			return false, refused, unknown(err)
		case m.wrote(w.commit), w.txn != (txnID{}) && m.holds(w.txn):
			return false, applied, nil
		case w.against != (Version{}) && item.Version == w.against:
			// Both copies bear this version: at most one can be applied. An Add
			// has no such mark, so it is never sent twice.
			return true, refused, nil
		case m.forward != nil:
			return w.settleBehind(ctx, key, m)
		case w.cur != nil && m.wrote(w.cur.commit):
			// What is there descends from what we compared against and does not
			// name us. Our version is history: a late copy cannot be applied.
			return false, refused, nil
		default:
			return false, refused, fmt.Errorf("%w: the session was replaced after a lost reply", ErrOutcomeUnknown)
		}
	}
}

// settleBehind is settle where the session was given another id meanwhile: what
// is stored there tells.
func (w *write) settleBehind(ctx context.Context, key storageKey, m *image) (again bool, _ fate, err error) {
	lost := fmt.Errorf("%w: the session was renewed after a lost reply", ErrOutcomeUnknown)
	to, ok, err := w.s.c.follow(w.id, key, m)
	if err != nil || !ok {
		return false, refused, lost
	}
	t, err := w.s.c.truth(ctx, w.s.c.storageKey(to))
	switch {
	case err != nil || t.body == nil:
		return false, refused, lost
	case t.body.wrote(w.commit):
		return false, applied, nil
	case w.cur != nil && t.body.wrote(w.cur.commit):
		return false, refused, nil
	}
	return false, refused, lost
}
