package sessionhttp_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

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
