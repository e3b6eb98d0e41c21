package sessionhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// exchange is one run of the handler for one request under one Manager: its
// transaction, its session, and what the visitor is to be told of them. A request
// that is run again gets a new one; what the earlier run left behind keeps the
// old one, which is over.
//
// The methods that the package's functions call allow a nil exchange: a request
// that has not come through Handler.
type exchange struct {
	scope
	m *Manager
	r *http.Request // as the handler gets it
	w response

	budget budget                      // of the commit at the end
	hook   func(context.Context) error // look; made once, as making it allocates

	mu       sync.Mutex
	tx       *sd.Txn
	sess     *sd.Session // nil until it is asked for, and again after each transaction
	used     bool        // the session was asked for
	resolved bool        // known is what the visitor's ids lead to
	named    bool        // the request bore an id, of whatever worth
	byHeader bool        // the visitor keeps no cookies: see IDSource
	known    string      // the id that the visitor holds and that leads to a session; "": none
	outlook  outlook     // of sess, when the commit began
	rounds   int         // of look in this commit
	forgot   bool        // Remember(r, 0) took effect
	skipped  bool
	deferred bool
	over     bool  // no second transaction: the response is on its way, or the run has ended
	fault    error // of the latest loading or Commit, for the handler to answer

	stored bool // a commit changed something: this run cannot be taken back
	news   news // what the visitor is to be told
	inner  []*exchange
}

// outlook is what a commit, if it succeeds, will have done with the session.
type outlook struct {
	status  sd.Status
	isNew   bool
	touched bool          // the access is recorded
	age     time.Duration // of the cookie, where it outlives the browser
}

// news is what the visitor is to be told of the last commit.
type news struct {
	kind newsKind
	id   string
	age  time.Duration
}

type newsKind uint8

const (
	nothing newsKind = iota
	newID
	noID
)

// lookRounds is how often look puts itself behind the hooks that the hooks
// before it have added.
const lookRounds = 3

var (
	errOutside = fmt.Errorf("%w: sessionhttp: the request has not come through Handler", sd.ErrInvalid)
	errOver    = fmt.Errorf("%w: the response is on its way", sd.ErrTxnDone)
)

// session returns the session of the current transaction, loading it at the
// first call.
func (ex *exchange) session(ctx context.Context) (*sd.Session, error) {
	if ex == nil {
		return nil, errOutside
	}
	ex.mu.Lock()
	defer ex.mu.Unlock()
	ex.used = true
	if ex.tx.Err() != nil {
		if ex.over {
			return nil, errOver
		}
		if s := ex.tx.State(); s == sd.Active || s == sd.Doomed {
			return nil, sd.ErrTxnDone // another goroutine is just ending it
		}
		ex.settle()
		ex.tx = sd.Begin()
	}
	if ex.sess != nil {
		return ex.sess, nil
	}
	s, err := ex.open(ctx)
	if err == nil {
		if ex.hook == nil {
			ex.hook = ex.look
		}
		err = ex.tx.BeforeCommit(ex.hook)
	}
	if ex.fault = err; err != nil {
		return nil, err
	}
	ex.sess = s
	return s, nil
}

// open loads the session that the visitor's ids lead to, or makes a new one.
func (ex *exchange) open(ctx context.Context) (*sd.Session, error) {
	c := ex.m.cfg.Container
	var ids candidates
	if ex.resolved {
		ids.add(ex.known)
	} else {
		ids = ex.claims()
	}
	for _, id := range ids.list() {
		s, err := c.Existing(ctx, ex.tx, id)
		if err == nil {
			ex.resolved, ex.known = true, id
		}
		if !errors.Is(err, sd.ErrNotFound) {
			return s, err
		}
	}
	ex.resolved, ex.known = true, ""
	return c.New(ctx, ex.tx)
}

// claims returns the ids that the request bears.
func (ex *exchange) claims() candidates {
	if header := ex.m.cfg.IDSource.header; header != "" {
		if found := inHeader(ex.r.Header, header); found.named {
			ex.byHeader, ex.named = true, true
			return found
		}
	}
	found := inCookies(ex.r.Header, ex.m.cookie.name)
	ex.named = found.named
	return found
}

// look is the hook that notes, before a commit, what it will do with the session.
// Other hooks may still change that, so it looks again behind those that they
// have added.
func (ex *exchange) look(context.Context) error {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	s := ex.sess
	if s == nil {
		return nil
	}
	o := outlook{status: s.Status(), isNew: s.IsNew(), touched: s.AccessDue()}
	if o.status == sd.Modified || o.status == sd.Unmodified && o.touched {
		lasting := ex.m.cfg.Cookie.Persistent
		if !lasting {
			var err error
			if lasting, err = ex.remembered(s); err != nil {
				return err
			}
		}
		if lasting {
			o.age = ageUntil(s.Deadline(), ex.m.now())
		}
	}
	ex.outlook = o
	if ex.rounds++; ex.rounds < lookRounds {
		return ex.tx.BeforeCommit(ex.hook)
	}
	return nil
}

// settle draws the conclusions from a transaction that has ended; mu is held.
func (ex *exchange) settle() {
	s, o := ex.sess, ex.outlook
	ex.sess, ex.outlook, ex.rounds = nil, outlook{}, 0
	if s == nil || ex.tx.State() != sd.Committed {
		return
	}
	changed := o.status != sd.Unmodified
	switch id := s.ID(); {
	case o.status == sd.Destroyed:
		ex.known = ""
		if ex.named || ex.news.kind != nothing {
			ex.news = news{kind: noID}
		}
	case changed && o.isNew, !o.isNew && id != ex.known, o.age > 0, changed && ex.forgot:
		// Another id than the visitor's, also where nothing was changed: the
		// session was renewed, and the old id leads to it for a while.
		ex.known = id
		ex.news = news{kind: newID, id: id, age: o.age}
	}
	if !changed && o.age == 0 {
		return
	}
	ex.stored = true
	for out := ex.outer; out != nil; out = out.outer {
		out.ex.holds(ex)
	}
}

// holds notes that an exchange within this one has stored something: its news
// are told whatever becomes of this one, which cannot be run again.
func (ex *exchange) holds(inner *exchange) {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	ex.stored = true
	if !slices.Contains(ex.inner, inner) {
		ex.inner = append(ex.inner, inner)
	}
}

// commit is the function Commit.
func (ex *exchange) commit(ctx context.Context) error {
	if ex == nil {
		return errOutside
	}
	ex.mu.Lock()
	tx, over, skipped := ex.tx, ex.over, ex.skipped
	ex.mu.Unlock()
	switch {
	case over:
		return errOver
	case skipped:
		return fmt.Errorf("%w: sessionhttp: Commit after Skip", sd.ErrInvalid)
	}
	err := tx.Commit(ctx)
	ex.mu.Lock()
	defer ex.mu.Unlock()
	if ex.tx == tx { // else another goroutine has settled it
		ex.settle()
	}
	if !errors.Is(err, sd.ErrTxnDone) {
		ex.fault = err
	}
	return err
}

// end ends the transaction before a response of that status is sent. After an
// error nothing of the response may be.
func (ex *exchange) end(status int) error {
	refused := !ex.m.cfg.Commit(status)
	ex.mu.Lock()
	ex.over = true
	tx := ex.tx
	refused = refused || ex.skipped
	ex.mu.Unlock()
	var err error
	switch {
	case tx.Err() != nil: // the handler has ended it, and knows how
	case refused:
		_ = tx.Rollback() // of participants that cannot: nothing of theirs is ours to tell
	default:
		ex.budget.start(ex.r.Context(), ex.m.cfg.CommitTimeout)
		err = tx.Commit(&ex.budget)
		ex.budget.end(context.Canceled)
	}
	ex.mu.Lock()
	defer ex.mu.Unlock()
	ex.settle()
	return err
}

// abandon ends a run of which nothing is to be stored.
func (ex *exchange) abandon() {
	ex.mu.Lock()
	ex.over = true
	tx := ex.tx
	ex.mu.Unlock()
	_ = tx.Rollback()
	ex.mu.Lock()
	defer ex.mu.Unlock()
	ex.settle()
}

func (ex *exchange) txn() (*sd.Txn, bool) {
	if ex == nil {
		return nil, false
	}
	ex.mu.Lock()
	defer ex.mu.Unlock()
	return ex.tx, true
}

func (ex *exchange) renew(ctx context.Context) error {
	s, err := ex.session(ctx)
	if err == nil {
		_, err = s.Renew()
	}
	return err
}

func (ex *exchange) destroy(ctx context.Context) error {
	s, err := ex.session(ctx)
	if err == nil {
		err = s.Destroy()
	}
	return err
}

func (ex *exchange) skip() {
	if ex != nil {
		ex.mu.Lock()
		defer ex.mu.Unlock()
		ex.skipped = true
	}
}

func (ex *exchange) deferCookie() {
	if ex != nil {
		ex.mu.Lock()
		defer ex.mu.Unlock()
		ex.deferred = true
	}
}
