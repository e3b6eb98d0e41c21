package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

var (
	_ sd.Store  = (*Faulty)(nil)
	_ sd.Lister = (*Faulty)(nil)

	ctx = context.Background()
)

// wrapped returns a Faulty and the store that it wraps, which tells the truth.
func wrapped(cfg FaultConfig) (*Faulty, *memstore.Store) {
	inner := memstore.New(memstore.Config{})
	return NewFaulty(inner, cfg), inner
}

// value returns what s holds under key, "-" for nothing.
func value(t *testing.T, s sd.Store, key string) string {
	t.Helper()
	it, err := s.Get(ctx, key)
	if errors.Is(err, sd.ErrNotFound) {
		return "-"
	}
	require.NoError(t, err)
	return string(it.Value)
}

func version(t *testing.T, s sd.Store, key string) sd.Version {
	t.Helper()
	it, err := s.Get(ctx, key)
	require.NoError(t, err)
	return it.Version
}

// TestFaultOfAWrite tries each fault on each of the three writes: what the
// caller is told, what the store holds then, and what it holds after Flush.
func TestFaultOfAWrite(t *testing.T) {
	const applied, untouched = true, false
	for _, c := range []struct {
		fault     Fault
		err       error
		now, late bool
	}{
		{None, nil, applied, applied},
		{Refuse, sd.ErrUnavailable, untouched, untouched},
		{LoseRequest, sd.ErrOutcomeUnknown, untouched, untouched},
		{LoseReply, sd.ErrOutcomeUnknown, applied, applied},
		{Delay, sd.ErrOutcomeUnknown, untouched, applied},
		{DieBefore, sd.ErrOutcomeUnknown, untouched, untouched},
		{DieAfter, sd.ErrOutcomeUnknown, applied, applied},
	} {
		t.Run(c.fault.String(), func(t *testing.T) {
			for name, write := range map[string]func(f *Faulty, v sd.Version) error{
				"Add": func(f *Faulty, _ sd.Version) error { return f.Add(ctx, "new", []byte("written"), 0) },
				"CompareAndSwap": func(f *Faulty, v sd.Version) error {
					return f.CompareAndSwap(ctx, "old", []byte("written"), 0, v)
				},
				"CompareAndDelete": func(f *Faulty, v sd.Version) error { return f.CompareAndDelete(ctx, "old", v) },
			} {
				f, inner := wrapped(FaultConfig{Plan: map[int]Fault{1: c.fault}})
				state := func() string { return value(t, inner, "old") + " " + value(t, inner, "new") }
				require.NoError(t, inner.Add(ctx, "old", []byte("old"), 0))
				want := map[bool]string{untouched: "old -"}
				want[applied] = map[string]string{
					"Add": "old written", "CompareAndSwap": "written -", "CompareAndDelete": "- -",
				}[name]

				require.ErrorIs(t, write(f, version(t, inner, "old")), c.err, name)
				require.Equal(t, want[c.now], state(), name)
				f.Flush()
				require.Equal(t, want[c.late], state(), name)

				require.Equal(t, 1, f.Writes())
				injected := 1
				if c.fault == None {
					injected = 0
				}
				require.Equal(t, injected, f.Count(c.fault), name)
				require.Equal(t, injected, f.Count(), name)
				require.Equal(t, c.fault == DieBefore || c.fault == DieAfter, f.Died(), name)
			}
		})
	}
}

func TestErrorsOfWritesMatchOneOutcomeAlone(t *testing.T) {
	for _, kind := range []Fault{Refuse, LoseRequest, LoseReply, Delay, DieBefore, DieAfter} {
		f, _ := wrapped(FaultConfig{Plan: map[int]Fault{1: kind}})
		err := f.Add(ctx, "k", nil, 0)
		require.NotEqual(t, errors.Is(err, sd.ErrUnavailable), errors.Is(err, sd.ErrOutcomeUnknown), kind)
		require.True(t, strings.HasPrefix(err.Error(), "sessiondata: "))
		require.Contains(t, err.Error(), "injected", "a log must not be mistaken for a real outage")
	}
}

func TestLostReplyHidesWhatTheStoreAnswered(t *testing.T) {
	f, inner := wrapped(FaultConfig{LoseReply: 1})
	require.NoError(t, inner.Add(ctx, "k", []byte("v"), 0))
	require.ErrorIs(t, f.Add(ctx, "k", []byte("w"), 0), sd.ErrOutcomeUnknown)
	require.ErrorIs(t, f.CompareAndSwap(ctx, "k", []byte("w"), 0, sd.Version{}), sd.ErrOutcomeUnknown)
	require.ErrorIs(t, f.CompareAndDelete(ctx, "absent", sd.Version{}), sd.ErrOutcomeUnknown)
	require.Equal(t, "v", value(t, inner, "k"))
	require.Equal(t, 3, f.Count(LoseReply))

	// What is found before a request is sent has no reply that could be lost.
	require.ErrorIs(t, f.Add(ctx, "k2", nil, -1), sd.ErrInvalid)
	require.NoError(t, inner.Close())
	require.ErrorIs(t, f.Add(ctx, "k", nil, 0), sd.ErrClosed)
	require.Equal(t, 3, f.Count(LoseReply))
}

func TestDelayedWriteArrivesDuringALaterCall(t *testing.T) {
	for seed := range uint64(50) {
		const maxDelay = 5
		f, inner := wrapped(FaultConfig{Seed: seed, Plan: map[int]Fault{1: Delay}, MaxDelay: maxDelay})
		buf := []byte("late")
		sending, cancel := context.WithCancel(ctx)
		require.ErrorIs(t, f.Add(sending, "k", buf, 0), sd.ErrOutcomeUnknown)
		copy(buf, "!!!!") // the slice is the caller's again
		cancel()          // and what has been sent cannot be called back
		calls := 0
		for value(t, inner, "k") == "-" {
			require.Less(t, calls, maxDelay, "seed %d", seed)
			require.NoError(t, f.Ping(ctx))
			calls++
		}
		require.Positive(t, calls)
		require.Equal(t, "late", value(t, inner, "k"))
	}
}

func TestDelayedWritesKeepTheirCondition(t *testing.T) {
	f, inner := wrapped(FaultConfig{Plan: map[int]Fault{1: Delay, 2: Delay, 3: Delay}})
	require.NoError(t, inner.Add(ctx, "k", []byte("base"), 0))
	v := version(t, inner, "k")
	require.ErrorIs(t, f.CompareAndSwap(ctx, "k", []byte("late"), 0, v), sd.ErrOutcomeUnknown)
	require.ErrorIs(t, f.CompareAndDelete(ctx, "k", v), sd.ErrOutcomeUnknown)
	require.NoError(t, inner.CompareAndSwap(ctx, "k", []byte("quicker"), 0, v))
	f.Flush()
	require.Equal(t, "quicker", value(t, inner, "k"))

	// The window that NoDelayedAdd closes: an item comes back after its end.
	require.ErrorIs(t, f.Add(ctx, "k2", []byte("late"), 0), sd.ErrOutcomeUnknown)
	require.NoError(t, inner.Add(ctx, "k2", []byte("quicker"), 0))
	require.NoError(t, inner.CompareAndDelete(ctx, "k2", version(t, inner, "k2")))
	f.Flush()
	require.Equal(t, "late", value(t, inner, "k2"))
}

func TestAddCanBeExemptFromDelays(t *testing.T) {
	f, inner := wrapped(FaultConfig{Delay: 1, NoDelayedAdd: true})
	require.NoError(t, f.Add(ctx, "k", []byte("v"), 0))
	require.ErrorIs(t, f.CompareAndDelete(ctx, "k", version(t, inner, "k")), sd.ErrOutcomeUnknown)
	require.Equal(t, 1, f.Count(Delay))
}

func TestFailedReadIsUnavailable(t *testing.T) {
	f, inner := wrapped(FaultConfig{FailRead: 1})
	require.NoError(t, f.Add(ctx, "k", []byte("v"), 0), "writes go through")
	_, err := f.Get(ctx, "k")
	require.ErrorIs(t, err, sd.ErrUnavailable)
	require.ErrorIs(t, f.Ping(ctx), sd.ErrUnavailable)
	require.Equal(t, "v", value(t, inner, "k"))
	require.Equal(t, 2, f.Count(FailRead))
}

func TestFailedListingEndsWithOneError(t *testing.T) {
	f, inner := wrapped(FaultConfig{FailRead: 1})
	for i := range 5 {
		require.NoError(t, inner.Add(ctx, fmt.Sprint("k", i), nil, 0))
	}
	partial := make(map[int]bool)
	for range 100 {
		keys, failed := 0, 0
		for info, err := range f.Keys(ctx, "") {
			require.Zero(t, failed, "an error ends the listing")
			if err != nil {
				require.ErrorIs(t, err, sd.ErrUnavailable)
				require.Zero(t, info)
				failed++
				continue
			}
			keys++
		}
		require.Equal(t, 1, failed)
		partial[keys] = true
	}
	require.Len(t, partial, 6, "it fails after any number of keys")
}

func TestListingIsPassedThrough(t *testing.T) {
	f, inner := wrapped(FaultConfig{})
	for i := range 5 {
		require.NoError(t, inner.Add(ctx, fmt.Sprint("k", i), nil, 0))
	}
	n := 0
	for _, err := range f.Keys(ctx, "k") {
		require.NoError(t, err)
		if n++; n == 3 {
			break
		}
	}
	require.Equal(t, 3, n)

	f = NewFaulty(struct{ sd.Store }{inner}, FaultConfig{})
	for _, err := range f.Keys(ctx, "") {
		require.ErrorIs(t, err, sd.ErrNotSupported)
	}
}

func TestEvictionDropsWhatThisClientKnows(t *testing.T) {
	f, inner := wrapped(FaultConfig{Evict: 1})
	require.NoError(t, inner.Add(ctx, "unseen", []byte("v"), 0))
	require.NoError(t, f.Add(ctx, "k", []byte("v"), 0))
	require.Equal(t, "-", value(t, f, "k"), "it is dropped before the call")
	require.NoError(t, f.Ping(ctx), "nothing is left that this client knows")
	require.Equal(t, 1, f.Count(Evict))
	require.Equal(t, "v", value(t, inner, "unseen"))

	// Items that it has read, or met as a conflict, are known as well.
	require.Equal(t, "v", value(t, f, "unseen"))
	require.NoError(t, f.Ping(ctx))
	require.Equal(t, "-", value(t, inner, "unseen"))

	// What others have removed is not counted.
	require.NoError(t, f.Add(ctx, "gone", nil, 0))
	require.NoError(t, inner.CompareAndDelete(ctx, "gone", version(t, inner, "gone")))
	require.NoError(t, f.Ping(ctx))
	require.Equal(t, 2, f.Count(Evict))

	// What it has deleted itself is not known any more.
	f, inner = wrapped(FaultConfig{})
	for _, key := range []string{"a", "b", "c"} {
		require.NoError(t, f.Add(ctx, key, nil, 0))
		require.NoError(t, f.CompareAndDelete(ctx, key, version(t, inner, key)))
	}
	require.Zero(t, f.known.len())
}

func TestEvictionChoosesAmongAllItems(t *testing.T) {
	first := make(map[string]int)
	for seed := range uint64(90) {
		f, inner := wrapped(FaultConfig{Seed: seed, Evict: 1})
		for _, key := range []string{"a", "b", "c"} {
			require.NoError(t, inner.Add(ctx, key, nil, 0))
			f.known.add(key)
		}
		require.NoError(t, f.Ping(ctx))
		for _, key := range []string{"a", "b", "c"} {
			if value(t, inner, key) == "-" {
				first[key]++
			}
		}
	}
	require.Equal(t, 90, first["a"]+first["b"]+first["c"], "one item each time")
	for _, key := range []string{"a", "b", "c"} {
		require.Greater(t, first[key], 15)
	}
}

func TestDeadClientDoesNothingMore(t *testing.T) {
	for _, kind := range []Fault{DieBefore, DieAfter} {
		f, inner := wrapped(FaultConfig{Plan: map[int]Fault{2: kind}})
		require.NoError(t, f.Add(ctx, "a", []byte("v"), 0))
		v := version(t, inner, "a")
		require.False(t, f.Died())
		require.ErrorIs(t, f.Add(ctx, "b", []byte("v"), 0), sd.ErrOutcomeUnknown)
		require.True(t, f.Died())

		_, err := f.Get(ctx, "a")
		require.ErrorIs(t, err, sd.ErrUnavailable)
		require.ErrorIs(t, f.Add(ctx, "c", nil, 0), sd.ErrUnavailable)
		require.ErrorIs(t, f.CompareAndSwap(ctx, "a", nil, 0, v), sd.ErrUnavailable)
		require.ErrorIs(t, f.CompareAndDelete(ctx, "a", v), sd.ErrUnavailable)
		require.ErrorIs(t, f.Ping(ctx), sd.ErrUnavailable)
		for _, err := range f.Keys(ctx, "") {
			require.ErrorIs(t, err, sd.ErrUnavailable)
		}
		require.NoError(t, f.Close())
		require.Equal(t, "v", value(t, inner, "a"), "the store goes on without the client")
		require.Equal(t, map[Fault]string{DieBefore: "-", DieAfter: "v"}[kind], value(t, inner, "b"))
		require.Equal(t, "-", value(t, inner, "c"))
		require.Equal(t, 2, f.Writes())
	}
}

func TestDeathKeepsBackWritesThatHaveBegun(t *testing.T) {
	f, _ := wrapped(FaultConfig{})
	require.NoError(t, f.enter()) // a write has begun
	f.Kill()
	_, err := f.nextWrite(false)
	require.ErrorIs(t, err, sd.ErrUnavailable)
	require.Zero(t, f.Writes())
}

func TestKilledClientsDelayedWritesStillArrive(t *testing.T) {
	f, inner := wrapped(FaultConfig{Delay: 1})
	require.ErrorIs(t, f.Add(ctx, "k", []byte("late"), 0), sd.ErrOutcomeUnknown)
	f.Kill()
	require.True(t, f.Died())
	require.ErrorIs(t, f.Ping(ctx), sd.ErrUnavailable)
	require.Equal(t, "-", value(t, inner, "k"))
	f.Flush()
	require.Equal(t, "late", value(t, inner, "k"))
}

// TestDeathAtEachWrite is the loop that the Plan's comment describes.
func TestDeathAtEachWrite(t *testing.T) {
	work := func(s sd.Store) { // three writes
		for _, key := range []string{"a", "b", "c"} {
			if s.Add(ctx, key, []byte("v"), 0) != nil {
				return
			}
		}
	}
	for _, kind := range []Fault{DieBefore, DieAfter} {
		k := 1
		for ; ; k++ {
			f, inner := wrapped(FaultConfig{Plan: map[int]Fault{k: kind}})
			work(f)
			if !f.Died() {
				break
			}
			done := k
			if kind == DieBefore {
				done--
			}
			require.Equal(t, done, inner.Stats().Items)
		}
		require.Equal(t, 4, k)
	}
}

func TestSharedStoreStaysOpen(t *testing.T) {
	f, inner := wrapped(FaultConfig{Shared: true})
	require.NoError(t, f.Close())
	require.ErrorIs(t, f.Ping(ctx), sd.ErrClosed)
	require.NoError(t, inner.Ping(ctx))
	require.NoError(t, f.Close())

	f, inner = wrapped(FaultConfig{})
	require.NoError(t, f.Close())
	require.ErrorIs(t, inner.Ping(ctx), sd.ErrClosed)
}

func TestEndedContextMeetsNoFault(t *testing.T) {
	f, inner := wrapped(FaultConfig{LoseReply: 1, FailRead: 1})
	ended, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, f.Add(ended, "k", nil, 0), context.Canceled)
	_, err := f.Get(ended, "k")
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, f.Count())
	require.Zero(t, f.Writes())
	require.Zero(t, inner.Stats().Items)
}
