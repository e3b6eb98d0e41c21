package sessiondata

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// Trace is a set of functions that a container calls at what happens to its
// sessions, as net/http/httptrace has for requests. Any of them may be nil; the
// struct must not be changed after NewContainer. Several containers may share
// one.
//
// The functions are called outside all locks, in the goroutine of the call that
// they tell of, and hold it up; they may use the container. They are given the
// context of that call. What a transaction has done is told once, at its end,
// and only what is known to have happened. A panic in one is recovered and
// logged by slog.Default with its stack, for an observer must not take a
// transaction with it.
//
// Nothing here shows a session id, a storage key or a stored value, but for the
// content that Expired may read.
//
// A nil Trace costs nothing: no allocation, no look at the clock. One that is
// set costs a hash for each session of a transaction, some small allocations,
// and a counter at each request to the store.
type Trace struct {
	// Loaded: a transaction asked the store for a session.
	Loaded func(context.Context, LoadInfo)
	// Expired: a session that has ended by timeout or lifetime was met, by
	// loading or by Container.All, and reads as absent; a sealed one is met by
	// loading alone. Its last content can be read. It may be called several times
	// for one session: by each that meets it, until a new session takes its place
	// or the store drops it, which it does within one resolution of its end, or at
	// once at the end of its lifetime. A session that nobody meets in that time
	// ends without a call; to miss few, range over Container.All more often than
	// once per resolution.
	Expired func(context.Context, *Stored)
	// Corrupt: what is stored is ErrCorrupt or ErrUnsupportedVersion, and was
	// left as it is.
	Corrupt func(context.Context, SessionRef, error)

	// Committed, Conflict or Failed: one of them, once, for each Commit that got
	// as far as preparing: it succeeded; it was ErrConflict, and Update runs it
	// again; it was another error, ErrOutcomeUnknown included.
	Committed func(context.Context, CommitInfo)
	Conflict  func(context.Context, CommitInfo)
	Failed    func(context.Context, CommitInfo)

	// Created, Destroyed and Renewed tell what a commit has done to a session.
	Created   func(context.Context, SessionRef)
	Destroyed func(context.Context, SessionRef)
	Renewed   func(ctx context.Context, old, renewed SessionRef)
	// Revoked: a session was ended, or refused, because its subject was logged
	// out everywhere.
	Revoked func(context.Context, SessionRef)
	// Evicted: a session that was there when it was loaded, and whose time was
	// not over, was absent when a commit wanted to write it. The store has
	// dropped it, to make room or by a restart; or another transaction has
	// destroyed or renewed it, which from here looks the same. To tell the two
	// apart compare their rate with that of Destroyed and Renewed over all
	// processes. A session that is absent already when it is loaded cannot be
	// told from one that never was.
	Evicted func(context.Context, SessionRef)
	// AccessDropped: an access was due and could not be recorded. Mostly another
	// request was quicker (ErrConflict); the next access will record it.
	AccessDropped func(context.Context, SessionRef, error)
}

// SessionRef names a session in traces and listings, without its id; and to
// Container.Revoke.
type SessionRef struct {
	Container string // Config.Name
	// Hash is 16 hexadecimal digits of a hash of the storage key, which itself is
	// a hash: the same in every process, of no use for getting at the session.
	Hash string
}

// String returns "container/hash".
func (r SessionRef) String() string { return r.Container + "/" + r.Hash }

func newSessionRef(c *Container, key string) SessionRef {
	return SessionRef{Container: c.cfg.Name, Hash: refHashOf(key)}
}

func refHashOf(key string) string {
	hash := sha256.Sum256([]byte(key))
	return hex.EncodeToString(hash[:8])
}

// LoadInfo tells of one session being loaded.
type LoadInfo struct {
	Session    SessionRef
	New        bool          // nothing was stored, or only what has expired
	Size       int           // bytes read from the store
	RoundTrips int           // requests to the store: 1, or more where another transaction had to be asked about
	Took       time.Duration // in real time
	Err        error         // what Session answers; nil: loaded
}

// CommitInfo tells of one Commit.
type CommitInfo struct {
	Sessions []CommittedSession // of the containers with this Trace, in the order of their first use
	// RoundTrips is how many requests the whole transaction has sent, loading
	// included, to the stores of containers that have a Trace. Several may have
	// been under way at once.
	RoundTrips int
	Took       time.Duration // in real time, from preparing to the end
	Err        error         // what Commit answers
	Keys       []PkgKey      // the values that conflict, where that is known
}

// CommittedSession is what a commit did, or tried to do, with one session.
type CommittedSession struct {
	Session  SessionRef
	Status   Status // Unmodified: it was read, or its access recorded
	Created  bool   // this commit stored it first
	Accessed bool   // its access was recorded, and nothing else
	Size     int    // bytes of the session as encoded; 0: it was not
	Packages int    // packages that were encoded; all others were copied as bytes
	Merges   int    // other commits that came between and were merged with
	Tries    int    // conditional writes sent for it, until one was applied or the commit gave up
}

// tell calls a hook.
func tell[E any](ctx context.Context, event string, hook func(context.Context, E), e E) {
	if hook == nil {
		return
	}
	defer caught(event)
	hook(ctx, e)
}

// tellOf calls a hook that takes a second thing.
func tellOf[E any](ctx context.Context, event string, hook func(context.Context, SessionRef, E), s SessionRef, e E) {
	if hook == nil {
		return
	}
	defer caught(event)
	hook(ctx, s, e)
}

// caught recovers a panic of a hook; it is to be deferred. The panic's value is
// not logged, for a hook that reads a session may have put a value into it.
func caught(event string) {
	if p := recover(); p != nil {
		slog.Error("sessiondata: a function of Config.Trace panicked",
			"event", event, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
	}
}
