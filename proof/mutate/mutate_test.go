package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func theSet(t *testing.T) (root string, all []*mutant) {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	all, err = readSet("mutants")
	require.NoError(t, err)
	return root, all
}

// Every text to replace is found exactly once, and every test is there.
func TestTheSetFitsTheSource(t *testing.T) {
	root, all := theSet(t)
	_, err := check(root, all)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(all), 200)
}

func TestTheTableIsOfThisSet(t *testing.T) {
	root, all := theSet(t)
	_, faults := locate(root, all)
	require.Empty(t, faults)
	want, err := table(root, all)
	require.NoError(t, err)
	page, err := os.ReadFile(pagePath(root))
	require.NoError(t, err)
	out, err := withTable(string(page), want)
	require.NoError(t, err)
	require.Equal(t, string(page), out, "make mutate-table")
}

// A handful is run here; make mutate runs all.
func TestAHandfulOfMutantsIsCaught(t *testing.T) {
	root, all := theSet(t)
	var few []*mutant
	for _, m := range all {
		if m.short {
			few = append(few, m)
		}
	}
	require.Greater(t, len(few), 5)
	caught, err := run(t.Context(), root, few, func(line string) { t.Log(line) })
	require.NoError(t, err)
	require.Equal(t, len(few), caught)
}
