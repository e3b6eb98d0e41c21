package memcachestore

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

// edges are sizes of values with which requests and replies end at every place
// about the ends of the client's buffers, and of this package's.
func edges() []int {
	sizes := []int{0, 1, 2, 100, 100_000, 300_000}
	for _, buffer := range []int{4096, 8192, incomingSize, 2 * incomingSize} {
		for d := -70; d <= 4; d++ { // the first line of a request or a reply takes some 50 bytes
			sizes = append(sizes, buffer+d)
		}
	}
	return sizes
}

func TestValuesOfEverySizeArriveWhole(t *testing.T) {
	certs := mct.NewCerts(t)
	for name, with := range map[string]struct {
		flags  []string
		config func(*Config)
	}{
		"plain": {nil, func(*Config) {}},
		"TLS":   {[]string{"-Z", "-o", "ssl_chain_cert=" + certs.Cert + ",ssl_key=" + certs.Key}, trusting(certs)},
		"a connection that is no socket": {nil, func(cfg *Config) {
			cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				nc, err := new(net.Dialer).DialContext(ctx, network, address)
				return struct{ net.Conn }{nc}, err
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, []string{mct.Start(t, with.flags...).Addr()}, with.config)
			rng := rand.New(rand.NewPCG(1, 1))
			for _, size := range edges() {
				key := fmt.Sprint("k", size)
				value := make([]byte, size)
				for i := range value {
					value[i] = byte(rng.Uint32())
				}
				require.NoError(t, s.Add(t.Context(), key, value, time.Minute))
				item, err := s.Get(t.Context(), key)
				require.NoError(t, err, "size %d", size)
				require.True(t, bytes.Equal(value, item.Value), "size %d", size)
				require.NoError(t, s.CompareAndSwap(t.Context(), key, value[:size/2], time.Minute, item.Version))
				get(t, s, key, string(value[:size/2]))
			}
			require.Equal(t, 1, s.servers[0].open, "no exchange has cost its connection")
		})
	}
}

// heldSocket holds a socket, and must be asked all the same.
type heldSocket struct {
	*net.TCPConn
	written *atomic.Int64
}

func (c heldSocket) Write(p []byte) (int, error) {
	c.written.Add(int64(len(p)))
	return c.TCPConn.Write(p)
}

// Whoever dials may put something between: what is written must go through it.
func TestNothingIsWrittenPastAConnectionThatHoldsASocket(t *testing.T) {
	var written atomic.Int64
	s := open(t, []string{mct.Start(t).Addr()}, func(cfg *Config) {
		cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return heldSocket{nc.(*net.TCPConn), &written}, nil
		}
	})
	for _, size := range []int{10, 5000, 100_000} {
		before := written.Load()
		require.NoError(t, s.Add(t.Context(), fmt.Sprint("k", size), make([]byte, size), time.Minute))
		require.Greater(t, written.Load()-before, int64(size))
	}
}

// sink is a connection that keeps what is written to it, and answers STORED.
type sink struct {
	net.Conn
	sent    []byte
	onWrite func()
}

func (s *sink) Write(p []byte) (int, error) {
	s.onWrite()
	s.sent = append(s.sent, p...)
	return len(p), nil
}

func (s *sink) Read(p []byte) (int, error)  { return copy(p, "STORED\r\n"), nil }
func (s *sink) SetDeadline(time.Time) error { return nil }
func (s *sink) RemoteAddr() net.Addr        { return &net.TCPAddr{} }
func (s *sink) Close() error                { return nil }

// A part would wake the server for nothing.
func TestNothingOfARequestIsSentBeforeAllOfItIsThere(t *testing.T) {
	for _, size := range edges() {
		to := &sink{}
		sock := newSocket(to)
		c := newConn(sock, sock)
		value := bytes.Repeat([]byte("v"), size)
		want := fmt.Sprintf("cas k 0 61 %d 7\r\n%s\r\n", size, value)
		to.onWrite = func() {
			here := len(to.sent)
			for _, piece := range c.out.list {
				here += len(piece)
			}
			require.Equal(t, len(want), here, "size %d", size)
		}
		require.NoError(t, c.begin(t.Context(), time.Second, true, false))
		c.write(value)
		require.NoError(t, c.do(request{verb: swap, key: "k", value: value, ttl: time.Minute, version: sd.Version{ID: 7}}))
		require.Equal(t, want, string(to.sent), "size %d", size)
		require.Equal(t, len(want), c.ex.sent)
		require.Empty(t, c.out.held)
		require.Empty(t, c.out.list)
		require.Nil(t, c.out.tail, "an idle connection keeps nobody's value")
		require.Nil(t, c.ex.value)
	}
}

// A reply is waited for in two stages, of which only the second watches the
// context: both must end as one does.
func TestAReplyThatTakesLongerThanPatienceIsWaitedFor(t *testing.T) {
	certs := mct.NewCerts(t)
	pair, err := tls.LoadX509KeyPair(certs.Cert, certs.Key)
	require.NoError(t, err)
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"plain": nil,
		"TLS": func(c net.Conn) net.Conn {
			return tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var delay atomic.Int64
			hold := make(chan struct{})
			p := newPeer(func(line, _ string) string {
				_, key, _ := strings.Cut(line, " ")
				time.Sleep(time.Duration(delay.Load()))
				if key == "never" {
					<-hold
				}
				return value(key, "of "+key, 1)
			})
			edit := func(*Config) {}
			if wrap != nil {
				edit = trusting(certs)
			}
			s := open(t, []string{p.listen(t, wrap)}, edit)
			t.Cleanup(func() { close(hold) })
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for _, d := range []time.Duration{0, patience / 2, patience, 5 * patience, 20 * patience} {
				delay.Store(int64(d))
				item, err := s.Get(ctx, "k")
				require.NoError(t, err, d)
				require.Equal(t, "of k", string(item.Value))
			}
			require.Equal(t, 1, s.servers[0].open, "waiting has cost no connection")

			// Its Timeout is ten seconds: what ends the wait is the context.
			time.AfterFunc(10*patience, cancel)
			start := time.Now()
			_, err := s.Get(ctx, "never")
			require.ErrorIs(t, err, context.Canceled)
			require.Less(t, time.Since(start), 5*time.Second)
		})
	}
}
