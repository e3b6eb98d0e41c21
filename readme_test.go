package sessiondata_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fenced matches a fenced block, and the one that follows it at once: a Go
// program and what it prints.
var fenced = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?")

// Every Go block of the README is a program as it stands: it is vetted, and run,
// in a module of its own as a user would have it, and prints what the block that
// follows it says.
func TestReadmeProgramsRunAsTheyStand(t *testing.T) {
	root, err := filepath.Abs(".")
	require.NoError(t, err)
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	programs := 0
	for _, block := range fenced.FindAllStringSubmatch(string(readme), -1) {
		language, text, prints := block[1], block[2], block[3]
		if language != "go" {
			continue
		}
		programs++
		dir := t.TempDir()
		for name, content := range map[string]string{
			"main.go": text,
			"go.mod":  userModule(t, root),
			"go.sum":  readFile(t, "go.sum"),
		} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
		}
		goCommand(t, dir, "vet", ".")
		require.Equal(t, prints, goCommand(t, dir, "run", "."))
	}
	require.Positive(t, programs)
}

// userModule is the go.mod of a user who has the library in root.
func userModule(t *testing.T, root string) string {
	t.Helper()
	goVersion := regexp.MustCompile(`(?m)^go .*$`).FindString(readFile(t, "go.mod"))
	return strings.Join([]string{
		"module example.com/user",
		goVersion,
		"require " + modulePath + " v0.0.0",
		"replace " + modulePath + " => " + root,
		"",
	}, "\n")
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(b)
}

// goCommand runs the go command in dir and returns what it printed. The modules
// that the library needs are there, or this test would not have been compiled.
func goCommand(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "go %s: %s", strings.Join(args, " "), stderr.String())
	return string(out)
}
