package memcachestore

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

// open returns a store over the given servers, closed when the test ends. Its
// timeouts are those of a busy machine; edit changes its configuration.
func open(t testing.TB, servers []string, edit ...func(*Config)) *Store {
	t.Helper()
	cfg := Config{
		Servers: servers, DialTimeout: 10 * time.Second, Timeout: 10 * time.Second,
		Logger: slog.New(slog.DiscardHandler),
	}
	for _, e := range edit {
		e(&cfg)
	}
	s, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// quick are the timeouts of tests in which something does not answer.
func quick(cfg *Config) {
	cfg.DialTimeout, cfg.Timeout, cfg.RetryAfter = 250*time.Millisecond, 150*time.Millisecond, 200*time.Millisecond
}

func one(t testing.TB, args ...string) (*mct.Server, *Store) {
	t.Helper()
	srv := mct.Start(t, args...)
	return srv, open(t, []string{srv.Addr()})
}

// proxied is a store that reaches its server through a proxy, named as the
// server is.
func proxied(t testing.TB, edit ...func(*Config)) (*mct.Server, *mct.Proxy, *Store) {
	t.Helper()
	srv := mct.Start(t)
	p := mct.StartProxy(t, srv.Addr())
	return srv, p, open(t, []string{srv.Addr() + "=" + p.Addr()}, edit...)
}

func put(t testing.TB, s *Store, key, value string) sd.Version {
	t.Helper()
	require.NoError(t, s.Add(t.Context(), key, []byte(value), time.Minute))
	return get(t, s, key, value)
}

func get(t testing.TB, s *Store, key, value string) sd.Version {
	t.Helper()
	item, err := s.Get(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, value, string(item.Value))
	return item.Version
}

func absent(t testing.TB, s *Store, key string) {
	t.Helper()
	_, err := s.Get(t.Context(), key)
	require.ErrorIs(t, err, sd.ErrNotFound)
}

// eventually waits for what happens in the background.
func eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// logbook is a logger whose lines can be read.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logbook) use(cfg *Config) {
	cfg.Logger = slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logbook) count(e event) int { return strings.Count(l.String(), string(e)) }

// peer is a memcached that answers what the test tells it.
type peer struct {
	pid    atomic.Int64
	hung   atomic.Bool // takes requests and answers none
	dials  atomic.Int64
	open   atomic.Int64
	refuse atomic.Bool // connections end at once
	start  time.Time
	extra  string // more "stats settings"

	// answer returns the reply to a request, whose data block it gets too.
	answer func(line, data string) string
}

func newPeer(answer func(line, data string) string) *peer {
	p := &peer{answer: answer, start: time.Now()}
	p.pid.Store(7)
	return p
}

// dial is Config.Dial over a pipe, which works in a bubble of synctest.
func (p *peer) dial(context.Context, string, string) (net.Conn, error) {
	if p.refuse.Load() {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("connection refused")}
	}
	a, b := net.Pipe()
	go p.serve(b)
	return a, nil
}

// listen serves on a port and returns its address.
func (p *peer) listen(t testing.TB, wrap func(net.Conn) net.Conn) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if wrap != nil {
				c = wrap(c)
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			all.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l.Addr().String()
}

func (p *peer) serve(c net.Conn) {
	p.dials.Add(1)
	p.open.Add(1)
	defer p.open.Add(-1)
	defer c.Close()
	br := bufio.NewReader(c)
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		f := strings.Fields(line)
		var data string
		if len(f) >= 5 && (f[0] == "add" || f[0] == "cas" || f[0] == "set") {
			n, _ := strconv.Atoi(f[4])
			b := make([]byte, n+2)
			if _, err := io.ReadFull(br, b); err != nil {
				return
			}
			data = string(b[:n])
		}
		if p.hung.Load() {
			continue
		}
		var reply string
		switch line {
		case "stats":
			up := int64(time.Since(p.start) / time.Second)
			reply = fmt.Sprintf("STAT pid %d\r\nSTAT uptime %d\r\nSTAT time %d\r\nEND\r\n", p.pid.Load(), up, p.start.Unix()+up)
		case "stats settings":
			reply = "STAT item_size_max 1048576\r\nSTAT cas_enabled yes\r\n" + p.extra + "END\r\n"
		default:
			reply = p.answer(line, data)
		}
		switch reply {
		case "hang up":
			return
		case "": // TLS would send a record for it
			continue
		}
		if _, err := io.WriteString(c, reply); err != nil {
			return
		}
	}
}

// value is the reply to a get.
func value(key, value string, cas int) string {
	return fmt.Sprintf("VALUE %s 0 %d %d\r\n%s\r\nEND\r\n", key, len(value), cas, value)
}
