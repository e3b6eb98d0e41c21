package sessionhttp_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

// another is a second Manager, with a container and a store of its own.
type another struct {
	*sessionhttp.Manager
	store     *spyStore
	container *sd.Container
}

func newAnother(t *testing.T, cfg sessionhttp.Config) another {
	store := &spyStore{Store: memstore.New(memstore.Config{})}
	container, err := sd.NewContainer(store, sd.Config{Name: "other"})
	require.NoError(t, err)
	cfg.Container = container
	cfg.Cookie.Name = "__Host-other"
	m, err := sessionhttp.New(cfg)
	require.NoError(t, err)
	return another{m, store, container}
}

func TestAManagerMountedTwiceLoadsAndCommitsOnce(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var s *site
		o := newAnother(t, sessionhttp.Config{})
		s = start(func(w http.ResponseWriter, r *http.Request) {
			deepest := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if must(sessionhttp.Session(r)) != must(s.manager.Session(r)) {
					panic("the innermost Manager is the one mounted again")
				}
				must(o.Session(r)) // is still found
				fmt.Fprint(w, must(count(r)))
			})
			must(count(r))
			between := o.Handler(s.manager.Handler(deepest))
			s.manager.Handler(between).ServeHTTP(w, r)
		})
		c := s.visitor()
		require.Equal(t, "2", s.ask(c, "GET", "/").body)
		s.store.counts()
		got := s.ask(c, "GET", "/")
		require.Equal(t, "4", got.body)
		require.Empty(t, got.cookies)
		reads, writes := s.store.counts()
		require.Equal(t, []int64{1, 1}, []int64{reads, writes})
	})
}

func TestTwoManagersLoadAndCommitOnceEach(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var s *site
		o := newAnother(t, sessionhttp.Config{})
		inner := o.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			innermost := must(sessionhttp.Session(r))
			if innermost != must(o.Session(r)) || innermost == must(s.manager.Session(r)) {
				panic("not the innermost")
			}
			if tx, _ := sd.FromContext(r.Context()); tx != innermost.Txn() {
				panic("the context has another transaction")
			}
			check(innermost.Pkg("test").Set("n", 100))
			check(must(s.manager.Session(r)).Pkg("test").Set("n", 1))
			check(innermost.Pkg("test").Set("path", r.URL.Path))
			check(must(s.manager.Session(r)).Pkg("test").Set("path", r.URL.Path))
			fmt.Fprint(w, "page")
		}))
		s = start(func(w http.ResponseWriter, r *http.Request) { inner.ServeHTTP(w, r) })
		c := s.visitor()
		require.Len(t, s.ask(c, "GET", "/first").cookies, 2)
		s.store.counts()
		o.store.counts()
		got := s.ask(c, "GET", "/second")
		require.Equal(t, "page", got.body)
		require.Empty(t, got.cookies)
		require.Equal(t, []string{"Cookie"}, got.header["Vary"])
		for _, store := range []*spyStore{s.store, o.store} {
			reads, writes := store.counts()
			require.Equal(t, []int64{1, 1}, []int64{reads, writes})
		}
	})
}

func TestTheCookieOfAnInnerCommitIsSentWhateverBecomesOfTheOuterOne(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var s *site
		o := newAnother(t, sessionhttp.Config{})
		runs := 0
		inner := o.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			runs++
			if r.URL.Path != "/outer" {
				must(count(r))
			}
			outer := must(s.manager.Session(r))
			check(sd.Modify(outer.Pkg("test"), "n", func(n *int) error { *n++; return nil }))
			if !outer.IsNew() && runs == 1 {
				check(s.container.Update(r.Context(), outer.ID(), func(other *sd.Session) error {
					return other.Pkg("test").Set("n", 50)
				}))
			}
			fmt.Fprint(w, "page")
		}))
		s = start(func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(w, r)
			if r.URL.Path == "/panic" {
				panic("after the inner commit")
			}
		}, options{outside: func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() {
					if recover() != nil {
						w.WriteHeader(http.StatusTeapot)
					}
				}()
				h.ServeHTTP(w, r)
			})
		}})
		c := s.visitor()
		require.Len(t, s.ask(c, "GET", "/outer").cookies, 1)

		runs = 0
		got := s.ask(c, "GET", "/outer")
		require.Equal(t, "page", got.body)
		require.Equal(t, 2, runs, "nothing was stored within: it can run again")
		require.Equal(t, 51, s.stored(s.id(c)))

		runs = 0
		got = s.ask(c, "GET", "/")
		require.Equal(t, 409, got.status)
		require.Equal(t, 1, runs, "what was stored within must not be done twice")
		require.Len(t, got.cookies, 1)
		require.True(t, strings.HasPrefix(got.cookies[0], "__Host-other="))

		fresh := s.visitor()
		runs = 1
		got = s.ask(fresh, "GET", "/panic")
		require.Equal(t, http.StatusTeapot, got.status)
		require.Len(t, got.cookies, 1)
		require.True(t, strings.HasPrefix(got.cookies[0], "__Host-other="))
	})
}

func TestFlushWithinTwoManagersCommitsBoth(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var s *site
		o := newAnother(t, sessionhttp.Config{})
		goOn := make(chan bool)
		inner := o.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			must(count(r))
			check(must(s.manager.Session(r)).Pkg("test").Set("n", 1))
			if r.URL.Path == "/down" {
				s.store.downForWrites.Store(true)
			}
			fmt.Fprint(w, "first ")
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
			<-goOn
			fmt.Fprint(w, "second")
		}))
		s = start(func(w http.ResponseWriter, r *http.Request) { inner.ServeHTTP(w, r) })
		res, err := s.visitor().Get(s.server.URL)
		require.NoError(t, err)
		require.Len(t, res.Header["Set-Cookie"], 2)
		goOn <- true
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, "first second", string(body))

		got := s.ask(s.visitor(), "GET", "/down")
		require.Equal(t, 503, got.status)
		require.Equal(t, "Service Unavailable\n", got.body)
		require.Len(t, got.cookies, 1, "of the inner commit, which was made")
	})
}
