package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAPartThatFailsDoesNotKeepTheOthersFromRunning(t *testing.T) {
	var out, log bytes.Buffer
	good := part{"good", func(context.Context, io.Writer) (string, error) { return "1 thing", nil }}
	bad := part{"bad", func(_ context.Context, log io.Writer) (string, error) {
		fmt.Fprintln(log, "what went wrong")
		return "0 things", errors.New("broken")
	}}
	require.False(t, run(t.Context(), []part{bad, good}, "", 7, &out, &log))
	require.Regexp(t, `(?s)^seed 7\nbad +FAILED +0 s  0 things\ngood +ok +0 s  1 thing\n1 of 2 parts ok`, out.String())
	require.Contains(t, log.String(), "what went wrong")
	require.Contains(t, log.String(), "broken")

	require.True(t, run(t.Context(), []part{bad, good}, "good", 7, &out, &log))
	require.False(t, run(t.Context(), []part{good}, "none", 7, &out, &log), "nothing was run")
}

func TestTheLastLineOfATargetIsItsFigures(t *testing.T) {
	dir := t.TempDir()
	makefile := "good:\n\t@echo first; echo 3 things\nbad:\n\t@echo 2 things; exit 1\nslow:\n\t@sleep 60\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "Makefile"), []byte(makefile), 0o600))
	figures, err := target(dir, "good")(t.Context(), io.Discard)
	require.NoError(t, err)
	require.Equal(t, "3 things", figures)
	figures, err = target(dir, "bad")(t.Context(), io.Discard)
	require.Error(t, err)
	require.Equal(t, "2 things", figures)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = target(dir, "slow")(ctx, io.Discard)
	require.ErrorContains(t, err, "not done in time")
}

func TestThePropertiesOfTheRepositoryAreFound(t *testing.T) {
	tests, err := propertyTests("..")
	require.NoError(t, err)
	require.Contains(t, tests[".."], "TestModel_Rule16_MergeIsItsDefinition")
	require.NotEmpty(t, tests[filepath.Join("..", "memstore")])
	_, err = propertyTests(t.TempDir())
	require.Error(t, err)
}

func TestTheEndOfALongLogIsKept(t *testing.T) {
	var kept tail
	for i := range 10 * tailSize {
		fmt.Fprintf(&kept, "%d\n", i)
	}
	require.LessOrEqual(t, len(kept.text()), tailSize)
	require.Contains(t, kept.text(), fmt.Sprintf("%d\n", 10*tailSize-1))
}
