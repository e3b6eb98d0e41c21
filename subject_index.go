package sessiondata

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The index of a subject is one item that lists its sessions and holds its
// epoch. It is itself a session, of a container of its own on the same store: so
// it is written by compare-and-swap alone, sealed where Config.Keys is set (under
// a key derived from the subject, which the store does not show), found again
// after a lost reply, and expires by itself.
//
// Its storage key begins with Config.Name and "~subject:". No Name may hold a
// '~', so it can be no session's, and no listing of sessions has the prefix.
//
//	package "subject"   epoch, high: nanoseconds, see below
//	package "sessions"  SessionRef.Hash to entry, as bytes:
//	                    8 made, 8 since, 8 seen, 8 ends, 8 spared, 1 flags;
//	                    unless the flag 1 is set (it is not a session that is
//	                    listed): 32 hash in the storage key; the label
//
// Epochs. Every session carries a stamp, made, from when its subject was set;
// Revoke sets the index's epoch to a stamp above every one that was given. A
// session whose stamp is below the epoch has ended, listed or not, unless its
// entry says that it was spared by that epoch. Stamps are times, so that they go
// on rising if the store loses the index: they are never below the epoch or the
// stamps that the index knows, and an epoch is ahead of the clock by
// skewAllowance, for clocks that differ by less. Sessions also carry the epoch
// that they were made under: it comes back with them into an index that was
// lost.
//
// An index that is absent revokes nothing: a cache that evicts it must not log
// anybody out.
const (
	indexSuffix = "~subject"

	indexPkg   = "subject"
	epochKey   = "epoch"
	highKey    = "high"
	entriesPkg = "sessions"

	entryHead = 5*8 + 1
	entryLeft = 1
	entryKey  = sha256.Size

	// MaxListed is how many sessions of a subject are listed: those that were
	// seen last. It is also the highest Config.MaxSessions.
	MaxListed = 100
	// listedRoom is what of Config.MaxSize the entries may not use.
	listedRoom = 512

	// revokedFor is how long an epoch is kept where neither Config.Lifetime nor a
	// session that is listed says how long the subject's sessions may live: as
	// long as a browser keeps a cookie (RFC 6265bis, 5.5: 400 days).
	revokedFor = 400 * 24 * time.Hour
)

// refHash is the Hash of a SessionRef. The index has the storage keys as well,
// for Revoke, but whoever looks at a list is not shown them.
type refHash string

func refOf(key storageKey) refHash { return refHash(refHashOf(key.name)) }

// entry is what the index holds of one session; times are nanoseconds.
type entry struct {
	key    string // storage key; empty where it has left
	made   int64
	since  int64
	seen   int64
	ends   int64 // when it has certainly expired if it is not seen again; 0: never
	spared int64 // the epoch that does not count for it
	// left: it is not this subject's any more. Such an entry stays for a while,
	// lest the session be listed again by a commit that came late.
	left  bool
	label string
}

// subjectIndex is the index of one subject at one moment.
type subjectIndex struct {
	epoch, high int64
	life        time.Duration // idle timeout of the index itself
	entries     map[refHash]entry
}

// subjects keeps the indexes of one container.
type subjects struct {
	c     *Container
	inner *Container // whose sessions are the indexes
	cache standings
}

func newSubjects(c *Container) *subjects {
	return &subjects{c: c, inner: &Container{
		store: c.store, home: c.home,
		ring: c.ring,
		cfg: Config{
			Name: c.cfg.Name + indexSuffix,
			// Each index has a timeout of its own.
			Timeout: revokedFor, Resolution: c.cfg.Resolution,
			Codec: MessagePack(),
			// What is written depends on all that was read.
			Conflict:      Serializable,
			Attempts:      int(^uint(0) >> 1), // the context ends it
			CommitTimeout: c.cfg.CommitTimeout, MaxSize: c.cfg.MaxSize, Now: c.cfg.Now,
		},
	}}
}

// prefix is what the storage keys of the sessions begin with.
func (x *subjects) prefix() string { return x.c.cfg.Name + ":" }

func (x *subjects) now() int64 { return nanos(x.c.cfg.Now()) }

// grace is how long an entry may stand without its session, because the commit
// that makes it is under way.
func (x *subjects) grace() time.Duration {
	return 2*x.c.cfg.CommitTimeout + skewAllowance
}

// read returns the index as it is stored, in one round trip.
func (x *subjects) read(ctx context.Context, who subject) (*subjectIndex, error) {
	at := x.now()
	tx := Begin()
	defer tx.Rollback()
	s, err := x.inner.Session(ctx, tx, who.id())
	if err != nil {
		return nil, indexError(err)
	}
	ix, err := readIndex(s, x.prefix())
	if err != nil {
		return nil, indexError(err)
	}
	ix.settle(x.now())
	x.cache.put(who, at, x.now(), ix, x.c.cfg.Resolution)
	return ix, nil
}

// update changes the index in two round trips, and again for each other change
// that came between, as long as ctx allows. change may be called several times,
// also after its work was stored: it must come to the same each time.
func (x *subjects) update(ctx context.Context, who subject, change func(*subjectIndex) error) error {
	at := x.now()
	for try := 0; ; try++ {
		var ix *subjectIndex
		err := x.inner.Update(ctx, who.id(), func(s *Session) (err error) {
			if ix, err = readIndex(s, x.prefix()); err != nil {
				return err
			}
			ix.settle(x.now())
			if err = change(ix); err != nil {
				return err
			}
			ix.trim(x.c.cfg.MaxSize - listedRoom)
			return ix.writeTo(s)
		})
		if err == nil {
			x.cache.put(who, at, x.now(), ix, x.c.cfg.Resolution)
			return nil
		}
		// Gone: evicted meanwhile. An unknown outcome: the next look tells.
		if again := errors.Is(err, ErrGone) || errors.Is(err, ErrOutcomeUnknown); !again || pause(ctx, retryBase, retryMax, try) != nil {
			return indexError(err)
		}
	}
}

// indexError says where err comes from. The keys of a conflict stay out of it:
// they are those of sessions.
func indexError(err error) error {
	if conflict := (*ConflictError)(nil); errors.As(err, &conflict) {
		err = ErrConflict
	}
	return fmt.Errorf("%w: index of the subject's sessions", err)
}

// readIndex reads an index, an empty one where there is none. All storage keys in
// it have the prefix.
func readIndex(s *Session, prefix string) (*subjectIndex, error) {
	ix := &subjectIndex{life: s.Timeout(), entries: map[refHash]entry{}}
	if s.IsNew() {
		ix.life = 0
	}
	var errEpoch, errHigh error
	ix.epoch, errEpoch = GetOr(s.Pkg(indexPkg), epochKey, ix.epoch)
	ix.high, errHigh = GetOr(s.Pkg(indexPkg), highKey, ix.high)
	// All would show a broken package empty; no entry has an empty name.
	entries := s.Pkg(entriesPkg).Get("", nil)
	if errEpoch != nil || errHigh != nil || !errors.Is(entries, ErrKeyNotFound) {
		return nil, fmt.Errorf("%w: stamps or entries", ErrCorrupt)
	}
	for ref, v := range s.Pkg(entriesPkg).All() {
		var b []byte
		if err := v.Decode(&b); err != nil {
			return nil, fmt.Errorf("%w: entry", ErrCorrupt)
		}
		e, ok := parseEntry(b, prefix)
		if !ok {
			return nil, fmt.Errorf("%w: entry", ErrCorrupt)
		}
		ix.entries[refHash(ref)] = e
	}
	return ix, nil
}

// writeTo stores the index; what is the same is not written, nor an index that
// says nothing.
func (ix *subjectIndex) writeTo(s *Session) error {
	if s.IsNew() && ix.high == 0 {
		return nil
	}
	p := s.Pkg(entriesPkg)
	for _, ref := range p.Keys() {
		if _, ok := ix.entries[refHash(ref)]; !ok {
			_ = p.Delete(ref) // that the transaction has ended, the last call says too
		}
	}
	for ref, e := range ix.entries {
		_ = p.Set(string(ref), e.bytes())
	}
	_ = s.Pkg(indexPkg).Set(epochKey, ix.epoch)
	_ = s.Pkg(indexPkg).Set(highKey, ix.high)
	return s.SetTimeout(ix.life)
}

func (e entry) bytes() []byte {
	b := make([]byte, 0, entryHead+entryKey+len(e.label))
	for _, n := range []int64{e.made, e.since, e.seen, e.ends, e.spared} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	if e.left {
		return append(b, entryLeft)
	}
	hash, _ := base64.RawURLEncoding.DecodeString(e.key[strings.LastIndexByte(e.key, ':')+1:]) // as storageKey has made it
	return append(append(append(b, 0), hash...), e.label...)
}

func parseEntry(b []byte, prefix string) (e entry, ok bool) {
	if len(b) < entryHead {
		return e, false
	}
	n := func(i int) int64 { return int64(binary.LittleEndian.Uint64(b[8*i:])) }
	e = entry{made: n(0), since: n(1), seen: n(2), ends: n(3), spared: n(4), left: b[entryHead-1]&entryLeft != 0}
	if b = b[entryHead:]; e.left {
		return e, len(b) == 0
	}
	if len(b) < entryKey {
		return e, false
	}
	e.key, e.label = prefix+base64.RawURLEncoding.EncodeToString(b[:entryKey]), string(b[entryKey:])
	return e, true
}

// settle drops what the index says for itself is over: entries that have
// expired, and those that the epoch ends.
func (ix *subjectIndex) settle(now int64) {
	maps.DeleteFunc(ix.entries, func(_ refHash, e entry) bool {
		return e.ends != 0 && e.ends < now || !ix.accepts(e.made, e.spared)
	})
}

// accepts reports whether a session of that stamp, spared by that epoch, is in
// force.
func (ix *subjectIndex) accepts(made, spared int64) bool {
	return made >= ix.epoch || spared >= ix.epoch
}

// live returns the sessions that are listed, those seen last first.
func (ix *subjectIndex) live() []refHash {
	refs := make([]refHash, 0, len(ix.entries))
	for ref, e := range ix.entries {
		if !e.left {
			refs = append(refs, ref)
		}
	}
	slices.SortFunc(refs, func(a, b refHash) int {
		x, y := ix.entries[a], ix.entries[b]
		return cmp.Or(cmp.Compare(y.seen, x.seen), cmp.Compare(y.since, x.since), cmp.Compare(a, b))
	})
	return refs
}

// keys returns the storage keys of sessions that are listed.
func (ix *subjectIndex) keys(refs []refHash) []string {
	keys := make([]string, len(refs))
	for i, ref := range refs {
		keys[i] = ix.entries[ref].key
	}
	return keys
}

// lists reports whether the index has the session of that name.
func (ix *subjectIndex) lists(ref refHash) bool {
	e, ok := ix.entries[ref]
	return ok && !e.left
}

// leave notes that a session is not the subject's any more.
func (ix *subjectIndex) leave(ref refHash, made, until int64) {
	if e, ok := ix.entries[ref]; ok && e.made > made {
		return // it has come back since
	}
	ix.entries[ref] = entry{made: max(made, ix.epoch), ends: until, left: true}
}

// trim bounds the index: those that have left go first, then those that were
// seen longest ago, but for those that an epoch has spared, which the entry
// alone keeps.
func (ix *subjectIndex) trim(room int) {
	size := 0
	for _, e := range ix.entries {
		size += e.size()
	}
	if len(ix.entries) <= MaxListed && size <= room {
		return
	}
	rank := func(e entry) int {
		switch {
		case e.made < ix.epoch:
			return 2
		case e.left:
			return 0
		}
		return 1
	}
	refs := slices.SortedFunc(maps.Keys(ix.entries), func(a, b refHash) int {
		x, y := ix.entries[a], ix.entries[b]
		return cmp.Or(cmp.Compare(rank(x), rank(y)), cmp.Compare(x.seen, y.seen), cmp.Compare(x.since, y.since), cmp.Compare(a, b))
	})
	for _, ref := range refs {
		if len(ix.entries) <= 1 || len(ix.entries) <= MaxListed && size <= room {
			return
		}
		size -= ix.entries[ref].size()
		delete(ix.entries, ref)
	}
}

// size bounds what an entry takes of the item: its name, its places in the
// table, and what stands before bytes in MessagePack.
func (e entry) size() int { return entryHead + entryKey + len(e.label) + refSize + 2*4 + 3 }

const refSize = 16

// keep makes the index live for at least d without being written.
func (ix *subjectIndex) keep(d time.Duration) {
	if ix.life != NoTimeout && (d == NoTimeout || d > ix.life) {
		ix.life = d
	}
}

// lifeOf is how long the index must be kept for a session of that lease. The
// index may be behind the session by one resolution.
func lifeOf(l lease, now int64) time.Duration {
	switch {
	case l.timeout != NoTimeout:
		return time.Duration(addTime(addTime(int64(l.timeout), l.resolution), l.resolution))
	case l.end != 0:
		return time.Duration(addTime(max(addTime(l.end, time.Duration(-clampNeg(now))), 1), l.resolution))
	}
	return NoTimeout
}

// endOf is when a session of that lease has certainly expired, in an entry that
// may be behind it by one resolution; 0: never.
func endOf(l lease) int64 {
	d, ok := l.deadline()
	if !ok {
		return 0
	}
	return addTime(d, l.resolution)
}
