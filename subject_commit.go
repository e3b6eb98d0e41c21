package sessiondata

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// How a session's subject takes part in loading and committing. The index is no
// part of the commit's decision; the order of the writes is such that a process
// which dies between any two leaves a safe state:
//
//	login    index: the session is listed, with its stamp; then the session. Dies
//	         between: an entry without a session. It counts for MaxSessions until
//	         grace has passed; who meets it then drops it. Where the session was
//	         there before, and was not renewed by the login, it is listed until
//	         the entry expires, and Revoke would end it: the visitor who was just
//	         logging in, so that it is the subject's but for the last step.
//	renewal  the session; then the index, from the old name to the new. Dies
//	         between: the session is not listed, but its stamp is the one that it
//	         had, so that an epoch ends it. It lists itself again with an access
//	         that it records.
//	logout   the session; then the index. Dies between: an entry without a
//	         session, as above.
//	switch   or the subject is taken away, and the session lives on: its old
//	         subject's index; then the session. Dies between: as a renewal. The
//	         other way round Revoke could end a session that is another's by now.
//	EndOldest  index: the new one in, the oldest out; then the new session; then
//	         the oldest is removed, and a look at the index tells whether the new
//	         one is not the oldest by now. Dies before the last: the oldest lives,
//	         not listed, until it lists itself again; there being no room, it ends.
//
// There is no moment at which a session is written whose stamp the index has not
// given, so none that Revoke cannot end.

// place is where a session that is listed, or was, is stored.
type place struct {
	ref refHash
	key string
}

// enrolment is the place of a session that a commit has taken in an index.
type enrolment struct {
	key         storageKey
	ref         refHash
	made, since int64
	ended       []place // to make room
}

func newEnrolment(s *Session) *enrolment {
	key := s.nextKey()
	return &enrolment{key: key, ref: refOf(key)}
}

// admit finds out, when a session is loaded, whose it is, and whether it was
// revoked: then it reads as absent, and is removed, best effort.
func (s *Session) admit(ctx context.Context, t *truth) error {
	if t.body == nil {
		return nil
	}
	m, err := s.c.memberOf(t.body, s.id)
	if m == nil || err != nil {
		return err
	}
	now := nanos(s.c.cfg.Now())
	if who := m.who(); who != (subject{}) && !s.c.lease(t.body).expired(now) {
		x := s.c.subjects
		ix := x.cache.fresh(who, now, s.c.cfg.Resolution)
		if ix == nil {
			if ix, err = x.read(ctx, who); err != nil {
				return err
			}
		}
		spared := ix.entries[refOf(s.key)].spared
		if !ix.accepts(m.made, spared) {
			s.bury(ctx, t)
			return nil
		}
		if m.made < ix.epoch {
			s.spared = spared
		}
	}
	s.stored, s.member = m, m
	return nil
}

// bury makes a revoked session one that is absent.
func (s *Session) bury(ctx context.Context, t *truth) {
	s.buried = t.body.birth
	t.body = nil
	s.c.tellRevoked(ctx, s.key.name)
	if t.comparable && s.c.store.CompareAndDelete(ctx, s.key.name, t.version) == nil {
		t.version = Version{}
	}
}

// absent reports whether a stored session counts as none: it has expired, or is
// the one that was found revoked.
func (s *Session) absent(m *image) bool {
	return m == nil || s.c.lease(m).expired(nanos(s.c.cfg.Now())) || s.buried != 0 && m.birth == s.buried
}

// enrol takes the places of the sessions that become their subjects', and those
// that leave one off its list.
func (u *unit) enrol(ctx context.Context, changed []*Session) error {
	for _, s := range changed {
		var err error
		if s.joins() {
			m := *s.member
			s.enrolled = newEnrolment(s)
			if err = s.c.subjects.enrol(ctx, s, &m, s.enrolled); err == nil {
				s.member = &m
			}
		}
		if err == nil && s.leaves() {
			err = s.c.subjects.leave(ctx, s)
		}
		if err != nil && ctx.Err() != nil && !errors.Is(err, ErrConflict) {
			err = fmt.Errorf("%w: index of the subject's sessions: no answer within CommitTimeout", ErrUnavailable)
		}
		if err != nil {
			return undecided(err)
		}
	}
	return nil
}

// enrol lists a session that is about to be written, gives it its stamps, and
// holds its subject to MaxSessions.
func (x *subjects) enrol(ctx context.Context, s *Session, m *membership, e *enrolment) error {
	return x.update(ctx, m.subject, func(ix *subjectIndex) error {
		if x.full(ctx, ix, e.ref) && x.c.cfg.AtMaxSessions == RefuseNew {
			return ErrTooMany
		}
		now := x.now()
		m.made, m.after, m.since = max(now, ix.epoch), ix.epoch, now
		e.made, e.since = m.made, m.since
		l := s.leaseThen(now)
		ix.high = max(ix.high, m.made)
		ix.entries[e.ref] = entry{key: e.key.name, made: m.made, since: m.since, seen: now, ends: endOf(l), label: m.label}
		ix.keep(lifeOf(l, now))
		x.endOldest(ix, e, e.ref)
		return nil
	})
}

// leaseThen is the lease that the session has once it was used at access and is
// committed.
func (s *Session) leaseThen(access int64) lease {
	return lease{access: access, timeout: s.c.timeoutInForce(s.timeout), resolution: s.c.cfg.Resolution, end: s.end()}
}

// full reports whether there are MaxSessions beside one. Before it says so it
// looks whether those that are listed are there.
func (x *subjects) full(ctx context.Context, ix *subjectIndex, but refHash) bool {
	most := x.c.cfg.MaxSessions
	others := func() []refHash { return slices.DeleteFunc(ix.live(), func(r refHash) bool { return r == but }) }
	if most == 0 || len(others()) < most {
		return false
	}
	x.dropMissing(ctx, ix, others())
	return len(others()) >= most
}

// endOldest takes the sessions off an index that logged in first, while there
// are more than MaxSessions; spare is not one of them.
func (x *subjects) endOldest(ix *subjectIndex, e *enrolment, spare refHash) {
	most := x.c.cfg.MaxSessions
	if most == 0 || x.c.cfg.AtMaxSessions != EndOldest {
		return
	}
	refs := ix.live()
	slices.SortStableFunc(refs, func(a, b refHash) int { return cmp.Compare(ix.entries[a].since, ix.entries[b].since) })
	for left := len(refs); left > most && len(refs) > 0; refs = refs[1:] {
		if refs[0] != spare {
			was := ix.entries[refs[0]]
			e.ended = append(e.ended, place{refs[0], was.key})
			ix.leave(refs[0], was.made, addTime(x.now(), x.grace()))
			left--
		}
	}
}

// dropMissing drops the entries whose session is not stored, unless it may be
// about to be.
func (x *subjects) dropMissing(ctx context.Context, ix *subjectIndex, refs []refHash) {
	now := x.now()
	refs = slices.DeleteFunc(refs, func(r refHash) bool { return x.young(ix.entries[r], now) })
	for i, there := range x.c.present(ctx, ix.keys(refs)) {
		if !there {
			delete(ix.entries, refs[i])
		}
	}
}

// young reports whether the session of an entry may be about to be written.
func (x *subjects) young(e entry, now int64) bool { return addTime(e.seen, x.grace()) >= now }

// present looks which sessions are stored, in one round trip each, all at once.
// One that cannot be asked for is; one that only an intent would make is not.
func (c *Container) present(ctx context.Context, keys []string) []bool {
	there := make([]bool, len(keys))
	_ = inParallel(len(keys), func(i int) error {
		m, _, err := c.stored(ctx, newStorageKey(keys[i]))
		there[i] = err != nil || m.body() != nil
		return nil
	})
	return there
}

// withdrawEnrolments gives up the places of a commit that certainly was none,
// best effort.
func (u *unit) withdrawEnrolments(ctx context.Context) {
	for _, s := range u.sessions {
		if e := s.enrolled; e != nil {
			s.enrolled = nil
			if e.made == 0 {
				continue // refused before anything was written
			}
			_ = s.c.subjects.update(ctx, s.member.subject, func(ix *subjectIndex) error {
				if is := ix.entries[e.ref]; is.made == e.made && is.since == e.since {
					delete(ix.entries, e.ref)
				}
				return nil
			})
		}
	}
}

// relists reports whether a commit may have anything to tell an index.
func (s *Session) relists() bool {
	return (s.member != nil || s.stored != nil) && (s.status() != Unmodified || s.due)
}

// relist brings the indexes to what has been committed, best effort: they repair
// themselves.
func (s *Session) relist(ctx context.Context) {
	x, is, now := s.c.subjects, s.member.who(), newEnrolment(s)
	from := refOf(s.key) // under which it is listed
	if s.enrolled != nil {
		from = s.enrolled.ref
	}
	moved := from != now.ref
	switch {
	case s.destroyed:
		if s.stored.who() != (subject{}) {
			_ = x.leave(ctx, s)
		}
		return
	case is == (subject{}), s.status() == Unmodified && !s.recorded:
		return
	case s.enrolled != nil:
		now.ended = s.enrolled.ended
		switch {
		case x.outrun(ctx, is, from):
			now.ended = append(now.ended, place{from, s.enrolled.key.name}, place{now.ref, now.key.name})
		case moved:
			x.touch(ctx, s, now, from)
		}
	case x.cache.claim(is, now.ref, s.at, s.c.cfg.Resolution), moved,
		s.member.label != s.stored.label, s.timeout != s.storedTimeout():
		x.touch(ctx, s, now, from)
	}
	_, _ = s.c.remove(ctx, is, now.ended)
}

// outrun reports whether later logins have ended a session before it was written,
// when there was nothing to remove.
func (x *subjects) outrun(ctx context.Context, who subject, ref refHash) bool {
	if x.c.cfg.MaxSessions == 0 || x.c.cfg.AtMaxSessions != EndOldest {
		return false
	}
	ix, err := x.read(ctx, who)
	return err == nil && ix.entries[ref].left
}

// leave takes a session off the list of the subject that it has been of.
func (x *subjects) leave(ctx context.Context, s *Session) error {
	return x.update(ctx, s.stored.subject, func(ix *subjectIndex) error {
		until := addTime(x.now(), x.grace())
		ix.leave(refOf(s.key), s.stored.made, until)
		if s.movedTo != "" { // destroyed under the id that another commit has given it
			ix.leave(refOf(s.nextKey()), s.stored.made, until)
		}
		return nil
	})
}

// touch brings the entry of a session up to date after a commit, and makes one
// where it is missing. from is the name under which it was listed before.
func (x *subjects) touch(ctx context.Context, s *Session, e *enrolment, from refHash) {
	m := s.member
	_ = x.update(ctx, m.subject, func(ix *subjectIndex) error {
		now := x.now()
		old, listed := ix.entries[e.ref]
		if listed && old.left && old.made >= m.made {
			return nil // it has left meanwhile
		}
		if from != e.ref {
			if was, ok := ix.entries[from]; ok && !listed {
				old, listed = was, true
			}
			ix.leave(from, m.made, addTime(now, x.grace()))
		}
		spared := max(old.spared, s.spared)
		ix.epoch = max(ix.epoch, m.after) // an index that was lost comes to know it again
		if !ix.accepts(m.made, spared) {
			delete(ix.entries, e.ref)
			return nil
		}
		l := s.leaseThen(max(s.at, old.seen))
		ix.high = max(ix.high, m.made)
		ix.keep(lifeOf(l, now))
		ix.entries[e.ref] = entry{
			key: e.key.name, made: max(m.made, s.spared), since: m.since, seen: l.access, ends: endOf(l), spared: spared, label: m.label,
		}
		if !listed && x.full(ctx, ix, e.ref) {
			x.endOldest(ix, e, "") // perhaps this one, which has been ended before
		}
		return nil
	})
}
