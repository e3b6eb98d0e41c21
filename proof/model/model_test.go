package model

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestModel(t *testing.T) {
	var out strings.Builder
	fig, err := Run(t.Context(), true, &out)
	t.Log(out.String())
	require.NoError(t, err)
	require.Equal(t, len(brief), fig.Configurations+fig.Mutants+fig.Windows)
	require.Equal(t, fig.Mutants, fig.Caught)
	require.Equal(t, fig.Windows, fig.Shown)
	require.GreaterOrEqual(t, fig.States, int64(100_000))
	require.Contains(t, out.String(), " 1. client ", "a window is shown by its history")
}

// What the short form names is there, and everything else has its opposite: a
// window or a mutant is of a configuration that holds without it.
func TestRuns(t *testing.T) {
	names := map[string]bool{}
	for _, r := range full() {
		require.False(t, names[r.name()], r.name())
		names[r.name()] = true
		require.Equal(t, r.window != "" || r.mutant != "", r.want != "", r.name())
	}
	for _, r := range full() {
		require.True(t, names[r.config], r.name())
	}
	for name := range brief {
		require.True(t, names[name], name)
	}
}

// A run that comes out otherwise than it must is said to.
func TestJudge(t *testing.T) {
	holds, breaks := run{config: "SINGLE"}, run{config: "SINGLE", mutant: "LOST_IS_DONE", want: "outcome_is_false"}
	require.NoError(t, outcome{whole: true}.judge(holds))
	require.ErrorContains(t, outcome{}.judge(holds), "not completed")
	require.ErrorContains(t, outcome{whole: true, violated: "change_is_lost"}.judge(holds), "change_is_lost")
	require.NoError(t, outcome{violated: "outcome_is_false"}.judge(breaks))
	require.ErrorContains(t, outcome{violated: "change_is_lost"}.judge(breaks), "outcome_is_false")
	require.ErrorContains(t, outcome{whole: true}.judge(breaks), "no violation")
	holds.moments = []string{"MERGED"}
	require.ErrorContains(t, outcome{whole: true}.judge(holds), "MERGED")
}

func TestMissingSpinSaysHowToInstallIt(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Run(t.Context(), true, io.Discard)
	require.ErrorIs(t, err, errMissing)
	require.ErrorContains(t, err, "apt-get install spin")
}

func TestHistoryInWords(t *testing.T) {
	text := "  1: proc\n  step asks 1 2 0 4\nstep answers 4\nstep arrives 1 2 0 4\n\tstep tells 1 3\nstep evicts 1\nstep down 0\nstep restarts\nstep commits 2\nnot a step asks 1 2 0 4\n"
	steps := history([]byte(text))
	require.Equal(t, "client 1: CompareAndSwap of item 0 (the decision): no reply", steps[0])
	require.Equal(t, "the delayed CompareAndSwap of item 0 by client 1 (the decision) arrives", steps[1])
	require.Equal(t, "client 1: outcome unknown", steps[2])
	require.Len(t, steps, 7)
	require.False(t, slices.Contains(steps, ""))
}
