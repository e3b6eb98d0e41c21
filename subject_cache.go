package sessiondata

import (
	"cmp"
	"sync"
	"time"
)

// maxStandings bounds what a container remembers of subjects: their number, and
// that of their sessions. A standing takes some 100 bytes for each.
const maxStandings = 1 << 16

// standings remembers the indexes of subjects for at most one resolution, so
// that a request costs no round trip for its subject.
type standings struct {
	mu   sync.Mutex
	of   map[subject]*standing
	size int
}

// standing is what a container knows of one subject. The index in it is not
// changed.
type standing struct {
	at    int64 // before the index was read
	index *subjectIndex
	own   map[refHash]int64 // when a commit here last brought an entry up to date
}

func (st *standing) size() int { return 1 + len(st.index.entries) + len(st.own) }

// fresh returns the index if it was read less than a resolution before now.
func (c *standings) fresh(who subject, now int64, resolution time.Duration) *subjectIndex {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.of[who]
	if st == nil || !st.holds(now, resolution) {
		return nil
	}
	return st.index
}

// holds is false where the clock has gone back, too.
func (st *standing) holds(now int64, resolution time.Duration) bool {
	return st.at <= now && now < addTime(st.at, resolution)
}

// put remembers an index that was read after at. Where what is remembered is
// newer, or knows of a later epoch, it stays: the other was overtaken on its way.
func (c *standings) put(who subject, at, now int64, ix *subjectIndex, resolution time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.of[who]
	next := &standing{at: at, index: ix}
	if st != nil {
		if newer := cmp.Or(cmp.Compare(st.index.epoch, ix.epoch), cmp.Compare(st.at, at)) > 0; newer && st.holds(now, resolution) {
			return
		}
		for ref, seen := range st.own {
			if addTime(seen, resolution) >= now {
				next.remember(ref, seen)
			}
		}
		c.size -= st.size()
	}
	if c.of == nil {
		c.of = map[subject]*standing{}
	}
	c.of[who] = next
	c.size += next.size()
	c.shrink(who)
}

func (st *standing) remember(ref refHash, seen int64) {
	if st.own == nil {
		st.own = map[refHash]int64{}
	}
	st.own[ref] = seen
}

// claim reports whether the entry of a session that was used at at is to be
// brought up to date, and that the caller is the one to do it.
func (c *standings) claim(who subject, ref refHash, at int64, resolution time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.of[who]
	if st == nil {
		return true
	}
	seen, known := st.own[ref]
	if e, ok := st.index.entries[ref]; ok {
		seen, known = max(seen, e.seen), true
	}
	if known && addTime(seen, resolution) >= at {
		return false
	}
	c.size -= st.size()
	st.remember(ref, at)
	c.size += st.size()
	return true
}

// shrink forgets subjects, any but one, while there are too many.
func (c *standings) shrink(spare subject) {
	for who, st := range c.of {
		if c.size <= maxStandings {
			return
		}
		if who != spare {
			c.size -= st.size()
			delete(c.of, who)
		}
	}
}
