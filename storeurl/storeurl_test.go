package storeurl

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
	"github.com/seed-ad7f1900/sessiondata/memcachestore"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

func opened(t *testing.T, url string) sd.Store {
	t.Helper()
	s, err := Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	_, ok := s.(sd.Lister)
	require.True(t, ok)
	return s
}

func TestAnApplicationDoesNotChangeWithTheStore(t *testing.T) {
	certs := mct.NewCerts(t)
	auth := filepath.Join(t.TempDir(), "auth")
	require.NoError(t, os.WriteFile(auth, []byte("web:hunter2/%\n"), 0o600))
	ssl := []string{"-Z", "-o", "ssl_chain_cert=" + certs.Cert + ",ssl_key=" + certs.Key}
	wait := "timeout=2s&dial_timeout=2s"
	for name, url := range map[string]func(t *testing.T) string{
		"memory":         func(*testing.T) string { return "memory:" },
		"bounded memory": func(*testing.T) string { return "memory:?maxbytes=64MiB" },
		"memcache":       func(t *testing.T) string { return "memcache://" + mct.Start(t).Addr() + "?" + wait },
		"two": func(t *testing.T) string {
			return "memcache://" + mct.Start(t).Addr() + "," + mct.Start(t).Addr() + "?name=a,b&" + wait
		},
		"TLS": func(t *testing.T) string {
			return "memcache+tls://" + mct.Start(t, ssl...).Addr() + "?ca=" + certs.CA + "&" + wait
		},
		"unix": func(t *testing.T) string {
			return "memcache+unix://" + strings.TrimPrefix(mct.StartUnix(t).Addr(), "unix:") + "?" + wait
		},
		"password": func(t *testing.T) string {
			return "memcache://web:hunter2%2F%25@" + mct.Start(t, "-Y", auth).Addr() + "?" + wait
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := opened(t, url(t))
			require.NoError(t, s.Ping(t.Context()))
			require.NoError(t, s.Add(t.Context(), "k", []byte("x"), time.Minute))
			item, err := s.Get(t.Context(), "k")
			require.NoError(t, err)
			require.NoError(t, s.CompareAndSwap(t.Context(), "k", []byte("y"), time.Minute, item.Version))
			require.ErrorIs(t, s.CompareAndSwap(t.Context(), "k", []byte("z"), time.Minute, item.Version), sd.ErrConflict)
		})
	}
}

func TestAStoreOpenedByURLKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) sd.Store { return opened(t, "memory:") })
}

func TestTheSchemeSaysWhichStoreItIs(t *testing.T) {
	require.IsType(t, &memstore.Store{}, opened(t, "memory:"))
	require.IsType(t, &memcachestore.Store{}, opened(t, "memcache://a"))
}

func TestAMemcacheURLSaysWhatAConfigSays(t *testing.T) {
	for url, want := range map[string]memcachestore.Config{
		"memcache://a":                               {Servers: []string{"a:11211"}},
		"memcache://a:1,b":                           {Servers: []string{"a:1", "b:11211"}},
		"memcache://[::1],[::2]:5/":                  {Servers: []string{"[::1]:11211", "[::2]:5"}},
		"memcache://a,b:2?name=x,y":                  {Servers: []string{"x=a:11211", "y=b:2"}},
		"memcache+unix:///run/m%20c.sock?name=local": {Servers: []string{"local=unix:/run/m c.sock"}},
		"memcache://us%40er:p%3A%2F%3F%23@a":         {Servers: []string{"a:11211"}, Username: "us@er", Password: "p:/?#"},
		"memcache+unix://u:p@/run/s":                 {Servers: []string{"unix:/run/s"}, Username: "u", Password: "p"},
		"memcache://a:11211,b:11211?timeout=250ms&name=n,m&dial_timeout=1s&max_conns=7&idle_timeout=never&retry_after=3s&list_timeout=1m": {
			Servers: []string{"n=a:11211", "m=b:11211"}, Timeout: 250 * time.Millisecond, DialTimeout: time.Second,
			MaxConns: 7, IdleTimeout: -1, RetryAfter: 3 * time.Second, ListTimeout: time.Minute,
		},
		"memcache://a?idle_timeout=5m": {Servers: []string{"a:11211"}, IdleTimeout: 5 * time.Minute},
	} {
		u, err := parse(url)
		require.NoError(t, err, url)
		got, err := u.memcache()
		require.NoError(t, err, url)
		require.Empty(t, cmp.Diff(want, got, cmpopts.IgnoreFields(memcachestore.Config{}, "TLS", "Logger", "Dial")), url)
		require.Nil(t, got.TLS)
	}
}

func TestTLSVerifies(t *testing.T) {
	certs := mct.NewCerts(t)
	u, err := parse("memcache+tls://a?ca=" + certs.CA + "&server_name=cache&cert=" + certs.Cert + "&key=" + certs.Key)
	require.NoError(t, err)
	cfg, err := u.memcache()
	require.NoError(t, err)
	require.Equal(t, "cache", cfg.TLS.ServerName)
	require.Len(t, cfg.TLS.Certificates, 1)
	require.True(t, certs.Pool.Equal(cfg.TLS.RootCAs))
	require.False(t, cfg.TLS.InsecureSkipVerify)
}

func TestAURLThatCannotBeMeantIsAnErrorWithThePart(t *testing.T) {
	for url, parts := range map[string][]string{
		"":                               {"scheme", "memory, memcache"},
		"localhost:11211":                {`scheme "localhost"`},
		"redis://a":                      {`scheme "redis"`},
		"MEMORY:":                        {`scheme "MEMORY"`},
		"memory://":                      {"without //"},
		"memory:x":                       {"no path"},
		"memory:?maxbytes=lots":          {`maxbytes="lots"`},
		"memory:?maxbytes=-1":            {`maxbytes="-1"`},
		"memory:?maxbytes=0":             {`maxbytes="0"`},
		"memory:?maxbytes=9999999999GiB": {"maxbytes"},
		"memory:?maxbytes=":              {`"maxbytes" is empty`},
		"memory:?timeout=1s":             {`unknown parameter "timeout"`, "maxbytes"},
		"memcache:a":                     {"want memcache://"},
		"memcache://":                    {"no host"},
		"memcache://a,,b":                {"one is empty"},
		"memcache://a:x":                 {`port "x"`},
		"memcache://a:1:2":               {`"a:1:2"`},
		"memcache://a/b":                 {`path "/b"`},
		"memcache://n=a:1":               {`"n=a:1"`, "name="},
		"memcache://a,b?name=x":          {"1 names for 2 hosts"},
		"memcache://a,b?name=x,x":        {`name "x" stands twice`},
		"memcache://a,a":                 {"stands twice"},
		"memcache://a?name=x%20y":        {"holds a space"},
		"memcache://a?name=x=y":          {"holds a ="},
		"memcache://a?tiemout=1s&max_conns=0&timeout=1": {`unknown parameter "tiemout"`, `max_conns="0"`, `timeout="1"`},
		"memcache://a?timeout=-1s":                      {`timeout="-1s"`},
		"memcache://a?timeout=1s&timeout=2s":            {`"timeout" stands 2 times`},
		"memcache://a?retry_after=":                     {`"retry_after" is empty`},
		"memcache://a?insecure=1":                       {`unknown parameter "insecure"`},
		"memcache://a?%zz":                              {"parameters"},
		"memcache://a?ca=/x":                            {"for memcache+tls"},
		"memcache+unix://":                              {"memcache+unix:///path"},
		"memcache+unix://host/path":                     {"memcache+unix:///path"},
		"memcache+tls://a?ca=/does/not/exist":           {"ca:", "/does/not/exist"},
		"memcache+tls://a?cert=/x":                      {"cert and key go together"},
		"memcache+tls://a?cert=/x&key=/y":               {"cert and key: open /x"},
		"memcache://a#b":                                {"#"},
	} {
		_, err := Open(t.Context(), url)
		require.ErrorIs(t, err, sd.ErrInvalid, url)
		require.True(t, strings.HasPrefix(err.Error(), "sessiondata: "), err.Error())
		for _, part := range parts {
			require.ErrorContains(t, err, part, url)
		}
		require.NotContains(t, err.Error(), "\n")
	}
}

func TestNoErrorHoldsThePassword(t *testing.T) {
	for _, url := range []string{
		"memcache://u:hunter2@a:x", "memcache://u:hunter2@", "memcache://u:hunter2@a?bad=1", "memcache://u:hunter2%zz@a",
		"memcache://u:hun:ter2hunter2@a", "memcache://u:hunter2@a@b", "memcache://u:hunter2#@a", "memcache://u:hunter2/x@a",
		"memcache://:hunter2@a", "memcache://hunter2@a", "memcache+unix://u:hunter2@host/p", "memcached://u:hunter2@a",
		"u:hunter2@a", "memcache://u:hunter2%20x@a", "memcache:u:hunter2@a", "memory://u:hunter2@a", "memory:u:hunter2@a",
		"memcache://u:hunter2?@a", "hunter2", "memcache://u:hunter2/@a", "memcache://u:p?hunter2@a", "memcache://u:hunter2,/@a",
	} {
		_, err := Open(t.Context(), url)
		require.ErrorIs(t, err, sd.ErrInvalid, url)
		require.NotContains(t, err.Error(), "hunter2", url)
	}
}

func TestAnEndedContextOpensNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Open(ctx, "memory:")
	require.ErrorIs(t, err, context.Canceled)
}

func TestARedactedURLShowsNoPassword(t *testing.T) {
	for url, want := range map[string]string{
		"memory:":                                "memory:",
		"memcache://a:1,b:2?name=x,y":            "memcache://a:1,b:2?name=x,y",
		"memcache+tls://web:s3cret@a,b?ca=/c":    "memcache+tls://xxxxx@a,b?ca=/c",
		"memcache://web:s3c@ret@a":               "memcache://xxxxx@a",
		"memcache://web:s3/c?r#et@a":             "memcache://xxxxx@a",
		"memcache:web:s3cret@a":                  "memcache://xxxxx@a",
		"redis://web:s3cret@a":                   "(no store URL)",
		"s3cret":                                 "(no store URL)",
		"":                                       "(no store URL)",
		"memcache+unix:///run/s?timeout=2s":      "memcache+unix:///run/s?timeout=2s",
		"memcache://web:s3cret@[2001:db8::1]:11": "memcache://xxxxx@[2001:db8::1]:11",
	} {
		require.Equal(t, want, Redacted(url))
	}
}
