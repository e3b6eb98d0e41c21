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

	// Most transactions have one session: it needs no room of its own.
	first struct {
		taken   bool
		session Session
		list    [1]*Session
	}

	// What Prepare has planned.
	others, last bool
	budget       context.Context
	cancel       context.CancelFunc
	work         *write // one session, nobody else; nil: none
	joint        *joint // several sessions, or others beside; nil: none

	trace *unitTrace // nil: no container has a Trace
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

// place returns the session of that id; or, while another goroutine loads it,
// what to wait for; or, vacant, a session that the caller is to load.
func (u *unit) place(c *Container, id string) (s *Session, vacant bool, wait <-chan struct{}, err error) {
	u.tx.mu.Lock()
	defer u.tx.mu.Unlock()
	if err := u.tx.err(); err != nil {
		return nil, false, nil, err
	}
	for _, s := range u.sessions {
		if s.id != id && s.newID != id && !slices.Contains(s.others, id) || s.c.cfg.Name != c.cfg.Name || s.c.home != c.home {
			continue
		}
		switch {
		case s.c != c:
			return nil, false, nil, fmt.Errorf("%w: the transaction holds this session by another container of the same name", ErrInvalid)
		case s.loaded:
			return s, false, nil, nil
		case s.loading == nil:
			s.loading = make(chan struct{})
		}
		return nil, false, s.loading, nil
	}
	return u.newSession(c, id, c.storageKey(id)), true, nil, nil
}

// newSession adds a session. tx.mu is held.
func (u *unit) newSession(c *Container, id string, key storageKey) *Session {
	s := &u.first.session
	if u.first.taken {
		s = new(Session)
	} else {
		u.first.taken = true
		u.sessions = u.first.list[:0]
	}
	s.c, s.u, s.id, s.key = c, u, id, key
	u.observe(s)
	u.sessions = append(u.sessions, s)
	return s
}

// load loads s, which place gave to this goroutine. If that fails s leaves the
// unit, and who waits for it tries for itself.
func (u *unit) load(ctx context.Context, s *Session) (err error) {
	if s.trace != nil {
		var told func(error)
		ctx, told = u.traceLoad(ctx, s)
		defer func() { told(err) }()
	}
	done := false
	defer func() {
		u.tx.mu.Lock()
		defer u.tx.mu.Unlock()
		if !done && u.tx.err() == nil { // else Commit or Rollback owns the list
			u.sessions = slices.DeleteFunc(u.sessions, func(o *Session) bool { return o == s })
		}
		if s.loading != nil {
			close(s.loading)
		}
	}()
	t, err := u.arrive(ctx, s)
	if err != nil {
		return err
	}
	codec, err := s.c.codecFor(t.body)
	if err != nil {
		return err
	}
	u.tx.mu.Lock()
	defer u.tx.mu.Unlock()
	if err := u.tx.err(); err != nil {
		return err
	}
	s.begin(t.body, t.version, nanos(s.c.cfg.Now()))
	s.codec, s.comparable = codec, t.comparable
	done = true
	return nil
}

// arrive reads the session, following forwards from an id that was renewed: s is
// then the session under the id that they lead to, one round trip each. Where
// nothing is there any more, or what was revoked, it is a new one under the id
// asked for.
func (u *unit) arrive(ctx context.Context, s *Session) (truth, error) {
	id, key := s.id, s.key
	first, err := s.c.truth(ctx, key)
	t := first
	for n := 0; ; n++ {
		if err != nil {
			return t, err
		}
		if t.body != nil {
			if err := s.admit(ctx, &t); err != nil || t.body != nil {
				return t, err
			}
			break // it was revoked
		}
		if n == maxForwards {
			break
		}
		to, ok, ferr := s.c.follow(s.id, s.key, t.forwarded)
		if ferr != nil {
			return t, ferr
		}
		if !ok {
			break
		}
		if err := u.alias(s, to); err != nil {
			return t, err
		}
		t, err = s.c.truth(ctx, s.key)
	}
	if s.key != key && t.body == nil {
		u.tx.mu.Lock()
		defer u.tx.mu.Unlock()
		s.id, s.key, t = id, key, first
	}
	return t, nil
}

// alias makes s, which is being loaded, the session under another id. errLoaded:
// the transaction holds that already, and from now on under both ids.
func (u *unit) alias(s *Session, to string) error {
	u.tx.mu.Lock()
	defer u.tx.mu.Unlock()
	for _, o := range u.sessions {
		if o != s && o.c == s.c && (o.id == to || slices.Contains(o.others, to)) {
			o.others = append(append(o.others, s.others...), s.id)
			return errLoaded
		}
	}
	s.others = append(s.others, s.id)
	s.id, s.key = to, s.c.storageKey(to)
	return nil
}

// errLoaded never leaves this package: open looks again.
var errLoaded = errors.New("sessiondata: the session is loaded under another id")

// codecFor returns the codec of a stored session, or for a new one.
func (c *Container) codecFor(m *image) (Codec, error) {
	if m == nil || c.lease(m).expired(nanos(c.cfg.Now())) {
		return c.cfg.Codec, nil
	}
	return codecOf(m.codec, c.cfg.Codec)
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
	loaded := slices.DeleteFunc(slices.Clone(u.sessions), func(s *Session) bool { return !s.loaded })
	u.sessions = loaded
	isChanged := func(s *Session) bool { return s.status() == Modified || s.destroyed && s.base != nil }
	changed := slices.DeleteFunc(slices.Clone(loaded), func(s *Session) bool { return !isChanged(s) })
	if len(changed) > 1 || u.others || u.last {
		// A periodic renewal is worth no intents: it is left to another time.
		changed = slices.DeleteFunc(changed, func(s *Session) bool {
			if s.periodic {
				s.keepID()
			}
			return !isChanged(s)
		})
	}
	unchanged := slices.DeleteFunc(slices.Clone(loaded), isChanged)
	serializable := len(loaded) > 1 && slices.ContainsFunc(loaded, func(s *Session) bool { return s.c.cfg.Conflict == Serializable })
	if len(changed) == 0 && !serializable {
		return nil
	}
	if err := ended(ctx); err != nil {
		return err
	}
	u.budget, u.cancel = commitBudget(ctx, u.commitTimeout())
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
			return err
		}
	}
	if !serializable {
		return nil
	}
	return validate(u.budget, unchanged)
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
	ctx, cancel := commitBudget(ctx, u.commitTimeout())
	if err := u.joint.extend(u.budget, u.commitTimeout()+extendMargin); err != nil {
		cancel()
		return nil, nil, err
	}
	return ctx, cancel, nil
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
		budget, cancel := commitBudget(u.metered(ctx), u.commitTimeout())
		defer cancel()
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
	ctx, cancel := commitBudget(u.metered(ctx), u.commitTimeout())
	defer cancel()
	_ = inParallel(tasks, func(i int) error {
		if i < len(due) {
			err := due[i].recordAccess(ctx)
			due[i].recorded = err == nil
			due[i].trace.recorded(err)
		} else {
			u.joint.finish(ctx)
		}
		return nil
	})
	for _, s := range relisted {
		s.relist(ctx)
	}
	return nil
}

// Rollback takes back the intents, and the places taken in indexes of subjects.
// The single write has nothing to undo: it is the decision itself.
func (u *unit) Rollback(ctx context.Context) error {
	defer u.release()
	if slices.ContainsFunc(u.sessions, func(s *Session) bool { return s.enrolled != nil }) {
		ctx, cancel := commitBudget(ctx, u.commitTimeout())
		defer cancel()
		defer u.withdrawEnrolments(ctx)
	}
	if j := u.joint; j != nil && !j.decided {
		ctx, cancel := commitBudget(u.metered(ctx), u.commitTimeout())
		defer cancel()
		if u.trace != nil {
			u.trace.joint = j
		}
		u.joint = nil
		j.rollback(ctx)
	}
	return nil
}

// release ends the budget of Prepare.
func (u *unit) release() {
	if u.cancel != nil {
		u.cancel()
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

// commitBudget is the context of a commit's writes: it goes on when ctx ends,
// for at most d.
func commitBudget(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d)
}
