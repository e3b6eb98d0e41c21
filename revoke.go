package sessiondata

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// LimitPolicy says what a login does that would give its subject more than
// Config.MaxSessions sessions.
type LimitPolicy int

const (
	// RefuseNew makes the commit of the login fail with ErrTooMany.
	RefuseNew LimitPolicy = iota
	// EndOldest ends the sessions that logged in first.
	EndOldest
)

// checkLimit tells the faults of MaxSessions, after the defaults are set.
func checkLimit(cfg *Config, fault func(string, ...any)) {
	if cfg.AtMaxSessions < RefuseNew || cfg.AtMaxSessions > EndOldest {
		fault("AtMaxSessions is not a policy")
	}
	if cfg.MaxSessions < 0 || cfg.MaxSessions > MaxListed {
		fault("MaxSessions is not between 0 and %d", MaxListed)
	} else if most := (entry{}).size() + MaxLabel; cfg.MaxSize > 0 && cfg.MaxSessions > 0 && cfg.MaxSessions > (cfg.MaxSize-listedRoom)/most {
		fault("MaxSize has no room to list MaxSessions: it takes %d bytes and %d for each", listedRoom, most)
	}
}

// SessionInfo is one session in the list of a subject's.
type SessionInfo struct {
	Ref      SessionRef // names it, for Revoke and RevokeOne
	Label    string     // see Session.SetLabel
	Since    time.Time  // when its subject was set
	LastSeen time.Time  // exact to Config.Resolution
}

// Sessions lists the sessions of a subject, those seen last first: at most
// MaxListed. It takes one round trip for the list, and one more to look which of
// them are still stored, all at once; two more if one is not, to drop it.
//
// The list may miss a session for a while, where the store has lost the list or
// a process died behind a commit: each puts itself back with the next access
// that it records. Such a one is ended by Revoke all the same.
//
// Errors: ErrInvalid as for SetSubject, ErrClosed, and what loading a session
// answers where the list cannot be read.
func (c *Container) Sessions(ctx context.Context, audience, subject string) ([]SessionInfo, error) {
	who, err := c.asked(ctx, audience, subject)
	if err != nil {
		return nil, err
	}
	x := c.subjects
	ix, err := x.read(ctx, who)
	if err != nil {
		return nil, err
	}
	refs := ix.live()
	infos, missing := make([]SessionInfo, 0, len(refs)), false
	for i, there := range c.present(ctx, ix.keys(refs)) {
		e := ix.entries[refs[i]]
		if there {
			infos = append(infos, SessionInfo{Ref: SessionRef{c.cfg.Name, string(refs[i])}, Label: e.label, Since: time.Unix(0, e.since).UTC(), LastSeen: time.Unix(0, e.seen).UTC()})
		} else {
			missing = missing || !x.young(e, x.now())
		}
	}
	if err := ended(ctx); err != nil {
		return nil, err
	}
	if missing {
		ctx := newBudget(ctx, c.cfg.CommitTimeout)
		defer ctx.release()
		_ = x.update(ctx, who, func(ix *subjectIndex) error {
			x.dropMissing(ctx, ix, ix.live())
			return nil
		})
	}
	return infos, nil
}

// Revoke ends the sessions of a subject, but for those that except names: log
// out everywhere. It takes effect at once, and stands whatever becomes of a
// transaction under way.
//
// The sessions that are listed are removed before it returns, so that also a
// commit to one that is under way is ErrGone. Any other (the store has lost the
// list, or it logs in at the same moment) is ended by the subject's epoch: this
// container accepts it no more from now on, another one from at most its
// Resolution later. It then reads as absent. A login that begins after Revoke
// has returned is not touched by it.
//
// It takes two round trips to set the epoch, and three more, each for all listed
// sessions at once, to remove them; more where other commits come between. If a
// session could not be removed there is an error that says so; the epoch is
// set, and ends it. On any other error Revoke may be called again: it is
// ErrOutcomeUnknown where the epoch may have been set.
//
// The epoch is kept as long as a session of the subject may live by what is
// listed, Config.Lifetime, or else at least 400 days; a store that evicts it
// before forgets it. Then a session that was neither listed nor used since is
// accepted again, until one that was made after the epoch records an access.
func (c *Container) Revoke(ctx context.Context, audience, subject string, except ...SessionRef) error {
	who, err := c.asked(ctx, audience, subject, except...)
	if err != nil {
		return err
	}
	spared := make(map[refHash]bool, len(except))
	for _, ref := range except {
		spared[refHash(ref.Hash)] = true
	}
	budget := newBudget(ctx, c.cfg.CommitTimeout)
	defer budget.release()
	ctx = budget
	x, epoch, listed := c.subjects, int64(0), map[refHash]string{}
	err = x.update(ctx, who, func(ix *subjectIndex) error {
		if epoch != 0 && ix.epoch >= epoch {
			return nil // set by this call, its reply lost, or by a later Revoke
		}
		now := x.now()
		if epoch <= max(ix.epoch, ix.high) { // else as before: it may have been in force since
			epoch = max(addTime(now, skewAllowance), ix.epoch+1, ix.high+1)
		}
		for ref, e := range ix.entries {
			if spared[ref] && !e.left {
				e.spared = epoch
				ix.entries[ref] = e
				continue
			}
			if !e.left {
				listed[ref] = e.key
			}
			delete(ix.entries, ref)
		}
		for ref := range spared {
			if !ix.lists(ref) {
				// Not listed, or not committed yet: it lists itself.
				ix.entries[ref] = entry{made: -1, seen: now, spared: epoch, left: true}
			}
		}
		ix.epoch, ix.high = epoch, epoch
		ix.keep(c.longestLife(now))
		return nil
	})
	if err != nil {
		return err
	}
	places := make([]place, 0, len(listed))
	for ref, key := range listed {
		places = append(places, place{ref, key})
	}
	if _, err := c.remove(ctx, who, places); err != nil {
		return fmt.Errorf("%w: revoked, but a session is not removed yet", err)
	}
	return nil
}

// longestLife is how long an epoch is kept at least: there may be sessions that
// the index does not know.
func (c *Container) longestLife(now int64) time.Duration {
	l := lease{timeout: c.cfg.Timeout, resolution: c.cfg.Resolution, end: absoluteEnd(now, c.cfg.Lifetime)}
	if l.end != 0 {
		l.timeout = NoTimeout
	}
	if life := lifeOf(l, now); life == NoTimeout || l.end != 0 {
		return life
	}
	return max(lifeOf(l, now), revokedFor)
}

// RevokeOne ends one session of a subject, as it is listed: log out that device.
// ErrNotFound: it is not listed, or has gone, perhaps by a Renew to another refHash.
// It takes one round trip for the list, two to remove the session and two to
// take it off the list.
func (c *Container) RevokeOne(ctx context.Context, audience, subject string, one SessionRef) error {
	who, err := c.asked(ctx, audience, subject, one)
	if err != nil {
		return err
	}
	ix, err := c.subjects.read(ctx, who)
	if err != nil {
		return err
	}
	ref := refHash(one.Hash)
	if !ix.lists(ref) {
		return ErrNotFound
	}
	budget := newBudget(ctx, c.cfg.CommitTimeout)
	defer budget.release()
	ctx = budget
	e := ix.entries[ref]
	removed, err := c.removeAll(ctx, []place{{ref, e.key}}, nil)
	if err != nil {
		return err
	}
	_ = c.subjects.update(ctx, who, func(ix *subjectIndex) error {
		ix.leave(ref, e.made, addTime(c.subjects.now(), c.subjects.grace()))
		return nil
	})
	if removed == 0 {
		return ErrNotFound
	}
	return nil
}

// asked checks what a caller asks for.
func (c *Container) asked(ctx context.Context, audience, name string, refs ...SessionRef) (subject, error) {
	if c.closed.Load() {
		return subject{}, ErrClosed
	}
	who, err := newSubject(audience, name)
	if err != nil {
		return who, err
	}
	for _, ref := range refs {
		if _, err := hex.DecodeString(ref.Hash); err != nil || len(ref.Hash) != refSize || ref.Container != c.cfg.Name {
			return who, fmt.Errorf("%w: a SessionRef that names no session of this container", ErrInvalid)
		}
	}
	return who, ended(ctx)
}

// remove removes sessions that were taken off the list of a subject, unless they
// are listed again by now: then they are new ones under the same ids.
func (c *Container) remove(ctx context.Context, who subject, places []place) (removed int, err error) {
	return c.removeAll(ctx, places, func() (*subjectIndex, error) { return c.subjects.read(ctx, who) })
}

// target is a session to be removed.
type target struct {
	key     storageKey
	ref     refHash
	found   bool
	version Version
	doubt   bool // a reply was lost
	removed bool
	done    bool
	err     error
}

// removeAll removes sessions whoever else writes them, all at once. Each is
// looked at before the list is read: a session that is listed is written later
// than its entry, so that what is not listed then is not a new one.
func (c *Container) removeAll(ctx context.Context, places []place, list func() (*subjectIndex, error)) (removed int, err error) {
	left := make([]*target, len(places))
	for i, p := range places {
		left[i] = &target{ref: p.ref, key: newStorageKey(p.key)}
	}
	for try := 0; ; try++ {
		_ = inParallel(len(left), func(i int) error { left[i].look(ctx, c); return nil })
		if left, removed, err = sift(left, removed, err); len(left) == 0 {
			return removed, err
		}
		if list != nil {
			ix, listErr := list()
			if listErr != nil {
				return removed, joined(err, listErr)
			}
			for _, t := range left {
				t.done = t.done || ix.lists(t.ref)
			}
		}
		_ = inParallel(len(left), func(i int) error { left[i].remove(ctx, c); return nil })
		if left, removed, err = sift(left, removed, err); len(left) == 0 {
			return removed, err
		}
		if pause(ctx, retryBase, retryMax, try) != nil {
			return removed, joined(err, fmt.Errorf("%w: a session is in use for all of CommitTimeout", ErrUnavailable))
		}
	}
}

// sift returns those of left that are not done.
func sift(left []*target, removed int, err error) ([]*target, int, error) {
	var rest []*target
	for _, t := range left {
		if !t.done {
			rest = append(rest, t)
			continue
		}
		if t.removed {
			removed++
		}
		if err == nil {
			err = t.err
		}
	}
	return rest, removed, err
}

// look reads the item. One that bears an intent or note is settled first, as by
// whoever writes it.
func (t *target) look(ctx context.Context, c *Container) {
	m, v, err := c.stored(ctx, t.key)
	t.found, t.version = false, v
	switch {
	case errors.Is(err, ErrCorrupt):
		t.done = true // nobody can use it, and it is left as it is
	case err != nil:
		t.done, t.err = true, err
	case m == nil, m.settled() && m.body() == nil:
		t.done, t.removed = true, t.doubt // a forward to where it is now is no session
	case m.settled():
		t.found = true
	default:
		if err := c.settle(ctx, t.key, m, v); err != nil && !errors.Is(err, errWait) {
			t.done, t.err = true, err
		}
	}
}

// remove removes the item that look has found.
func (t *target) remove(ctx context.Context, c *Container) {
	if t.done || !t.found {
		return
	}
	err := c.store.CompareAndDelete(ctx, t.key.name, t.version)
	if err == nil {
		c.tellRevoked(ctx, t.key.name)
	}
	switch {
	case err == nil:
		t.done, t.removed = true, true
	case isNotFound(err):
		t.done, t.removed = true, t.doubt
	case !certain(err):
		t.doubt = true
	case !errors.Is(err, ErrConflict):
		t.done, t.err = true, err
	}
}

// tellRevoked tells that a session was ended, or refused.
func (c *Container) tellRevoked(ctx context.Context, key string) {
	if t := c.cfg.Trace; t != nil {
		tell(ctx, "Revoked", t.Revoked, newSessionRef(c, key))
	}
}
