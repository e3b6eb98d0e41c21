package sessiondata

import (
	"context"
	"errors"
)

// destroy removes the session whatever was written since, but not one that was
// made anew under its id.
func (w *write) destroy(budget, ctx context.Context) error {
	doubt := false
	for try := 0; ; try++ {
		if try > 0 || !w.s.comparable {
			gone, err := w.aim(budget, ctx, try, doubt)
			if gone || err != nil {
				return err
			}
		}
		w.stats.tries++
		err := w.s.c.store.CompareAndDelete(budget, w.key.name, w.against)
		switch {
		case err == nil:
			return nil
		case isNotFound(err):
			return unknownIf(doubt, w.destroyable(nil))
		case !certain(err):
			doubt = true
		case !errors.Is(err, ErrConflict):
			if doubt {
				return unknown(err)
			}
			return err
		}
	}
}

// aim makes a destroyed session's removal compare against what is stored now.
// gone: it is not there any more, by us or by another.
func (w *write) aim(budget, ctx context.Context, try int, doubt bool) (gone bool, err error) {
	for ; ; try++ {
		if doubt {
			ctx = budget // it goes on until it knows
		}
		if err := w.breathe(budget, ctx, try); err != nil {
			return false, unknownIf(doubt, err)
		}
		m, v, err := w.reach(budget, true, nil)
		switch {
		case err == nil && (m == nil || m.birth != w.s.base.birth):
			return true, unknownIf(doubt, w.destroyable(m))
		case err == nil:
			w.cur, w.against = m, v
			return false, w.destroyable(m) // it is there: certainly not removed by us
		case !doubt || budget.Err() != nil:
			return false, unknownIf(doubt, w.orTired(budget, err))
		}
	}
}

// destroyable holds Serializable to its promise: what was read before the
// decision to destroy must still be so. A nil m: it is gone, and a transaction
// that took what was in it would have taken that for the second time.
func (w *write) destroyable(m *image) error {
	cfg := &w.s.c.cfg
	if cfg.Conflict != Serializable {
		return nil
	}
	keys, err := changedReads(w.s.base, m, w.s.readSet(), nanos(cfg.Now()))
	if err == nil && len(keys) > 0 {
		err = &ConflictError{Container: cfg.Name, Keys: sortKeys(keys)}
	}
	return err
}
