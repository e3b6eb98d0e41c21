package sessionhttp_test

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

// countOrRead counts under /count and only reads elsewhere.
func countOrRead(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/count" {
		fmt.Fprint(w, must(count(r)))
	} else {
		fmt.Fprint(w, must(read(r)))
	}
}

func TestWithinTheGraceTheCookieMovesToTheNewID(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(countOrRead)
		c := s.visitor()
		s.ask(c, "GET", "/count")
		old := s.id(c)
		var next string
		require.NoError(t, s.container.Update(t.Context(), old, func(session *sd.Session) (err error) {
			next, err = session.RenewAfter(time.Minute)
			return err
		}))
		// A request that only reads follows, and takes the cookie along.
		got := s.ask(c, "GET", "/")
		require.Equal(t, "1", got.body)
		require.Len(t, got.cookies, 1)
		require.Equal(t, next, s.id(c))
		require.Empty(t, s.ask(c, "GET", "/").cookies)

		// One that was on its way with the old id still counts.
		require.Equal(t, "2", s.ask(s.visitor(), "GET", "/count", s.with(old)).body)
		s.advance(time.Minute)
		require.Equal(t, "0", s.ask(s.visitor(), "GET", "/", s.with(old)).body)
		require.Equal(t, "2", s.ask(c, "GET", "/").body)
	})
}

func TestPeriodicRenewalUnderParallelRequestsMakesNobodyAnonymous(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(countOrRead, options{
			container: sd.Config{RenewEvery: time.Minute, RenewGrace: 30 * time.Second},
			http:      sessionhttp.Config{Attempts: 100},
		})
		c := s.visitor()
		s.ask(c, "GET", "/count")
		ids := map[string]bool{s.id(c): true}
		const tabs, rounds = 16, 10
		for round := range rounds {
			var wg sync.WaitGroup
			for tab := range tabs {
				wg.Go(func() {
					path := "/count"
					if tab%4 == 0 {
						path = "/"
					}
					if got := s.try(c, "GET", path); got.err != nil || got.status != http.StatusOK || got.body == "0" {
						t.Errorf("round %d: anonymous, or failed: %+v", round, got)
					}
				})
			}
			wg.Wait()
			ids[s.id(c)] = true
			s.advance(20 * time.Second)
		}
		require.Equal(t, strconv.Itoa(1+rounds*tabs*3/4), s.ask(c, "GET", "/").body, "a change was lost")
		require.Len(t, ids, 1+rounds*20/60, "one renewal a period")
	})
}
