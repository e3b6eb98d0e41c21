package sessiondata_test

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
	"github.com/seed-ad7f1900/sessiondata/memcachestore"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// newRunner returns a runner over a store; direct is the store without its faults.
// cfg.Now is when its clock starts. Names of containers are the caller's, so that runners may share a server.
func newRunner(t *rapid.T, name string, store, direct sd.Store, cfg sd.Config) *runner {
	w := &runner{t: t, ctx: t.Context(), clock: &clock{now: cfg.Now()}, shown: -1, counts: map[string]int{}}
	w.faulty, _ = store.(*storetest.Faulty)
	cfg.Timeout, cfg.Resolution, cfg.Now = 3*time.Hour, 150*time.Minute, w.clock.Now
	for i := range modelContainers {
		cfg.Name = fmt.Sprintf("%s.%d", name, i)
		for s, to := range map[sd.Store]*[]*sd.Container{store: &w.cs, direct: &w.direct} {
			c, err := sd.NewContainer(s, cfg)
			require.NoError(t, err)
			*to = append(*to, c)
		}
	}
	if store == direct {
		w.cs = w.direct
	}
	for i := range modelSessions {
		w.stored = append(w.stored, storedModel{id: fmt.Sprint("id", i%modelIDs), is: newModelSession()})
	}
	w.begin()
	return w
}

// run runs a script, commits what is left of it, and compares what is stored.
func (w *runner) run(script []step) {
	for _, s := range script {
		w.do(s)
	}
	w.end("commit")
	for i, st := range w.stored {
		require.True(w.t, w.holds(i, st), "session %d is not what the model says", i)
	}
}

// there counts the sessions that are stored.
func (w *runner) there() (n int) {
	for _, st := range w.stored {
		if st.there {
			n++
		}
	}
	return n
}

func drawnConfig(t *rapid.T) (cfg sd.Config) {
	cfg.CommitTimeout = time.Second
	start := time.Now() // the servers have a clock of their own
	cfg.Now = func() time.Time { return start }
	if rapid.Bool().Draw(t, "JSON") {
		cfg.Codec = sd.JSON()
	}
	if rapid.IntRange(0, 3).Draw(t, "sealed") == 0 {
		cfg.Keys = []sd.Key{{ID: 1, Secret: slices.Repeat([]byte{7}, sd.KeySize)}}
	}
	if rapid.IntRange(0, 3).Draw(t, "overwrite") == 0 {
		cfg.Conflict = sd.Overwrite
	}
	return cfg
}

// The same script over memory, over memory whose requests and replies are lost,
// refused and delayed, and over memcached. Each answer is the model's; and those
// of the stores are the same, word for word, until a fault shows.
func TestModel_Rule10_AScriptHasTheSameAnswersOverEveryStore(t *testing.T) {
	server := memcachedtest.Start(t)
	cached, err := memcachestore.New(memcachestore.Config{
		Servers: []string{server.Addr()}, Timeout: 5 * time.Second, DialTimeout: 5 * time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cached.Close()) })
	var runs atomic.Int64
	counts := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		run := runs.Add(1)
		cfg := drawnConfig(t)
		script := scripts.Draw(t, "script")
		faults := storetest.FaultConfig{
			Seed: rapid.Uint64().Draw(t, "seed"), Shared: true,
			Refuse: 0.05, LoseRequest: 0.08, LoseReply: 0.08, Delay: 0.08, FailRead: 0.02,
			NoDelayedAdd: true, // one that comes after a destroy is a window that is stated
		}

		truth := memstore.New(memstore.Config{})
		calm := newRunner(t, "m", truth, truth, cfg)
		calm.run(script)
		require.Len(t, keys2(t, truth), calm.there(), "nothing else is left behind")

		over := newRunner(t, fmt.Sprint("r", run), cached, cached, cfg)
		over.run(script)
		require.Equal(t, calm.trace, over.trace)

		truth = memstore.New(memstore.Config{})
		client := storetest.NewFaulty(truth, faults)
		stormy := newRunner(t, "m", client, truth, cfg)
		stormy.run(script)
		if stormy.shown < 0 {
			require.Equal(t, calm.trace, stormy.trace)
		} else {
			require.Equal(t, calm.trace[:stormy.shown], stormy.trace[:stormy.shown])
		}
		for kind, n := range stormy.counts {
			counts[kind] += n
		}
		counts["faults"] += client.Count()
		counts["steps"] += 3 * len(script)
	})
	t.Logf("%d scripts, %d steps, %d faults injected, %d shown, %d outcomes unknown", runs.Load(), counts["steps"], counts["faults"], counts["shown"], counts["unknown"])
	for _, kind := range slices.Compact(slices.Sorted(slices.Values(stepKinds))) {
		require.NotZero(t, counts[kind], "%q was never tried: %v", kind, maps.Collect(maps.All(counts)))
	}
}

// keys2 returns the keys of a store.
func keys2(t *rapid.T, store *memstore.Store) (all []string) {
	for info, err := range store.Keys(t.Context(), "") {
		require.NoError(t, err)
		all = append(all, info.Key)
	}
	return all
}
