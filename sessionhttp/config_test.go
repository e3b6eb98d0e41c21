package sessionhttp_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

func TestAConfigurationWithSeveralFaultsIsOneErrorThatNamesThemAll(t *testing.T) {
	_, err := sessionhttp.New(sessionhttp.Config{
		Buffer: -1, CommitTimeout: -1, Attempts: -1,
		Cookie: sessionhttp.Cookie{
			Name: "__Host-x", Path: "/app", Domain: "example.com", Insecure: true,
			SameSite: http.SameSiteNoneMode, Partitioned: true,
		},
		IDSource: sessionhttp.Header("Cookie"),
	})
	require.ErrorIs(t, err, sd.ErrInvalid)
	require.EqualError(t, err, "sessiondata: invalid use: configuration: no Container; Buffer is negative; CommitTimeout is negative; "+
		"Attempts is negative; Cookie.SameSite None needs Secure, which Cookie.Insecure takes away; "+
		"Cookie.Partitioned needs Secure, which Cookie.Insecure takes away; "+
		"Cookie.Name with __Host- needs Secure, which Cookie.Insecure takes away; "+
		"Cookie.Name with __Host- allows no Cookie.Domain; Cookie.Name with __Host- needs the Cookie.Path /; "+
		`IDSource "Cookie" is a header with a meaning of its own`)
}

func TestContradictoryConfigurationIsRefused(t *testing.T) {
	container, err := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{})
	require.NoError(t, err)
	for want, cfg := range map[string]sessionhttp.Config{
		"is not a token":                                        {Cookie: sessionhttp.Cookie{Name: "a b"}},
		"not begin with /":                                      {Cookie: sessionhttp.Cookie{Name: "a", Path: "app"}},
		"no path may have":                                      {Cookie: sessionhttp.Cookie{Name: "a", Path: "/a\x01b"}},
		"is not a domain":                                       {Cookie: sessionhttp.Cookie{Domain: "exa mple"}},
		"is not a mode":                                         {Cookie: sessionhttp.Cookie{SameSite: 9}},
		"with __Host- needs the Cookie.Path /":                  {Cookie: sessionhttp.Cookie{Name: "__host-a", Path: "/a"}},
		"with __Host- allows no Cookie.Domain":                  {Cookie: sessionhttp.Cookie{Name: "__HOST-a", Domain: "example.com"}},
		"with __Secure- needs Secure":                           {Cookie: sessionhttp.Cookie{Name: "__Secure-a", Insecure: true}},
		"with __Http- needs HttpOnly":                           {Cookie: sessionhttp.Cookie{Name: "__Http-a", ScriptAccess: true}},
		"with __Host-Http- needs HttpOnly":                      {Cookie: sessionhttp.Cookie{Name: "__Host-Http-a", ScriptAccess: true}},
		"is not the name of a header":                           {IDSource: sessionhttp.Header("X Session")},
		`"Set-Cookie" is a header with a meaning`:               {IDSource: sessionhttp.Header("set-cookie")},
		`"Authorization" is a header with a meaning of its own`: {IDSource: sessionhttp.Header("authorization")},
	} {
		cfg.Container = container
		_, err := sessionhttp.New(cfg)
		require.ErrorIs(t, err, sd.ErrInvalid, want)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), ";", "one fault: %v", err)
	}
	for _, cookie := range []sessionhttp.Cookie{
		{},
		{Insecure: true},
		{Domain: "example.com"},
		{Domain: ".example.com"},
		{Path: "/app"},
		{Name: "__Secure-a", Domain: "example.com", Path: "/a"},
		{Name: "__Host-Http-a"},
		{SameSite: http.SameSiteNoneMode, Partitioned: true},
		{SameSite: http.SameSiteDefaultMode},
		{ScriptAccess: true},
	} {
		_, err := sessionhttp.New(sessionhttp.Config{Container: container, Cookie: cookie})
		require.NoError(t, err, "%+v", cookie)
	}
}

func TestTheDefaultNameIsOneThatTheAttributesAllow(t *testing.T) {
	for want, cookie := range map[string]sessionhttp.Cookie{
		"__Host-session=": {},
		"session=":        {Insecure: true},
		"session= ":       {Domain: "example.com"},
		"session=  ":      {Path: "/app"},
	} {
		s := newSite(t, false, func(w http.ResponseWriter, r *http.Request) { must(count(r)) },
			options{http: sessionhttp.Config{Cookie: cookie}})
		got := s.ask(s.visitor(), "GET", "/")
		require.Len(t, got.cookies, 1)
		require.True(t, strings.HasPrefix(got.cookies[0], strings.TrimRight(want, " ")), got.cookies[0])
		require.Equal(t, !cookie.Insecure, strings.Contains(got.cookies[0], "; Secure"))
	}
}

func TestIDSourceSaysWhatItIs(t *testing.T) {
	require.Equal(t, "cookie", sessionhttp.IDSource{}.String())
	require.Equal(t, "header X-Session-Id, or cookie", sessionhttp.Header("x-session-id").String())
}
