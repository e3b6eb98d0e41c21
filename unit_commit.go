package sessiondata

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// The part of the sessions in the commit of their transaction: see twophase.go.

func (u *unit) company(others, last bool) { u.others, u.last = others, last }

// Prepare finds out what is to be written, and by which way. One changed session
// and nobody else takes a single write, which decide sends; anything more is
// placed as intents here.
func (u *unit) Prepare(ctx context.Context) error {
	ctx = u.began(ctx)
	if u.fault != nil {
		return u.fault
	}
	// A session that is still being loaded, by a goroutine that the commit did
	// not wait for, will answer ErrTxnDone there.
	u.sessions = slices.DeleteFunc(u.sessions, func(s *Session) bool { return !s.loaded })
	changed := u.first.changed[:0]
	for _, s := range u.sessions {
		if s.changed() {
			changed = append(changed, s)
		}
	}
	if len(changed) > 1 || u.others || u.last {
		// A periodic renewal is worth no intents: it is left to another time.
		changed = slices.DeleteFunc(changed, func(s *Session) bool {
			if s.periodic {
				s.keepID()
			}
			return !s.changed()
		})
	}
	serializable := len(u.sessions) > 1 && slices.ContainsFunc(u.sessions, func(s *Session) bool { return s.c.cfg.Conflict == Serializable })
	if len(changed) == 0 && !serializable {
		return nil
	}
	if err := ended(ctx); err != nil {
		return err
	}
	u.budget = newBudget(ctx, u.commitTimeout())
	if err := u.enrol(u.budget, changed); err != nil {
		return err
	}
	switch {
	case len(changed) == 0:
	case len(changed) == 1 && !u.others && !u.last && !serializable:
		u.work = newWrite(changed[0])
		return nil
	default:
		for _, s := range changed {
			if s.c.home != changed[0].c.home {
				return fmt.Errorf("%w: sessions of two stores changed in one transaction", ErrNotSupported)
			}
		}
		slices.SortFunc(changed, func(a, b *Session) int { return cmp.Compare(a.key.name, b.key.name) })
		u.joint = newJoint(u, changed)
		if len(u.joint.items) > maxItems {
			return fmt.Errorf("%w: more than %d sessions changed in one transaction", ErrNotSupported, maxItems)
		}
		if err := u.joint.prepare(u.budget, ctx); err != nil {
			return u.late(ctx, err)
		}
	}
	if !serializable {
		return nil
	}
	return u.late(ctx, validate(u.budget, slices.DeleteFunc(slices.Clone(u.sessions), (*Session).changed)))
}

// late is err, or ErrUnavailable where it says no more than that the budget of
// Prepare, which is not the caller's context, has run out: nothing is decided.
func (u *unit) late(ctx context.Context, err error) error {
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) && !certain(err) {
		return fmt.Errorf("%w: preparing took all of CommitTimeout", ErrUnavailable)
	}
	return err
}

// validate loads again the sessions that were only read, where their container
// is Serializable, and refuses if what was read has changed, or might: another
// transaction over such a session is undecided.
func validate(ctx context.Context, sessions []*Session) error {
	return inParallel(len(sessions), func(i int) error {
		s := sessions[i]
		reads := s.readSet()
		if s.c.cfg.Conflict != Serializable || reads.empty() || s.fresh {
			return nil
		}
		t, err := s.c.truth(ctx, s.key)
		if err == nil && t.undecided {
			// A dead client's is settled here: no writer may come to do it.
			var m *image
			m, _, err = s.c.clean(ctx, s.key, false)
			t.body = m.body()
		}
		if err != nil {
			return undecided(err)
		}
		if s.absent(t.body) {
			t.body = nil
		}
		keys, err := changedReads(s.base, t.body, reads, nanos(s.c.cfg.Now()))
		if err == nil && len(keys) > 0 {
			err = &ConflictError{Container: s.c.cfg.Name, Keys: sortKeys(keys)}
		}
		return err
	})
}

// commitTimeout is the longest of the containers that take part.
func (u *unit) commitTimeout() time.Duration {
	var longest time.Duration
	for _, s := range u.sessions {
		longest = max(longest, s.c.cfg.CommitTimeout)
	}
	return longest
}

// yield moves the deadline of prepared intents past the context that it returns
// for the JoinLast participant's Commit.
func (u *unit) yield(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if u.joint == nil || len(u.joint.items) == 0 {
		return ctx, func() {}, nil
	}
	defer u.release() // deciding has a budget of its own
	// What extending takes is taken off the time to commit.
	last := newBudget(ctx, u.commitTimeout())
	if err := u.joint.extend(u.budget, u.commitTimeout()+extendMargin); err != nil {
		return nil, nil, err
	}
	return last, last.release, nil
}

// extendMargin is how far the deadline lies behind the end of the context: the
// time to send the decision in.
const extendMargin = time.Second

// decide sends the one write that is the decision.
func (u *unit) decide(ctx context.Context) error {
	defer u.release()
	switch {
	case u.work != nil:
		err := u.work.run(u.budget, ctx)
		if err != nil && u.work.s.periodic && u.work.mine.empty() {
			// Nothing but a periodic renewal has failed: the next use tries again.
			_ = u.work.dropRenewal()
			err = nil
		}
		return err
	case u.joint == nil || len(u.joint.items) == 0:
		return nil
	case u.last:
		budget := newBudget(u.metered(ctx), u.commitTimeout())
		defer budget.release()
		return u.joint.decide(budget, true)
	}
	return u.joint.decide(u.budget, false)
}

// Commit installs what was decided and records the accesses that are due, all at
// once. A failure of either is dropped: intents are settled by whoever meets
// them, and where an access was not recorded somebody was quicker, or the next
// one will be. Then the indexes of subjects learn what they have to.
func (u *unit) Commit(ctx context.Context) error {
	if u.trace != nil {
		u.trace.committed = true
	}
	var due, relisted []*Session
	for _, s := range u.sessions {
		if s.relists() {
			relisted = append(relisted, s)
		}
		if s.due && s.status() == Unmodified && ctx.Err() == nil {
			due = append(due, s)
		}
	}
	tasks := len(due)
	finish := u.joint != nil && u.joint.decided
	if finish {
		tasks++
	}
	if tasks == 0 && len(relisted) == 0 {
		return nil
	}
	budget := newBudget(u.metered(ctx), u.commitTimeout())
	defer budget.release()
	_ = inParallel(tasks, func(i int) error {
		if i < len(due) {
			err := due[i].recordAccess(budget)
			due[i].recorded = err == nil
			due[i].trace.recorded(err)
		} else {
			u.joint.finish(budget)
		}
		return nil
	})
	for _, s := range relisted {
		s.relist(budget)
	}
	return nil
}

// Rollback takes back the intents, and the places taken in indexes of subjects.
// The single write has nothing to undo: it is the decision itself.
func (u *unit) Rollback(ctx context.Context) error {
	defer u.release()
	if slices.ContainsFunc(u.sessions, func(s *Session) bool { return s.enrolled != nil }) {
		budget := newBudget(ctx, u.commitTimeout())
		defer budget.release()
		defer u.withdrawEnrolments(budget)
	}
	if j := u.joint; j != nil && !j.decided {
		budget := newBudget(u.metered(ctx), u.commitTimeout())
		defer budget.release()
		if u.trace != nil {
			u.trace.joint = j
		}
		u.joint = nil
		j.rollback(budget)
	}
	return nil
}

// release ends the budget of Prepare.
func (u *unit) release() {
	if u.budget != nil {
		u.budget.release()
	}
}

// inParallel calls f for 0 to n-1, all at once, and returns the error of the
// first that failed.
func inParallel(n int, f func(int) error) error {
	if n == 1 {
		return f(0)
	}
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// recordAccess swaps the stored body for the same with the access of now. Over
// an intent that is undecided it does not; but one that a dead client has left,
// or a note, is settled first: a session that is used, if only to read, must not
// end for what lies on it.
func (s *Session) recordAccess(ctx context.Context) error {
	now := nanos(s.c.cfg.Now())
	m, v := s.base, s.version
	if !s.comparable {
		var err error
		m, v, err = s.c.clean(ctx, s.key, false)
		switch {
		case err != nil:
			return err
		case m == nil || m.birth != s.base.birth || s.c.lease(m).expired(now):
			return ErrGone
		}
	}
	l := s.c.lease(m)
	l.access = max(l.access, now)
	raw, err := m.touched(s.key, l.access)
	if err != nil {
		return err
	}
	return s.c.store.CompareAndSwap(ctx, s.key.name, raw, l.ttl(now), v)
}
