package sessiondata

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
		changed [1]*Session
	}

	// What Prepare has planned.
	others, last bool
	budget       *budget
	work         *write // one session, nobody else; nil: none
	joint        *joint // several sessions, or others beside; nil: none

	trace *unitTrace // nil: no container has a Trace

	keyRoom [keyRoom]byte // guarded by tx.mu
}

// unitOf returns the unit of tx, joining one where there is none.
func unitOf(tx *Txn) (*unit, error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.err(); err != nil {
		return nil, err
	}
	if tx.decider == nil {
		u := tx.spare
		if u == nil {
			u = new(unit)
		}
		u.tx = tx
		u.log.on = len(tx.saves) > 0 // earlier savepoints must be able to empty it
		tx.decider = u
		if tx.parts == nil {
			tx.parts = tx.first[:0]
		}
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
	return u.newSession(c, id), true, nil, nil
}

// newSession adds a session. tx.mu is held.
func (u *unit) newSession(c *Container, id string) *Session {
	s := &u.first.session
	if u.first.taken {
		s = new(Session)
	} else {
		u.first.taken = true
		u.sessions = u.first.list[:0]
	}
	s.c, s.u, s.id, s.key = c, u, id, c.storageKeyIn(u.keyRoom[:], id)
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
	now := nanos(s.c.cfg.Now())
	codec, err := s.c.codecFor(t.body, now)
	if err != nil {
		return err
	}
	u.tx.mu.Lock()
	defer u.tx.mu.Unlock()
	if err := u.tx.err(); err != nil {
		return err
	}
	s.begin(t.body, t.version, now)
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
func (c *Container) codecFor(m *image, now int64) (Codec, error) {
	if m == nil || c.lease(m).expired(now) {
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
