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

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

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

// What a handler has committed itself is there: a conflict after that does not run
// the request again, which would do it twice.
func TestARequestThatHasCommittedIsNotRunAgain(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var runs atomic.Int64
		var s *site
		s = start(func(w http.ResponseWriter, r *http.Request) {
			must(count(r))
			if r.URL.Path == "/twice" {
				runs.Add(1)
				check(sessionhttp.Commit(r.Context(), r))
				meddle(s, 9, &runs)(w, r)
			}
		})
		c := s.visitor()
		s.ask(c, "GET", "/")
		got := s.ask(c, "GET", "/twice")
		require.Equal(t, 409, got.status)
		require.EqualValues(t, 2, runs.Load(), "one run, which counts two")
		require.Equal(t, 1+1+10, s.stored(s.id(c)))
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

func TestAnOutcomeThatIsNotKnownIsNotTriedAgain(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var runs atomic.Int64
		s := start(func(w http.ResponseWriter, r *http.Request) {
			runs.Add(1)
			tx, _ := sessionhttp.Txn(r)
			check(tx.BeforeCommit(func(context.Context) error {
				return fmt.Errorf("%w: %w", sd.ErrOutcomeUnknown, sd.ErrConflict)
			}))
		})
		require.Equal(t, 500, s.ask(s.visitor(), "GET", "/").status)
		require.EqualValues(t, 1, runs.Load())
	})
}
