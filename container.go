package sessiondata

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how a container keeps its sessions. The zero value of each field
// is its default. Containers that share a Name on one store share their
// sessions (several app servers), and should be configured alike.
type Config struct {
	Name       string         // part of every storage key; default "session"; letters, digits, '.', '_', '-'; at most 64 bytes
	Timeout    time.Duration  // idle timeout; default 1 h; NoTimeout: never
	Resolution time.Duration  // last access is recorded at most this often; default Timeout/12 (5 min under NoTimeout); shorter than Timeout
	Lifetime   time.Duration  // absolute lifetime from creation, whatever the use (OWASP session management: absolute timeout); 0: none
	RenewEvery time.Duration  // a session is given a new id when it is used, not by View, this long after it got the last; 0: never
	RenewGrace time.Duration  // how long the old id leads to the new one then, at most 256 times RenewEvery; default 30 s, or that
	Codec      Codec          // of values; default MessagePack
	Keys       []Key          // what is stored is sealed with the first and opened with any; none: stored in clear
	Conflict   ConflictPolicy // default Merge
	Resolve    Resolver       // asked for each value that two commits changed differently; nil: ErrConflict
	Attempts   int            // tries that Update makes on ErrConflict; default 10
	// CommitTimeout is the budget, in real time, of one Commit: its tries,
	// pauses, and questions after a lost reply. A commit over several sessions
	// that is not decided by then is undone by whoever meets it. Default 5 s.
	CommitTimeout time.Duration
	MaxSessions   int              // sessions of one subject (Session.SetSubject) at a time, at most MaxListed; 0: any number
	AtMaxSessions LimitPolicy      // what a login above MaxSessions does; default RefuseNew
	MaxSize       int              // largest encoded session in bytes; default 1 MiB less 2 KiB, which fits memcached's default item size
	Now           func() time.Time // default time.Now
	List          ListPolicy       // what All does over a store that cannot list; default ListError
	Trace         *Trace           // told of what happens to sessions; nil: nobody, at no cost
}

// ConflictPolicy says what a commit does when another commit changed the same
// session since it was loaded.
type ConflictPolicy int

const (
	// Merge keeps both where they changed different keys. The same key changed
	// differently, or changed to the same after it was read: Resolve, or
	// ErrConflict.
	Merge ConflictPolicy = iota
	// Serializable is Merge, and ErrConflict where a key, or a set of keys,
	// that this transaction read was changed.
	Serializable
	// Overwrite lets the last commit win, key by key; never ErrConflict.
	Overwrite
)

const (
	// MaxID is the longest session id, in bytes.
	MaxID = 1024
	// MaxName is the longest name of a package or key, in bytes.
	MaxName = 1024

	defaultName          = "session"
	defaultTimeout       = time.Hour
	defaultResolution    = 5 * time.Minute // under NoTimeout
	defaultRenewGrace    = 30 * time.Second
	defaultCommitTimeout = 5 * time.Second
	defaultMaxSize       = 1<<20 - 2<<10
	maxNameOfContainer   = 64
)

// Container is a session data container: it hands out the sessions of one kind.
// It is safe for concurrent use and holds no session between transactions.
type Container struct {
	store    Store // counting where there is a Trace
	home     Store // as it was given: by it two stores are told apart
	cfg      Config
	ring     ring
	subjects *subjects
	closed   atomic.Bool
	warned   sync.Once // of a store that cannot list
}

// NewContainer checks cfg and returns every fault in it as one error that
// matches ErrInvalid. It does not contact the store: see Ping.
func NewContainer(store Store, cfg Config) (*Container, error) {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if store == nil {
		fault("no store")
	} else if !reflect.ValueOf(store).Comparable() {
		fault("a store of type %T cannot be compared; use a pointer", store)
	}
	if len(cfg.Name) > maxNameOfContainer || strings.ContainsFunc(cfg.Name, notInName) {
		fault("Name must be at most %d letters, digits, '.', '_' or '-'", maxNameOfContainer)
	}
	if cfg.Timeout < 0 && cfg.Timeout != NoTimeout {
		fault("Timeout is negative")
	}
	if cfg.Resolution < 0 {
		fault("Resolution is negative")
	}
	if cfg.Lifetime < 0 {
		fault("Lifetime is negative")
	}
	if cfg.RenewEvery < 0 {
		fault("RenewEvery is negative")
	}
	if cfg.RenewGrace < 0 {
		fault("RenewGrace is negative")
	}
	if cfg.Codec != nil && !usableCodec(cfg.Codec) {
		fault("Codec has the id %d, which is reserved", cfg.Codec.ID())
	}
	if cfg.Conflict < Merge || cfg.Conflict > Overwrite {
		fault("Conflict is not a policy")
	}
	if cfg.Attempts < 0 {
		fault("Attempts is negative")
	}
	if cfg.CommitTimeout < 0 {
		fault("CommitTimeout is negative")
	}
	if cfg.List < ListError || cfg.List > ListEmpty {
		fault("List is not a policy")
	}
	if cfg.MaxSize < 0 || cfg.MaxSize > math.MaxInt32 {
		fault("MaxSize is not between 0 and %d", math.MaxInt32)
	}
	keys := newRing(cfg.Keys, fault)
	cfg.Keys = nil // only what was made of them is kept
	setDefaults(&cfg)
	checkLimit(&cfg, fault)
	if cfg.RenewEvery > 0 && cfg.RenewGrace > mostGrace(cfg.RenewEvery) {
		fault("RenewGrace is more than %d times RenewEvery", maxForwards)
	}
	if cfg.Timeout > 0 && cfg.Resolution >= cfg.Timeout {
		fault("Resolution %v is not shorter than Timeout %v", cfg.Resolution, cfg.Timeout)
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("%w: configuration: %s", ErrInvalid, strings.Join(faults, "; "))
	}
	c := &Container{store: store, home: store, cfg: cfg, ring: keys}
	if cfg.Trace != nil {
		c.store = meteredStore{store}
	}
	c.subjects = newSubjects(c)
	return c, nil
}

// mostGrace is the longest grace period in which an id has no more than
// maxForwards periodic renewals behind it.
func mostGrace(every time.Duration) time.Duration {
	if every > math.MaxInt64/maxForwards {
		return math.MaxInt64
	}
	return maxForwards * every
}

func setDefaults(cfg *Config) {
	if cfg.Name == "" {
		cfg.Name = defaultName
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Resolution == 0 {
		cfg.Resolution = defaultResolution
		if cfg.Timeout > 0 {
			cfg.Resolution = cfg.Timeout / 12
		}
	}
	if cfg.Codec == nil {
		cfg.Codec = MessagePack()
	}
	if cfg.RenewGrace == 0 {
		cfg.RenewGrace = defaultRenewGrace
		if cfg.RenewEvery > 0 {
			cfg.RenewGrace = min(cfg.RenewGrace, mostGrace(cfg.RenewEvery))
		}
	}
	if cfg.Attempts == 0 {
		cfg.Attempts = defaultAttempts
	}
	if cfg.CommitTimeout == 0 {
		cfg.CommitTimeout = defaultCommitTimeout
	}
	if cfg.MaxSize == 0 {
		cfg.MaxSize = defaultMaxSize
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
}

func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
}

// usableCodec reports whether a codec bears an id of its own: the ids of the
// codecs of this package are for them alone.
func usableCodec(c Codec) bool {
	switch c.(type) {
	case msgpackCodec, jsonCodec:
		return true
	}
	return c.ID() >= codecFirstUser
}

// Session returns the session of that id within tx, loading it at the first
// call, in one round trip; later calls return the same handle. An id that is
// not stored, or has expired, gives an empty session (IsNew), which is stored
// only if it is changed.
//
// Errors: ErrInvalidID, ErrTxnDone, ErrClosed; ErrUnavailable, never an empty
// session, where the store does not answer; ErrCorrupt and ErrUnsupportedVersion
// where what is stored cannot be read; ErrInvalid where tx holds the same stored
// session by another container.
func (c *Container) Session(ctx context.Context, tx *Txn, id string) (*Session, error) {
	return c.open(ctx, tx, id)
}

// Existing is Session, but ErrNotFound where nothing is stored under that id.
func (c *Container) Existing(ctx context.Context, tx *Txn, id string) (*Session, error) {
	s, err := c.open(ctx, tx, id)
	if err == nil && s.base == nil {
		return nil, ErrNotFound
	}
	return s, err
}

// New returns an empty session under a fresh random id of 256 bits, in no round
// trip. OWASP asks for at least 64 bits of entropy in a session id.
func (c *Container) New(_ context.Context, tx *Txn) (*Session, error) {
	if tx == nil {
		return nil, fmt.Errorf("%w: a nil transaction", ErrInvalid)
	}
	if c.closed.Load() {
		return nil, ErrClosed
	}
	u, err := unitOf(tx)
	if err != nil {
		return nil, err
	}
	id, now := newID(), nanos(c.cfg.Now())
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.err(); err != nil {
		return nil, err
	}
	s := u.newSession(c, id)
	s.fresh = true
	s.begin(nil, Version{}, now)
	return s, nil
}

func (c *Container) open(ctx context.Context, tx *Txn, id string) (*Session, error) {
	if tx == nil {
		return nil, fmt.Errorf("%w: a nil transaction", ErrInvalid)
	}
	if len(id) == 0 || len(id) > MaxID {
		return nil, ErrInvalidID
	}
	if c.closed.Load() {
		return nil, ErrClosed
	}
	u, err := unitOf(tx)
	if err != nil {
		return nil, err
	}
	for {
		s, vacant, wait, err := u.place(c, id)
		if err != nil {
			return nil, err
		}
		if vacant {
			err = u.load(ctx, s)
			if err == errLoaded {
				continue
			}
			return s, err
		}
		if wait == nil {
			return s, nil
		}
		select {
		case <-wait: // another goroutine has loaded it, or failed to
		case <-ctx.Done():
			return nil, ended(ctx)
		}
	}
}

// Update runs fn in a transaction of its own on the session of that id and
// commits it, as Retry does with Config.Attempts; on ErrConflict it runs fn
// again on fresh data, with growing random pauses, until Attempts or ctx end
// it. An error or a panic of fn rolls back. fn must not end the transaction:
// Commit and Rollback in it are ErrInvalid.
//
// It takes one round trip to load and one to commit, if anything was changed or
// the access is due, and two more for each other commit that came between.
func (c *Container) Update(ctx context.Context, id string, fn func(*Session) error) error {
	return Retry{Attempts: c.cfg.Attempts}.run(ctx, task{c: c, id: id, with: fn})
}

// View runs fn on a read-only session: changing it is ErrReadOnly. It counts as
// an access; that the access could not be recorded is no error.
func (c *Container) View(ctx context.Context, id string, fn func(*Session) error) error {
	return Retry{Attempts: c.cfg.Attempts}.run(ctx, task{c: c, id: id, with: fn, readOnly: true})
}

// Ping reports whether every server of the store answers.
func (c *Container) Ping(ctx context.Context) error {
	if c.closed.Load() {
		return ErrClosed
	}
	return c.store.Ping(ctx)
}

// Config returns the configuration in force: as given to NewContainer, with the
// defaults filled in.
func (c *Container) Config() Config { return c.cfg }

// Close ends the container: opening sessions is ErrClosed from now on, while
// transactions under way may still commit. The store stays open: it belongs to
// whoever made it, and other containers may use it.
func (c *Container) Close() error {
	c.closed.Store(true)
	return nil
}

// textOf32 is how many characters 32 bytes take in URL-safe base64.
const textOf32 = 43

// newID draws a session id: 256 random bits in URL-safe base64, 43 characters.
func newID() string {
	var b [32]byte
	rand.Read(b[:]) // never fails, since Go 1.24
	var text [textOf32]byte
	base64.RawURLEncoding.Encode(text[:], b[:])
	return string(text[:])
}

// storageKey is where the session of that id is stored: the container's name
// and a hash. Nothing of an id reaches a store, so no id can be a command, be
// too long, look like another's key, or be read in a dump.
func (c *Container) storageKey(id string) storageKey {
	return c.storageKeyIn(make([]byte, 0, keyRoom), id)
}

// keyRoom is the room that making a storage key may need.
const keyRoom = maxNameOfContainer + 1 + textOf32

// storageKeyIn is storageKey, made in the room given.
func (c *Container) storageKeyIn(room []byte, id string) storageKey {
	name := c.cfg.Name
	in := make([]byte, 0, 128)
	in = append(append(append(in, name...), 0), id...)
	hash := sha256.Sum256(in)
	out := append(append(room[:0], name...), ':')
	out = base64.RawURLEncoding.AppendEncode(out, hash[:])
	key := storageKey{name: string(out), sum: sumOfKey(out)}
	key.seal = c.ring.sealer(name, id)
	return key
}

// storeError makes an error of reading match an error of this package.
func storeError(err error) error {
	if certain(err) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrOutcomeUnknown) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// certain reports whether err says that a write was certainly not applied.
// Anything that a store should not have answered counts as lost.
func certain(err error) bool {
	return slices.ContainsFunc([]error{
		ErrExists, ErrConflict, ErrNotFound, ErrTooLarge, ErrUnavailable, ErrNotSupported, ErrInvalid, ErrClosed, ErrCorrupt,
	}, func(known error) bool { return errors.Is(err, known) }) && !errors.Is(err, ErrOutcomeUnknown)
}
