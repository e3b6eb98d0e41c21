package memcachestore

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

func TestPingNamesTheServersThatDoNotAnswer(t *testing.T) {
	up, down, hung := mct.Start(t), mct.Start(t), mct.Start(t)
	s := open(t, []string{"up=" + up.Addr(), "down=" + down.Addr(), "hung=" + hung.Addr()}, func(cfg *Config) {
		cfg.DialTimeout, cfg.Timeout = time.Second, time.Second
	})
	require.NoError(t, s.Ping(t.Context()))
	down.Kill()
	hung.Pause()
	start := time.Now()
	err := s.Ping(t.Context())
	require.Less(t, time.Since(start), 3*time.Second, "a dial and a request at most")
	require.ErrorIs(t, err, sd.ErrUnavailable)
	require.ErrorContains(t, err, `"down"`)
	require.ErrorContains(t, err, `"hung"`)
	require.NotContains(t, err.Error(), `"up"`)
	require.NotContains(t, err.Error(), "\n")
	reports, err := s.Report(t.Context())
	require.Error(t, err)
	require.Len(t, reports, 3)
	require.Equal(t, "down", reports[0].Name)
	require.Error(t, reports[0].Err)
	require.NoError(t, reports[2].Err)
	require.NotZero(t, reports[2].Version)

	hung.Resume()
	down.Restart()
	require.NoError(t, s.Ping(t.Context()))
	for i := range 30 { // and at once they are used again
		require.NoError(t, s.Add(t.Context(), fmt.Sprint("k", i), nil, 0))
	}
}

func TestReportTellsHowTheServersDoAndWarns(t *testing.T) {
	var log logbook
	evicting, strict := mct.Start(t, "-m", "2"), mct.Start(t, "-M", "-m", "3", "-I", "64k", "-o", "slab_chunk_max=32768")
	s := open(t, []string{"evicting=" + evicting.Addr(), "strict=" + strict.Addr()}, log.use)
	for i := range 6000 {
		if err := s.Add(t.Context(), fmt.Sprint("k", i), make([]byte, 1000), time.Hour); err != nil {
			require.ErrorIs(t, err, sd.ErrUnavailable)
		}
	}
	reports, err := s.Report(t.Context())
	require.NoError(t, err)
	e, m := reports[0], reports[1]
	require.True(t, e.EvictsWhenFull && e.CASEnabled && m.CASEnabled && !m.EvictsWhenFull)
	require.Positive(t, e.EvictedUnexpired)
	require.Zero(t, m.EvictedUnexpired)
	require.Positive(t, m.RefusedForMemory)
	require.EqualValues(t, 2<<20, e.MaxBytes)
	require.EqualValues(t, 64<<10, m.MaxItemSize)
	require.Positive(t, e.Items)
	require.WithinDuration(t, time.Now(), e.Started, time.Minute)
	require.Contains(t, strings.Join(e.Warnings, "\n"), "no -M")
	require.Contains(t, strings.Join(e.Warnings, "\n"), "items were evicted before they expired")
	require.Contains(t, strings.Join(m.Warnings, "\n"), "does not evict (-M)")
	require.Contains(t, strings.Join(m.Warnings, "\n"), "writes were refused")

	require.Equal(t, 4, log.count(eventWarning), log.String())
	for range 5 {
		require.NoError(t, s.Ping(t.Context()))
	}
	require.Equal(t, 4, log.count(eventWarning), "said once, not with every health check")
	require.Contains(t, log.String(), "server=evicting")
}

func TestManyPingsOfAHungServerMakeFewConnections(t *testing.T) {
	p := newPeer(echo)
	s := open(t, []string{"one=" + p.listen(t, nil)}, quick)
	p.hung.Store(true)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() { assert.ErrorIs(t, s.Ping(t.Context()), sd.ErrUnavailable) })
	}
	all.Wait()
	require.Less(t, p.dials.Load(), int64(10))
}

func TestARepeatedEventIsHeldBackAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var buf bytes.Buffer
		j := journal{log: slog.New(slog.NewTextHandler(&buf, nil)), server: "one"}
		require.True(t, j.note(slog.LevelWarn, eventDown, "", "error", "refused"))
		for range 9 {
			require.False(t, j.note(slog.LevelWarn, eventDown, "", "error", "refused"))
		}
		require.True(t, j.note(slog.LevelInfo, eventUp, ""), "another event is not")
		time.Sleep(quietFor)
		require.True(t, j.note(slog.LevelWarn, eventDown, "", "error", "refused"))
		require.Equal(t, 3, strings.Count(buf.String(), "\n"))
		require.Contains(t, buf.String(), "server=one error=refused held_back=9\n")
	})
}
