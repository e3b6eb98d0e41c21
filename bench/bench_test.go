package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

// The short run as a whole: every row is there, and what does not depend on the
// machine's speed is as it must be.
func TestAShortRunMeasuresWhatItSays(t *testing.T) {
	r, err := run(t.Context(), shortPlan(), io.Discard)
	require.NoError(t, err)
	peers := []string{nameBare, nameOurs, nameRaw, nameSCS, nameGorilla}

	for _, w := range []work{readOne, changeOne, create, changeTen, takeBack, webRead, webChange} {
		for _, s := range shapes {
			res := r.find(scenario{work: w, shape: s, goroutines: 1, pinned: true}.key())
			require.Len(t, res.cells, len(peers))
			content := float64(s.pkgs * s.values * s.bytesPerValue)
			for i, c := range res.cells {
				where := res.key() + " " + c.peer
				require.Equal(t, peers[i], c.peer)
				require.Len(t, c.nanos, r.rounds(w), where)
				for i := range c.nanos {
					require.Greater(t, c.nanos[i], 1e3, "a round trip takes more than a microsecond: %s", where)
					require.Greater(t, c.used[i], 1e3, where)
					require.LessOrEqual(t, c.used[i], c.nanos[i]*1.5+1e6, "one processor: %s", where)
				}
				trips, out, in := 2.0, content, content
				switch w {
				case readOne, webRead:
					trips, out = 1, 0
				case create:
					trips, in = 1, 0
				}
				require.Equal(t, trips, c.wire.trips, where)
				// Beside the contents: commands, keys, and what the format adds.
				plausible(t, out, c.wire.sent, where+" sent")
				plausible(t, in, c.wire.received, where+" received")
				require.Greater(t, c.allocs, 3.0, where)
				require.Greater(t, c.bytes, in/2, where)
			}
		}
	}
	for _, w := range []work{readOne, changeOne} {
		for _, n := range sweep {
			require.Len(t, r.find(scenario{work: w, shape: sweepShape(n), goroutines: 1, pinned: true}.key()).cells, len(peers))
		}
		for _, s := range shapes {
			for _, n := range []int{1, 16, 64} {
				res := r.find(scenario{work: w, shape: s, goroutines: n}.key())
				require.NotNil(t, res.cell(nameOurs))
				require.NotNil(t, res.cell(nameBare))
				require.True(t, len(res.cells) == len(peers) || s == shapeL && n > 1)
			}
		}
	}
	require.Len(t, r.lost, len(peers))
	for _, name := range []string{nameSCS, nameGorilla, nameRaw} {
		require.Positive(t, r.lostBy(name).lost, name)
	}
	require.Zero(t, r.lostBy(nameOurs).lost)
	require.Zero(t, r.lostBy(nameBare).lost)

	r.command = "make bench"
	text := r.markdown()
	for _, name := range peers {
		require.GreaterOrEqual(t, strings.Count(text, "| "+name+" |"), 7*3+2*7, name)
	}
	require.Equal(t, len(bars()), strings.Count(text, "| met |")+strings.Count(text, "| **not met** |"))
	require.NotContains(t, text, "NaN")
	require.Contains(t, text, "load average")

	var out bytes.Buffer
	require.NoError(t, writeResults(&out, r))
	require.Regexp(t, `(?m)^Benchmarkread/shape=L/goroutines=1/pinned=true/store=sessiondata \t +\d+\t +\d+ ns/op\t +\d+ B/op\t +\d+ allocs/op`, out.String())

	dir := t.TempDir()
	require.NoError(t, drawCharts(r, dir))
	for _, name := range []string{"bench-read.svg", "bench-change.svg", "bench-lost.svg"} {
		svg, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NoError(t, xml.Unmarshal(svg, new(struct{})))
		for _, peer := range peers {
			require.Contains(t, string(svg), peer, name)
		}
	}
}

func plausible(t *testing.T, content, measured float64, where string) {
	t.Helper()
	require.Greater(t, measured, content, where)
	require.Less(t, measured, content*1.6+600, where)
}

// rounds is how many rounds the short plan gives a kind of work.
func (r *report) rounds(w work) int {
	return shortPlan().effort(scenario{work: w, shape: shapeS, goroutines: 1, pinned: true}).rounds
}

// What the meter counts is what memcached counts.
func TestTheMeterAgreesWithTheServer(t *testing.T) {
	server := mct.Start(t)
	m := new(meter)
	peers, err := openPeers(server.Addr(), m.dial)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, closePeers(peers)) })
	c, err := newContent(shapeM)
	require.NoError(t, err)
	for _, p := range peers {
		id, err := p.seed(t.Context(), c)
		require.NoError(t, err)
		bytesIn, bytesOut, was := server.Stat("bytes_read"), server.Stat("bytes_written"), m.read()
		for i := range 10 {
			require.NoError(t, p.change(t.Context(), id, c.one[i&1]))
		}
		w := m.read().since(was, 10)
		// Asking for the statistics goes over the wire too: about 3 kB.
		require.InDelta(t, float64(server.Stat("bytes_read")-bytesIn)/10, w.sent, 100, p.name())
		require.InDelta(t, float64(server.Stat("bytes_written")-bytesOut)/10, w.received, 1000, p.name())
		require.Equal(t, 2.0, w.trips, p.name())
	}
}

// Peers do the work that they are timed for: what was changed is there, what was
// taken back is not.
func TestEveryPeerDoesTheWork(t *testing.T) {
	server := mct.Start(t)
	peers, err := openPeers(server.Addr(), new(net.Dialer).DialContext)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, closePeers(peers)) })
	for _, s := range slices.Concat([]shape{sweepShape(1)}, shapes, recordShapes) {
		c, err := newContent(s)
		require.NoError(t, err)
		for _, p := range peers[1:] { // the bare client has no values
			t.Run(s.name+"/"+p.name(), func(t *testing.T) {
				ctx := t.Context()
				id, err := p.seed(ctx, c)
				require.NoError(t, err)
				require.NoError(t, p.read(ctx, id, c))
				require.NoError(t, p.change(ctx, id, c.one[0]))
				require.Equal(t, c.one[0][0].value, value(ctx, t, p, id, c.one[0][0]))
				require.NoError(t, p.takeBack(ctx, id, c.ten[1]))
				require.Equal(t, c.ten[1][0].value, value(ctx, t, p, id, c.ten[1][0]))
				for _, e := range c.ten[1][1:] {
					require.NotEqual(t, e.value, value(ctx, t, p, id, e))
				}
				require.NoError(t, p.change(ctx, id, c.ten[1]))
				for _, e := range c.ten[1] {
					require.Equal(t, e.value, value(ctx, t, p, id, e))
				}
				if s.records {
					return // the pages show strings
				}
				do, stop, err := overHTTP(p, c, "/change", []string{id})
				require.NoError(t, err)
				was := value(ctx, t, p, id, c.one[0][0])
				require.NoError(t, do(0))
				require.NotEqual(t, was, value(ctx, t, p, id, c.one[0][0]))
				require.NoError(t, stop())
			})
		}
	}
}

// value reads one value as the peer itself would.
func value(ctx context.Context, t *testing.T, p peer, id string, e edit) any {
	t.Helper()
	switch p := p.(type) {
	case *ours:
		v, err := p.value(ctx, id, e)
		require.NoError(t, err)
		return v
	case *raw:
		v, err := p.value(id, e)
		require.NoError(t, err)
		if m, ok := v.(map[string]any); ok { // a record, decoded without its type
			n, err := number(m["Count"])
			require.NoError(t, err)
			v = record{m["Name"].(string), n, []string{"one", "two"}}
		}
		return v
	case *scsPeer:
		ctx, err := p.m.Load(ctx, id)
		require.NoError(t, err)
		return p.m.Get(ctx, e.flat)
	case *gorillaPeer:
		_, s, err := p.open(ctx, id)
		require.NoError(t, err)
		return s.Values[e.flat]
	}
	require.Fail(t, fmt.Sprintf("%T has no values", p))
	return ""
}

func TestSpreadIsMedianAndQuartiles(t *testing.T) {
	require.Equal(t, spread{2, 3, 4}, spreadOf([]float64{5, 1, 4, 2, 3}))
	require.Equal(t, spread{1.75, 2.5, 3.25}, spreadOf([]float64{4, 1, 2, 3}))
	require.True(t, math.IsNaN(spreadOf(nil).median))
	require.Equal(t, []float64{2, 5}, ratios([]float64{4, 10}, []float64{2, 2}))
}

func TestABarIsMissedOnItsOwnSide(t *testing.T) {
	above, below := bar{limit: 2}, bar{limit: 2, least: true}
	require.True(t, above.met(2))
	require.False(t, above.met(2.01))
	require.True(t, above.within(2.29, tolerance))
	require.False(t, above.within(2.31, tolerance))
	require.True(t, below.met(2))
	require.False(t, below.met(1.99))
	require.True(t, below.within(1.75, tolerance))
	require.False(t, below.within(1.73, tolerance))
	require.False(t, above.within(math.NaN(), tolerance), "what was not measured is not met")
}
