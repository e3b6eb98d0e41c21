package sessiondata

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"time"
)

// ListPolicy says what All does where the store cannot list its keys.
type ListPolicy int

const (
	// ListError makes All answer ErrNotSupported.
	ListError ListPolicy = iota
	// ListEmpty makes All range over nothing, with one warning by slog.Default
	// for each container.
	ListEmpty
)

// All ranges over the stored sessions of this container, in no order, for
// administration and statistics. It reads and changes nothing: it is no access of
// a session, records none, and removes nothing, also not what has expired.
//
// Each session comes once, as it is when it is read; it is no snapshot of all of
// them, and those stored or ended meanwhile may be missed. What other containers
// keep in the store, expired sessions, and changes that are not committed are not
// shown. A session whose transaction over several sessions is decided but not
// installed is shown as it will be.
//
// A pair of a *Stored and an error is a session that could not be read:
// ErrCorrupt, ErrUnsupportedVersion, or the store's error; the range goes on
// behind it. An error with a nil *Stored ends the range: ErrClosed, the end of
// ctx, the error of the store's listing, or ErrNotSupported where the store
// cannot list (see Config.List).
//
// Sealed sessions (Config.Keys) cannot be opened here, since their keys come from
// the ids, which are nowhere in the store: they come with Ref, Size and Expires
// alone, and expired ones among them cannot be told.
//
// It costs one listing of the store, and one round trip for each session, one
// after the other. In the eyes of a store that evicts what was least recently
// used, reading is a use.
func (c *Container) All(ctx context.Context) iter.Seq2[*Stored, error] {
	return func(yield func(*Stored, error) bool) {
		if c.closed.Load() {
			yield(nil, ErrClosed)
			return
		}
		lister, ok := c.home.(Lister)
		if !ok {
			c.cannotList(fmt.Errorf("%w: a store of type %T does not list", ErrNotSupported, c.home), yield)
			return
		}
		prefix, some := c.cfg.Name+":", false
		for info, err := range lister.Keys(ctx, prefix) {
			switch {
			case err != nil && errors.Is(err, ErrNotSupported) && !some:
				c.cannotList(err, yield)
				return
			case err != nil:
				yield(nil, storeError(err))
				return
			case ended(ctx) != nil:
				yield(nil, ended(ctx))
				return
			case !isSessionKey(info.Key, prefix):
				continue
			}
			some = true
			s, err := c.listed(ctx, info)
			if (s != nil || err != nil) && !yield(s, err) {
				return
			}
		}
	}
}

// cannotList applies Config.List.
func (c *Container) cannotList(err error, yield func(*Stored, error) bool) {
	if c.cfg.List == ListError {
		yield(nil, err)
		return
	}
	c.warned.Do(func() {
		slog.Warn("sessiondata: the store cannot list; listings are empty", "container", c.cfg.Name)
	})
}

// isSessionKey reports whether key has the form that Container.storageKey makes.
// A ':' ends the container's name and stands in none.
func isSessionKey(key, prefix string) bool {
	hash, ok := strings.CutPrefix(key, prefix)
	return ok && len(hash) == textOf32 &&
		!strings.ContainsFunc(hash, func(r rune) bool { return r == '.' || notInName(r) })
}

// listed reads one session; neither a session nor an error: there is none.
func (c *Container) listed(ctx context.Context, info KeyInfo) (*Stored, error) {
	ref := newSessionRef(c, info.Key)
	m, err := c.glimpse(ctx, newStorageKey(info.Key))
	switch {
	case err != nil:
		c.tellCorrupt(ctx, ref, err)
	case m == nil:
		return nil, nil
	case m.plain != nil && c.lease(m).expired(nanos(c.cfg.Now())):
		if t := c.cfg.Trace; t != nil {
			tell(ctx, "Expired", t.Expired, c.newStored(ref, m))
		}
		return nil, nil
	}
	s := c.newStored(ref, m)
	s.size, s.expires = info.Size, info.Expires
	return s, err
}

// glimpse is truth for a reader who neither opens what is sealed nor writes.
func (c *Container) glimpse(ctx context.Context, key storageKey) (*image, error) {
	for {
		m, v, err := c.stored(ctx, key)
		if err != nil || m == nil || m.intent == nil {
			return m.body(), err
		}
		fate, _, _, err := c.fateOf(ctx, key, m)
		switch {
		case err != nil:
			return nil, err
		case fate == txnUndecided:
			return m.body(), nil
		case fate == txnCommitted:
			raw, err := m.installed(key)
			if err != nil || raw == nil {
				return nil, err
			}
			if m, err = decodeImage(raw, key); err != nil {
				return nil, err
			}
			return m.body(), nil
		}
		// Undone, unless the item was settled in between, perhaps the other way.
		now, nowV, err := c.stored(ctx, key)
		if err != nil || now != nil && nowV == v {
			return m.body(), err
		}
	}
}

// Stored is one session as it was stored when it was met, by Container.All or
// Trace.Expired. It is immutable, belongs to no transaction, and cannot be
// changed. It is safe for concurrent use.
type Stored struct {
	c       *Container
	ref     SessionRef
	m       *image // nil: it could not be read
	at      int64  // when it was met
	size    int
	expires time.Time
}

func (c *Container) newStored(ref SessionRef, m *image) *Stored {
	s := &Stored{c: c, ref: ref, m: m, at: nanos(c.cfg.Now())}
	if m != nil {
		s.size = sizeOf(len(m.stored), m.sections)
	}
	return s
}

// Ref names the session. Its id is not known: it is nowhere in the store.
func (s *Stored) Ref() SessionRef { return s.ref }

// Size returns the bytes that the session takes, from All as the store tells
// them (see KeyInfo).
func (s *Stored) Size() int { return s.size }

// Expires returns when the store will drop the session, if it is not used; zero:
// never, or not known. It is not before Deadline.
func (s *Stored) Expires() time.Time { return s.expires }

// Sealed reports whether the session is sealed, so that only Ref, Size and
// Expires are known of it. One that Trace.Expired shows can be read all the same:
// it was opened by who asked for it.
func (s *Stored) Sealed() bool { return s.m != nil && s.m.plain == nil }

// open returns the image if it can be read.
func (s *Stored) open() (*image, error) {
	switch {
	case s.m == nil:
		return nil, fmt.Errorf("%w: the session could not be read", ErrNotSupported)
	case s.m.plain == nil:
		return nil, fmt.Errorf("%w: the session is sealed, and opens by its id alone", ErrNotSupported)
	}
	return s.m, nil
}

// Created returns when the session was created; zero where that cannot be read.
func (s *Stored) Created() time.Time {
	m, err := s.open()
	if err != nil {
		return time.Time{}
	}
	return time.Unix(0, m.created).UTC()
}

// LastAccess returns the last access, exact to Config.Resolution; zero where that
// cannot be read.
func (s *Stored) LastAccess() time.Time {
	m, err := s.open()
	if err != nil {
		return time.Time{}
	}
	return time.Unix(0, m.access).UTC()
}

// Deadline returns the moment until which the session lives if it is not used;
// zero: never, or that cannot be read.
func (s *Stored) Deadline() time.Time {
	m, err := s.open()
	if err != nil {
		return time.Time{}
	}
	d, ok := s.c.lease(m).deadline()
	if !ok {
		return time.Time{}
	}
	return time.Unix(0, d).UTC()
}

// Packages returns the names of the packages, sorted; none where they cannot be
// read.
func (s *Stored) Packages() []string {
	m, err := s.open()
	if err != nil {
		return nil
	}
	pkgs := m.livePkgs(s.at)
	names := make([]string, 0, pkgs.n)
	for i := range pkgs.n {
		if name := string(pkgs.name(i)); name != subjectPkg {
			names = append(names, name)
		}
	}
	return names
}

// Values ranges over the keys and values of a package, in the order of the keys;
// over none where they cannot be read. It asks nothing of
// the store.
func (s *Stored) Values(pkg string) iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		codec, t, err := s.pkg(pkg)
		if err != nil {
			return
		}
		for i := range t.n {
			key := string(t.name(i))
			if !yield(key, Value{codec: codec, body: t.body(i), at: PkgKey{pkg, key}}) {
				return
			}
		}
	}
}

// Get decodes the value of a key into dst, a pointer. ErrKeyNotFound: there is
// none; ErrValue: it does not fit; ErrNotSupported: the session is sealed or could
// not be read; ErrCorrupt: the package is broken; ErrUnsupportedVersion: it was
// stored with a codec that this container does not have.
func (s *Stored) Get(pkg, key string, dst any) error {
	codec, t, err := s.pkg(pkg)
	if err != nil {
		return err
	}
	body, ok := t.get(key)
	if !ok {
		return ErrKeyNotFound
	}
	return Value{codec: codec, body: body, at: PkgKey{pkg, key}}.Decode(dst)
}

func (s *Stored) pkg(name string) (Codec, table, error) {
	if name == subjectPkg {
		return nil, table{}, ErrKeyNotFound // the library's own
	}
	m, err := s.open()
	if err != nil {
		return nil, table{}, err
	}
	codec, err := codecOf(m.codec, s.c.cfg.Codec)
	if err != nil {
		return nil, table{}, err
	}
	t, err := m.live(name, s.at)
	return codec, t, err
}
