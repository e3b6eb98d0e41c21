package sessiondata

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// Session is one session within one transaction. It is safe for concurrent use
// by the goroutines of that transaction. After the transaction's end every
// method that returns an error answers ErrTxnDone and the others zero values,
// but for ID, Txn and Pkg.
type Session struct {
	c       *Container
	u       *unit
	loading chan struct{} // closed when loading has ended; nil: nobody waits for that
	loaded  bool

	// Fixed once loaded.
	id      string
	key     storageKey
	fresh   bool // the id was drawn by New: somebody else's session there is an accident
	codec   Codec
	base    *image  // nil: new
	version Version // of base, or of the expired item that a new session replaces
	// comparable: version may be compared against. It was read without an intent
	// or note of a transaction over several sessions.
	comparable bool
	created    int64
	at         int64 // when it was loaded
	due        bool

	// Changes; guarded by Txn.mu.
	pkgs        []*PkgData // handles, by name
	destroyed   bool
	newID       string        // after Renew
	grace       time.Duration // for which the old id leads to newID
	periodic    bool          // the renewal is Config.RenewEvery's
	others      []string      // ids that have led here by forwards
	movedTo     string        // by another commit, found while this one wrote
	timeout     int64         // as in head: 0 the container's
	timeoutRead bool
	listed      bool // the set of packages was read

	// The subject: see subject.go and subject_commit.go.
	stored, member *membership // as in base, and as it is now; nil: none
	memberRead     bool
	spared         int64  // the later epoch that does not count for this session; 0: there is none
	buried         uint64 // birth id of the revoked session that was found
	enrolled       *enrolment
	recorded       bool // the access was recorded alone

	bodies bodies        // of the values that were set
	trace  *sessionTrace // nil: the container has no Trace

	// Most requests touch one package: it needs no room of its own.
	first struct {
		taken bool
		pkg   PkgData
		list  [1]*PkgData
	}
}

// begin sets what is known from loading at now: m, or a new session where m is
// nil or has expired.
func (s *Session) begin(m *image, v Version, now int64) {
	s.version, s.comparable, s.at, s.loaded = v, true, now, true
	s.codec, s.created = s.c.cfg.Codec, now
	if m == nil {
		return
	}
	if s.c.lease(m).expired(now) {
		if s.trace != nil {
			s.trace.ended = m
		}
		return
	}
	s.base, s.created, s.timeout = m, m.created, m.timeout
	s.due = s.c.lease(m).due(now)
	if every := s.c.cfg.RenewEvery; every > 0 && !s.u.tx.readOnly && addTime(m.renewedAt(), every) <= now {
		s.newID, s.grace, s.periodic = newID(), s.c.cfg.RenewGrace, true
	}
}

// lease returns what decides when a stored session ends.
func (c *Container) lease(m *image) lease { return c.leaseOf(&m.head) }

func (c *Container) leaseOf(h *head) lease {
	return lease{access: h.access, timeout: c.timeoutInForce(h.timeout), resolution: c.cfg.Resolution, end: h.end}
}

func (c *Container) timeoutInForce(own int64) time.Duration {
	if own != 0 {
		return time.Duration(own)
	}
	return c.cfg.Timeout
}

// ID returns the id, after Renew the new one. After a rollback, also of the
// whole transaction, it is the old one again.
func (s *Session) ID() string {
	s.u.tx.mu.Lock()
	defer s.u.tx.mu.Unlock()
	switch {
	case s.u.tx.state == RolledBack:
	case s.newID != "":
		return s.newID
	case s.movedTo != "":
		return s.movedTo
	}
	return s.id
}

// Txn returns the transaction of this session.
func (s *Session) Txn() *Txn { return s.u.tx }

// Pkg returns the map of a package, the same handle at every call, never nil.
// Asking for an absent one stores nothing.
func (s *Session) Pkg(name string) *PkgData {
	s.u.tx.mu.Lock()
	defer s.u.tx.mu.Unlock()
	i, found := s.findPkg(name)
	switch {
	case found:
		return s.pkgs[i]
	case s.u.tx.err() != nil: // the list belongs to Commit now
		return &PkgData{s: s, name: name}
	}
	p := &s.first.pkg
	if s.first.taken {
		p = new(PkgData)
	} else {
		s.first.taken = true
		s.pkgs = s.first.list[:0]
	}
	p.s, p.name = s, name
	s.pkgs = slices.Insert(s.pkgs, i, p)
	return p
}

// findPkg returns the position of a package's handle, or where it would stand.
func (s *Session) findPkg(name string) (int, bool) {
	if n := len(s.pkgs); n > 0 { // the one used last, or one behind all
		switch last := s.pkgs[n-1].name; {
		case last == name:
			return n - 1, true
		case last < name:
			return n, false
		}
	}
	return slices.BinarySearchFunc(s.pkgs, name, func(p *PkgData, name string) int { return strings.Compare(p.name, name) })
}

// Packages returns the names of the packages that hold values, sorted.
func (s *Session) Packages() []string {
	s.u.tx.mu.Lock()
	defer s.u.tx.mu.Unlock()
	if s.u.tx.err() != nil || s.destroyed {
		return nil
	}
	s.listed = true
	var names []string
	if s.base != nil {
		stored := s.base.livePkgs(s.at)
		names = make([]string, 0, stored.n+len(s.pkgs))
		for i := range stored.n {
			name := string(stored.name(i))
			if _, touched := s.findPkg(name); !touched && name != subjectPkg {
				names = append(names, name)
			}
		}
	}
	for _, p := range s.pkgs {
		if p.name != subjectPkg && p.usable() == nil && p.count() > 0 {
			names = append(names, p.name)
		}
	}
	sort.Strings(names)
	return names
}

// DeletePkg deletes every value of a package. A value that another transaction
// adds to it meanwhile stays.
func (s *Session) DeletePkg(name string) error { return s.Pkg(name).Clear() }

// IsNew reports whether nothing was stored under the id when it was loaded, or
// only what has expired.
func (s *Session) IsNew() bool {
	s.u.tx.mu.Lock()
	defer s.u.tx.mu.Unlock()
	return s.u.tx.err() == nil && s.base == nil
}

// Created returns when the session was created: for a new one, when it was
// asked for.
func (s *Session) Created() time.Time {
	s.u.tx.mu.Lock()
	defer s.u.tx.mu.Unlock()
	if s.u.tx.err() != nil {
		return time.Time{}
	}
	return time.Unix(0, s.created).UTC()
}

// LastAccess returns the last access as stored before this transaction, exact
// to Config.Resolution; zero when new.
func (s *Session) LastAccess() time.Time {
	s.u.tx.mu.Lock()
	defer s.u.tx.mu.Unlock()
	if s.u.tx.err() != nil || s.base == nil {
		return time.Time{}
	}
	return time.Unix(0, s.base.access).UTC()
}

// AccessDue reports whether this transaction records an access even if nothing
// is changed: never for a new session, nor under NoTimeout.
func (s *Session) AccessDue() bool {
	s.u.tx.mu.Lock()
	defer s.u.tx.mu.Unlock()
	return s.u.tx.err() == nil && s.due
}

// Deadline returns the moment until which the session lives if it is not used
// after this transaction commits now: the access that it will have recorded,
// and timeout and resolution, or the end of its lifetime. Zero: never, or the
// session is destroyed. It counts as reading the timeout.
func (s *Session) Deadline() time.Time {
	s.u.tx.mu.Lock()
	defer s.u.tx.mu.Unlock()
	if s.u.tx.err() != nil || s.destroyed {
		return time.Time{}
	}
	s.readTimeout()
	l := lease{access: s.at, timeout: s.c.timeoutInForce(s.timeout), resolution: s.c.cfg.Resolution}
	l.end = s.end()
	if s.base != nil {
		l.access = s.base.access
	}
	if s.due || s.status() == Modified {
		l.access = max(l.access, nanos(s.c.cfg.Now()))
	}
	d, ok := l.deadline()
	if !ok {
		return time.Time{}
	}
	return time.Unix(0, d).UTC()
}

// end is the absolute end, 0: none.
func (s *Session) end() int64 {
	if s.base != nil {
		return s.base.end
	}
	return absoluteEnd(s.created, s.c.cfg.Lifetime)
}

// Timeout returns the idle timeout in force: the session's own, or the
// container's; NoTimeout: it does not end by idleness.
func (s *Session) Timeout() time.Duration {
	s.u.tx.mu.Lock()
	defer s.u.tx.mu.Unlock()
	if s.u.tx.err() != nil {
		return 0
	}
	s.readTimeout()
	return s.c.timeoutInForce(s.timeout)
}

// readTimeout notes that the stored timeout was read, unless it has been set by
// this transaction.
func (s *Session) readTimeout() {
	if s.timeout == s.storedTimeout() {
		s.timeoutRead = true
	}
}

// SetTimeout gives this session an idle timeout of its own, kept with it; 0: the
// container's again; NoTimeout: never. Another negative one is ErrInvalid. It
// is merged as any value is.
func (s *Session) SetTimeout(d time.Duration) error {
	s.u.tx.mu.Lock()
	defer s.u.tx.mu.Unlock()
	if err := s.changeable(); err != nil {
		return err
	}
	if d < NoTimeout {
		return fmt.Errorf("%w: a negative timeout", ErrInvalid)
	}
	before := s.timeout
	if before != int64(d) {
		s.u.log.note(func() { s.timeout = before })
		s.timeout = int64(d)
	}
	return nil
}

// changeable tells why the session cannot be changed; tx.mu is held.
func (s *Session) changeable() error {
	switch {
	case s.u.tx.err() != nil:
		return ErrTxnDone
	case s.u.tx.readOnly:
		return ErrReadOnly
	case s.destroyed:
		return fmt.Errorf("%w: destroyed in this transaction", ErrGone)
	}
	return nil
}

// Destroy ends the session at commit; from now on it reads as empty, and a
// change to it is ErrGone. It wins over writers that are in flight: they get
// ErrGone.
func (s *Session) Destroy() error {
	s.u.tx.mu.Lock()
	defer s.u.tx.mu.Unlock()
	if s.destroyed && s.u.tx.err() == nil && !s.u.tx.readOnly {
		return nil
	}
	if err := s.changeable(); err != nil {
		return err
	}
	s.u.log.note(func() { s.destroyed = false })
	s.destroyed = true
	return nil
}

// Renew draws a new random id of 256 bits. At commit the data lives under it
// alone, and the old id leads nowhere: do this at every change of privilege
// (OWASP session management). A renewed session that was never stored is stored
// under the new id, if it is changed. The commit costs a round trip more.
func (s *Session) Renew() (id string, err error) { return s.RenewAfter(0) }

// RenewAfter is Renew with a grace period, in which the old id still leads to
// the renewed session, so that requests that are on their way are not lost: its
// ID then answers the new one. Afterwards the old id is dead. A negative grace is
// ErrInvalid. It is for periodic renewal, not for a change of privilege.
func (s *Session) RenewAfter(grace time.Duration) (id string, err error) {
	s.u.tx.mu.Lock()
	defer s.u.tx.mu.Unlock()
	if err := s.changeable(); err != nil {
		return "", err
	}
	if grace < 0 {
		return "", fmt.Errorf("%w: a negative grace period", ErrInvalid)
	}
	id0, grace0, periodic0 := s.newID, s.grace, s.periodic
	s.u.log.note(func() { s.newID, s.grace, s.periodic = id0, grace0, periodic0 })
	s.newID, s.grace, s.periodic = newID(), grace, false
	return s.newID, nil
}
