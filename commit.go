package sessiondata

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// The single write: one changed session, nobody else. It is the decision.
//
//	new        Add. Taken: merge with an absent base, go on as changed.
//	changed    CompareAndSwap with the version read. Conflict: merge, again.
//	           Not found, or another birth id: ErrGone.
//	destroyed  CompareAndDelete, repeated until it wins. Absent: done.
//	renewed    renew.go
//
// A write is never repeated blindly. After a lost reply the session is read
// again, and the commit ids in it tell what has become of the write: see
// write.settle.

// Pauses between the tries of one commit. They are random and grow: 32 writers
// on one session without them need 16 tries a commit (worst 182).
const (
	retryBase = 200 * time.Microsecond
	retryMax  = 20 * time.Millisecond
)

// write is the work of one commit on one session.
type write struct {
	s      *Session
	id     string // where it is stored: the new id where a new session was renewed
	key    storageKey
	fresh  bool // nothing is to be stored there yet
	renews bool
	commit uint64 // names this commit in the image and its descendants
	birth  uint64 // of a session that this commit creates
	mine   *delta // against s.base
	reads  *readSet
	txn    txnID // of a transaction over several sessions; else zero

	// What the next try compares against, and what it changes there.
	cur     *image // nil: nothing is there, or what has expired
	against Version
	todo    *delta

	stats writeStats
}

func newWrite(s *Session) *write {
	w := &write{
		s: s, id: s.id, key: s.key, fresh: s.fresh, renews: s.renewed(), commit: randomID(), birth: randomID(),
		mine: s.delta(), reads: s.readSet(),
		cur: s.base, against: s.version,
	}
	w.todo = w.mine
	if s.base == nil && s.newID != "" {
		w.id, w.key, w.against, w.fresh = s.newID, s.c.storageKey(s.newID), Version{}, true
	}
	return w
}

// comparable reports whether what was loaded can be compared against at once: it
// bore no intent or note, or a new session goes to another key anyway.
func (w *write) comparable() bool { return w.s.comparable || w.fresh }

// knownID reports whether others can know the id that is written to: it is not
// one that this transaction has drawn for a new session.
func (w *write) knownID() bool { return !w.fresh }

// randomID draws an id that no other commit or session has.
func randomID() uint64 {
	for {
		if id := rand.Uint64(); id != 0 {
			return id
		}
	}
}

// delta returns what s changes, against its base.
func (s *Session) delta() *delta {
	d := new(delta)
	if s.timeout != s.storedTimeout() {
		d.timeout = &timeoutDelta{value: s.timeout, read: s.timeoutRead}
	}
	for _, p := range s.pkgs {
		if p.dirty == 0 {
			continue
		}
		keys := make([]keyDelta, 0, p.dirty)
		for _, i := range p.changes.sorted() {
			key := p.changes.keys[i]
			keys = append(keys, keyDelta{key: key, body: p.changes.list[i].body, read: p.reads.has(key)})
		}
		d.pkgs = append(d.pkgs, pkgDelta{name: p.name, keys: keys})
	}
	d.withMember(s)
	return d
}

// readSet returns what was read of s.
func (s *Session) readSet() *readSet {
	r := &readSet{listed: s.listed, timeout: s.timeoutRead}
	for _, p := range s.pkgs {
		if len(p.reads.keys) > 0 || p.listed {
			r.pkgs = append(r.pkgs, pkgReads{name: p.name, keys: p.reads.keys, listed: p.listed})
		}
	}
	if s.memberRead {
		r.pkgs = append(r.pkgs, pkgReads{name: subjectPkg, keys: []string{labelKey, subjectKey}})
	}
	return r
}

func (r *readSet) empty() bool { return len(r.pkgs) == 0 && !r.listed && !r.timeout }

func (d *delta) empty() bool { return len(d.pkgs) == 0 && d.timeout == nil }

// image returns the bytes of the session as this commit leaves it under an id,
// and the time to keep them.
func (w *write) image(key storageKey, id string) ([]byte, time.Duration, error) {
	d, err := w.draft(id)
	if err != nil {
		return nil, 0, err
	}
	raw, err := d.encode(key, w.s.c.cfg.MaxSize)
	if err != nil {
		return nil, 0, err
	}
	w.stats.size, w.stats.packages = len(raw), len(d.pkgs)
	return raw, w.s.c.leaseOf(&d.head).ttl(nanos(w.s.c.cfg.Now())), nil
}

// draft applies todo to cur, for a session of that id.
func (w *write) draft(id string) (*draft, error) {
	cfg := &w.s.c.cfg
	now := nanos(cfg.Now())
	d := &draft{prev: w.cur}
	if w.cur != nil {
		d.head = w.cur.head
		d.revision++
		d.access = max(d.access, now)
		d.sections = w.cur.kept()
	} else {
		d.head = head{
			codec: w.s.codec.ID(), birth: w.birth, revision: 1,
			created: w.s.created, access: max(now, w.s.created), end: w.s.end(),
		}
	}
	if w.renews {
		d.sections = withRenewed(d.sections, now)
	}
	d.commit = w.commit
	if w.todo.timeout != nil {
		d.timeout = w.todo.timeout.value
	}
	pkgs, err := w.sealed(w.todo.pkgs, id)
	if err != nil {
		return nil, err
	}
	for _, p := range pkgs {
		base, err := w.cur.live(p.name, now)
		if err != nil {
			return nil, err
		}
		d.pkgs = append(d.pkgs, p.applyTo(base))
	}
	return d, nil
}

// applyTo returns the edit that puts the changed package in place of base.
func (p *pkgDelta) applyTo(base table) edit {
	edits := make([]edit, len(p.keys))
	for i, k := range p.keys {
		edits[i] = edit{name: k.key, body: k.body, drop: k.body == nil}
	}
	plan := base.plan(edits)
	if plan.n == 0 {
		return edit{name: p.name, drop: true}
	}
	return edit{name: p.name, body: plan.appendTo(make([]byte, 0, plan.size()))}
}

// run writes, until it is done or cannot be. budget bounds all of it; if ctx
// ends, it stops where certainly nothing was written.
func (w *write) run(budget, ctx context.Context) error {
	if w.s.destroyed {
		return w.destroy(budget, ctx)
	}
	if w.renews {
		if err := w.renew(budget, ctx); err != errRenewed {
			return err
		}
		if w.todo.empty() {
			return nil
		}
	}
	for try := 0; ; try++ {
		if try > 0 || !w.comparable() {
			if done, err := w.rebase(budget, ctx, try, true); done || err != nil {
				return err
			}
		}
		raw, ttl, err := w.image(w.key, w.id)
		if err != nil {
			return err
		}
		fate, err := w.put(budget, w.key, raw, ttl)
		giveBuffer(raw)
		if fate == applied || err != nil {
			return err
		}
	}
}

// fate says what has become of a write.
type fate int

const (
	applied fate = iota
	refused      // certainly not applied, for what is stored has changed
)

// put sends an image to key: Add where against is zero, else CompareAndSwap. A
// lost reply is settled, and the same write sent again where that is safe.
func (w *write) put(ctx context.Context, key storageKey, raw []byte, ttl time.Duration) (fate, error) {
	doubt := false
	for try := 0; ; try++ {
		var err error
		w.stats.tries++
		if w.against == (Version{}) {
			err = w.s.c.store.Add(ctx, key.name, raw, ttl)
		} else {
			err = w.s.c.store.CompareAndSwap(ctx, key.name, raw, ttl, w.against)
		}
		if err == nil {
			return applied, nil
		}
		changed := errors.Is(err, ErrConflict) || errors.Is(err, ErrExists) || isNotFound(err)
		if certain(err) && !doubt {
			if changed {
				return refused, nil
			}
			return refused, err
		}
		// Either this reply was lost, or an earlier one: then even a refusal may
		// be the echo of our own write.
		doubt = true
		again, fate, err := w.settle(ctx, key, try)
		if !again {
			return fate, err
		}
	}
}

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

// rebase loads what is stored, after a refusal or where the session was read
// together with an intent or note, and merges mine with it for the next try.
// Where another transaction is undecided it waits for it, or answers errWait.
// done: there is nothing left to write.
func (w *write) rebase(budget, ctx context.Context, try int, wait bool) (done bool, err error) {
	if w.fresh {
		return false, fmt.Errorf("%w: a session under the new id", ErrExists)
	}
	if err := w.breathe(budget, ctx, try); err != nil {
		return false, err
	}
	m, v, err := w.reach(budget, wait)
	if err != nil {
		return false, w.orTired(budget, err)
	}
	if w.s.absent(m) {
		if w.s.base != nil {
			w.stats.absent = m == nil
			return false, ErrGone
		}
		w.cur, w.against, w.todo = nil, v, w.mine
		return false, nil
	}
	if w.s.base != nil && m.birth != w.s.base.birth {
		return false, ErrGone // destroyed, and made anew: another session
	}
	if err := w.mergeWith(m); err != nil {
		return false, err
	}
	w.cur, w.against = m, v
	return w.todo.empty(), nil
}

// reach reads what is stored for the session now, following forwards where it
// was renewed meanwhile: it is the same session, under another id. A nil image:
// it is absent.
func (w *write) reach(ctx context.Context, wait bool) (*image, Version, error) {
	for range maxForwards {
		m, v, err := w.s.c.clean(ctx, w.key, wait)
		if err != nil || m.body() != nil {
			return m, v, err
		}
		to, ok, err := w.s.c.follow(w.id, w.key, m)
		if err != nil || !ok {
			return nil, v, err
		}
		w.moveTo(to)
	}
	return nil, Version{}, nil
}

// moveTo goes on under the id that the session was given meanwhile.
func (w *write) moveTo(id string) {
	w.id, w.key = id, w.s.c.storageKey(id)
	tx := w.s.u.tx
	tx.mu.Lock()
	defer tx.mu.Unlock()
	w.s.movedTo = id
}

// breathe pauses before another try of a write that was refused: nothing has
// been written, so it may stop there when ctx has ended.
func (w *write) breathe(budget, ctx context.Context, try int) error {
	if try > 1 && pause(budget, retryBase, retryMax, try) != nil {
		return w.tired()
	}
	return ended(ctx)
}

// orTired is err, unless it came because the budget ran out on a write that was
// refused.
func (w *write) orTired(budget context.Context, err error) error {
	if budget.Err() != nil {
		return w.tired()
	}
	return err
}

// mergeWith makes todo what mine comes to on top of theirs.
func (w *write) mergeWith(theirs *image) error {
	cfg := &w.s.c.cfg
	if theirs.codec != w.s.codec.ID() {
		// A session keeps its codec, so only two creators of different
		// configuration meet here. Run again, this one reads theirs.
		return &ConflictError{Container: cfg.Name}
	}
	m := merger{base: w.s.base, theirs: theirs, codec: w.s.codec, policy: cfg.Conflict, resolve: cfg.Resolve, now: nanos(cfg.Now())}
	merged, err := m.merge(w.mine, w.reads)
	var conflict *ConflictError
	if errors.As(err, &conflict) && conflict.Container == "" {
		conflict.Container = cfg.Name
	}
	if err == nil {
		w.todo = merged
		w.stats.merges++
	}
	return err
}

// tired is the error of a write that was refused until the budget ran out.
func (w *write) tired() error {
	if w.s.c.cfg.Conflict == Overwrite {
		return fmt.Errorf("%w: refused by other commits for all of CommitTimeout", ErrUnavailable)
	}
	return fmt.Errorf("%w: for all of CommitTimeout", ErrConflict)
}

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
		m, v, err := w.reach(budget, true)
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
	keys, err := changedReads(w.s.base, m, w.reads, nanos(cfg.Now()))
	if err == nil && len(keys) > 0 {
		err = &ConflictError{Container: cfg.Name, Keys: sortKeys(keys)}
	}
	return err
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }
