package memcachestore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/internal/bounds"
)

// scripted is a memcached that answers honestly, but for one request: that gets a
// reply of the fuzzer's, in chunks of sizes of the fuzzer's, and then the
// connection ends.
type scripted struct {
	peer
	verb  string // of the request that gets the reply
	reply []byte
	cuts  []byte
	spent atomic.Bool
}

// secret is the key of the request that gets the reply.
const secret = "secret-key"

func newScripted(verb string, reply, cuts []byte) *scripted {
	s := &scripted{verb: verb, reply: reply, cuts: cuts}
	s.start = time.Now()
	s.pid.Store(7)
	s.answer = func(line, _ string) string {
		verb, key, _ := strings.Cut(line, " ")
		if verb == "gets" {
			return value(key, "of "+key, 1)
		}
		return "STORED\r\n"
	}
	return s
}

// dial is Config.Dial over a pipe: a write to it ends when it has been read, so
// that what is left of a reply is there when the connection is looked at.
func (s *scripted) dial(context.Context, string, string) (net.Conn, error) {
	a, b := net.Pipe()
	go s.serve(&interposed{Conn: b, s: s})
	return a, nil
}

// interposed takes the place of the honest answer to the request, once.
type interposed struct {
	net.Conn
	s    *scripted
	seen []byte
}

func (i *interposed) Read(p []byte) (int, error) {
	n, err := i.Conn.Read(p)
	i.seen = append(i.seen, p[:n]...)
	return n, err
}

func (i *interposed) Write(p []byte) (int, error) {
	verb, _, _ := bytes.Cut(i.seen, []byte(" "))
	i.seen = nil
	if string(verb) != i.s.verb || i.s.spent.Swap(true) {
		return i.Conn.Write(p)
	}
	rest := i.s.reply
	for n := 0; len(rest) > 0; n++ {
		size := len(rest)
		if n < len(i.s.cuts) {
			size = min(size, 1+int(i.s.cuts[n]))
		}
		if _, err := i.Conn.Write(rest[:size]); err != nil {
			return 0, err
		}
		rest = rest[size:]
	}
	return 0, io.EOF
}

func (s *scripted) store(t *testing.T) *Store {
	return open(t, []string{"one=a:1"}, func(cfg *Config) { cfg.Dial, cfg.RetryAfter = s.dial, time.Millisecond })
}

// requireHonest reads other sessions: each has its own value, or none is had.
func requireHonest(t *testing.T, s *Store) {
	for range 3 {
		item, err := s.Get(t.Context(), "user1")
		if err != nil {
			require.ErrorIs(t, err, sd.ErrUnavailable)
			continue
		}
		require.Equal(t, "of user1", string(item.Value), "another user's session")
	}
}

func requireDiscreet(t *testing.T, err error) {
	if err != nil {
		require.NotContains(t, err.Error(), secret)
		require.Less(t, len(err.Error()), 1000)
		for _, r := range err.Error() {
			require.True(t, r >= ' ' && r != 0x7f, "%q", err.Error())
		}
	}
}

var replies = []string{
	"", "END\r\n", "ERROR\r\n", "CLIENT_ERROR bad data chunk\r\n", "SERVER_ERROR object too large for cache\r\n",
	"SERVER_ERROR out of memory storing object\r\n", "SERVER_ERROR " + secret + "\x1b[31m\r\n", "STORED\r\n", "STORED\r\nSTORED\r\n",
	"NOT_STORED\r\n", "EXISTS\r\n", "NOT_FOUND\r\n", "NOT_FOUND\r\nEND\r\n", "OK\r\n", "HD\r\n", "NF\r\n", "EX\r\n", "STORED\n", "STORED",
	value(secret, "of "+secret, 1), value(secret, "", 1), value("user1", "of user1", 1), value(secret, "x", 1) + value("user1", "y", 2),
	"VALUE " + secret + " 0 4294967290 1\r\n", "VALUE " + secret + " 0 -1 1\r\n", "VALUE " + secret + " 0 1048576 1\r\nx",
	"VALUE " + secret + " 0 2 0\r\nab\r\nEND\r\n", "VALUE " + secret + " 0 2\r\nab\r\nEND\r\n", "VALUE " + secret + " 0 2 1\r\nabcEND\r\n",
	"VALUE " + secret + " 0 2 18446744073709551616\r\nab\r\nEND\r\n", "VALUE  0 2 1\r\nab\r\nEND\r\n",
}

// FuzzReplyToGet answers a get with any bytes. What is got is what the reply
// says in the form of the protocol, under the key asked for; and whatever it was,
// nobody after it gets anything of it.
func FuzzReplyToGet(f *testing.F) {
	for _, reply := range replies {
		f.Add([]byte(reply), []byte{0, 3, 20})
	}
	f.Fuzz(func(t *testing.T, reply, cuts []byte) {
		s := newScripted("gets", reply, cuts).store(t)
		var item sd.Item
		var err error
		size := len(reply)
		if n, ok := promised(reply); ok {
			size = max(size, n) // the client makes room for a value that the server may hold
		}
		require.NoError(t, bounds.Check(size, 16, func() { item, err = s.Get(t.Context(), secret) }))
		requireDiscreet(t, err)
		want, id, ok := valueIn(reply)
		switch {
		case err == nil && string(item.Value) == "of "+secret && item.Version.ID == 1:
			// What it said itself, or the honest answer to a second try.
		case err == nil:
			require.True(t, ok, "%q", item.Value)
			require.Equal(t, want, item.Value)
			require.Equal(t, id, item.Version.ID)
		case errors.Is(err, sd.ErrNotFound):
			require.True(t, bytes.HasPrefix(reply, []byte("END\r\n")))
		default:
			require.True(t, errors.Is(err, sd.ErrUnavailable) || errors.Is(err, sd.ErrNotSupported), "%v", err)
		}
		requireHonest(t, s)
	})
}

// promised is the size of the value that a reply announces, where it is one that
// the server may hold.
func promised(reply []byte) (n int, ok bool) {
	line, _, _ := bytes.Cut(reply, []byte("\n"))
	f := bytes.Fields(line)
	if len(f) < 4 || string(f[0]) != "VALUE" {
		return 0, false
	}
	n, err := strconv.Atoi(string(f[3]))
	return n, err == nil && n >= 0 && n <= 1<<20
}

// valueIn reads a reply to a get by the letter of the protocol (protocol.txt,
// "Retrieval command").
func valueIn(reply []byte) (val []byte, id uint64, ok bool) {
	line, rest, _ := bytes.Cut(reply, []byte("\r\n"))
	f := strings.Split(string(line), " ")
	if len(f) != 5 || f[0] != "VALUE" {
		return nil, 0, false
	}
	_, err1 := strconv.ParseUint(f[2], 10, 32) // the flags
	size, err2 := strconv.Atoi(f[3])
	id, err3 := strconv.ParseUint(f[4], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil || f[1] != secret || size < 0 || size > len(rest) {
		return nil, 0, false
	}
	val, rest = rest[:size], rest[size:]
	return val, id, id != 0 && string(rest) == "\r\nEND\r\n"
}

// FuzzReplyToWrite answers an add, a swap, or the two forms of a delete with any
// bytes. What is said of the outcome is what the protocol says by them, and
// unknown where it says nothing.
func FuzzReplyToWrite(f *testing.F) {
	for i, reply := range replies {
		for verb := range 4 {
			f.Add(uint8(verb), []byte(reply), []byte{byte(i), 1})
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, reply, cuts []byte) {
		verb := []string{"add", "cas", "cas", "md"}[which%4]
		p := newScripted(verb, reply, cuts)
		if verb == "md" {
			honest := p.answer
			p.answer = func(line, data string) string {
				if strings.HasPrefix(line, "cas ") { // without room for an empty item
					return "SERVER_ERROR out of memory storing object\r\n"
				}
				return honest(line, data)
			}
		}
		s := p.store(t)
		item, err := s.Get(t.Context(), secret)
		require.NoError(t, err)
		require.NoError(t, bounds.Check(len(reply), 16, func() {
			switch which % 4 {
			case 0:
				err = s.Add(t.Context(), secret, []byte("value"), time.Minute)
			case 1:
				err = s.CompareAndSwap(t.Context(), secret, []byte("value"), time.Minute, item.Version)
			default:
				err = s.CompareAndDelete(t.Context(), secret, item.Version)
			}
		}))
		requireDiscreet(t, err)
		requireOutcome(t, verb, reply, err)
		requireHonest(t, s)
	})
}

// requireOutcome holds the outcome of a write to what the reply says.
func requireOutcome(t *testing.T, verb string, reply []byte, err error) {
	first, rest, whole := bytes.Cut(reply, []byte("\n"))
	line := string(first) + "\n"
	exact := whole && len(rest) == 0
	is := func(texts ...string) bool { return whole && slices.Contains(texts, line) }
	switch {
	case errors.Is(err, sd.ErrOutcomeUnknown):
		require.False(t, exact && is("STORED\r\n", "NOT_STORED\r\n") && verb == "add", "it was told")
		require.False(t, exact && is("STORED\r\n", "EXISTS\r\n", "NOT_FOUND\r\n") && verb == "cas", "it was told")
		require.False(t, exact && is("HD\r\n", "EX\r\n", "NF\r\n") && verb == "md", "it was told")
	case err == nil:
		require.True(t, is("STORED\r\n") && verb != "md" || is("HD\r\n") && verb == "md", "%q", reply)
	case errors.Is(err, sd.ErrExists):
		require.True(t, is("NOT_STORED\r\n") && verb == "add", "%q", reply)
	case errors.Is(err, sd.ErrConflict):
		require.True(t, is("EXISTS\r\n") && verb == "cas" || is("EX\r\n") && verb == "md", "%q", reply)
	case errors.Is(err, sd.ErrNotFound):
		require.True(t, is("NOT_FOUND\r\n") && verb == "cas" || is("NF\r\n") && verb == "md", "%q", reply)
	case errors.Is(err, sd.ErrTooLarge), errors.Is(err, sd.ErrUnavailable):
		// Certainly nothing was written: the server has refused in so many words, or
		// has given an answer that is none to this request but says the same.
		refusal := strings.HasPrefix(line, "ERROR") || strings.HasPrefix(line, "CLIENT_ERROR") || strings.HasPrefix(line, "SERVER_ERROR")
		require.True(t, whole && refusal || is("NOT_STORED\r\n", "EXISTS\r\n", "NOT_FOUND\r\n") && verb != "md", "%q: %v", reply, err)
	default:
		t.Fatalf("%v", err)
	}
}

// duplex is a connection that has said all that it will say.
type duplex struct {
	io.Reader
	io.Writer
}

// FuzzHandshake lets a server say any bytes of itself.
func FuzzHandshake(f *testing.F) {
	honest := "STAT pid 7\r\nSTAT uptime 5\r\nSTAT time 1800000000\r\nEND\r\nSTAT item_size_max 1048576\r\nSTAT cas_enabled yes\r\nEND\r\n"
	f.Add([]byte(honest), false)
	f.Add([]byte("STORED\r\n"+honest), true)
	for _, said := range []string{
		honest + "x", "ERROR Too many open connections\r\n", "CLIENT_ERROR unauthenticated\r\n", "CLIENT_ERROR authentication failure\r\n",
		"STAT pid 7\r\nEND\r\nEND\r\n", "END\r\nEND\r\n", "STAT pid x\r\nSTAT uptime 99999999999999999999\r\nSTAT time -1\r\nEND\r\nEND\r\n", "STAT\r\n",
		strings.Replace(honest, "1048576", "63", 1), strings.Replace(honest, "1048576", strings.Repeat("\xcc", 4000), 1), strings.Replace(honest, "\r\nEND", "\r\nSTAT memory_file /x\r\nEND", 2),
	} {
		f.Add([]byte(said), false)
		f.Add([]byte(said), true)
	}
	f.Fuzz(func(t *testing.T, said []byte, auth bool) {
		user := ""
		if auth {
			user = "user"
		}
		var b boot
		var err error
		require.NoError(t, bounds.Check(len(said), 256, func() {
			b, err = handshake(duplex{bytes.NewReader(said), io.Discard}, "one", user, "pass-word")
		}))
		requireDiscreet(t, err)
		if err != nil {
			require.NotContains(t, err.Error(), "pass-word")
			return
		}
		require.NotZero(t, b.epoch)
		require.True(t, b.itemMax == 0 || b.itemMax > overhead)
		r := ServerReport{}
		c := &conn{boot: b, nc: fakeConn{said: bytes.NewReader(said)}}
		if r.fill(c, time.Time{}) == nil {
			require.Equal(t, b.epoch, r.Boot)
		}
		other, err := handshake(duplex{bytes.NewReader(said), io.Discard}, "two", user, "pass-word")
		require.NoError(t, err)
		require.NotEqual(t, b.epoch, other.epoch, "two servers are told apart")
	})
}

// fakeConn is a net.Conn of which only what fill uses is there.
type fakeConn struct {
	net.Conn
	said io.Reader
}

func (c fakeConn) Read(p []byte) (int, error)  { return c.said.Read(p) }
func (c fakeConn) Write(p []byte) (int, error) { return len(p), nil }
func (c fakeConn) SetDeadline(time.Time) error { return nil }

// FuzzListing answers a listing with any bytes: it ends, in an error or with keys
// that the reply holds, each once.
func FuzzListing(f *testing.F) {
	for _, reply := range []string{
		"", "END\r\n", "BUSY\r\n", "BADCLASS\r\n", "ERROR\r\n", "key=a exp=-1 la=1 cas=7 fetch=no cls=1 size=63\nEND\r\n",
		"key=c%3Aa exp=1800000000 la=1 cas=7 fetch=yes cls=1 size=63\nkey=c%3Aa exp=0 size=63\nkey=c%3Ab size=9\nEND\r\n",
		"key=%zz size=1\nEND\r\n", "key= size=1\nEND\r\n", "key=c:a size=x\nEND\r\n", "key=c:a exp=99999999999999999999\nEND\r\n", "key=c:a size=1\n",
	} {
		f.Add([]byte(reply), []byte{5, 0})
	}
	f.Fuzz(func(t *testing.T, reply, cuts []byte) {
		s := newScripted("lru_crawler", reply, cuts).store(t)
		seen := map[string]bool{}
		var failed error
		require.NoError(t, bounds.Check(len(reply), 256, func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			for info, err := range s.Keys(ctx, "c:") {
				if failed = err; err != nil {
					break
				}
				require.False(t, seen[info.Key], "twice")
				seen[info.Key] = true
				require.True(t, strings.HasPrefix(info.Key, "c:"))
			}
		}))
		if failed != nil {
			require.True(t, errors.Is(failed, sd.ErrUnavailable) || errors.Is(failed, sd.ErrNotSupported), "%v", failed)
			requireDiscreet(t, failed)
			return
		}
		var told []string
		for line := range strings.Lines(string(reply)) {
			for field := range strings.FieldsSeq(line) {
				if text, ok := strings.CutPrefix(field, "key="); ok {
					key, _ := url.PathUnescape(text)
					told = append(told, key)
				}
			}
		}
		for key := range seen {
			require.Contains(t, told, key)
		}
		requireHonest(t, s)
	})
}
