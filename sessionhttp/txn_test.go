package sessionhttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

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
