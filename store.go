package sessiondata

import (
	"context"
	"iter"
	"time"
)

// Store keeps encoded sessions under printable keys of at most 200 bytes (no
// space, no control character: 0x21 to 0x7e). It is all that a container asks
// of the place where sessions live. The full contract is the test suite
// storetest.Run; in short:
//
//   - All methods are safe for concurrent use, and none keeps value after it
//     returns.
//   - Every write is conditional: on absence (Add), or on the Version that was
//     read. There is no unconditional write, because one that is delayed would
//     overwrite what came after it.
//   - A write that may have been applied although its answer is missing is
//     ErrOutcomeUnknown. ErrUnavailable says that it certainly was not. An
//     error of a write that matches no error of this package counts as
//     ErrOutcomeUnknown.
//   - A value over the store's limit is ErrTooLarge, a closed store ErrClosed;
//     what was stored stays.
//   - A ttl of 0 means that the item never expires; a negative one is refused
//     with ErrInvalid. A store that counts in seconds rounds up: an item may
//     outlive its ttl by up to two seconds, but is never gone before it by
//     expiry.
//   - A ctx that has ended before anything was sent is an error that matches
//     its cause, and nothing was written; from a write it matches ErrUnavailable
//     as well, which says so.
//   - A key of another form is ErrInvalid, from every method.
type Store interface {
	// Get returns the item, or ErrNotFound. Its Value belongs to the caller.
	Get(ctx context.Context, key string) (Item, error)
	// Add stores value only where key holds nothing, else ErrExists.
	Add(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// CompareAndSwap replaces the item only if it is still the one read as v,
	// else ErrConflict, or ErrNotFound where it is gone. Equal bytes written by
	// another are a conflict all the same.
	CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v Version) error
	// CompareAndDelete removes the item only if it is still the one read as v,
	// else ErrConflict, or ErrNotFound where it is gone.
	CompareAndDelete(ctx context.Context, key string, v Version) error
	// Ping reports whether every server answers, or ErrUnavailable naming those
	// that do not.
	Ping(ctx context.Context) error
	// Close releases what the store holds. Later calls answer ErrClosed, but a
	// second Close is nil.
	Close() error
}

// maxKey is the longest key of a Store, in bytes.
const maxKey = 200

// Lister is a Store that can list its keys. The listing is not a snapshot: keys
// added or removed meanwhile may or may not be in it, every other key with the
// prefix is there exactly once. An error ends it.
type Lister interface {
	Keys(ctx context.Context, prefix string) iter.Seq2[KeyInfo, error]
}

// KeyInfo describes one stored item.
type KeyInfo struct {
	Key     string
	Size    int       // bytes of the value, or of the item where the store tells only that
	Expires time.Time // zero: never
}

// Item is what Get returns.
type Item struct {
	Value   []byte
	Version Version
}

// Version names one write of one item: no other write bears the same, of that key
// or of another. It is opaque to all but the Store that made it: compare for
// equality only. The zero Version matches no item. A store whose counters can
// start again (a restarted server) must tell the two apart by Epoch.
type Version struct{ ID, Epoch uint64 }
