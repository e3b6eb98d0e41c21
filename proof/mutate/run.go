package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// group is the mutants whose tests are in one binary.
type group struct {
	dir     string
	race    bool
	mutants []*mutant
}

// groups sorts the mutants by the binaries that hold their tests. A mutant with
// tests in several packages is in several groups: any of them may find it.
func groups(mutants []*mutant) []*group {
	var all []*group
	for _, m := range mutants {
		for _, t := range m.tests {
			i := slices.IndexFunc(all, func(g *group) bool { return g.dir == t.dir && g.race == m.race })
			if i < 0 {
				i = len(all)
				all = append(all, &group{dir: t.dir, race: m.race})
			}
			if g := all[i]; !slices.Contains(g.mutants, m) {
				g.mutants = append(g.mutants, m)
			}
		}
	}
	return all
}

// verdict is what has become of a mutant.
type verdict struct {
	caught bool
	by     string // the test that failed
	why    string // where it was not caught
	took   time.Duration
}

// runner builds and runs.
type runner struct {
	root    string
	dir     string // for binaries
	overlay string
	all     []*mutant
	report  func(m *mutant, v verdict)
}

// parallel is how many tests run at once.
const parallel = 2

// run builds the group's binary, sees its tests pass without a mutant, and runs
// each mutant.
func (r *runner) run(ctx context.Context, g *group) error {
	bin, err := r.build(ctx, g)
	if err != nil {
		return err
	}
	if err := r.baseline(ctx, g, bin); err != nil {
		return err
	}
	todo := make(chan *mutant)
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			for m := range todo {
				start := time.Now()
				v := r.try(ctx, g, bin, m)
				v.took = time.Since(start)
				r.report(m, v)
			}
		})
	}
	for _, m := range g.mutants {
		todo <- m
	}
	close(todo)
	wg.Wait()
	return ctx.Err()
}

// binary is a test binary and the flags that it takes.
type binary struct {
	path  string
	flags []string
}

var ofMutant = regexp.MustCompile(`mutant(\d+)\.go:\d+`)

// build builds the test binary of a group with every mutant in it. A mutant that
// does not compile is a fault of the set.
func (r *runner) build(ctx context.Context, g *group) (binary, error) {
	name := strings.NewReplacer(".", "root", "/", "_").Replace(g.dir)
	b := binary{path: filepath.Join(r.dir, name+strconv.FormatBool(g.race)+".test")}
	args := []string{"test", "-c", "-vet=off", "-overlay", r.overlay, "-o", b.path}
	if g.race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./"+g.dir)...)
	cmd.Dir = r.root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return b, fmt.Errorf("go test -c ./%s: %w\n%s", g.dir, err, r.named(string(out)))
	}
	list := exec.CommandContext(ctx, "go", "list", "-f", "{{.TestImports}}{{.XTestImports}}", "./"+g.dir)
	list.Dir = r.root
	imports, err := list.Output()
	if err != nil {
		return b, fmt.Errorf("go list ./%s: %w", g.dir, err)
	}
	if bytes.Contains(imports, []byte("pgregory.net/rapid")) {
		b.flags = append(b.flags, "-rapid.nofailfile") // it would be written into the tree
	}
	return b, nil
}

// named puts the mutants' names in place of what a compiler calls their sources.
func (r *runner) named(out string) string {
	return ofMutant.ReplaceAllStringFunc(out, func(at string) string {
		n, _ := strconv.Atoi(ofMutant.FindStringSubmatch(at)[1])
		if i := slices.IndexFunc(r.all, func(m *mutant) bool { return m.n == n }); i >= 0 {
			return fmt.Sprintf("%s: %q does not compile", r.all[i].at, r.all[i].title)
		}
		return at
	})
}

// compile compiles all mutants, and names all that do not.
func (r *runner) compile(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", r.overlay, "-gcflags=-e", "./...")
	cmd.Dir = r.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, r.named(string(out)))
	}
	return nil
}

// pattern is what -run takes for tests.
func pattern(tests []test) string {
	names := make([]string, len(tests))
	for i, t := range tests {
		names[i] = t.name
	}
	if len(names) == 1 && strings.Contains(names[0], "/") {
		parts := strings.Split(names[0], "/")
		for i := range parts {
			parts[i] = "^" + regexp.QuoteMeta(strings.ReplaceAll(parts[i], " ", "_")) + "$"
		}
		return strings.Join(parts, "/")
	}
	for i, t := range tests {
		names[i] = t.fn()
	}
	return "^(" + strings.Join(names, "|") + ")$"
}

// here are the tests of m that are in g.
func (g *group) here(m *mutant) []test {
	return slices.DeleteFunc(slices.Clone(m.tests), func(t test) bool { return t.dir != g.dir })
}

// baseline sees every named test pass without a mutant.
func (r *runner) baseline(ctx context.Context, g *group, bin binary) error {
	var tests []test
	for _, m := range g.mutants {
		for _, t := range g.here(m) {
			if t := (test{t.dir, t.fn()}); !slices.Contains(tests, t) {
				tests = append(tests, t)
			}
		}
	}
	out, err := r.exec(ctx, g, bin, 0, "-test.v", "-test.run", pattern(tests), "-test.timeout", "5m")
	if err != nil {
		return fmt.Errorf("the tests of %s do not pass without a mutant: %w\n%s", g.dir, err, out)
	}
	for _, t := range tests {
		if !strings.Contains(out, "\n--- PASS: "+t.name+" ") && !strings.HasPrefix(out, "--- PASS: "+t.name+" ") {
			return fmt.Errorf("%s of %s has not passed without a mutant: was it run?", t.name, g.dir)
		}
	}
	return nil
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// try runs the tests of one mutant. One that hangs is caught only if a test's
// own bound says so, not if the binary had to be stopped.
func (r *runner) try(ctx context.Context, g *group, bin binary, m *mutant) verdict {
	tests := g.here(m)
	out, err := r.exec(ctx, g, bin, m.n, "-test.run", pattern(tests), "-test.failfast",
		"-test.count", strconv.Itoa(m.count), "-test.timeout", m.timeout.String())
	var exit *exec.ExitError
	switch {
	case err == nil:
		return verdict{why: "survived"}
	case !errors.As(err, &exit):
		return verdict{why: "could not be run: " + err.Error()}
	case strings.Contains(out, "panic: test timed out"):
		return verdict{why: "hung, and no test said so within " + m.timeout.String()}
	}
	if f := failed.FindStringSubmatch(out); f != nil {
		return verdict{caught: true, by: f[1]}
	}
	if strings.Contains(out, "panic: ") || strings.Contains(out, "fatal error: ") {
		return verdict{caught: true, by: tests[0].name + " (panic)"}
	}
	return verdict{why: "the binary failed for another reason: " + tail(out)}
}

func tail(out string) string { return out[max(0, len(out)-400):] }

// exec runs a test binary in its package's directory with a mutant switched on.
func (r *runner) exec(ctx context.Context, g *group, bin binary, n int, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, bin.path, append(args, bin.flags...)...)
	cmd.Dir = filepath.Join(r.root, filepath.FromSlash(g.dir))
	cmd.Env = append(os.Environ(), switchEnv+"="+strconv.Itoa(n), "GOMAXPROCS="+strconv.Itoa(max(2, runtime.GOMAXPROCS(0)/parallel)))
	out, err := cmd.CombinedOutput()
	return string(out), err
}
