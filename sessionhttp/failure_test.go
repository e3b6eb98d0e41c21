package sessionhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

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
			w.Header().Set("X-Handler", "yes")
			fmt.Fprint(w, "partial")
			switch r.URL.Path {
			case "/panic":
				panic("the handler's own")
			case "/abort":
				panic(http.ErrAbortHandler)
			case "/hook":
				tx, _ := sessionhttp.Txn(r)
				check(tx.BeforeCommit(func(context.Context) error { panic("a hook's") }))
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
		for path, want := range map[string]string{
			"/panic": "the handler's own", "/abort": http.ErrAbortHandler.Error(), "/hook": "a hook's",
		} {
			got := s.try(c, "GET", path)
			require.Error(t, got.err, "the connection is aborted, as without the middleware")
			require.Equal(t, want, recovered.Load())
			require.Zero(t, s.sessions())
		}
		for _, path := range []string{"/panic?answer", "/hook?answer"} {
			got := s.ask(c, "GET", path)
			require.Equal(t, http.StatusTeapot, got.status)
			require.Empty(t, got.body)
			require.Empty(t, got.cookies)
			require.NotContains(t, got.header, "X-Handler")
			require.Zero(t, s.sessions())
		}
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
