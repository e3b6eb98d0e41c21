package sessionhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

// discard is a writer that costs next to nothing, so that what the middleware
// costs can be seen.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

type bench struct {
	container *sd.Container
	manager   *sessionhttp.Manager
	id        string
	request   *http.Request
}

func newBench(b testing.TB) *bench {
	container, err := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{})
	require.NoError(b, err)
	manager, err := sessionhttp.New(sessionhttp.Config{Container: container})
	require.NoError(b, err)
	s := &bench{container: container, manager: manager, request: httptest.NewRequest("GET", "/", nil)}
	tx := sd.Begin()
	session, err := container.New(context.Background(), tx)
	require.NoError(b, err)
	require.NoError(b, session.Pkg("test").Set("n", 0))
	require.NoError(b, tx.Commit(context.Background()))
	s.id = session.ID()
	s.request.Header.Set("Cookie", "__Host-session="+s.id)
	return s
}

func increment(s *sd.Session) error {
	return sd.Modify(s.Pkg("test"), "n", func(n *int) error { *n++; return nil })
}

func look(s *sd.Session) error {
	_, err := sd.Get[int](s.Pkg("test"), "n")
	return err
}

var page = []byte("<!doctype html><title>page</title>")

// direct does the work of a request by Container.Update, and writes the page.
func (s *bench) direct(fn func(*sd.Session) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.container.Update(r.Context(), s.id, fn); err != nil {
			panic(err)
		}
		_, _ = w.Write(page)
	})
}

// within does the same within the middleware.
func (s *bench) within(fn func(*sd.Session) error) http.Handler {
	return s.manager.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := sessionhttp.Session(r)
		if err == nil {
			err = fn(session)
		}
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(page)
	}))
}

func plainPage(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) }

// BenchmarkMiddleware compares a request's work done by Container.Update with
// the same done through the middleware, over a writer that does nothing.
func BenchmarkMiddleware(b *testing.B) {
	s := newBench(b)
	for _, c := range []struct {
		name    string
		handler http.Handler
	}{
		{"change/direct", s.direct(increment)},
		{"change/middleware", s.within(increment)},
		{"read/direct", s.direct(look)},
		{"read/middleware", s.within(look)},
		{"unused/direct", http.HandlerFunc(plainPage)},
		{"unused/middleware", s.manager.Handler(http.HandlerFunc(plainPage))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			w := discard{http.Header{}}
			for b.Loop() {
				clear(w.h)
				c.handler.ServeHTTP(w, s.request)
			}
		})
	}
}

// BenchmarkServer is a request to a real server, which does not ask for its
// session, without the middleware and with it.
func BenchmarkServer(b *testing.B) {
	s := newBench(b)
	for _, c := range []struct {
		name    string
		handler http.Handler
	}{
		{"unused/direct", http.HandlerFunc(plainPage)},
		{"unused/middleware", s.manager.Handler(http.HandlerFunc(plainPage))},
		{"change/direct", s.direct(increment)},
		{"change/middleware", s.within(increment)},
	} {
		b.Run(c.name, func(b *testing.B) {
			server := httptest.NewServer(c.handler)
			defer server.Close()
			b.ReportAllocs()
			for b.Loop() {
				req, err := http.NewRequest("GET", server.URL, nil)
				require.NoError(b, err)
				req.Header.Set("Cookie", "__Host-session="+s.id)
				res, err := server.Client().Do(req)
				require.NoError(b, err)
				require.NoError(b, res.Body.Close())
			}
		})
	}
}

// The middleware's own allocations are bounded: time is measured by the
// benchmark, as a test of it would fail on a busy machine.
func TestTheMiddlewareAllocatesLittleBesideTheSession(t *testing.T) {
	s := newBench(t)
	w := discard{http.Header{}}
	allocs := func(h http.Handler) float64 {
		return testing.AllocsPerRun(200, func() {
			clear(w.h)
			h.ServeHTTP(w, s.request)
		})
	}
	for name, fn := range map[string]func(*sd.Session) error{"change": increment, "read": look} {
		more := allocs(s.within(fn)) - allocs(s.direct(fn))
		require.LessOrEqual(t, more, 15.0, fmt.Sprintf("%s: %v allocations more than Update", name, more))
	}
}
