package sessionhttp

import (
	"context"
	"net/http"
	"time"
)

// Manager is the middleware for one container and one cookie. It is safe for
// concurrent use and keeps nothing between requests. Its methods are the
// package's functions for this Manager, where several are mounted.
type Manager struct {
	cfg     Config
	cookie  cookieText
	now     func() time.Time // the container's
	timeout time.Duration    // the container's
}

// Handler wraps next. A request that never asks for its session costs no store
// operation and gets no cookie. An unknown, expired or malformed id in a cookie
// is never adopted: the first change makes a session under a new id. A panic or
// a status that Commit refuses rolls back; the panic goes on.
func (m *Manager) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := scopeOf(r)
		switch {
		case in != nil && in.ex.m == m:
			next.ServeHTTP(w, r)
		case in.find(m) != nil: // mounted again within another Manager: the innermost once more
			again := &scope{ex: in.find(m), outer: in}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), scopeKey{}, again)))
		default:
			m.serve(w, r, next, in)
		}
	})
}

// scope names the exchanges that a request is in, from the innermost outwards.
type scope struct {
	ex    *exchange
	outer *scope
}

type scopeKey struct{}

func scopeOf(r *http.Request) *scope {
	s, _ := r.Context().Value(scopeKey{}).(*scope)
	return s
}

// find returns the exchange of a Manager, or nil.
func (s *scope) find(m *Manager) *exchange {
	for ; s != nil; s = s.outer {
		if s.ex.m == m {
			return s.ex
		}
	}
	return nil
}

// of returns the exchange of r under this Manager, or nil.
func (m *Manager) of(r *http.Request) *exchange { return scopeOf(r).find(m) }

// innermost returns the exchange of r under the innermost Manager, or nil.
func innermost(r *http.Request) *exchange {
	if s := scopeOf(r); s != nil {
		return s.ex
	}
	return nil
}
