package storetest

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// script runs a fixed program on s and returns all that it was told.
func script(s sd.Store) string {
	var log strings.Builder
	for i := range 300 {
		key := fmt.Sprint("k", i%7)
		it, err := s.Get(ctx, key)
		fmt.Fprintln(&log, i, string(it.Value), err)
		switch {
		case err != nil:
			fmt.Fprintln(&log, s.Add(ctx, key, []byte(strconv.Itoa(i)), 0))
		case i%5 == 0:
			fmt.Fprintln(&log, s.CompareAndDelete(ctx, key, it.Version))
		default:
			fmt.Fprintln(&log, s.CompareAndSwap(ctx, key, []byte(strconv.Itoa(i)), 0, it.Version))
		}
	}
	return log.String()
}

func TestSeedDeterminesTheSchedule(t *testing.T) {
	cfg := FaultConfig{
		Refuse: 0.1, LoseRequest: 0.1, LoseReply: 0.1, Delay: 0.1, FailRead: 0.1, Evict: 0.1,
		Plan: map[int]Fault{5: LoseReply, 100: DieAfter},
	}
	logs := make(map[string]uint64)
	for seed := range uint64(10) {
		cfg.Seed = seed
		f, _ := wrapped(cfg)
		log := script(f)
		again, _ := wrapped(cfg)
		require.Equal(t, log, script(again), "seed %d", seed)
		require.Equal(t, f.String(), again.String())
		require.NotContains(t, logs, log, "two seeds have one schedule")
		logs[log] = seed
	}
}

func TestFaultsComeAsOftenAsConfigured(t *testing.T) {
	const n = 20_000
	cfg := FaultConfig{
		Seed: 1, Refuse: 0.02, LoseRequest: 0.05, LoseReply: 0.1, Delay: 0.2, FailRead: 0.3, Evict: 0.4,
	}
	f, _ := wrapped(cfg)
	for i := range n {
		_, _ = f.Get(ctx, "k")
		_ = f.Add(ctx, fmt.Sprint(i), nil, 0)
	}
	for kind, want := range map[Fault]float64{
		Refuse: cfg.Refuse, LoseRequest: cfg.LoseRequest, LoseReply: cfg.LoseReply, Delay: cfg.Delay, FailRead: cfg.FailRead,
	} {
		require.InDelta(t, want, float64(f.Count(kind))/n, 0.015, kind)
	}
	// Evictions are limited by what is there to evict.
	require.Greater(t, f.Count(Evict), n/3)
	require.Equal(t, n, f.Writes())
	require.Equal(t, f.Count(), f.Count(Refuse, LoseRequest, LoseReply, Delay, FailRead, Evict))
}

func TestStringTellsSeedAndFaults(t *testing.T) {
	f, _ := wrapped(FaultConfig{Seed: 42, Plan: map[int]Fault{1: LoseReply, 2: Refuse, 3: LoseReply}})
	for i := range 4 {
		_ = f.Add(ctx, fmt.Sprint(i), nil, 0)
	}
	require.Equal(t, "seed 42: 4 calls, 4 writes, 1 Refuse, 2 LoseReply", f.String())
	require.Equal(t, "Fault(99)", Fault(99).String())
}

func TestFaultyIsSafeForConcurrentUse(t *testing.T) {
	f, inner := wrapped(FaultConfig{
		Seed: 7, Refuse: 0.1, LoseRequest: 0.1, LoseReply: 0.1, Delay: 0.2, FailRead: 0.1, Evict: 0.05,
	})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { script(f) })
		wg.Go(func() {
			for range 50 {
				for range f.Keys(ctx, "") {
					break
				}
				_ = f.String()
				f.Flush()
			}
		})
	}
	wg.Wait()
	f.Flush()
	require.Empty(t, f.delayed)
	require.NoError(t, inner.Ping(ctx))
}

// TestOutcomesAreTrue checks the promise of the errors on random schedules: a
// write that was ErrUnavailable never arrives, one that was nil has arrived.
func TestOutcomesAreTrue(t *testing.T) {
	unknown, faults := 0, 0
	for seed := range uint64(200) {
		f, inner := wrapped(FaultConfig{Seed: seed, Refuse: 0.2, LoseRequest: 0.2, LoseReply: 0.2, Delay: 0.2})
		told := make(map[string]error)
		for i := range 50 {
			key := fmt.Sprint("k", i)
			told[key] = f.Add(ctx, key, nil, 0)
		}
		f.Flush()
		for key, err := range told {
			present := value(t, inner, key) != "-"
			switch {
			case err == nil:
				require.True(t, present, "seed %d", seed)
			case errors.Is(err, sd.ErrUnavailable):
				require.False(t, present, "seed %d", seed)
			default:
				require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
				unknown++
			}
		}
		faults += f.Count()
	}
	require.Greater(t, unknown, 1000)
	t.Logf("%d faults, %d outcomes unknown", faults, unknown)
}

func TestConfigurationThatMakesNoSensePanics(t *testing.T) {
	for _, cfg := range []FaultConfig{
		{Refuse: -0.1},
		{LoseRequest: 1.1},
		{LoseReply: math.NaN()},
		{Delay: math.Inf(1)},
		{FailRead: 2},
		{Evict: -1},
		{Refuse: 0.6, Delay: 0.6},
		{MaxDelay: -1},
		{Plan: map[int]Fault{0: Refuse}},
		{Plan: map[int]Fault{1: Evict}},
		{Plan: map[int]Fault{1: FailRead}},
		{Plan: map[int]Fault{1: -1}},
	} {
		require.ErrorIs(t, cfg.check(), sd.ErrInvalid, "%#v", cfg)
		require.Panics(t, func() { NewFaulty(nil, cfg) })
	}
	require.NoError(t, FaultConfig{Refuse: 0.1, LoseRequest: 0.2, LoseReply: 0.3, Delay: 0.4}.check())
	err := FaultConfig{Refuse: -1, MaxDelay: -1}.check()
	require.ErrorContains(t, err, "Refuse")
	require.ErrorContains(t, err, "MaxDelay", "every fault is named")
}
