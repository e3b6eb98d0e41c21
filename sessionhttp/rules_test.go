package sessionhttp_test

import (
	"context"
	"fmt"
	"io"
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

func TestACommitThatFailsLeavesTheErrorAnswerAlone(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var s *site
		s = start(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/down":
				must(count(r))
				s.store.downForWrites.Store(true)
			case "/lost":
				must(count(r))
				s.store.lostReplies.Store(true)
			case "/large":
				session := must(sessionhttp.Session(r))
				check(session.Pkg("test").Set("large", make([]byte, 5000)))
			case "/gone":
				must(count(r))
				check(s.container.Update(r.Context(), must(sessionhttp.Session(r)).ID(), (*sd.Session).Destroy))
			case "/doomed":
				must(count(r))
				tx, _ := sd.FromContext(r.Context())
				tx.Doom()
			default:
				must(count(r))
			}
			w.Header().Set("X-Handler", "yes")
			http.SetCookie(w, &http.Cookie{Name: "handlers", Value: "1"})
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, "done")
		}, options{
			container: sd.Config{MaxSize: 4000, CommitTimeout: 20 * time.Millisecond},
			outside: func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("X-Outside", "kept")
					h.ServeHTTP(w, r)
				})
			},
		})
		c := s.visitor()
		s.ask(c, "GET", "/")
		id := s.id(c)
		for path, status := range map[string]int{"/down": 503, "/large": 413, "/doomed": 500, "/gone": 409} {
			n := s.stored(id)
			got := s.ask(c, "POST", path)
			s.store.downForWrites.Store(false)
			require.Equal(t, status, got.status, path)
			require.Equal(t, http.StatusText(status)+"\n", got.body, path)
			require.Empty(t, got.cookies, path)
			require.NotContains(t, got.header, "X-Handler", path)
			require.Equal(t, "kept", got.header.Get("X-Outside"), path)
			require.Equal(t, []string{"Cookie"}, got.header["Vary"], path)
			require.Equal(t, []string{"private, no-store"}, got.header["Cache-Control"], path)
			require.Equal(t, id, s.id(c), path)
			if path == "/gone" {
				require.Equal(t, -1, s.stored(id))
				c = s.visitor()
				s.ask(c, "GET", "/")
				id = s.id(c)
				continue
			}
			require.Equal(t, n, s.stored(id), path)
		}
		// An outcome that nobody can tell is neither 503 nor a success.
		fresh := s.visitor()
		got := s.ask(fresh, "POST", "/lost")
		require.Equal(t, 500, got.status)
		require.Empty(t, got.cookies)
	})
}

func TestAStatusOf500AndAPanicStoreNothing(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var recovered atomic.Value
		s := start(func(w http.ResponseWriter, r *http.Request) {
			must(count(r))
			fmt.Fprint(w, "partial")
			switch r.URL.Path {
			case "/panic":
				panic("the handler's own")
			case "/abort":
				panic(http.ErrAbortHandler)
			}
		}, options{outside: func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() {
					p := recover()
					recovered.Store(fmt.Sprint(p))
					if p != nil && r.URL.RawQuery == "answer" {
						w.WriteHeader(http.StatusTeapot)
						return
					}
					if p != nil {
						panic(p)
					}
				}()
				h.ServeHTTP(w, r)
			})
		}})
		c := s.visitor()
		for path, want := range map[string]string{"/panic": "the handler's own", "/abort": http.ErrAbortHandler.Error()} {
			got := s.try(c, "GET", path)
			require.Error(t, got.err, "the connection is aborted, as without the middleware")
			require.Equal(t, want, recovered.Load())
			require.Zero(t, s.sessions())
		}
		got := s.ask(c, "GET", "/panic?answer")
		require.Equal(t, http.StatusTeapot, got.status)
		require.Empty(t, got.body)
		require.Empty(t, got.cookies)
		require.Zero(t, s.sessions())
	})
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) {
			must(count(r))
			w.WriteHeader(statusOf(r))
			fmt.Fprint(w, "page")
		})
		c := s.visitor()
		for status, stored := range map[int]bool{200: true, 303: true, 404: true, 499: true, 500: false, 503: false, 599: false} {
			before := s.sessions()
			got := s.ask(s.visitor(), "GET", fmt.Sprintf("/?n=%d", status))
			require.Equal(t, status, got.status)
			require.Equal(t, "page", got.body, "the handler's own answer")
			require.Equal(t, stored, s.sessions() > before, status)
			require.Equal(t, stored, len(got.cookies) == 1, status)
		}
		require.Empty(t, s.id(c))
	})
}

func statusOf(r *http.Request) (status int) {
	_, err := fmt.Sscan(r.URL.Query().Get("n"), &status)
	check(err)
	return status
}

func TestConfigCommitDecidesByTheStatus(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) {
			must(count(r))
			if r.URL.RawQuery != "" {
				w.WriteHeader(statusOf(r))
			}
		}, options{http: sessionhttp.Config{Commit: func(status int) bool { return status == 200 || status == 500 }}})
		require.Len(t, s.ask(s.visitor(), "GET", "/").cookies, 1)
		require.Len(t, s.ask(s.visitor(), "GET", "/?n=500").cookies, 1)
		require.Empty(t, s.ask(s.visitor(), "GET", "/?n=404").cookies)
		require.Equal(t, 2, s.sessions())
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

func TestAMalformedIDCostsNoStoreOperationAndAnUnknownOneIsNeverAdopted(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				must(count(r))
			}
			fmt.Fprint(w, must(read(r)))
		})
		malformed := []string{
			"", "x", "%00", `"`, `""`, "a b", "visitor-1", strings.Repeat("a", 42), strings.Repeat("a", 44),
			strings.Repeat("a", 4000), strings.Repeat("ä", 21) + "a", strings.Repeat("a", 42) + "=", strings.Repeat("a", 42) + "/",
		}
		for _, id := range malformed {
			c := s.visitor()
			got := s.ask(c, "GET", "/", s.with(id))
			require.Equal(t, "0", got.body)
			reads, writes := s.store.counts()
			require.Zero(t, reads+writes, "%q", id)
			require.Empty(t, got.cookies)

			got = s.ask(c, "POST", "/", s.with(id))
			require.Equal(t, "1", got.body)
			require.NotEqual(t, id, s.id(c))
			reads, writes = s.store.counts()
			require.Equal(t, []int64{0, 1}, []int64{reads, writes}, "%q", id)
		}
		unknown := strings.Repeat("b", 43)
		c := s.visitor()
		got := s.ask(c, "GET", "/", s.with(unknown))
		require.Equal(t, "0", got.body)
		require.Empty(t, got.cookies, "the cookie is left alone where nothing is stored")
		got = s.ask(c, "POST", "/", s.with(unknown))
		require.Equal(t, "1", got.body)
		require.Len(t, got.cookies, 1)
		require.NotEqual(t, unknown, s.id(c))
		require.Equal(t, -1, s.stored(unknown))
	})
}

func TestAnExpiredSessionIsNotAdopted(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, must(count(r))) })
		c := s.visitor()
		s.ask(c, "GET", "/")
		s.ask(c, "GET", "/")
		id := s.id(c)
		s.advance(2 * time.Hour)
		require.Equal(t, "1", s.ask(c, "GET", "/").body)
		require.NotEqual(t, id, s.id(c))
	})
}

func TestOfSeveralCookiesTheValidOneIsFound(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, must(count(r))) })
		c := s.visitor()
		s.ask(c, "GET", "/")
		id := s.id(c)
		s.store.counts()
		stranger := s.visitor()
		a, b := strings.Repeat("a", 43), strings.Repeat("b", 43)
		for i, h := range []http.Header{
			s.with("x", id),
			s.with(a, id, "x"),
			s.with(a, b, a, id),
			{"Cookie": {"other=1; " + s.cookie + "=" + a + ";" + s.cookie + `="` + id + `"`}},
			{"Cookie": {s.cookie + "=" + a, s.cookie + "=" + id}},
		} {
			got := s.ask(stranger, "GET", "/", h)
			require.Equal(t, fmt.Sprint(i+2), got.body)
			require.Empty(t, got.cookies)
		}
		// However many are sent, few are tried.
		s.store.counts()
		var many []string
		for i := range 200 {
			many = append(many, fmt.Sprintf("%043d", i))
		}
		require.Equal(t, "1", s.ask(stranger, "GET", "/", s.with(many...)).body)
		reads, _ := s.store.counts()
		require.LessOrEqual(t, reads, int64(4))
	})
}

func TestWhileTheStoreIsDownNobodyIsLoggedOut(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/page":
				fmt.Fprint(w, "page")
			case "/own":
				if _, err := sessionhttp.Session(r); err != nil {
					fmt.Fprint(w, "without a session")
				}
			case "/again":
				_, _ = sessionhttp.Session(r)
				_, _ = sessionhttp.Session(r)
			case "/renew":
				_ = sessionhttp.Renew(r)
			case "/destroy":
				_ = sessionhttp.Destroy(r)
			case "/remember":
				_ = sessionhttp.Remember(r, 1000*time.Hour)
			default:
				if n, err := count(r); err == nil {
					fmt.Fprint(w, n)
				}
			}
		})
		c, fresh := s.visitor(), s.visitor()
		s.ask(c, "GET", "/")
		id := s.id(c)
		s.store.down.Store(true)
		require.Equal(t, "page", s.ask(c, "GET", "/page").body)
		require.Equal(t, "without a session", s.ask(c, "GET", "/own").body)
		for _, path := range []string{"/", "/again", "/renew", "/destroy", "/remember"} {
			got := s.ask(c, "POST", path)
			require.Equal(t, 503, got.status)
			require.Equal(t, "Service Unavailable\n", got.body)
			require.Empty(t, got.cookies)
			require.Equal(t, id, s.id(c))
		}
		got := s.ask(fresh, "GET", "/") // a new visitor's session cannot be stored
		require.Equal(t, 503, got.status)
		require.Empty(t, got.cookies)

		s.store.down.Store(false)
		require.Equal(t, "2", s.ask(c, "GET", "/").body)
		require.Equal(t, id, s.id(c))
	})
}

// meddle counts, with another request of the visitor in between for the first n
// runs.
func meddle(s *site, n int, runs *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body := must(io.ReadAll(r.Body))
		w.Header().Add("X-Run", fmt.Sprint(runs.Load()+1))
		got := must(count(r))
		if session := must(sessionhttp.Session(r)); runs.Add(1) <= int64(n) && !session.IsNew() {
			check(s.container.Update(r.Context(), session.ID(), func(o *sd.Session) error {
				return sd.Modify(o.Pkg("test"), "n", func(v *int) error { *v += 10; return nil })
			}))
		}
		fmt.Fprintf(w, "%d %s", got, body)
	}
}

func TestAConflictRunsTheRequestAgainWhereRetryAllowsIt(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var runs atomic.Int64
		var h http.HandlerFunc
		opts := options{http: sessionhttp.Config{Buffer: 1000}}
		s := start(func(w http.ResponseWriter, r *http.Request) { h(w, r) }, opts)
		h = meddle(s, 0, &runs)
		c := s.visitor()
		s.ask(c, "GET", "/")
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			before := s.stored(s.id(c))
			runs.Store(0)
			h = meddle(s, 2, &runs)
			body := ""
			if method == "PUT" {
				body = strings.Repeat("body ", 200)
			}
			got := s.ask(c, method, "/", body)
			require.Equal(t, 200, got.status, method)
			require.Equal(t, fmt.Sprintf("%d %s", before+21, body), got.body, "on fresh data, with the whole body")
			require.Equal(t, []string{"3"}, got.header["X-Run"], "nothing is left of the earlier runs")
			require.EqualValues(t, 3, runs.Load())
			require.Equal(t, before+21, s.stored(s.id(c)))
		}

		for name, req := range map[string]func() answer{
			"a method that is not idempotent": func() answer { return s.ask(c, "POST", "/", "body") },
			"a body over Buffer":              func() answer { return s.ask(c, "PUT", "/", strings.Repeat("b", 1001)) },
			"a body of unknown length over Buffer": func() answer {
				return s.ask(c, "PUT", "/", io.MultiReader(strings.NewReader(strings.Repeat("b", 2000))))
			},
		} {
			before := s.stored(s.id(c))
			runs.Store(0)
			h = meddle(s, 1, &runs)
			got := req()
			require.Equal(t, 409, got.status, name)
			require.EqualValues(t, 1, runs.Load(), name)
			require.Equal(t, before+10, s.stored(s.id(c)), name)
		}

		runs.Store(0)
		h = meddle(s, 99, &runs)
		require.Equal(t, 409, s.ask(c, "GET", "/").status)
		require.EqualValues(t, 3, runs.Load(), "Attempts")
	})
}

func TestConfigRetryAndAttemptsDecideWhatRunsAgain(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		for _, attempts := range []int{1, 2, 7} {
			var runs atomic.Int64
			var h http.HandlerFunc
			var told atomic.Value
			s := start(func(w http.ResponseWriter, r *http.Request) { h(w, r) }, options{http: sessionhttp.Config{
				Attempts: attempts,
				Retry:    func(r *http.Request) bool { return r.Method == "POST" },
				Error: func(w http.ResponseWriter, r *http.Request, err error) {
					told.Store(err)
					w.WriteHeader(418)
				},
			}})
			h = meddle(s, 0, &runs)
			c := s.visitor()
			s.ask(c, "GET", "/")
			h = meddle(s, 99, &runs)
			runs.Store(0)
			require.Equal(t, 418, s.ask(c, "GET", "/").status)
			require.EqualValues(t, 1, runs.Load())
			runs.Store(0)
			require.Equal(t, 418, s.ask(c, "POST", "/", "body").status)
			require.EqualValues(t, attempts, runs.Load())
			var conflict *sd.ConflictError
			require.ErrorAs(t, told.Load().(error), &conflict)
			require.Equal(t, []sd.PkgKey{{Pkg: "test", Key: "n"}}, conflict.Keys)
			if attempts > 1 {
				require.Equal(t, attempts, conflict.Attempts)
			}
		}
	})
}

func TestParallelRequestsOfOneVisitorLoseNothing(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) {
			session := must(sessionhttp.Session(r))
			check(session.Pkg("cart").Set(r.URL.Query().Get("item"), 1))
			must(count(r))
		}, options{http: sessionhttp.Config{Attempts: 100}})
		c := s.visitor()
		s.ask(c, "GET", "/?item=first")
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if got := s.try(c, "GET", fmt.Sprintf("/?item=%d", i)); got.status != 200 {
					t.Errorf("status %d, %v", got.status, got.err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, 21, s.stored(s.id(c)))
		require.NoError(t, s.container.View(t.Context(), s.id(c), func(o *sd.Session) error {
			require.Equal(t, 21, o.Pkg("cart").Len())
			return nil
		}))
	})
}

func TestAnUnknownIDIsNoHindranceUnderSerializable(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, must(count(r))) },
			options{container: sd.Config{Conflict: sd.Serializable}})
		c := s.visitor()
		require.Equal(t, "1", s.ask(c, "GET", "/", s.with(strings.Repeat("b", 43))).body)
		require.Equal(t, "2", s.ask(c, "GET", "/").body)
	})
}
