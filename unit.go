package sessiondata

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// unit is the unit of work of one transaction: its sessions, of all containers.
// It is the participant that is prepared first and, where no JoinLast
// participant does, decides.
type unit struct {
	tx *Txn

	// Guarded by tx.mu while the transaction is open; after that it belongs to
	// Commit or Rollback.
	log      undoLog
	sessions []*Session // in order of first use
	fault    error      // a stored package was found broken

	others, last bool
	work         *write // the one session to write; nil: none
}

// unitOf returns the unit of tx, joining one where there is none.
func unitOf(tx *Txn) (*unit, error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.err(); err != nil {
		return nil, err
	}
	if tx.decider == nil {
		u := &unit{tx: tx}
		u.log.on = len(tx.saves) > 0 // earlier savepoints must be able to empty it
		tx.decider = u
		tx.parts = append(tx.parts, u)
	}
	return tx.decider.(*unit), nil
}

// place returns the session of that id: loaded, with a nil wait; or being loaded
// by another goroutine, without a session; or one that the caller is to load.
func (u *unit) place(c *Container, id string) (s *Session, wait chan struct{}, err error) {
	u.tx.mu.Lock()
	defer u.tx.mu.Unlock()
	if err := u.tx.err(); err != nil {
		return nil, nil, err
	}
	for _, s := range u.sessions {
		if s.id != id && s.newID != id || s.c.cfg.Name != c.cfg.Name || s.c.store != c.store {
			continue
		}
		switch {
		case s.c != c:
			return nil, nil, fmt.Errorf("%w: the transaction holds this session by another container of the same name", ErrInvalid)
		case s.loaded:
			return s, nil, nil
		default:
			return nil, s.loading, nil
		}
	}
	s = newSession(c, u, id)
	s.loading = make(chan struct{})
	u.sessions = append(u.sessions, s)
	return s, s.loading, nil
}

// load loads s, which place gave to this goroutine. If that fails s leaves the
// unit, and who waits for it tries for itself.
func (u *unit) load(ctx context.Context, s *Session) (err error) {
	done := false
	defer func() {
		u.tx.mu.Lock()
		defer u.tx.mu.Unlock()
		if !done && u.tx.err() == nil { // else Commit or Rollback owns the list
			u.sessions = slices.DeleteFunc(u.sessions, func(o *Session) bool { return o == s })
		}
		close(s.loading)
	}()
	m, v, codec, err := s.fetch(ctx)
	if err != nil {
		return err
	}
	u.tx.mu.Lock()
	defer u.tx.mu.Unlock()
	if err := u.tx.err(); err != nil {
		return err
	}
	s.begin(m, v, nanos(s.c.cfg.Now()))
	if s.base != nil {
		s.codec = codec
	}
	done = true
	return nil
}

// fetch reads what is stored for s now, expired or not: nil where nothing is.
func (s *Session) fetch(ctx context.Context) (*image, Version, Codec, error) {
	item, err := s.c.store.Get(ctx, s.key.name)
	if isNotFound(err) {
		return nil, Version{}, nil, nil
	}
	if err != nil {
		return nil, Version{}, nil, storeError(err)
	}
	m, err := decodeImage(item.Value, s.key)
	if err != nil {
		return nil, Version{}, nil, err
	}
	codec, err := codecOf(m.codec, s.c.cfg.Codec)
	if err != nil {
		return nil, Version{}, nil, err
	}
	return m, item.Version, codec, nil
}

// Savepoint implements Savepointer: a position in the undo log.
func (u *unit) Savepoint() (func() error, error) {
	u.tx.mu.Lock()
	defer u.tx.mu.Unlock()
	mark := u.log.mark()
	return func() error {
		u.tx.mu.Lock()
		defer u.tx.mu.Unlock()
		if err := u.tx.err(); err != nil {
			return err // Commit or Rollback came between: the work is theirs
		}
		u.log.backTo(mark)
		return nil
	}, nil
}

func (u *unit) empty() {
	u.tx.mu.Lock()
	defer u.tx.mu.Unlock()
	if u.tx.err() == nil {
		u.log.backTo(0)
	}
}

func (u *unit) company(others, last bool) { u.others, u.last = others, last }

// Prepare finds out what is to be written, and by which way.
func (u *unit) Prepare(ctx context.Context) error {
	if u.fault != nil {
		return u.fault
	}
	var changed []*Session
	for _, s := range u.sessions {
		// One that is still being loaded, by a goroutine that the commit did not
		// wait for, will answer ErrTxnDone there.
		if s.loaded && (s.status() == Modified || s.destroyed && s.base != nil) {
			changed = append(changed, s)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	if err := ended(ctx); err != nil {
		return err
	}
	slices.SortFunc(changed, func(a, b *Session) int { return cmp.Compare(a.key.name, b.key.name) })
	if len(changed) > 1 || u.others || u.last || len(u.sessions) > 1 && u.serializable() {
		return fmt.Errorf("%w: a commit of %d sessions with %d participants beside", ErrNotSupported, len(changed), len(u.tx.parts)-1)
	}
	u.work = newWrite(changed[0])
	return nil
}

func (u *unit) serializable() bool {
	return slices.ContainsFunc(u.sessions, func(s *Session) bool { return s.c.cfg.Conflict == Serializable })
}

func (u *unit) yield(context.Context) error { return nil }

// decide sends the one write, which is the decision.
func (u *unit) decide(ctx context.Context) error {
	if u.work == nil {
		return nil
	}
	budget, cancel := commitBudget(ctx, u.work.s.c.cfg.CommitTimeout)
	defer cancel()
	return u.work.run(budget, ctx)
}

// Commit records the accesses that are due, all at once. A failure of that is
// dropped: somebody was quicker, or the next access will record it.
func (u *unit) Commit(ctx context.Context) error {
	var due []*Session
	for _, s := range u.sessions {
		if s.due && s.status() == Unmodified {
			due = append(due, s)
		}
	}
	if len(due) == 0 || ctx.Err() != nil {
		return nil
	}
	ctx, cancel := commitBudget(ctx, due[0].c.cfg.CommitTimeout)
	defer cancel()
	if len(due) == 1 {
		due[0].recordAccess(ctx)
		return nil
	}
	var wg sync.WaitGroup
	for _, s := range due {
		wg.Go(func() { s.recordAccess(ctx) })
	}
	wg.Wait()
	return nil
}

// Rollback has nothing to undo: the one write is the decision itself.
func (u *unit) Rollback(context.Context) error { return nil }

// recordAccess swaps the stored body for the same with the access of now.
func (s *Session) recordAccess(ctx context.Context) {
	now := nanos(s.c.cfg.Now())
	l := s.c.lease(s.base)
	l.access = max(l.access, now)
	_ = s.c.store.CompareAndSwap(ctx, s.key.name, s.base.touched(s.key, l.access), l.ttl(now), s.version)
}

// commitBudget is the context of a commit's writes: it goes on when ctx ends,
// for at most d.
func commitBudget(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d)
}
