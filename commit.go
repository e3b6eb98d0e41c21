package sessiondata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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
	txn    txnID  // of a transaction over several sessions; else zero

	// What the next try compares against, and what it changes there.
	cur     *image // nil: nothing is there, or what has expired
	against Version
	todo    *delta

	stats writeStats

	// Most commits change one value of one package: these need no room of their
	// own.
	first struct {
		mine  delta
		pkgs  [1]pkgDelta
		keys  [1]keyDelta
		draft [1]edit
		table [1]tablePlan
		edits [1]edit
	}
}

func newWrite(s *Session) *write {
	w := &write{
		s: s, id: s.id, key: s.key, fresh: s.fresh, renews: s.renewed(), commit: randomID(), birth: randomID(),
		cur: s.base, against: s.version,
	}
	w.mine = &w.first.mine
	w.mine.collect(s, w.first.pkgs[:0], w.first.keys[:0])
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

// image returns the bytes of the session as this commit leaves it under an id,
// and the time to keep them.
func (w *write) image(key storageKey, id string) ([]byte, time.Duration, error) {
	var d draft
	if err := w.draft(&d, id); err != nil {
		return nil, 0, err
	}
	raw, err := d.encode(key, w.s.c.cfg.MaxSize)
	if err != nil {
		return nil, 0, err
	}
	w.stats.size, w.stats.packages = len(raw), len(d.pkgs)
	return raw, w.s.c.leaseOf(&d.head).ttl(nanos(w.s.c.cfg.Now())), nil
}

// draft makes d of todo applied to cur, for a session of that id. It is valid
// until the next.
func (w *write) draft(d *draft, id string) error {
	cfg := &w.s.c.cfg
	now := nanos(cfg.Now())
	d.prev = w.cur
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
		return err
	}
	values := 0
	for i := range pkgs {
		values += len(pkgs[i].keys)
	}
	d.pkgs = slices.Grow(w.first.draft[:0], len(pkgs))
	tables, edits := slices.Grow(w.first.table[:0], len(pkgs)), slices.Grow(w.first.edits[:0], values)
	for i := range pkgs {
		p := &pkgs[i]
		base, err := w.cur.live(p.name, now)
		if err != nil {
			return err
		}
		from := len(edits)
		for k := range p.keys {
			edits = append(edits, edit{name: p.keys[k].key, body: p.keys[k].body, drop: p.keys[k].body == nil})
		}
		tables = append(tables, base.plan(edits[from:]))
		to := edit{name: p.name, table: &tables[i]}
		if to.table.n == 0 {
			to = edit{name: p.name, drop: true}
		}
		d.pkgs = append(d.pkgs, to)
	}
	return nil
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
	m, v, err := w.reach(budget, wait, nil)
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
// it is absent. own, where it is not nil, is the forward that this commit may
// have left under the old id by now. That is not followed: behind it is our own
// copy, which is no change by another. The answer is then errOwnForward, by the
// same read, since the forward may arrive between two.
func (w *write) reach(ctx context.Context, wait bool, own *forward) (*image, Version, error) {
	for range maxForwards {
		m, v, err := w.s.c.clean(ctx, w.key, wait)
		if err != nil || m.body() != nil {
			return m, v, err
		}
		if own != nil && m != nil && m.forward != nil && bytes.Equal(m.forward.box, own.box) {
			return nil, v, errOwnForward
		}
		to, ok, err := w.s.c.follow(w.id, w.key, m)
		if err != nil || !ok {
			return nil, v, err
		}
		w.moveTo(to)
	}
	return nil, Version{}, nil
}

// errOwnForward never leaves this package.
var errOwnForward = errors.New("sessiondata: the forward of this commit")

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
	merged, err := m.merge(w.mine, w.s.readSet())
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

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }
