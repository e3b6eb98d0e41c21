package memcachestore

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

func TestEveryFaultOfAConfigurationIsNamedAndNothingIsDialled(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  Config
		want []string
	}{
		"servers": {
			Config{Servers: []string{"a", "a:0", ":1", "a:port", "", "=a:1", "a b:1", "unix:rel", "http://x:1", "a:1,b:1", "x=y=z:1", "::1:11211"}},
			[]string{
				`"a": missing port`, `"a:0": port "0"`, `":1": the host is empty`, `"a:port": port "port"`, `"": is empty`,
				`"=a:1": the name`, `"a b:1": holds a space`, `"unix:rel": the path`, `"http://x:1"`, `"a:1,b:1": holds a comma`,
				`"x=y=z:1": "y=z" is not a host`, `"::1:11211"`,
			},
		},
		"twice": {
			Config{Servers: []string{"a:1", "a=b:1", "a=c:1", "n=A:1"}},
			[]string{`name "a" stands twice`, `address "A:1" stands twice`},
		},
		"numbers": {
			Config{Timeout: -1, DialTimeout: -time.Second, RetryAfter: -1, ListTimeout: -1, IdleTimeout: -2, MaxConns: -1},
			[]string{"Timeout: -1ns", "DialTimeout: -1s", "RetryAfter:", "ListTimeout:", "IdleTimeout: -2ns", "MaxConns: -1"},
		},
		"user without password": {Config{Username: "u"}, []string{"Username: there is no Password"}},
		"password without user": {Config{Password: "secret"}, []string{"Password: there is no Username"}},
		"words":                 {Config{Username: "a b", Password: "sec\r\nret"}, []string{"Username: holds", "Password: holds"}},
		"TLS over a socket":     {Config{Servers: []string{"unix:/s"}, TLS: &tls.Config{}}, []string{`TLS: "unix:/s"`, "ServerName"}},
		"a user in an address":  {Config{Servers: []string{"u:secret@h:1"}}, []string{"an address with an @"}},
		"several":               {Config{Servers: []string{"x"}, MaxConns: -3, Timeout: -1}, []string{`"x"`, "MaxConns: -3", "Timeout"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
				t.Error("dialled")
				return nil, net.ErrClosed
			}
			s, err := New(c.cfg)
			require.Nil(t, s)
			require.ErrorIs(t, err, sd.ErrInvalid)
			require.True(t, strings.HasPrefix(err.Error(), "sessiondata: "), err.Error())
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), "secret")
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestServersAreTakenAsTheyAreWritten(t *testing.T) {
	s := open(t, []string{
		"z=10.0.0.1:1", "[::1]:11211", "unix:/run/m.sock", "s=unix:/run/a=b.sock",
		"10.9.9.9:1=10.0.0.3:1", "localhost:11211",
	})
	got := map[string]string{}
	for _, srv := range s.servers {
		got[srv.name] = srv.network + " " + srv.address
	}
	require.Equal(t, map[string]string{
		"z": "tcp 10.0.0.1:1", "[::1]:11211": "tcp [::1]:11211", "unix:/run/m.sock": "unix /run/m.sock",
		"s": "unix /run/a=b.sock", "10.9.9.9:1": "tcp 10.0.0.3:1", "localhost:11211": "tcp localhost:11211",
	}, got)
}

func TestDefaults(t *testing.T) {
	s, err := New(Config{})
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, []string{"localhost:11211"}, s.cfg.Servers)
	require.Equal(t, 250*time.Millisecond, s.cfg.DialTimeout)
	require.Equal(t, 250*time.Millisecond, s.cfg.Timeout)
	require.Equal(t, 64, s.cfg.MaxConns)
	require.Equal(t, 90*time.Second, s.cfg.IdleTimeout)
	require.Equal(t, time.Second, s.cfg.RetryAfter)
}
