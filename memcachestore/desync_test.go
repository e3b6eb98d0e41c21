package memcachestore

import (
	"crypto/tls"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

// readEach reads n keys, each of which must hold its own value or fail.
func readEach(t *testing.T, s *Store, n int) (failed int) {
	t.Helper()
	for i := range n {
		item, err := s.Get(t.Context(), fmt.Sprint("user", i))
		if err != nil {
			require.ErrorIs(t, err, sd.ErrUnavailable)
			failed++
			continue
		}
		require.Equal(t, fmt.Sprint("of user", i), string(item.Value), "another user's session")
	}
	return failed
}

func TestASurplusReplyNeverGivesOneUserAnothersSession(t *testing.T) {
	surplus := "VALUE user0 0 8 1\r\nof user0\r\nEND\r\n"
	for name, fault := range map[string]mct.Fault{
		"a value twice":                  {Verb: "gets", Do: mct.DoubleReply},
		"an answer twice":                {Verb: "add", Do: mct.DoubleReply},
		"a value after the answer":       {Verb: "add", Do: mct.ReplaceReply, Text: "STORED\r\n" + surplus},
		"a value in place of the answer": {Verb: "add", Do: mct.ReplaceReply, Text: surplus},
		"an answer in place of a value":  {Verb: "gets", Do: mct.ReplaceReply, Text: "STORED\r\n"},
		"another user's value":           {Verb: "gets", Do: mct.ReplaceReply, Text: surplus},
		"two values in one reply":        {Verb: "gets", Do: mct.ReplaceReply, Text: "VALUE user1 0 8 1\r\nof user1\r\n" + surplus},
		"a miss and a value":             {Verb: "gets", Do: mct.ReplaceReply, Text: "END\r\n" + surplus},
	} {
		t.Run(name, func(t *testing.T) {
			var log logbook
			_, p, s := proxied(t, log.use)
			for i := range 10 {
				put(t, s, fmt.Sprint("user", i), fmt.Sprint("of user", i))
			}
			warmPool(t, s, 4)
			p.Inject(fault)
			if fault.Verb == "add" {
				err := s.Add(t.Context(), "other", nil, 0)
				require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
				require.NotContains(t, err.Error(), "user0")
			} else {
				get(t, s, "user1", "of user1")
			}
			require.Zero(t, p.Pending())
			require.Equal(t, 1, log.count(eventDesync))
			require.LessOrEqual(t, s.servers[0].open, 1, "the whole pool was dropped")
			require.Zero(t, readEach(t, s, 10))
			require.NotContains(t, log.String(), "user0")
		})
	}
}

func TestASurplusReplyThatComesLaterIsSeenBeforeTheNextRequest(t *testing.T) {
	var log logbook
	_, p, s := proxied(t, log.use)
	for i := range 10 {
		put(t, s, fmt.Sprint("user", i), fmt.Sprint("of user", i))
	}
	for range 3 {
		warmPool(t, s, 3)
		p.Surplus(value("user0", "of user0", 1))
		before := p.RoundTrips()
		require.Zero(t, readEach(t, s, 10))
		require.Equal(t, before+10, p.RoundTrips(), "found before anything was sent")
	}
	require.GreaterOrEqual(t, log.count(eventDesync), 1)
}

// held is a connection that sends what is written to it only when it is told.
type held struct {
	net.Conn
	hold bool
	buf  []byte
}

func (h *held) Write(p []byte) (int, error) {
	if h.hold {
		h.buf = append(h.buf, p...)
		return len(p), nil
	}
	return h.Conn.Write(p)
}

func (h *held) release() {
	h.hold = false
	h.Conn.Write(h.buf)
	h.buf = nil
}

// A surplus reply may lie in the buffers of TLS, where a look at the socket does
// not see it.
func TestASurplusReplyUnderTLSIsSeenToo(t *testing.T) {
	certs := mct.NewCerts(t)
	pair, err := tls.LoadX509KeyPair(certs.Cert, certs.Key)
	require.NoError(t, err)
	for _, tail := range []string{"in the same record", "in a record of its own", "in a record that comes later"} {
		t.Run(tail, func(t *testing.T) {
			var armed atomic.Bool
			var asked atomic.Int64
			var latest atomic.Pointer[tls.Conn]
			p := newPeer(func(line, _ string) string {
				asked.Add(1)
				_, key, _ := strings.Cut(line, " ")
				reply := value(key, "of "+key, 1)
				if !armed.Swap(false) {
					return reply
				}
				more := value("user0", "of user0", 1)
				c := latest.Load()
				switch tail {
				case "in the same record":
					return reply + more
				case "in a record of its own": // both arrive together
					under := c.NetConn().(*held)
					under.hold = true
					c.Write([]byte(reply))
					c.Write([]byte(more))
					under.release()
					return ""
				}
				c.Write([]byte(reply))
				time.Sleep(20 * time.Millisecond)
				return more
			})
			addr := p.listen(t, func(c net.Conn) net.Conn {
				tc := tls.Server(&held{Conn: c}, &tls.Config{Certificates: []tls.Certificate{pair}})
				latest.Store(tc)
				return tc
			})
			var log logbook
			s := open(t, []string{addr}, trusting(certs), log.use)
			require.Zero(t, readEach(t, s, 5))
			armed.Store(true)
			require.Zero(t, readEach(t, s, 1))
			time.Sleep(50 * time.Millisecond)
			before := asked.Load()
			require.Zero(t, readEach(t, s, 10))
			require.Equal(t, before+10, asked.Load(), "found before anything was sent")
			require.Equal(t, 1, log.count(eventDesync))
		})
	}
}

// The client allocates what the first line promises.
func TestAReplyCannotMakeTheStoreAllocateWhatItPleases(t *testing.T) {
	p := newPeer(func(string, string) string { return "VALUE k 0 4294967290 1\r\n" })
	s := open(t, []string{p.listen(t, nil)}, quick)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := s.Get(t.Context(), "k")
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, sd.ErrUnavailable)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(10<<20))
}

func TestOddRepliesAreTypedErrorsWithoutKeysOrValues(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for reply, want := range map[string]struct{ read, write error }{
		"ERROR\r\n":                                       {sd.ErrUnavailable, sd.ErrUnavailable},
		"CLIENT_ERROR bad data chunk\r\n":                 {sd.ErrUnavailable, sd.ErrUnavailable},
		"CLIENT_ERROR line too long\r\n":                  {sd.ErrUnavailable, sd.ErrUnavailable},
		"SERVER_ERROR object too large for cache\r\n":     {sd.ErrUnavailable, sd.ErrTooLarge},
		"SERVER_ERROR out of memory storing object\r\n":   {sd.ErrUnavailable, sd.ErrUnavailable},
		"SERVER_ERROR timeout waiting for secret-key\r\n": {sd.ErrUnavailable, sd.ErrOutcomeUnknown},
		"NOT_STORED\r\n":                                  {sd.ErrUnavailable, sd.ErrExists},
		"EXISTS\r\n":                                      {sd.ErrUnavailable, sd.ErrUnavailable}, // to an add
		"NOT_FOUND\r\n":                                   {sd.ErrUnavailable, sd.ErrUnavailable},
		"STORED\n":                                        {sd.ErrUnavailable, sd.ErrOutcomeUnknown},
		"OK\r\n":                                          {sd.ErrUnavailable, sd.ErrOutcomeUnknown},
		"\r\n":                                            {sd.ErrUnavailable, sd.ErrOutcomeUnknown},
		"VALUE secret-key 0 x 1\r\n":                      {sd.ErrUnavailable, sd.ErrOutcomeUnknown},
		"VALUE secret-key 0 -1 1\r\n":                     {sd.ErrUnavailable, sd.ErrOutcomeUnknown},
		"VALUE secret-key 0 2 1\r\nabcdEND\r\n":           {sd.ErrUnavailable, sd.ErrOutcomeUnknown},
		"VALUE secret-key 0 2 zz\r\nab\r\nEND\r\n":        {sd.ErrUnavailable, sd.ErrOutcomeUnknown},
		"VALUE secret-key 0 2 0\r\nab\r\nEND\r\n":         {sd.ErrNotSupported, sd.ErrOutcomeUnknown},
		"VALUE secret-key 0 2\r\nab\r\nEND\r\n":           {sd.ErrUnavailable, sd.ErrOutcomeUnknown},
		"VALUE secret-key\r\n":                            {sd.ErrUnavailable, sd.ErrOutcomeUnknown},
		"secret-value\r\n":                                {sd.ErrUnavailable, sd.ErrOutcomeUnknown},
		long + "\r\n":                                     {sd.ErrUnavailable, sd.ErrOutcomeUnknown},
		long:                                              {sd.ErrUnavailable, sd.ErrOutcomeUnknown},
		"hang up":                                         {sd.ErrUnavailable, sd.ErrOutcomeUnknown},
		"":                                                {sd.ErrUnavailable, sd.ErrOutcomeUnknown},
		"SERVER_ERROR \x1b[31m\xff" + long + "\r\n":       {sd.ErrUnavailable, sd.ErrOutcomeUnknown},
	} {
		t.Run(plain(reply, ""), func(t *testing.T) {
			t.Parallel()
			var log logbook
			p := newPeer(func(string, string) string { return reply })
			s := open(t, []string{p.listen(t, nil)}, quick, log.use)
			_, rerr := s.Get(t.Context(), "secret-key")
			require.ErrorIs(t, rerr, want.read)
			eventually(t, time.Second, "it is tried again", func() bool {
				s.servers[0].mu.Lock()
				defer s.servers[0].mu.Unlock()
				return s.servers[0].down == nil
			})
			werr := s.Add(t.Context(), "secret-key", []byte("secret-value"), 0)
			require.ErrorIs(t, werr, want.write)
			for _, text := range []string{rerr.Error(), werr.Error(), log.String()} {
				require.NotContains(t, text, "secret-key")
				require.NotContains(t, text, "secret-value")
				require.NotContains(t, text, "\x1b")
				require.Less(t, len(rerr.Error()), 400)
			}
		})
	}
}

func TestAServerThatDoesNotSayWhatItIsIsNotUsed(t *testing.T) {
	for name, extra := range map[string]string{
		"no CAS":        "STAT cas_enabled no\r\n",
		"no item size":  "STAT item_size_max lots\r\n",
		"a tiny item":   "STAT item_size_max 10\r\n",
		"something odd": "VALUE a 0 1 1\r\nx\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(echo)
			p.extra = extra
			s := open(t, []string{"one=" + p.listen(t, nil)})
			_, err := s.Get(t.Context(), "k")
			require.ErrorIs(t, err, sd.ErrUnavailable)
			require.ErrorContains(t, err, `"one"`)
			if name == "no CAS" {
				require.ErrorIs(t, err, sd.ErrNotSupported)
			}
		})
	}
}
