package sessionhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
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

func TestTheTransactionIsTheOneInTheContext(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) {
			tx, _ := sessionhttp.Txn(r)
			inContext, _ := sd.FromContext(r.Context())
			session := must(sessionhttp.Session(r))
			if tx == nil || tx != inContext || session.Txn() != tx || must(sessionhttp.Session(r)) != session {
				panic("not one transaction and one handle")
			}
		})
		require.Equal(t, 200, s.ask(s.visitor(), "GET", "/").status)
	})
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

func TestAHandlerMayEndTheTransactionItself(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) {
			must(count(r))
			tx, _ := sd.FromContext(r.Context())
			if r.URL.Path == "/commit" {
				check(tx.Commit(r.Context()))
			} else {
				check(tx.Rollback())
			}
			if r.URL.RawQuery == "again" {
				must(count(r))
			}
			fmt.Fprint(w, "page")
		})
		c := s.visitor()
		got := s.ask(c, "GET", "/rollback")
		require.Equal(t, "page", got.body)
		require.Empty(t, got.cookies)
		require.Zero(t, s.sessions())
		got = s.ask(c, "GET", "/commit")
		require.Equal(t, "page", got.body)
		require.Len(t, got.cookies, 1)
		require.Equal(t, 1, s.stored(s.id(c)))
		s.ask(c, "GET", "/rollback?again")
		require.Equal(t, 2, s.stored(s.id(c)))
		s.ask(c, "GET", "/commit?again")
		require.Equal(t, 4, s.stored(s.id(c)))
	})
}

func TestWhatHooksChangeIsTold(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) {
			tx, _ := sessionhttp.Txn(r)
			do := func(context.Context) error {
				switch r.URL.Path {
				case "/renew":
					return sessionhttp.Renew(r)
				case "/destroy":
					return sessionhttp.Destroy(r)
				}
				_, err := count(r)
				return err
			}
			switch r.URL.RawQuery {
			case "before":
				check(tx.BeforeCommit(do))
				must(read(r))
			case "after":
				must(read(r))
				check(tx.BeforeCommit(do))
			case "nested":
				must(read(r))
				check(tx.BeforeCommit(func(context.Context) error { return tx.BeforeCommit(do) }))
			case "unused":
				check(tx.BeforeCommit(do))
			}
		})
		for _, when := range []string{"before", "after", "nested", "unused"} {
			c := s.visitor()
			require.Len(t, s.ask(c, "GET", "/?"+when).cookies, 1, when)
			id := s.id(c)
			require.Equal(t, 1, s.stored(id))
			require.Len(t, s.ask(c, "GET", "/renew?"+when).cookies, 1, when)
			require.NotEqual(t, id, s.id(c))
			require.Equal(t, 1, s.stored(s.id(c)))
			require.Contains(t, s.ask(c, "GET", "/destroy?"+when).cookies[0], "Max-Age=0", when)
		}
	})
}

func TestWhatASavepointTakesBackIsNotTold(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) {
			session := must(sessionhttp.Session(r))
			step := func() error {
				switch r.URL.Path {
				case "/renew":
					check(sessionhttp.Renew(r))
				case "/destroy":
					check(sessionhttp.Destroy(r))
				case "/remember":
					check(sessionhttp.Remember(r, 100*time.Hour))
				default:
					must(count(r))
				}
				return errors.New("the step failed")
			}
			if session.Txn().Atomic(step) == nil {
				panic("the step did not fail")
			}
			if r.Method == "POST" {
				must(count(r))
			}
		})
		c := s.visitor()
		require.Empty(t, s.ask(c, "GET", "/").cookies)
		s.ask(c, "POST", "/")
		for _, path := range []string{"/renew", "/destroy", "/remember"} {
			require.Empty(t, s.ask(c, "GET", path).cookies)
		}
		require.Equal(t, 1, s.stored(s.id(c)))
	})
}

func TestGoroutinesOfOneRequestShareTheSession(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) {
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() { must(count(r)) })
			}
			wg.Wait()
		})
		c := s.visitor()
		s.ask(c, "GET", "/")
		s.store.counts()
		s.ask(c, "GET", "/")
		require.Equal(t, 32, s.stored(s.id(c)))
		reads, _ := s.store.counts()
		require.EqualValues(t, 2, reads, "one for the request, one for this test")
	})
}

func TestWhatOutlivesTheRequestGetsAnError(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		left := make(chan *http.Request, 1)
		s := start(func(w http.ResponseWriter, r *http.Request) {
			must(count(r))
			left <- r
		})
		s.ask(s.visitor(), "GET", "/")
		_, err := count(<-left)
		require.ErrorIs(t, err, sd.ErrTxnDone)
	})
}

func TestRememberOutlivesTheBrowserAndIsExtendedAndTakenBack(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var s *site
		s = start(func(w http.ResponseWriter, r *http.Request) {
			var err error
			switch r.URL.Path {
			case "/remember":
				must(count(r))
				err = sessionhttp.Remember(r, 30*24*time.Hour)
			case "/for-ever":
				err = s.manager.Remember(r, sd.NoTimeout)
			case "/forget":
				err = sessionhttp.Remember(r, 0)
			case "/renew":
				err = sessionhttp.Renew(r)
			case "/short":
				err = sessionhttp.Remember(r, time.Hour)
			case "/negative":
				err = sessionhttp.Remember(r, -2)
			case "/count":
				must(count(r))
			default:
				must(read(r))
			}
			if err != nil {
				http.Error(w, err.Error(), 400)
			}
		})
		c := s.visitor()
		got := s.ask(c, "GET", "/short")
		require.Equal(t, 400, got.status)
		require.Equal(t, "sessiondata: invalid use: sessionhttp: Remember needs a timeout longer than the container's 1h0m0s\n", got.body)
		require.Equal(t, 400, s.ask(c, "GET", "/negative").status)
		require.Zero(t, s.sessions())
		require.Empty(t, s.ask(c, "GET", "/forget").cookies)

		lasting := func(got answer, age string) {
			t.Helper()
			require.Len(t, got.cookies, 1)
			require.Contains(t, got.cookies[0], "; Max-Age="+age+"; ")
		}
		const month = "2592300" // 30 days and a resolution
		lasting(s.ask(c, "GET", "/remember"), month)
		require.Empty(t, s.ask(c, "GET", "/").cookies)
		lasting(s.ask(c, "GET", "/count"), month)
		lasting(s.ask(c, "GET", "/renew"), month)
		s.advance(20 * 24 * time.Hour)
		lasting(s.ask(c, "GET", "/"), month)
		require.Equal(t, 2, s.stored(s.id(c)))
		lasting(s.ask(c, "GET", "/for-ever"), "34560000")
		s.advance(1000 * 24 * time.Hour)
		require.Equal(t, 2, s.stored(s.id(c)))

		got = s.ask(c, "GET", "/forget")
		require.Equal(t, []string{"__Host-session=" + s.id(c) + "; Path=/; HttpOnly; Secure; SameSite=Lax"}, got.cookies)
		require.Empty(t, s.ask(c, "GET", "/count").cookies)
		require.Empty(t, s.ask(c, "GET", "/forget").cookies)
		s.advance(2 * time.Hour)
		require.NotEmpty(t, s.ask(c, "GET", "/remember").cookies, "the session had expired")
		require.Equal(t, 1, s.stored(s.id(c)))
	})
}

func TestRememberNeedsATimeoutToExceed(t *testing.T) {
	var got atomic.Value
	s := newSite(t, false, func(w http.ResponseWriter, r *http.Request) {
		got.Store(sessionhttp.Remember(r, time.Hour))
	}, options{container: sd.Config{Timeout: sd.NoTimeout}})
	s.ask(s.visitor(), "GET", "/")
	require.ErrorIs(t, got.Load().(error), sd.ErrInvalid)
}

func TestTheIDFromAHeaderStaysInTheHeader(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/renew":
				check(sessionhttp.Renew(r))
			case "/destroy":
				check(sessionhttp.Destroy(r))
			default:
				must(count(r))
			}
			fmt.Fprint(w, must(read(r)))
		}, options{http: sessionhttp.Config{IDSource: sessionhttp.Header("x-session-id")}})
		c := s.visitor()
		by := func(id string) http.Header { return http.Header{"X-Session-Id": {id}} }
		got := s.ask(c, "GET", "/", by(""))
		id := got.header.Get("X-Session-Id")
		require.Len(t, id, 43)
		require.Empty(t, got.cookies)
		require.Equal(t, []string{"Cookie", "X-Session-Id"}, got.header["Vary"])

		got = s.ask(c, "GET", "/", by(id))
		require.Equal(t, "2", got.body)
		require.NotContains(t, got.header, "X-Session-Id")
		got = s.ask(c, "GET", "/renew", by(id))
		next := got.header.Get("X-Session-Id")
		require.NotEqual(t, id, next)
		require.Equal(t, 2, s.stored(next))

		got = s.ask(c, "GET", "/", by(strings.Repeat("a", 43)))
		require.Equal(t, "1", got.body, "never adopted")

		got = s.ask(c, "GET", "/", http.Header{"X-Session-Id": {""}, "Cookie": {s.cookie + "=" + next}})
		require.Equal(t, "1", got.body, "the cookie is not looked at")
		got = s.ask(c, "GET", "/?X-Session-Id="+next+"&"+s.cookie+"="+next)
		require.Equal(t, "1", got.body, "nor is the URL, ever")
		require.Len(t, got.cookies, 1)

		got = s.ask(c, "GET", "/destroy", by(next))
		require.Equal(t, []string{""}, got.header["X-Session-Id"])
		require.Equal(t, -1, s.stored(next))
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
