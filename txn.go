package sessiondata

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
)

// Txn is a transaction over any number of sessions, containers and other
// participants. It is safe for concurrent use, and must be ended: by Commit, or
// by Rollback, which is safe to defer.
//
// It knows no session. A container joins it as any other participant does; it
// differs only in being prepared first, and in that its write decides the
// outcome where no JoinLast participant does.
type Txn struct {
	mu       sync.Mutex // guards all below, and the sessions of this transaction
	state    State
	phase    phase
	guarded  bool          // Commit and Rollback belong to Update or Run
	readOnly bool          // set by View
	parts    []Participant // in join order; decider among them
	decider  decider       // nil until a container joins
	last     Participant   // JoinLast
	before   []func(context.Context) error
	after    []func(error)
	saves    []*Savepoint   // valid ones, earliest first
	first    [1]Participant // the room of parts until there are more
	spare    *unit          // room for the first container's part; nil: none
}

// State is where a transaction stands.
type State int

// The states of a transaction.
const (
	Active State = iota
	Doomed       // open, but Commit will fail with ErrDoomed
	Committed
	RolledBack
	Unknown // Commit returned ErrOutcomeUnknown
)

// String returns the name of the state.
func (s State) String() string {
	switch s {
	case Active:
		return "active"
	case Doomed:
		return "doomed"
	case Committed:
		return "committed"
	case RolledBack:
		return "rolled back"
	case Unknown:
		return "unknown"
	}
	return fmt.Sprintf("State(%d)", int(s))
}

type phase uint8

const (
	open   phase = iota
	hooks        // Commit runs the before-commit hooks: still open for work
	closed       // no more work; Commit or Rollback is under way or over
)

// Participant takes part in a two-phase commit. It is compared with == when it
// joins: use a pointer.
type Participant interface {
	// Prepare does all that can fail. After it, Rollback must still be able to
	// undo.
	Prepare(ctx context.Context) error
	// Commit makes prepared work final. If it fails the others still commit,
	// and the outcome is ErrOutcomeUnknown.
	Commit(ctx context.Context) error
	// Rollback discards or undoes the work, in any state; calling it twice is
	// harmless.
	Rollback(ctx context.Context) error
}

// Savepointer is a Participant that can take savepoints.
type Savepointer interface {
	// Savepoint returns a function that takes the work back to this moment. It
	// may be called any number of times.
	Savepoint() (restore func() error, err error)
}

// decider is the participant that is prepared before all others and whose
// write, where it has one, is the commit's point of no return.
type decider interface {
	Participant
	Savepointer
	// empty takes back all work but stays in the transaction.
	empty()
	// company tells, before Prepare, who else takes part.
	company(others, last bool)
	// yield prepares for a JoinLast participant to decide, under the context
	// that it returns.
	yield(ctx context.Context) (context.Context, context.CancelFunc, error)
	// decide makes the outcome final. After an error that is not
	// ErrOutcomeUnknown, Rollback can still undo.
	decide(ctx context.Context) error
}

// Begin returns a new transaction. It costs nothing until it is used.
func Begin() *Txn { return new(Txn) }

// Commit runs the before-commit hooks, prepares every participant in order,
// commits them, and ends the transaction. Whatever it returns the transaction
// is over: on ErrOutcomeUnknown the work may have been done, on any other error
// everything was rolled back. The first error comes first, errors of the
// rollback are joined to it.
//
// If ctx has ended before the first write nothing is sent. After that Commit
// runs on without it, for at most Config.CommitTimeout: a commit is not
// abandoned half way.
func (tx *Txn) Commit(ctx context.Context) error {
	if err := tx.mine("Commit"); err != nil {
		return err
	}
	return tx.commit(ctx)
}

// Rollback discards everything and ends the transaction. After the end it
// returns ErrTxnDone, so deferring it is safe.
func (tx *Txn) Rollback() error {
	if err := tx.mine("Rollback"); err != nil {
		return err
	}
	return tx.rollback(errRolledBack)
}

// errRolledBack is made once: most calls of Rollback are deferred and come after
// the end.
var errRolledBack = fmt.Errorf("%w: rolled back", ErrTxnDone)

// mine refuses to end a transaction that Update, View or Run will end.
func (tx *Txn) mine(call string) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.guarded && tx.phase != closed {
		return fmt.Errorf("%w: %s of a transaction that Update, View or Run ends", ErrInvalid, call)
	}
	return nil
}

// Doom lets work go on but makes Commit fail with ErrDoomed. Rolling back to a
// savepoint does not lift it.
func (tx *Txn) Doom() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.phase != closed {
		tx.state = Doomed
	}
}

// State returns where the transaction stands. While Commit runs it is still
// Active.
func (tx *Txn) State() State {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.state
}

// Err returns nil while the transaction is open, else ErrTxnDone.
func (tx *Txn) Err() error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.err()
}

// err is Err; tx.mu is held.
func (tx *Txn) err() error {
	if tx.phase == closed {
		return ErrTxnDone
	}
	return nil
}

// Join adds a participant. Joining the same one again, or one that cannot be
// compared, is ErrInvalid.
func (tx *Txn) Join(p Participant) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.mayJoin(p); err != nil {
		return err
	}
	tx.parts = append(tx.parts, p)
	return nil
}

// JoinLast adds the one participant that cannot prepare (a plain SQL
// transaction): its Prepare is called last, as a last look, then its Commit,
// which decides the outcome, and only then the Commit of the others, in join
// order. If its Commit fails everything is rolled back, unless the error
// matches ErrOutcomeUnknown. A second one is ErrInvalid.
func (tx *Txn) JoinLast(p Participant) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.mayJoin(p); err != nil {
		return err
	}
	if tx.last != nil {
		return fmt.Errorf("%w: a second participant that decides", ErrInvalid)
	}
	tx.last = p
	return nil
}

func (tx *Txn) mayJoin(p Participant) error {
	if err := tx.err(); err != nil {
		return err
	}
	if p == nil {
		return fmt.Errorf("%w: a nil participant", ErrInvalid)
	}
	if !reflect.ValueOf(p).Comparable() {
		return fmt.Errorf("%w: a participant of type %T cannot be compared; use a pointer", ErrInvalid, p)
	}
	if p == tx.last || slices.Contains(tx.parts, p) {
		return fmt.Errorf("%w: the participant has joined already", ErrInvalid)
	}
	return nil
}

// BeforeCommit adds a hook that Commit runs before anything is prepared, in the
// order of adding. It may work with sessions, join participants and add hooks;
// an error stops the commit and rolls back.
func (tx *Txn) BeforeCommit(fn func(context.Context) error) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.err(); err != nil {
		return err
	}
	if fn == nil {
		return fmt.Errorf("%w: a nil hook", ErrInvalid)
	}
	tx.before = append(tx.before, fn)
	return nil
}

// AfterEnd adds a hook that runs once after the end, outside all locks, in the
// order of adding. err is nil after a commit, the error that Commit returned,
// the error that made Update or Run roll back, or one that matches ErrTxnDone
// after Rollback.
func (tx *Txn) AfterEnd(fn func(err error)) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.err(); err != nil {
		return err
	}
	if fn == nil {
		return fmt.Errorf("%w: a nil hook", ErrInvalid)
	}
	tx.after = append(tx.after, fn)
	return nil
}

type contextKey struct{}

// NewContext returns ctx carrying tx through request code.
func NewContext(ctx context.Context, tx *Txn) context.Context {
	return context.WithValue(ctx, contextKey{}, tx)
}

// FromContext returns the transaction that ctx carries.
func FromContext(ctx context.Context) (*Txn, bool) {
	tx, ok := ctx.Value(contextKey{}).(*Txn)
	return tx, ok && tx != nil
}
