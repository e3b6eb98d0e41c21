// Package sessionhttp gives every net/http request its session and its
// transaction, so that what the visitor is told is what is stored.
//
//	manager, err := sessionhttp.New(sessionhttp.Config{Container: container})
//	...
//	http.ListenAndServe(addr, manager.Handler(mux))
//
// and in a handler
//
//	s, err := sessionhttp.Session(r)
//	...
//	err = s.Pkg("cart").Set("book", 2)
//
// # One request
//
// The transaction is begun with the request; [sessiondata.FromContext] finds it
// by the request's context. The session is loaded at the first call of
// [Session]: a request that never asks for it costs no store operation and gets
// no cookie. A visitor without a session gets an empty one, which is stored,
// and makes a cookie, only if it is changed.
//
// The response is held back, up to Config.Buffer bytes of it, until the handler
// has returned and the transaction has committed. If the commit fails nothing of
// the response is sent, and Config.Error answers in its place. So a redirect
// never overtakes the change that it follows, and a page never shows what was
// not stored. A status of 500 and above, or a panic, rolls back. A response that
// outgrows the buffer, Flush and Hijack commit first; from then on the
// session's methods answer ErrTxnDone, so that no change is lost in silence.
// Handlers that go on for long (server-sent events, WebSockets) work with
// Container.Update and Container.View from there on.
//
// A commit that conflicts with another request of the visitor, and that merging
// by key could not settle, runs the request again on fresh data, if Config.Retry
// allows it: by default for idempotent methods (RFC 9110, section 9.2.2). The
// response of the earlier run is dropped, the body is replayed, where it is not
// longer than Config.Buffer. The handler must not change the request's header.
// All else is answered 409.
//
// # Ids and cookies
//
// The id is 256 random bits in a cookie that follows RFC 6265bis and OWASP's
// Session Management Cheat Sheet: __Host- prefix, Secure, HttpOnly, SameSite=Lax,
// no Max-Age. An id that is malformed costs no store operation; one that is not
// stored is never adopted (session fixation); of several cookies of the name the
// one that leads to a session is found. Call [Renew] at every change of
// privilege. While the store is down nobody is logged out: no cookie is changed.
//
// Two requests that run in parallel before the visitor has a session make one
// each, and the browser keeps the cookie that comes last.
//
// # Several managers
//
// A Manager that is mounted twice handles a request once. Managers within each
// other, with cookies of different names, have a transaction each: the inner one
// commits first, and its cookie is sent even if the outer commit fails. A
// request is not run again once an inner Manager has stored something.
package sessionhttp
