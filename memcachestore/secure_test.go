package memcachestore

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

func trusting(c *mct.Certs) func(*Config) {
	return func(cfg *Config) { cfg.TLS = &tls.Config{RootCAs: c.Pool} }
}

// unusable checks that every operation and Ping fail and name the server.
func unusable(t *testing.T, s *Store, name string, texts ...string) {
	t.Helper()
	_, err := s.Get(t.Context(), "k")
	var listing error
	for _, e := range s.Keys(t.Context(), "") {
		listing = e
	}
	for _, err := range []error{err, s.Add(t.Context(), "k", nil, 0), s.Ping(t.Context()), listing} {
		require.ErrorIs(t, err, sd.ErrUnavailable)
		require.ErrorContains(t, err, name)
		require.NotContains(t, err.Error(), "hunter2")
		require.NotContains(t, err.Error(), "wrong-word")
		for _, text := range texts {
			require.ErrorContains(t, err, text)
		}
	}
}

func roundTrip(t *testing.T, s *Store) {
	t.Helper()
	v := put(t, s, "k", "x")
	require.NoError(t, s.CompareAndSwap(t.Context(), "k", make([]byte, 100_000), 0, v))
	item, err := s.Get(t.Context(), "k")
	require.NoError(t, err)
	require.Len(t, item.Value, 100_000)
	require.NoError(t, s.CompareAndDelete(t.Context(), "k", item.Version))
	require.NoError(t, s.Ping(t.Context()))
}

func TestUnixSocket(t *testing.T) {
	srv := mct.StartUnix(t)
	s := open(t, []string{srv.Addr()})
	roundTrip(t, s)
	srv.Restart()
	roundTrip(t, s)
	srv.Kill()
	unusable(t, open(t, []string{srv.Addr()}), srv.Addr())
}

func TestTLSWithVerification(t *testing.T) {
	certs := mct.NewCerts(t)
	srv := mct.Start(t, "-Z", "-o", "ssl_chain_cert="+certs.Cert+",ssl_key="+certs.Key)
	s := open(t, []string{srv.Addr()}, trusting(certs))
	roundTrip(t, s)
	require.Equal(t, 1, s.servers[0].open, "one connection serves all: what TLS itself sends is not taken for a surplus reply")

	t.Run("an unknown authority", func(t *testing.T) {
		unusable(t, open(t, []string{"sessions=" + srv.Addr()}, trusting(mct.NewCerts(t))), `"sessions"`, "certificate")
	})
	t.Run("another name", func(t *testing.T) {
		unusable(t, open(t, []string{"sessions=" + srv.Addr()}, func(cfg *Config) {
			cfg.TLS = &tls.Config{RootCAs: certs.Pool, ServerName: "cache.example.com"}
		}), `"sessions"`, "cache.example.com")
	})
	t.Run("plain to a TLS server", func(t *testing.T) {
		unusable(t, open(t, []string{"sessions=" + srv.Addr()}, quick), `"sessions"`)
	})
	t.Run("TLS to a plain server", func(t *testing.T) {
		plain := mct.Start(t)
		unusable(t, open(t, []string{"sessions=" + plain.Addr()}, quick, trusting(certs)), `"sessions"`)
	})
	t.Run("TLS over a unix socket", func(t *testing.T) {
		unix := mct.StartUnix(t, "-Z", "-o", "ssl_chain_cert="+certs.Cert+",ssl_key="+certs.Key)
		_, err := New(Config{Servers: []string{unix.Addr()}, TLS: &tls.Config{RootCAs: certs.Pool}})
		require.ErrorContains(t, err, "ServerName")
	})
}

func TestAuthentication(t *testing.T) {
	file := filepath.Join(t.TempDir(), "auth")
	require.NoError(t, os.WriteFile(file, []byte("web:hunter2\n"), 0o600))
	srv := mct.Start(t, "-Y", file)
	as := func(user, password string) func(*Config) {
		return func(cfg *Config) { cfg.Username, cfg.Password = user, password }
	}
	roundTrip(t, open(t, []string{srv.Addr()}, as("web", "hunter2")))
	unusable(t, open(t, []string{"sessions=" + srv.Addr()}, as("web", "wrong-word")), `"sessions"`, "refused the user or the password")
	unusable(t, open(t, []string{"sessions=" + srv.Addr()}, as("bew", "hunter2")), `"sessions"`, "refused the user or the password")
	unusable(t, open(t, []string{"sessions=" + srv.Addr()}), `"sessions"`, "wants a user and a password")

	t.Run("a server that asks for none keeps no password", func(t *testing.T) {
		srv := mct.Start(t)
		s := open(t, []string{srv.Addr()}, as("web", "hunter2"))
		roundTrip(t, s)
		for k, err := range s.Keys(t.Context(), "") {
			t.Fatal(k, err)
		}
		require.NotContains(t, srv.Raw("get auth"), "hunter2")
		reports, err := s.Report(t.Context())
		require.NoError(t, err)
		require.Contains(t, reports[0].Warnings, "the server does not ask for a password (-Y), although one is configured")
	})
}
