package sessiondata

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Several sessions, one outcome. Nobody may see half of a transaction, and an
// undo must not erase what others did: so prepared work is not visible.
//
//	prepare   each item is swapped for its unchanged body plus an intent, in the
//	          order of the storage keys, the first (the primary) before all
//	          others; then all are read back, for their versions
//	decide    the primary is swapped for its new body, or none, without the
//	          intent, plus a note that lists the other items
//	install   the others are swapped for their new bodies; then the note goes
//	rollback  the intents are taken away, the primary's first
//
// Whoever meets an intent asks the primary (settle.go): a note means committed,
// an intent undecided, neither undone. So the one write to the primary moves all
// items from old to new at once. A client that dies leaves intents whose
// deadline, on the primary, passes; then anyone may undo them.
type joint struct {
	u     *unit
	txn   txnID
	items []*item // in the order of their keys, renewed ones last
	last  bool    // a JoinLast participant decides

	deadline int64
	decided  bool
	ttl      time.Duration // see longestTTL
}

// item is one stored item of a joint commit. A renewed session has two: its old
// one, to be removed, and the new one.
type item struct {
	w       *write
	c       *Container
	key     storageKey
	remove  bool
	renewed bool // the new item of a renewed session

	gone    bool          // destroyed by another meanwhile: nothing to do
	tried   bool          // the intent may have been placed
	ttl     time.Duration // what it was placed with
	placed  *image
	version Version // of placed
}

// newJoint plans a commit of the changed sessions, which are in the order of
// their keys.
func newJoint(u *unit, changed []*Session) *joint {
	j := &joint{u: u, txn: newTxnID(), last: u.last}
	var renewed []*item
	for _, s := range changed {
		w := newWrite(s)
		w.txn = j.txn
		it := &item{w: w, c: s.c, key: w.key, remove: s.destroyed}
		if w.renews && !s.destroyed {
			it.remove = true
			renewed = append(renewed, &item{w: w, c: s.c, key: s.c.storageKey(s.newID), renewed: true})
		}
		j.items = append(j.items, it)
	}
	j.items = append(j.items, renewed...)
	return j
}

// prepare places the intents and validates what was only read. After an error
// rollback takes away what was placed.
func (j *joint) prepare(budget, ctx context.Context) error {
	j.deadline = addTime(nanos(j.items[0].c.cfg.Now()), j.u.commitTimeout())
	j.ttl = j.longestTTL()
	for len(j.items) > 0 {
		// The primary alone goes first: an item with an intent whose primary has
		// none is one that was rolled back.
		if err := j.place(budget, ctx, j.items[0], true); err != nil {
			return undecided(err)
		}
		if !j.items[0].gone {
			break
		}
		j.items = j.items[1:]
	}
	if len(j.items) > 1 {
		if err := j.placeOthers(budget, ctx); err != nil {
			return undecided(err)
		}
	}
	return undecided(j.readBack(budget))
}

// undecided is err for a transaction that is certainly not decided: a reply that
// was lost on the way is no doubt about the outcome.
func undecided(err error) error {
	if errors.Is(err, ErrOutcomeUnknown) {
		return fmt.Errorf("%w: while preparing: %v", ErrUnavailable, err)
	}
	return err
}

// placeOthers places the intents of all items but the primary. It tries all at
// once first. Where one meets another transaction's intent it must wait, and who
// waits may hold no item behind the one it waits for, else two could wait for
// each other: so those behind are withdrawn, and placed one after the other.
func (j *joint) placeOthers(budget, ctx context.Context) error {
	var old, unknown []*item // unknown: under an id that nobody else knows, and waits for
	for _, it := range j.items[1:] {
		if it.renewed || !it.w.knownID() {
			unknown = append(unknown, it)
		} else {
			old = append(old, it)
		}
	}
	blocked := make([]bool, len(old))
	err := inParallel(len(old), func(i int) error {
		err := j.place(budget, ctx, old[i], false)
		blocked[i] = errors.Is(err, errWait)
		if blocked[i] {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	for i := range old {
		if !blocked[i] {
			continue
		}
		behind := old[i:]
		if err := inParallel(len(behind), func(i int) error { return j.withdraw(budget, behind[i]) }); err != nil {
			return err
		}
		for _, it := range behind {
			if err := j.place(budget, ctx, it, true); err != nil {
				return err
			}
		}
		break
	}
	if err := inParallel(len(unknown), func(i int) error { return j.place(budget, ctx, unknown[i], true) }); err != nil {
		return err
	}
	kept := j.items[:0]
	for _, it := range j.items {
		if !it.gone {
			kept = append(kept, it)
		}
	}
	j.items = kept
	return nil
}

// place swaps an item for itself plus an intent. Conflicts are merged as in the
// single write; where another transaction's intent is in the way it waits, or
// answers errWait.
func (j *joint) place(budget, ctx context.Context, it *item, wait bool) error {
	w := it.w
	for try := 0; ; try++ {
		if !it.renewed && (try > 0 || it.tried || !w.comparable()) {
			if gone, err := j.rebase(budget, ctx, it, try, wait); gone || err != nil {
				it.gone = gone
				return err
			}
		}
		raw, ttl, err := j.withIntent(it)
		if err != nil {
			return err
		}
		it.tried = true
		fate, err := j.put(budget, it, raw, ttl)
		if err != nil || fate == applied {
			return err
		}
		if it.renewed {
			return fmt.Errorf("%w: a session under the new id", ErrExists)
		}
	}
}

// put sends the intent. The new item of a renewed session is added, while its
// write compares the old one against what was read.
func (j *joint) put(ctx context.Context, it *item, raw []byte, ttl time.Duration) (fate, error) {
	if !it.renewed {
		return it.w.put(ctx, it.key, raw, ttl)
	}
	add := *it.w
	add.cur, add.against = nil, Version{}
	return add.put(ctx, it.key, raw, ttl)
}

// rebase is write.rebase, but a session that is to be destroyed may be gone.
func (j *joint) rebase(budget, ctx context.Context, it *item, try int, wait bool) (gone bool, err error) {
	if !it.w.s.destroyed {
		_, err = it.w.rebase(budget, ctx, try, wait)
		it.key = it.w.key // it may have been renewed
		return false, err
	}
	if err := it.w.breathe(budget, ctx, try); err != nil {
		return false, err
	}
	m, v, err := it.w.reach(budget, wait, nil)
	if err != nil {
		return false, it.w.orTired(budget, err)
	}
	it.key = it.w.key
	if m == nil || m.birth != it.w.s.base.birth {
		return true, it.w.destroyable(m)
	}
	it.w.cur, it.w.against = m, v
	return false, it.w.destroyable(m)
}

// withIntent returns the item with this transaction's intent on it.
func (j *joint) withIntent(it *item) ([]byte, time.Duration, error) {
	w := it.w
	limit, room := it.c.cfg.MaxSize, 0
	if it == j.items[0] {
		room = j.noteSize()
	}
	now := nanos(it.c.cfg.Now())
	in := &intent{txn: j.txn, primary: j.items[0].key.name, remove: it.remove, last: j.last, deadline: j.deadline}
	body := w.cur
	if it.renewed {
		body = nil
	}
	if body != nil {
		in.keepTTL = it.c.lease(body).ttl(now)
	}
	if it.remove && !w.s.destroyed && w.s.grace > 0 {
		f, _, err := w.forwardItem()
		if err != nil {
			return nil, 0, err
		}
		in.forward, in.putTTL = f, forwardTTL(w.s.grace)
		room += sectionHead + len(f.section().body)
	}
	var edits []edit
	var kept []section // of the new item of a renewed session
	if it.remove {
		if err := checkSize(headSize+tableHead+room, nil, limit); err != nil {
			return nil, 0, err
		}
	} else {
		id := w.id
		if it.renewed {
			id = w.s.newID
		}
		var d draft
		err := w.draft(&d, id)
		if err == nil {
			err = d.fits(it.key, limit-room)
		}
		if err != nil {
			return nil, 0, err
		}
		if w.s.trace != nil {
			w.stats.encoded(&d, it.key)
		}
		if it.renewed {
			pkgs := w.cur.pkgs.edited(d.pkgs)
			d.pkgs = pkgs.all() // nothing is there yet
		}
		if it.key.seal != nil {
			if it.renewed {
				d.prev = nil
			}
			if in.sealed, err = d.body(it.key, nil, limit); err != nil {
				return nil, 0, err
			}
		}
		in.head, edits, kept = d.head, d.pkgs, slices.Clip(d.sections)
		in.putTTL = it.c.leaseOf(&d.head).ttl(now)
	}
	it.ttl = j.ttl
	if !it.remove || in.forward != nil {
		it.ttl = longer(it.ttl, in.putTTL)
	}
	if body != nil {
		it.ttl = longer(it.ttl, in.keepTTL)
	}
	if it.renewed {
		raw, err := withoutBody(it.key, limit, append(kept, in.section(edits))...)
		return raw, it.ttl, err
	}
	raw, err := body.withSection(it.key, in.section(edits), limit)
	return raw, it.ttl, err
}

// noteSize is what the note will add to the primary, which must have room for
// it: once prepared, the transaction is not to fail for its size.
func (j *joint) noteSize() int {
	if !j.notes() {
		return 0
	}
	size := sectionHead + noteHead
	for _, it := range j.items[1:] {
		size += 1 + len(it.key.name)
	}
	return size
}

// notes reports whether the decision leaves a note on the primary: somebody may
// have to ask about another item, or the primary is swapped for nothing else.
func (j *joint) notes() bool { return len(j.items) > 1 || j.items[0].remove }

// longestTTL is the longest that any session of the transaction, as it was
// loaded or as it will be, is to be kept for. An item with an intent must live
// that long: it may have to be asked, or asked about, as long as any other; and
// until the deadline, however soon the sessions end.
func (j *joint) longestTTL() time.Duration {
	longest := j.u.commitTimeout().Truncate(time.Second) + time.Second
	if j.last {
		longest += 2*extendMargin + j.u.commitTimeout() // see unit.yield
	}
	for _, it := range j.items {
		s := it.w.s
		now := nanos(it.c.cfg.Now())
		longest = longer(longest, it.c.leaseOf(&head{access: now, timeout: s.timeout, end: s.end()}).ttl(now))
		if s.base != nil {
			longest = longer(longest, it.c.lease(s.base).ttl(now))
		}
	}
	return longest
}

// longer returns the longer of two TTLs, of which 0 is without end.
func longer(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}
