package memcachestore

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

// warmPool makes n idle connections.
func warmPool(t *testing.T, s *Store, n int) {
	t.Helper()
	srv := s.servers[0]
	var held []*conn
	for range n {
		c, err := srv.conn(t.Context(), false)
		require.NoError(t, err)
		held = append(held, c)
	}
	for _, c := range held {
		srv.put(c)
	}
}

func TestNoRequestSeesARestart(t *testing.T) {
	srv, s := one(t)
	for range 3 {
		warmPool(t, s, 20)
		srv.Restart()
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				_, err := s.Get(t.Context(), fmt.Sprint("absent", i))
				assert.ErrorIs(t, err, sd.ErrNotFound)
				assert.NoError(t, s.Add(t.Context(), fmt.Sprint("new", i), nil, time.Minute))
			})
		}
		all.Wait()
	}
}

func TestNoRequestSeesARestartUnderTLS(t *testing.T) {
	certs := mct.NewCerts(t)
	srv := mct.Start(t, "-Z", "-o", "ssl_chain_cert="+certs.Cert+",ssl_key="+certs.Key)
	s := open(t, []string{srv.Addr()}, trusting(certs))
	for range 2 {
		warmPool(t, s, 5)
		srv.Restart()
		for range 10 {
			absent(t, s, "k")
		}
	}
}

func TestAStaleCommitNeverWinsOverANewOneEvenWhenCASIdsMeet(t *testing.T) {
	srv, s := one(t)
	stale := put(t, s, "k", "before the restart")
	srv.Restart()
	fresh := put(t, s, "k", "after it")
	require.Equal(t, stale.ID, fresh.ID, "the trap is set")
	require.NotEqual(t, stale, fresh)
	require.ErrorIs(t, s.CompareAndSwap(t.Context(), "k", []byte("lost update"), time.Minute, stale), sd.ErrConflict)
	require.ErrorIs(t, s.CompareAndDelete(t.Context(), "k", stale), sd.ErrConflict)
	get(t, s, "k", "after it")
	require.NoError(t, s.CompareAndSwap(t.Context(), "k", []byte("next"), time.Minute, fresh))
}

func TestWhatWasLoadedBeforeARestartIsGone(t *testing.T) {
	srv, s := one(t)
	v := put(t, s, "k", "x")
	srv.Restart()
	require.ErrorIs(t, s.CompareAndSwap(t.Context(), "k", []byte("y"), time.Minute, v), sd.ErrNotFound)
	require.ErrorIs(t, s.CompareAndDelete(t.Context(), "k", v), sd.ErrNotFound)
	absent(t, s, "k")
}

// The restart is hidden: the pool has a connection of the new boot before the
// store has noticed anything.
func TestAVersionIsComparedWithTheConnectionThatCarriesIt(t *testing.T) {
	srv := mct.Start(t)
	reader, writer := open(t, []string{srv.Addr()}), open(t, []string{srv.Addr()})
	stale := put(t, reader, "k", "x")
	srv.Restart()
	put(t, writer, "k", "y") // the writer never knew the first boot
	require.ErrorIs(t, writer.CompareAndSwap(t.Context(), "k", []byte("z"), 0, stale), sd.ErrConflict)
	get(t, writer, "k", "y")
}

func TestARestartIsToldOnce(t *testing.T) {
	var log logbook
	srv := mct.Start(t)
	s := open(t, []string{"one=" + srv.Addr()}, log.use)
	absent(t, s, "k")
	warmPool(t, s, 5)
	srv.Restart()
	warmPool(t, s, 5)
	absent(t, s, "k")
	require.Equal(t, 1, log.count(eventRestarted), log.String())
	require.Contains(t, log.String(), "server=one")
}

// memcached -e keeps its items over a restart that was asked for, and goes on
// with its CAS ids. "Gone" would be a lie there, and a logout that is answered
// with it would not have happened.
func TestAWarmRestartMakesConflictsOfWhatIsStillThere(t *testing.T) {
	srv := mct.Start(t, "-e", t.TempDir()+"/items", "-m", "64")
	s := open(t, []string{srv.Addr()})
	v, w := put(t, s, "k", "kept"), put(t, s, "gone", "x")
	eventually(t, 5*time.Second, "the server's clock has gone on", func() bool { return srv.Stat("uptime") > 4 })
	srv.End(syscall.SIGUSR1)
	time.Sleep(2500 * time.Millisecond) // it refuses a memory that was left less than two seconds ago
	srv.Restart()
	require.NoError(t, s.CompareAndDelete(t.Context(), "gone", get(t, s, "gone", "x")))
	require.ErrorIs(t, s.CompareAndDelete(t.Context(), "gone", w), sd.ErrNotFound)
	require.ErrorIs(t, s.CompareAndDelete(t.Context(), "k", v), sd.ErrConflict, "it must be read again")
	require.NoError(t, s.CompareAndDelete(t.Context(), "k", get(t, s, "k", "kept")))
	absent(t, s, "k")
}

// Containers that were started together have the same pid and the same start: the
// name tells such servers apart, and a later start tells two boots apart.
func TestServersOfOnePidAndStartAreToldApart(t *testing.T) {
	epoch := func(name, pid, now, uptime string) uint64 {
		b, err := identify(name, map[string]string{"pid": pid, "time": now, "uptime": uptime}, nil)
		require.NoError(t, err)
		return b.epoch
	}
	first := epoch("a", "1", "1800000000", "60")
	require.Equal(t, first, epoch("a", "1", "1800000030", "90"), "the same boot, later")
	require.NotEqual(t, first, epoch("b", "1", "1800000000", "60"), "another server")
	require.NotEqual(t, first, epoch("a", "1", "1800000030", "10"), "another boot")
	require.NotEqual(t, first, epoch("a", "2", "1800000000", "60"), "another process")
}
