package sessionhttp_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

func TestAHandlerOutsideTheMiddlewareGetsAnError(t *testing.T) {
	s := newSite(t, false, func(http.ResponseWriter, *http.Request) {})
	r := httptest.NewRequest("GET", "/", nil)
	_, err := sessionhttp.Session(r)
	require.ErrorIs(t, err, sd.ErrInvalid)
	require.ErrorContains(t, err, "Handler")
	_, err = s.manager.Session(r)
	require.ErrorIs(t, err, sd.ErrInvalid)
	for _, err := range []error{
		sessionhttp.Renew(r), sessionhttp.Destroy(r), sessionhttp.Commit(t.Context(), r), sessionhttp.Remember(r, time.Hour),
		s.manager.Renew(r), s.manager.Destroy(r), s.manager.Commit(t.Context(), r), s.manager.Remember(r, time.Hour),
	} {
		require.ErrorIs(t, err, sd.ErrInvalid)
	}
	sessionhttp.Skip(r)
	sessionhttp.Defer(r)
	s.manager.Skip(r)
	s.manager.Defer(r)
	_, ok := sessionhttp.Txn(r)
	require.False(t, ok)
	_, ok = s.manager.Txn(r)
	require.False(t, ok)
}

func TestSkipLeavesTheSessionAsItWas(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var s *site
		s = start(func(w http.ResponseWriter, r *http.Request) {
			n := must(count(r))
			switch r.URL.Path {
			case "/skip":
				sessionhttp.Skip(r)
				if !errors.Is(sessionhttp.Commit(r.Context(), r), sd.ErrInvalid) {
					panic("Commit after Skip")
				}
			case "/destroy":
				check(s.manager.Destroy(r))
				s.manager.Skip(r)
			case "/renew":
				check(s.manager.Renew(r))
				s.manager.Skip(r)
			}
			fmt.Fprint(w, n)
		})
		c := s.visitor()
		got := s.ask(c, "GET", "/skip")
		require.Equal(t, "1", got.body)
		require.Empty(t, got.cookies)
		require.Zero(t, s.sessions())
		s.ask(c, "GET", "/")
		for _, path := range []string{"/skip", "/destroy", "/renew"} {
			s.advance(10 * time.Minute)
			_, _ = s.store.counts()
			got = s.ask(c, "GET", path)
			require.Equal(t, "2", got.body)
			require.Empty(t, got.cookies)
			_, writes := s.store.counts()
			require.Zero(t, writes)
		}
		require.Equal(t, 1, s.stored(s.id(c)))
	})
}

func TestDeferStoresButSendsNoCookie(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var s *site
		s = start(func(w http.ResponseWriter, r *http.Request) {
			must(count(r))
			sessionhttp.Defer(r)
			s.manager.Defer(r)
			fmt.Fprint(w, must(sessionhttp.Session(r)).ID())
		})
		got := s.ask(s.visitor(), "GET", "/")
		require.Empty(t, got.cookies)
		require.Equal(t, 1, s.stored(got.body))
	})
}

func TestCommitCommitsNowAndSessionStartsASecondTransaction(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var s *site
		s = start(func(w http.ResponseWriter, r *http.Request) {
			first := must(sessionhttp.Session(r))
			must(count(r))
			tx, _ := sessionhttp.Txn(r)
			check(s.manager.Commit(r.Context(), r))
			if !errors.Is(sessionhttp.Commit(r.Context(), r), sd.ErrTxnDone) {
				panic("a second Commit of nothing")
			}
			id := first.ID()
			if s.stored(id) < 1 || !errors.Is(first.Pkg("test").Set("n", 5), sd.ErrTxnDone) {
				panic("not committed")
			}
			switch r.URL.Path {
			case "/fail":
				w.WriteHeader(500)
				must(count(r))
				return
			case "/renew":
				check(sessionhttp.Renew(r))
			case "/destroy":
				check(sessionhttp.Destroy(r))
			case "/anew":
				check(sessionhttp.Destroy(r))
				check(sessionhttp.Commit(r.Context(), r))
			case "/doom":
				must(count(r))
				second, _ := sessionhttp.Txn(r)
				second.Doom()
				return
			}
			if r.URL.Path != "/destroy" {
				must(count(r))
			}
			second, _ := s.manager.Txn(r)
			inContext, _ := sd.FromContext(r.Context())
			if second == tx || inContext != tx || second.Err() != nil {
				panic("not a second transaction")
			}
			fmt.Fprint(w, must(read(r)))
		})
		c := s.visitor()
		got := s.ask(c, "GET", "/")
		require.Equal(t, "2", got.body)
		require.Len(t, got.cookies, 1)
		require.Equal(t, 2, s.stored(s.id(c)))

		got = s.ask(c, "GET", "/renew")
		require.Equal(t, "4", got.body)
		require.Len(t, got.cookies, 1)
		require.Equal(t, 4, s.stored(s.id(c)))

		got = s.ask(c, "GET", "/anew")
		require.Equal(t, "1", got.body)
		require.Len(t, got.cookies, 1)
		require.Equal(t, 1, s.stored(s.id(c)))
		require.Equal(t, 1, s.sessions())

		got = s.ask(c, "GET", "/destroy")
		require.Equal(t, "0", got.body)
		require.Len(t, got.cookies, 1)
		require.Empty(t, s.id(c))

		// The first commit stays, and so does its cookie.
		for _, path := range []string{"/fail", "/doom"} {
			c = s.visitor()
			got = s.ask(c, "GET", path)
			require.Equal(t, 500, got.status)
			require.Len(t, got.cookies, 1)
			require.Equal(t, 1, s.stored(s.id(c)))
		}

		got = s.ask(s.visitor(), "GET", "/destroy")
		require.Len(t, got.cookies, 1, "stored, and destroyed: whoever has seen the id forgets it")
		require.Contains(t, got.cookies[0], "Max-Age=0")
	})
}

func TestACommitOfTheHandlerThatFailsIsAnsweredWhereTheHandlerIsSilent(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var runs atomic.Int64
		var s *site
		s = start(func(w http.ResponseWriter, r *http.Request) {
			meddle(s, 1, &runs)(httptest.NewRecorder(), r)
			if err := sessionhttp.Commit(r.Context(), r); err != nil && r.Method == "POST" {
				fmt.Fprint(w, "my own words")
			}
		})
		c := s.visitor()
		s.ask(c, "GET", "/")
		runs.Store(0)
		require.Equal(t, "my own words", s.ask(c, "POST", "/").body)
		runs.Store(0)
		require.Equal(t, 200, s.ask(c, "GET", "/").status, "nothing was stored: it has run again")
		require.EqualValues(t, 2, runs.Load())
	})
}

func TestTheURLOfALaterRunIsAsItCame(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var runs atomic.Int64
		var h http.HandlerFunc
		s := start(func(w http.ResponseWriter, r *http.Request) { h(w, r) })
		h = meddle(s, 0, &runs)
		c := s.visitor()
		s.ask(c, "PUT", "/a", "body")
		runs.Store(0)
		var bodies []io.ReadCloser
		h = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/a" {
				panic(r.URL.Path)
			}
			r.URL.Path = "/changed"
			bodies = append(bodies, r.Body)
			meddle(s, 1, &runs)(w, r)
			check(r.Body.Close())
			if _, err := r.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
				panic(err)
			}
		}
		got := s.ask(c, "PUT", "/a", "body")
		require.Equal(t, "12 body", got.body)
		require.Len(t, bodies, 2)
		_, err := bodies[0].Read(make([]byte, 1))
		require.ErrorIs(t, err, http.ErrBodyReadAfterClose)
	})
}
