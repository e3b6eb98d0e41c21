package sessionhttp

import (
	"context"
	"net/http"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// Session returns the request's session of the innermost Manager, loading it at
// the first call, in one round trip; later calls return the same handle. Outside
// Handler it is ErrInvalid; once the response is on its way, ErrTxnDone.
//
// A visitor without a session gets an empty one under a new id, which costs no
// round trip and is stored only if it is changed. An error of loading is the
// handler's to answer; if it writes nothing, Config.Error does. The next call
// tries again.
func Session(r *http.Request) (*sd.Session, error) { return innermost(r).session(r.Context()) }

// Session is the function Session for this Manager.
func (m *Manager) Session(r *http.Request) (*sd.Session, error) { return m.of(r).session(r.Context()) }

// Txn returns the request's transaction; false outside Handler. It is also
// found by sessiondata.FromContext(r.Context()). A handler may end it itself: by
// Rollback, to answer below 500 and store nothing.
func Txn(r *http.Request) (*sd.Txn, bool) { return innermost(r).txn() }

// Txn is the function Txn for this Manager.
func (m *Manager) Txn(r *http.Request) (*sd.Txn, bool) { return m.of(r).txn() }

// Renew gives the session a new id: the cookie follows. Call it at every change
// of privilege, above all after a login (OWASP: Renew the Session ID After Any
// Privilege Level Change). The old id leads nowhere from the commit on; requests
// that are under way with it get ErrGone where they change something.
func Renew(r *http.Request) error { return innermost(r).renew(r.Context()) }

// Renew is the function Renew for this Manager.
func (m *Manager) Renew(r *http.Request) error { return m.of(r).renew(r.Context()) }

// Destroy ends the session and clears the cookie, also one that leads to no
// session any more. To begin a new session in the same request call Commit
// first.
func Destroy(r *http.Request) error { return innermost(r).destroy(r.Context()) }

// Destroy is the function Destroy for this Manager.
func (m *Manager) Destroy(r *http.Request) error { return m.of(r).destroy(r.Context()) }

// Commit commits now; a later Session starts a second transaction (Txn returns
// it; the context keeps the first). The cookie of what was committed is sent
// whatever becomes of the rest of the request, and the request is not run again.
// An error is the handler's to answer; if it writes nothing, Config.Error does.
func Commit(ctx context.Context, r *http.Request) error { return innermost(r).commit(ctx) }

// Commit is the function Commit for this Manager.
func (m *Manager) Commit(ctx context.Context, r *http.Request) error { return m.of(r).commit(ctx) }

// Skip leaves the session as it was stored and sends no cookie: the transaction
// is rolled back when the request ends, with all that has joined it. Outside
// Handler it does nothing.
func Skip(r *http.Request) { innermost(r).skip() }

// Skip is the function Skip for this Manager.
func (m *Manager) Skip(r *http.Request) { m.of(r).skip() }

// Defer stores the session but sends no cookie. Outside Handler it does nothing.
func Defer(r *http.Request) { innermost(r).deferCookie() }

// Defer is the function Defer for this Manager.
func (m *Manager) Defer(r *http.Request) { m.of(r).deferCookie() }

// Remember makes this session a remembered one ("keep me signed in"): an idle
// timeout of d, and a cookie that outlives the browser and is extended with the
// session. It is kept with the session, also through Renew, until Remember(r, 0)
// takes it back. d must be longer than the container's timeout, or NoTimeout,
// else it is ErrInvalid. A Lifetime of the container ends the session and its
// cookie all the same. It stores one key in the package "sessionhttp" of the
// session.
//
// Who holds the cookie is signed in for as long: ask for the password again
// before what matters (OWASP: Require Re-authentication).
func Remember(r *http.Request, d time.Duration) error {
	return innermost(r).remember(r.Context(), d)
}

// Remember is the function Remember for this Manager.
func (m *Manager) Remember(r *http.Request, d time.Duration) error {
	return m.of(r).remember(r.Context(), d)
}
