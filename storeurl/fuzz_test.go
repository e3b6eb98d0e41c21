package storeurl

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/internal/bounds"
)

// FuzzOpen opens the store of any text: it is one, or ErrInvalid on one line.
func FuzzOpen(f *testing.F) {
	for _, raw := range []string{
		"", ":", "memory:", "memory:?maxbytes=64MiB", "memory:?maxbytes=9223372036854775807", "memory:?maxbytes=8589934592GiB", "memory://x", "memory:x",
		"memcache://localhost:11211", "memcache://10.0.0.1,10.0.0.2:11212", "memcache://10.0.0.1,10.0.0.2?name=a,b", "memcache://[::1],[::2]:5/",
		"memcache+tls://user:pass%2Fword@cache.example.com?server_name=x", "memcache+unix:///run/memcached.sock", "memcache+unix:///%zz",
		"memcache://a?timeout=250ms&dial_timeout=2s&idle_timeout=never&retry_after=1s&list_timeout=1m&max_conns=7", "memcache://a?timeout=-1s",
		"memcache://a?timeout=1s&timeout=2s", "memcache://a?unknown=1", "memcache://a#b", "memcache://a,,b", "memcache://user@a", "memcache://:@a",
		"memcache://a=b:1", "memcache://a?name=x=y", "memcache://a?name=,", "redis://a", "memcache:a", "memcache://a?%zz", "memcache://a/path",
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if u, err := parse(raw); err == nil && (u.query.Has("ca") || u.query.Has("cert") || u.query.Has("key")) {
			return // files of this machine
		}
		var s sd.Store
		var err error
		require.NoError(t, bounds.Check(len(raw), 1024, func() { s, err = Open(t.Context(), raw) }))
		require.Equal(t, err == nil, s != nil)
		if err != nil {
			require.ErrorIs(t, err, sd.ErrInvalid)
			require.False(t, strings.ContainsAny(err.Error(), "\r\n\x00\x1b"), "%q", err.Error())
			return
		}
		require.NoError(t, s.Close())
		require.ErrorIs(t, s.Ping(t.Context()), sd.ErrClosed)
		scheme, _, _ := strings.Cut(raw, ":")
		require.Contains(t, schemes, scheme)
	})
}

// FuzzPassword puts any user and password into a URL in front of any rest: no
// error shows them, nor does Redacted, and where the URL is one they arrive.
func FuzzPassword(f *testing.F) {
	for _, rest := range []string{"a", "a,b:1", "a?name=x,y", "a/path", "a#x", "a?timeout=x", "", "a:b:c", "a?%zz", "a=b", "a?max_conns=0"} {
		f.Add("user", "hunter2-hunter2", rest, true)
		f.Add("user", "p:/?#@%ssword", rest, true)
		f.Add("user", "p:/?#@%ssword", rest, false)
	}
	f.Fuzz(func(t *testing.T, user, password, rest string, escape bool) {
		if len(password) < 6 || strings.Contains(rest, password) || strings.Contains(user, password) || strings.Contains("x "+known, password) {
			return // it would be found by accident
		}
		userinfo := user + ":" + password
		if escape {
			userinfo = escaped(user) + ":" + escaped(password)
		}
		raw := "memcache://" + userinfo + "@" + rest
		u, err := parse(raw)
		if err == nil && (u.query.Has("ca") || u.query.Has("cert") || u.query.Has("key")) {
			return
		}
		require.NotContains(t, Redacted(raw), password)
		if escape {
			require.NotContains(t, Redacted(raw), userinfo)
			if err == nil {
				require.Equal(t, user, u.user.Username())
				got, _ := u.user.Password()
				require.Equal(t, password, got)
			}
		}
		s, err := Open(t.Context(), raw)
		if err != nil {
			require.True(t, errors.Is(err, sd.ErrInvalid))
			require.NotContains(t, err.Error(), password)
			return
		}
		require.NoError(t, s.Close())
	})
}

func escaped(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// known is what the errors are made of, beside what stands in the URL.
const known = "sessiondata: invalid use: store URL: sessiondata: opening a store: memcachestore: memcache memory memcache+tls memcache+unix " +
	"xxxxx parameters percent-encoded well-formed timeout, want a duration as in 250ms or 2s, want a number from 1, want a number of " +
	"bytes as in 67108864, 65536KiB, 64MiB or 1GiB a # stands in it (as part of a password it is written %23) an @ stands after the " +
	"hosts (in a user or a password / and ? are written %2F and %3F) ca, cert, key and server_name are for memcache+tls holds no " +
	"certificate in PEM cert and key go together: names are given by name=, in the order of the hosts: one is empty in front of the " +
	"@ must stand user:password, with : and @ in them percent-encoded memory: takes no host and no path a name holds a = no host, " +
	"want ://host:port is empty a server has none, want one of the parameters after the ? are not well-formed the path is not " +
	"well-formed unknown parameter user and password are not well-formed percent-encoding user or password is empty want " +
	"memcache+unix:///path/of/the/socket want memory: without // dial_timeout idle_timeout list_timeout max_conns maxbytes retry_after"
