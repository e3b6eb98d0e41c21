package memcachestore

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

func TestTheLargestValueFitsAndOneByteMoreIsFoundBeforeAnythingIsSent(t *testing.T) {
	for _, args := range [][]string{{}, {"-I", "64k", "-o", "slab_chunk_max=32768"}, {"-I", "4m"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			srv := mct.Start(t, args...)
			p := mct.StartProxy(t, srv.Addr())
			s := open(t, []string{p.Addr()})
			var itemMax int
			fmt.Sscan(srv.Stats("settings")["item_size_max"], &itemMax)
			for _, keyLen := range []int{1, 40, 200} {
				key := strings.Repeat("k", keyLen)
				most := itemMax - 63 - keyLen
				put(t, s, key, strings.Repeat("x", most))
				v := get(t, s, key, strings.Repeat("x", most))
				before := p.RoundTrips()
				over := make([]byte, most+1)
				require.ErrorIs(t, s.CompareAndSwap(t.Context(), key, over, 0, v), sd.ErrTooLarge)
				require.ErrorIs(t, s.Add(t.Context(), strings.Repeat("l", keyLen), over, 0), sd.ErrTooLarge)
				require.Equal(t, before, p.RoundTrips(), "nothing was sent")
				get(t, s, key, strings.Repeat("x", most))
				require.NoError(t, s.CompareAndSwap(t.Context(), key, over[:most], 0, v))
			}
		})
	}
}

// The server's own word, where it was not asked beforehand: set would delete the
// old value, cas keeps it.
func TestTooLargeForTheServerKeepsWhatIsStored(t *testing.T) {
	_, s := one(t, "-I", "64k", "-o", "slab_chunk_max=32768")
	v := put(t, s, "k", "x")
	c, err := s.servers[0].conn(t.Context(), false)
	require.NoError(t, err)
	c.boot.itemMax = 1 << 20 // believe in more than there is
	s.servers[0].put(c)
	require.ErrorIs(t, s.CompareAndSwap(t.Context(), "k", make([]byte, 100_000), 0, v), sd.ErrTooLarge)
	require.NoError(t, s.CompareAndSwap(t.Context(), "k", []byte("y"), 0, v))
}

// fill stores values of n bytes until the server has no memory left.
func fill(t *testing.T, s *Store, name string, n int) int {
	t.Helper()
	for i := range 100_000 {
		if err := s.Add(t.Context(), fmt.Sprint(name, i), make([]byte, n), time.Hour); err != nil {
			require.ErrorIs(t, err, sd.ErrUnavailable)
			require.ErrorContains(t, err, "the server is full")
			return i
		}
	}
	t.Fatal("the server takes everything")
	return 0
}

func TestAFullServerRefusesAndKeepsWhatIsStored(t *testing.T) {
	var log logbook
	srv := mct.Start(t, "-M", "-m", "2")
	s := open(t, []string{"one=" + srv.Addr()}, log.use)
	v := put(t, s, "k", "x")
	n := fill(t, s, "big", 1000)
	fill(t, s, "small", 1)
	require.ErrorIs(t, s.CompareAndSwap(t.Context(), "k", make([]byte, 1000), time.Hour, v), sd.ErrUnavailable)
	require.Equal(t, v, get(t, s, "k", "x"))
	for i := range n {
		get(t, s, fmt.Sprint("big", i), string(make([]byte, 1000)))
	}
	require.Equal(t, 1, log.count(eventFull), log.String())
	require.Nil(t, s.servers[0].down, "it answers")

	// A compare-and-delete by cas needs memory as well: logging out of a full
	// server must work all the same.
	require.Contains(t, srv.Raw(fmt.Sprintf("cas k 0 -1 0 %d\r\n", v.ID)), "out of memory", "the trap is set")
	stale := v
	stale.ID += 1_000_000
	require.ErrorIs(t, s.CompareAndDelete(t.Context(), "k", stale), sd.ErrConflict)
	get(t, s, "k", "x")
	require.NoError(t, s.CompareAndDelete(t.Context(), "k", v))
	absent(t, s, "k")
	fill(t, s, "more", 1)
	require.ErrorIs(t, s.CompareAndDelete(t.Context(), "k", v), sd.ErrNotFound)
}

func TestAServerThatTakesNoMoreConnectionsIsUsedOverThoseItTook(t *testing.T) {
	var log logbook
	// The server lowers its own limit of open files to what -c needs, and then
	// cannot even read /etc/passwd with less.
	srv := mct.Start(t, "-c", "30")
	s := open(t, []string{"one=" + srv.Addr()}, log.use)
	var all sync.WaitGroup
	for i := range 120 {
		all.Go(func() {
			for j := range 5 {
				assert.NoError(t, s.Add(t.Context(), fmt.Sprintf("%d-%d", i, j), nil, time.Minute))
			}
		})
	}
	all.Wait()
}

func TestAServerWhoseConnectionsOthersHaveIsUnavailableUntilTheyLetGo(t *testing.T) {
	srv := mct.Start(t, "-c", "30")
	taken := exhaust(t, srv.Addr())
	s := open(t, []string{"one=" + srv.Addr()}, quick)
	_, err := s.Get(t.Context(), "k")
	require.ErrorIs(t, err, sd.ErrUnavailable)
	require.ErrorContains(t, err, "too many open connections")
	require.ErrorContains(t, err, `"one"`)
	require.ErrorContains(t, s.Ping(t.Context()), "too many open connections")
	for _, c := range taken {
		c.Close()
	}
	eventually(t, 3*time.Second, "it is used again", func() bool {
		return s.Add(t.Context(), fmt.Sprint(time.Now().UnixNano()), nil, 0) == nil
	})
}

// exhaust makes connections until the server takes no more. It counts them a
// little late.
func exhaust(t *testing.T, addr string) []net.Conn {
	t.Helper()
	var taken []net.Conn
	t.Cleanup(func() {
		for _, c := range taken {
			c.Close()
		}
	})
	refusals := 0
	for range 200 {
		c, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		taken = append(taken, c)
		c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if n, _ := c.Read(make([]byte, 64)); n > 0 {
			if refusals++; refusals == 3 {
				return taken
			}
		}
	}
	t.Fatal("the server takes all connections")
	return nil
}

func TestAServerThatTakesNoMoreConnectionsSaysSoUnderTLS(t *testing.T) {
	certs := mct.NewCerts(t)
	srv := mct.Start(t, "-c", "40", "-Z", "-o", "ssl_chain_cert="+certs.Cert+",ssl_key="+certs.Key)
	exhaust(t, srv.Addr())
	s := open(t, []string{srv.Addr()}, trusting(certs), quick)
	_, err := s.Get(t.Context(), "k")
	require.ErrorIs(t, err, sd.ErrUnavailable)
	require.ErrorContains(t, err, "too many open connections")
}

func TestAServerWithoutCASIsRefused(t *testing.T) {
	srv := mct.Start(t, "-C")
	s := open(t, []string{"one=" + srv.Addr()})
	unusable(t, s, `"one"`, "compare-and-swap is disabled")
	reports, err := s.Report(t.Context())
	require.ErrorIs(t, err, sd.ErrNotSupported)
	require.False(t, reports[0].CASEnabled)
	require.Equal(t, "1.6", reports[0].Version[:3], "it answers all the same")
}
