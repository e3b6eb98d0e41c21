package sessiondata

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// Errors. Every error that the library returns matches one of these with
// [errors.Is], or comes from the caller's own function, context or
// participant. No error text holds a session id or a stored value.
var (
	// ErrNotFound: Existing found no such session; Store.Get no such item.
	ErrNotFound = errors.New("sessiondata: not found")
	// ErrExists: the key of Store.Add is taken; the id drawn by New is.
	ErrExists = errors.New("sessiondata: already exists")
	// ErrConflict: another commit changed what this one depends on. Nothing
	// was written; running the transaction again is always safe.
	ErrConflict = errors.New("sessiondata: conflict with another commit")
	// ErrGone: the session was destroyed, expired or evicted since it was
	// loaded. Nothing was written.
	ErrGone = errors.New("sessiondata: session is gone")
	// ErrTooLarge: the encoded session is over the limit. It is found before
	// anything is sent, and what is stored is intact.
	ErrTooLarge = errors.New("sessiondata: session is too large")
	// ErrUnavailable: the store cannot be reached, or refused. Certainly
	// nothing was written.
	ErrUnavailable = errors.New("sessiondata: store is unavailable")
	// ErrOutcomeUnknown: the write may or may not have been applied, and
	// asking again could not tell.
	ErrOutcomeUnknown = errors.New("sessiondata: outcome of the write is unknown")
	// ErrCorrupt: the stored bytes are damaged or forged. They are left as
	// they are.
	ErrCorrupt = errors.New("sessiondata: stored session is corrupt")
	// ErrUnsupportedVersion: stored by a newer version of this library, or
	// with a codec that this container does not have. Left as it is.
	ErrUnsupportedVersion = errors.New("sessiondata: stored session has an unsupported format")
	// ErrTooMany: the subject has Config.MaxSessions sessions already. Nothing
	// was written.
	ErrTooMany = errors.New("sessiondata: too many sessions of the subject")
	// ErrKeyNotFound: the package has no such key.
	ErrKeyNotFound = errors.New("sessiondata: no such key")
	// ErrInvalidID: the session id is empty or longer than MaxID bytes.
	ErrInvalidID = errors.New("sessiondata: invalid session id")
	// ErrTxnDone: the transaction has ended. Every Session, PkgData and
	// Savepoint of it answers this too.
	ErrTxnDone = errors.New("sessiondata: transaction has ended")
	// ErrDoomed: Commit of a doomed transaction; it was rolled back.
	ErrDoomed = errors.New("sessiondata: transaction is doomed")
	// ErrSavepointInvalid: an earlier savepoint was rolled back, or this one
	// was released.
	ErrSavepointInvalid = errors.New("sessiondata: savepoint is no longer valid")
	// ErrNoSavepoint: a participant that has joined cannot take savepoints.
	// Nothing was touched.
	ErrNoSavepoint = errors.New("sessiondata: a participant cannot take savepoints")
	// ErrReadOnly: a change inside View.
	ErrReadOnly = errors.New("sessiondata: session is read-only")
	// ErrNotSupported: the store, or this combination, cannot do this.
	ErrNotSupported = errors.New("sessiondata: not supported")
	// ErrValue: a value that cannot be encoded, or that cannot be decoded into
	// the type asked for.
	ErrValue = errors.New("sessiondata: value does not fit")
	// ErrInvalid: misuse, or a faulty configuration; the text names each fault.
	ErrInvalid = errors.New("sessiondata: invalid use")
	// ErrClosed: the store or the container has been closed.
	ErrClosed = errors.New("sessiondata: closed")
)

// PkgKey names one value of a session. In a [ConflictError] an empty Key with
// a Pkg stands for the set of keys of that package as well, and an empty PkgKey
// for the session's own timeout or for the set of its packages.
type PkgKey struct{ Pkg, Key string }

// ConflictError tells which values two commits changed differently, or, under
// [Serializable], which of those that this one read another has changed.
// errors.Is(err, ErrConflict) holds.
type ConflictError struct {
	Container string   // Config.Name
	Keys      []PkgKey // sorted, each once
	Attempts  int      // tries made, where Update or Retry made them; else 0
}

func (e *ConflictError) Error() string {
	var b strings.Builder
	b.WriteString(ErrConflict.Error())
	fmt.Fprintf(&b, ": container %q", e.Container)
	for i, k := range e.Keys {
		if i == 8 {
			fmt.Fprintf(&b, " and %d more", len(e.Keys)-i)
			break
		}
		fmt.Fprintf(&b, " %q/%q", k.Pkg, k.Key)
	}
	if e.Attempts > 0 {
		fmt.Fprintf(&b, " after %d tries", e.Attempts)
	}
	return b.String()
}

// Is reports whether target is ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// sortKeys sorts keys and drops those that stand twice.
func sortKeys(keys []PkgKey) []PkgKey {
	sort.Slice(keys, func(i, j int) bool { return keys[i].less(keys[j]) })
	out := keys[:0]
	for i, k := range keys {
		if i == 0 || k != keys[i-1] {
			out = append(out, k)
		}
	}
	return out
}

func (k PkgKey) less(o PkgKey) bool {
	if k.Pkg != o.Pkg {
		return k.Pkg < o.Pkg
	}
	return k.Key < o.Key
}

// joined adds a later error to the first; either may be nil.
func joined(first, later error) error {
	switch {
	case first == nil:
		return later
	case later == nil:
		return first
	}
	return errors.Join(first, later)
}

// unknown makes err match ErrOutcomeUnknown.
func unknown(err error) error {
	if errors.Is(err, ErrOutcomeUnknown) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
}

func unknownIf(doubt bool, err error) error {
	if doubt && err != nil {
		return unknown(err)
	}
	return err
}
