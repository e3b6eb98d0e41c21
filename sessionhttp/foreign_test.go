package sessionhttp_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

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

func TestAnUnknownIDIsNoHindranceUnderSerializable(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, must(count(r))) },
			options{container: sd.Config{Conflict: sd.Serializable}})
		c := s.visitor()
		require.Equal(t, "1", s.ask(c, "GET", "/", s.with(strings.Repeat("b", 43))).body)
		require.Equal(t, "2", s.ask(c, "GET", "/").body)
	})
}
