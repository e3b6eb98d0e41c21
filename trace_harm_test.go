package sessiondata_test

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// A hook that panics, or asks the container or the transaction, harms neither.
func TestTraceCannotHarmATransaction(t *testing.T) {
	var logged bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, nil)))
	defer slog.SetDefault(before)

	const secret = "what a visitor has told"
	var c *sd.Container
	called := map[string]int{}
	panics := func(event string) {
		called[event]++
		if c != nil && called[event] == 1 {
			for _, err := range c.All(t.Context()) {
				require.NoError(t, err)
			}
		}
		panic(secret)
	}
	about := func(event string) func(context.Context, sd.SessionRef) {
		return func(context.Context, sd.SessionRef) { panics(event) }
	}
	end := func(event string) func(context.Context, sd.CommitInfo) {
		return func(context.Context, sd.CommitInfo) { panics(event) }
	}
	c, err := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{Trace: &sd.Trace{
		Loaded:  func(context.Context, sd.LoadInfo) { panics("loaded") },
		Created: about("created"), Destroyed: about("destroyed"), Evicted: about("evicted"),
		Renewed:   func(_ context.Context, _, _ sd.SessionRef) { panics("renewed") },
		Committed: end("committed"), Conflict: end("conflict"), Failed: end("failed"),
	}})
	require.NoError(t, err)
	require.NoError(t, c.Update(t.Context(), "v", setIn("p", "k", 1)))
	var next string
	require.NoError(t, c.Update(t.Context(), "v", func(s *sd.Session) (err error) {
		next, err = s.Renew()
		return err
	}))
	require.NoError(t, c.View(t.Context(), next, func(s *sd.Session) error {
		n, err := sd.Get[int](s.Pkg("p"), "k")
		require.Equal(t, 1, n)
		return err
	}))
	require.NoError(t, c.Update(t.Context(), next, (*sd.Session).Destroy))
	require.Equal(t, map[string]int{"loaded": 4, "created": 1, "renewed": 1, "destroyed": 1, "committed": 4}, called)
	require.Equal(t, 11, strings.Count(logged.String(), "a function of Config.Trace panicked"))
	require.Contains(t, logged.String(), "trace_harm_test.go", "the stack is logged")
	require.NotContains(t, logged.String(), secret, "the value of the panic may be a visitor's")
}

// A hook that ends its goroutine ends the call that it is in, as if the caller
// had done so; the transaction is over by then, or is rolled back by its caller.
func TestTraceThatEndsItsGoroutineLosesNothing(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c, err := sd.NewContainer(store, sd.Config{Trace: &sd.Trace{
			Committed: func(context.Context, sd.CommitInfo) { runtime.Goexit() },
		}})
		require.NoError(t, err)
		done := make(chan bool)
		go func() {
			defer close(done)
			_ = c.Update(t.Context(), "v", setIn("p", "k", 1))
		}()
		<-done
		plain, err := sd.NewContainer(store, sd.Config{})
		require.NoError(t, err)
		require.NoError(t, plain.View(t.Context(), "v", func(s *sd.Session) error {
			require.True(t, s.Pkg("p").Has("k"))
			return nil
		}))
	})
}

func TestTraceWithoutFunctionsIsHarmless(t *testing.T) {
	c, err := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{Trace: new(sd.Trace)})
	require.NoError(t, err)
	require.NoError(t, c.Update(t.Context(), "v", setIn("p", "k", 1)))
	require.NoError(t, c.Update(t.Context(), "v", (*sd.Session).Destroy))
}

func BenchmarkTrace(b *testing.B) {
	for name, trace := range map[string]*sd.Trace{
		"nil":     nil,
		"counted": {Committed: func(context.Context, sd.CommitInfo) {}},
	} {
		c, err := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{Trace: trace})
		require.NoError(b, err)
		require.NoError(b, c.Update(b.Context(), "v", setIn("p", "k", 1)))
		b.Run("View/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = c.View(b.Context(), "v", func(s *sd.Session) error { return nil })
			}
		})
		n := 0
		b.Run("Update/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n++
				_ = c.Update(b.Context(), "v", setIn("p", "k", n))
			}
		})
	}
}
