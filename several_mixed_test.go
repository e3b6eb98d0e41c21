package sessiondata_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// One transaction over containers that have nothing in common but the store:
// whoever settles it needs neither codec nor keys of the sessions that it
// brings to their new state, nor their limits, and gives each its own time.
func TestIntents_WhoSettlesNeedsNothingOfTheOtherContainers(t *testing.T) {
	cfgs := map[string]sd.Config{
		"a": {Name: "a", Timeout: time.Hour, CommitTimeout: 20 * time.Second},
		"b": {Name: "b", Timeout: 10 * time.Minute, Codec: sd.JSON(), MaxSize: 2000},
		"c": {Name: "c", Timeout: sd.NoTimeout, Keys: []sd.Key{{ID: 1, Secret: bytes.Repeat([]byte{1}, sd.KeySize)}}},
	}
	names := []string{"a", "b", "c"}
	for _, decided := range []bool{true, false} {
		for _, first := range names { // who meets the transaction first
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				for _, name := range names {
					fill(t, container(t, w, cfgs[name]), 0, "x")
				}
				fate := map[bool]storetest.Fault{true: storetest.DieAfter, false: storetest.DieBefore}[decided]
				faulty := storetest.NewFaulty(w, storetest.FaultConfig{Shared: true, Plan: map[int]storetest.Fault{4: fate}})
				tx := sd.Begin()
				for _, name := range names {
					require.NoError(t, open(t, container(t, faulty, cfgs[name]), tx, "x").Pkg("p").Set("v", 1))
				}
				start := time.Now()
				require.Error(t, tx.Commit(t.Context()))
				w.forget()
				took := written(t, container(t, w, cfgs[first]), "x")
				want := int64(0)
				if decided {
					want = 1
				} else {
					// The longest CommitTimeout is that of the transaction. The dead
					// client has waited, too.
					require.GreaterOrEqual(t, time.Since(start), 20*time.Second)
				}
				require.Less(t, took, 21*time.Second)
				for _, name := range names {
					written(t, container(t, w, cfgs[name]), "x")
				}
				for _, name := range names {
					c := container(t, w, cfgs[name])
					require.EqualValues(t, want, holding(t, c, "x")[0], name)
					last := map[string]time.Duration{}
					for _, call := range w.writes() {
						last[call.key] = call.ttl
					}
					ttl := map[string]time.Duration{"a": time.Hour + 10*time.Minute, "b": 10*time.Minute + 100*time.Second, "c": 0}
					require.Equal(t, ttl[name], last[keyOf(t, name, "x")], name)
				}
			})
		}
	}
}

// Only what is asked for in one place is sealed there: the new body within an
// intent is sealed as the old one is.
func TestIntents_NothingOfASealedSessionIsReadableInAnIntent(t *testing.T) {
	w := newWire()
	cfg := sd.Config{Keys: []sd.Key{{ID: 1, Secret: bytes.Repeat([]byte{1}, sd.KeySize)}}}
	c := containerA(t, w, cfg)
	ids := ascending(t, 3)
	fill(t, c, "secret before", ids[:2]...)
	tx := writing(t, c, "secret after", ids...)
	next, err := open(t, c, tx, ids[1]).RenewAfter(time.Minute)
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
	for _, call := range w.writes() {
		require.NotContains(t, string(call.value), "secret")
		require.NotContains(t, string(call.value), next)
	}
	require.Equal(t, []any{"secret after", "secret after", "secret after"}, holding(t, c, ids[0], ids[2], next))
}
