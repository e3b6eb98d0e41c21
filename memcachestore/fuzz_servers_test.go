package memcachestore

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/internal/bounds"
)

// FuzzServers reads any text as Config.Servers, one on a line.
func FuzzServers(f *testing.F) {
	for _, spec := range []string{
		"", "localhost:11211", "a=10.0.0.1:11211\nb=10.0.0.2:11211", "unix:/run/memcached.sock", "one=unix:/run/memcached.sock", "[::1]:11211",
		"a=[::1]:11211", "=a:1", "a=", "a=b=c:1", "user:secret@host:1", "host", "host:", ":1", "host:0", "host:65536", "host:x", "unix:relative",
		"a:1\na:1", "A:1\na:1", "a\x00b:1", " a:1", "a:1 ", "memcache://a:1", strings.Repeat("n", 300) + "=a:1", "x=a:1\ny=a:1", "[::1:1",
	} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		servers := strings.Split(spec, "\n")
		var ends []endpoint
		var err error
		require.NoError(t, bounds.Check(len(spec), 512, func() {
			_, ends, err = Config{Servers: servers, Logger: slog.New(slog.DiscardHandler)}.check()
		}))
		if err != nil {
			require.ErrorIs(t, err, sd.ErrInvalid)
			for _, r := range err.Error() {
				require.True(t, r >= ' ' && r != 0x7f, "%q", err.Error())
			}
			return
		}
		require.Len(t, ends, len(servers))
		names, addresses := map[string]bool{}, map[string]bool{}
		for _, e := range ends {
			names[e.name], addresses[e.network+e.address] = true, true
			require.True(t, e.name != "" && len(e.name) <= maxNameLen)
			require.False(t, strings.ContainsFunc(e.name+e.address, func(r rune) bool { return r < ' ' || r == 0x7f }), "%q", e)
			require.NotContains(t, e.address, "@")
			switch e.network {
			case "tcp":
				host, port, err := net.SplitHostPort(e.address)
				require.NoError(t, err)
				n, err := strconv.Atoi(port)
				require.True(t, err == nil && n > 0 && n < 1<<16 && host != "", "%q", e)
			case "unix":
				require.True(t, strings.HasPrefix(e.address, "/"))
			default:
				t.Fatalf("network %q", e.network)
			}
			written := e.address
			if e.network == "unix" {
				written = "unix:" + written
			}
			again, err := parseServer(fmt.Sprintf("%s=%s", e.name, written))
			require.NoError(t, err)
			require.Equal(t, e, again)
		}
		require.Len(t, names, len(ends))
		require.Len(t, addresses, len(ends))
	})
}
