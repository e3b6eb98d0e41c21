package sessiondata

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// What a transaction notes for Config.Trace, and tells at its end. All of it
// hangs from two pointers, in unit and Session, that are nil without a Trace.

// meter counts the requests to stores. It travels in the context, so that it
// counts whatever is done for a transaction, by whichever goroutine.
type meter struct{ trips, read atomic.Int64 }

type meterKey struct{}

func (m *meter) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, meterKey{}, m)
}

// meteredStore is the store of a container with a Trace.
type meteredStore struct{ Store }

func (s meteredStore) count(ctx context.Context, read int) {
	if m, ok := ctx.Value(meterKey{}).(*meter); ok {
		m.trips.Add(1)
		m.read.Add(int64(read))
	}
}

func (s meteredStore) Get(ctx context.Context, key string) (Item, error) {
	item, err := s.Store.Get(ctx, key)
	s.count(ctx, len(item.Value))
	return item, err
}

func (s meteredStore) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	s.count(ctx, 0)
	return s.Store.Add(ctx, key, value, ttl)
}

func (s meteredStore) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v Version) error {
	s.count(ctx, 0)
	return s.Store.CompareAndSwap(ctx, key, value, ttl, v)
}

func (s meteredStore) CompareAndDelete(ctx context.Context, key string, v Version) error {
	s.count(ctx, 0)
	return s.Store.CompareAndDelete(ctx, key, v)
}

// unitTrace is what is noted of one transaction.
type unitTrace struct {
	meter     meter
	ctx       context.Context // of Commit; nil: there was none that prepared
	start     time.Time
	committed bool   // the decision has fallen
	joint     *joint // kept when it is rolled back
}

// sessionTrace is what is noted of one session.
type sessionTrace struct {
	key       string     // that ref was made of
	ref       SessionRef // under the id that it is stored under
	ended     *image     // what was met and had expired
	tried     bool       // recording the access was
	accessErr error
}

// writeStats is what a commit counts of the write of one session.
type writeStats struct {
	size, packages, merges, tries int

	absent bool // it was not there any more
}

// encoded notes what an intent is to make of the session.
func (s *writeStats) encoded(d *draft, key storageKey) {
	_, _, body := d.layout()
	s.size, s.packages = sizeOf(body+key.extra(), d.sections), len(d.pkgs)
}

// observe begins to note for a session of a container with a Trace. tx.mu is
// held.
func (u *unit) observe(s *Session) {
	if s.c.cfg.Trace == nil {
		return
	}
	s.trace = &sessionTrace{key: s.key.name, ref: newSessionRef(s.c, s.key.name)}
	if u.trace == nil {
		u.trace = new(unitTrace)
		u.tx.after = append(u.tx.after, u.report)
	}
}

// metered returns the context for what is sent on behalf of this transaction.
func (u *unit) metered(ctx context.Context) context.Context {
	if u.trace == nil {
		return ctx
	}
	return u.trace.meter.in(ctx)
}

// began notes that a commit prepares.
func (u *unit) began(ctx context.Context) context.Context {
	if u.trace == nil {
		return ctx
	}
	u.trace.ctx, u.trace.start = ctx, time.Now()
	return u.metered(ctx)
}

// traceLoad begins to watch the loading of s; told ends it, and is called
// outside all locks.
func (u *unit) traceLoad(ctx context.Context, s *Session) (_ context.Context, told func(error)) {
	m, start := new(meter), time.Now()
	return m.in(ctx), func(err error) {
		trips, read := m.trips.Load(), m.read.Load()
		u.trace.meter.trips.Add(trips)
		u.trace.meter.read.Add(read)
		if err == nil && !s.loaded || err == errLoaded {
			return // a panic is on its way, or it is here under another id
		}
		if s.key.name != s.trace.key {
			s.trace.ref = newSessionRef(s.c, s.key.name) // a forward has led on
		}
		t := s.c.cfg.Trace
		tell(ctx, "Loaded", t.Loaded, LoadInfo{
			Session: s.trace.ref, New: s.base == nil, Size: int(read), RoundTrips: int(trips), Took: time.Since(start), Err: err,
		})
		s.c.tellCorrupt(ctx, s.trace.ref, err)
		if s.trace.ended != nil {
			tell(ctx, "Expired", t.Expired, s.c.newStored(s.trace.ref, s.trace.ended))
		}
	}
}

// tellCorrupt tells of an error, if it says that what is stored cannot be read.
func (c *Container) tellCorrupt(ctx context.Context, ref SessionRef, err error) {
	if t := c.cfg.Trace; t != nil && (errors.Is(err, ErrCorrupt) || errors.Is(err, ErrUnsupportedVersion)) {
		tellOf(ctx, "Corrupt", t.Corrupt, ref, err)
	}
}

// recorded notes what has become of recording an access.
func (t *sessionTrace) recorded(err error) {
	if t != nil {
		t.tried, t.accessErr = true, err
	}
}

// report tells all that the transaction has done. It is an after-end hook, so it
// runs once, outside all locks.
func (u *unit) report(err error) {
	r := u.trace.collect(u, err)
	for _, s := range r.sessions {
		r.tellOf(s)
	}
	if u.trace.ctx == nil {
		return
	}
	for _, t := range r.traces() {
		r.tellCommit(t)
	}
}

// report is what is told of one transaction.
type report struct {
	*unitTrace
	err      error
	took     time.Duration
	sessions []reported
}

type reported struct {
	*Session
	work   *write // nil: it was not to be written
	done   bool   // what was to be written is
	status Status
	faults []error // packages that were found broken
}

func (t *unitTrace) collect(u *unit, err error) *report {
	r := &report{unitTrace: t, err: err}
	if t.ctx != nil {
		r.took = time.Since(t.start)
	}
	u.tx.mu.Lock()
	defer u.tx.mu.Unlock()
	if u.joint != nil {
		t.joint = u.joint
	}
	for _, s := range u.sessions {
		if s.trace == nil || !s.loaded {
			continue
		}
		one := reported{Session: s, status: s.status()}
		if u.work != nil && u.work.s == s {
			one.work, one.done = u.work, t.committed
		}
		if t.joint != nil {
			if w := t.joint.writeOf(s); w != nil {
				one.work, one.done = w, t.joint.decided
			}
		}
		for _, p := range s.pkgs {
			if p.fault != nil {
				one.faults = append(one.faults, p.fault)
			}
		}
		r.sessions = append(r.sessions, one)
	}
	return r
}

// writeOf returns the write of s; nil: there is none.
func (j *joint) writeOf(s *Session) *write {
	for _, it := range j.items {
		if it.w.s == s {
			return it.w
		}
	}
	return nil
}

func (r *report) context() context.Context {
	if r.ctx == nil {
		return context.Background() // it was rolled back
	}
	return r.ctx
}

// tellOf tells what has happened to one session.
func (r *report) tellOf(s reported) {
	ctx, t, ref := r.context(), s.c.cfg.Trace, s.trace.ref
	for _, fault := range s.faults {
		tellOf(ctx, "Corrupt", t.Corrupt, ref, fault)
	}
	switch {
	case !s.done:
	case s.created():
		tell(ctx, "Created", t.Created, s.refAfter())
	case s.status == Destroyed:
		tell(ctx, "Destroyed", t.Destroyed, ref)
	case s.base != nil && s.newID != "":
		tellOf(ctx, "Renewed", t.Renewed, ref, s.refAfter())
	}
	if !r.committed && s.work == nil {
		return
	}
	absent := s.work != nil && s.work.stats.absent
	if accessErr := s.accessDropped(r); accessErr != nil {
		tellOf(ctx, "AccessDropped", t.AccessDropped, ref, accessErr)
		absent = absent || isNotFound(accessErr)
	}
	if absent && !s.c.lease(s.base).expired(nanos(s.c.cfg.Now())) {
		tell(ctx, "Evicted", t.Evicted, ref)
	}
}

// created reports whether the commit stored the session first. A creator who
// came second has merged with what the first has stored.
func (s reported) created() bool {
	return s.done && s.status == Modified && s.base == nil && s.work.cur == nil
}

// refAfter names the session under the id that it has after the commit.
func (s reported) refAfter() SessionRef {
	if s.newID == "" {
		return s.trace.ref
	}
	return newSessionRef(s.c, s.c.storageKey(s.newID).name)
}

// accessDropped returns why an access that was due is not recorded.
func (s reported) accessDropped(r *report) error {
	switch {
	case !s.due || s.status != Unmodified || !r.committed:
		return nil
	case s.trace.tried:
		return s.trace.accessErr
	case !s.comparable:
		return errWait // an intent or a note is in the way
	}
	return ended(r.ctx)
}

// traces returns the Traces of the sessions, each once.
func (r *report) traces() (all []*Trace) {
	for _, s := range r.sessions {
		known := false
		for _, t := range all {
			known = known || t == s.c.cfg.Trace
		}
		if !known {
			all = append(all, s.c.cfg.Trace)
		}
	}
	return all
}

func (r *report) tellCommit(t *Trace) {
	info := CommitInfo{RoundTrips: int(r.meter.trips.Load()), Took: r.took, Err: r.err}
	for _, s := range r.sessions {
		if s.c.cfg.Trace != t {
			continue
		}
		one := CommittedSession{Session: s.trace.ref, Status: s.status, Created: s.created()}
		one.Accessed = s.trace.tried && s.trace.accessErr == nil
		if s.work != nil {
			stats := s.work.stats
			one.Size, one.Packages, one.Merges, one.Tries = stats.size, stats.packages, stats.merges, stats.tries
		}
		info.Sessions = append(info.Sessions, one)
	}
	var conflict *ConflictError
	if errors.As(r.err, &conflict) {
		info.Keys = conflict.Keys
	}
	switch {
	case r.err == nil:
		tell(r.ctx, "Committed", t.Committed, info)
	case errors.Is(r.err, ErrConflict) && !errors.Is(r.err, ErrOutcomeUnknown):
		tell(r.ctx, "Conflict", t.Conflict, info)
	default:
		tell(r.ctx, "Failed", t.Failed, info)
	}
}
