package sessionhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

func TestAHandlerThatNeverAsksForItsSessionCostsNoStoreOperationAndNoHeader(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/count" {
				must(count(r))
			}
			fmt.Fprint(w, r.Proto)
		})
		c := s.visitor()
		s.ask(c, "GET", "/count")
		require.NotEmpty(t, s.id(c))
		s.store.counts()

		got := s.ask(c, "GET", "/")
		reads, writes := s.store.counts()
		require.Zero(t, reads+writes)
		require.Empty(t, got.cookies)
		require.NotContains(t, got.header, "Vary")
		require.NotContains(t, got.header, "Cache-Control")
		require.Equal(t, got.proto, got.body)
	})
}

func TestReadingMakesNoCookieButTellsTheCaches(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/public":
				w.Header().Set("Cache-Control", "public, max-age=60")
				w.Header().Set("Vary", "Accept-Encoding, cookie")
			case "/star":
				w.Header().Set("Vary", "*")
			}
			if strings.HasPrefix(r.URL.Path, "/change") {
				w.Header().Set("Cache-Control", "public, max-age=60")
				must(count(r))
			}
			fmt.Fprint(w, must(read(r)))
		})
		c := s.visitor()
		got := s.ask(c, "GET", "/")
		require.Equal(t, "0", got.body)
		require.Empty(t, got.cookies)
		require.Equal(t, []string{"Cookie"}, got.header["Vary"])
		require.Equal(t, []string{"private, no-store"}, got.header["Cache-Control"])
		require.Zero(t, s.sessions())

		got = s.ask(c, "GET", "/public") // what the handler says stays
		require.Equal(t, []string{"Accept-Encoding, cookie"}, got.header["Vary"])
		require.Equal(t, []string{"public, max-age=60"}, got.header["Cache-Control"])
		require.Equal(t, []string{"*"}, s.ask(c, "GET", "/star").header["Vary"])

		got = s.ask(c, "GET", "/change") // but no shared cache may keep a cookie
		require.Len(t, got.cookies, 1)
		require.Equal(t, []string{"private, no-store"}, got.header["Cache-Control"])
		got = s.ask(c, "GET", "/change/again")
		require.Empty(t, got.cookies)
		require.Equal(t, []string{"public, max-age=60"}, got.header["Cache-Control"])
	})
}

func TestTheCookieIsSetOnceWhenTheSessionIsStoredForTheFirstTime(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, must(count(r))) })
		c := s.visitor()
		got := s.ask(c, "GET", "/")
		id := s.id(c)
		require.Len(t, id, 43)
		require.Equal(t, []string{"__Host-session=" + id + "; Path=/; HttpOnly; Secure; SameSite=Lax"}, got.cookies)
		require.Equal(t, 1, s.stored(id))
		for n := 2; n < 5; n++ {
			s.advance(10 * time.Minute) // the access is recorded: that is no reason for a cookie
			got = s.ask(c, "GET", "/")
			require.Equal(t, fmt.Sprint(n), got.body)
			require.Empty(t, got.cookies)
		}
		require.Equal(t, 4, s.stored(id))
	})
}

func TestRenewMovesTheCookieAndDestroyClearsItWithTheSameAttributes(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		cookie := sessionhttp.Cookie{Name: "sid", Path: "/app", Domain: "example.com", SameSite: http.SameSiteNoneMode, ScriptAccess: true, Partitioned: true}
		s := start(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/app/renew":
				check(sessionhttp.Renew(r))
			case "/app/destroy":
				check(sessionhttp.Destroy(r))
			default:
				must(count(r))
			}
		}, options{http: sessionhttp.Config{Cookie: cookie}})
		const attrs = "; Path=/app; Domain=example.com; Secure; SameSite=None; Partitioned"
		c := s.visitor() // its jar keeps no cookie of another domain: sent by hand
		first := s.ask(c, "GET", "/app/")
		require.Len(t, first.cookies, 1)
		id, rest, _ := strings.Cut(strings.TrimPrefix(first.cookies[0], "sid="), ";")
		require.Equal(t, attrs, ";"+rest)

		renewed := s.ask(c, "POST", "/app/renew", s.with(id))
		require.Len(t, renewed.cookies, 1)
		next, rest, _ := strings.Cut(strings.TrimPrefix(renewed.cookies[0], "sid="), ";")
		require.Equal(t, attrs, ";"+rest)
		require.NotEqual(t, id, next)
		require.Equal(t, -1, s.stored(id))
		require.Equal(t, 1, s.stored(next))

		gone := s.ask(c, "POST", "/app/destroy", s.with(next))
		require.Equal(t, []string{"sid=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0" + attrs}, gone.cookies)
		require.Equal(t, -1, s.stored(next))
		require.Zero(t, s.sessions())

		again := s.ask(c, "POST", "/app/destroy", s.with(next)) // also one that leads nowhere
		require.Equal(t, gone.cookies, again.cookies)
		require.Empty(t, s.ask(c, "POST", "/app/destroy").cookies) // nothing to clear
	})
}

func TestAPersistentCookieFollowsTheDeadline(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				must(count(r))
			}
			must(read(r))
		}, options{
			container: sd.Config{Timeout: time.Hour, Resolution: time.Minute, Lifetime: 2 * time.Hour},
			http:      sessionhttp.Config{Cookie: sessionhttp.Cookie{Persistent: true}},
		})
		c := s.visitor()
		require.Empty(t, s.ask(c, "GET", "/").cookies)
		age := func(got answer) string {
			require.Len(t, got.cookies, 1)
			require.True(t, strings.HasPrefix(got.cookies[0], "__Host-session="+s.id(c)+"; Expires="))
			_, rest, found := strings.Cut(got.cookies[0], "Max-Age=")
			require.True(t, found)
			n, _, _ := strings.Cut(rest, ";")
			_, expires, _ := strings.Cut(got.cookies[0], "Expires=")
			expires, _, _ = strings.Cut(expires, ";")
			at, err := http.ParseTime(expires)
			require.NoError(t, err)
			require.Equal(t, n, fmt.Sprint(at.Unix()-s.clock.Load().now.Unix()))
			return n
		}
		require.Equal(t, "3660", age(s.ask(c, "POST", "/"))) // timeout and resolution
		s.advance(30 * time.Second)
		require.Empty(t, s.ask(c, "GET", "/").cookies, "not extended: the access is not due")
		s.advance(time.Minute)
		require.Equal(t, "3660", age(s.ask(c, "GET", "/")))
		require.Equal(t, "3660", age(s.ask(c, "POST", "/")))
		s.advance(59 * time.Minute)
		require.Equal(t, "3570", age(s.ask(c, "POST", "/")), "the lifetime ends first")
	})
}

func TestTheResponseIsSentAfterTheCommit(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var atCommit atomic.Bool
		s := start(func(w http.ResponseWriter, r *http.Request) {
			must(count(r))
			tx, _ := sessionhttp.Txn(r)
			check(tx.BeforeCommit(func(context.Context) error {
				time.Sleep(20 * time.Millisecond) // long enough to be overtaken
				return nil
			}))
			check(tx.AfterEnd(func(err error) { atCommit.Store(err == nil) }))
			w.Header().Set("X-Handler", "yes")
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, "done")
		})
		c := s.visitor()
		got := s.ask(c, "GET", "/")
		require.True(t, atCommit.Load(), "answered before the commit")
		require.Equal(t, http.StatusCreated, got.status)
		require.Equal(t, "done", got.body)
		require.Equal(t, "yes", got.header.Get("X-Handler"))
		require.Equal(t, 1, s.stored(s.id(c)))
	})
}

func TestTheRequestAfterARedirectSeesTheChange(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				must(count(r))
				http.Redirect(w, r, "/", http.StatusSeeOther)
				return
			}
			fmt.Fprint(w, must(read(r)))
		})
		var wg sync.WaitGroup
		for range 8 {
			c := s.visitor()
			c.CheckRedirect = nil
			wg.Go(func() {
				for n := 1; n <= 10; n++ {
					got := s.try(c, "POST", "/")
					if got.err != nil || got.body != fmt.Sprint(n) {
						t.Errorf("after %d changes the visitor saw %q, %v", n, got.body, got.err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}
