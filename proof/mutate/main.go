// Mutate breaks the library in many small ways, each of which a named test must
// find. See ../README.md, section Mutants.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

func main() {
	root := flag.String("root", "..", "the directory of the library")
	write := flag.Bool("write", false, "write the table into docs/guarantees.md and end")
	compile := flag.Bool("compile", false, "only see that every mutant fits the source and compiles")
	only := flag.String("only", "", "run only the mutants whose title, file, function or test contains this")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := start(ctx, *root, *write, *compile, *only); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		stop()
		os.Exit(1)
	}
}

func start(ctx context.Context, root string, write, compile bool, only string) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	all, err := readSet(filepath.Join(root, "proof", "mutate", "mutants"))
	if err != nil {
		return err
	}
	if write {
		return writeTable(root, all)
	}
	if _, faults := locate(root, all); only != "" && len(faults) == 0 {
		var some []*mutant
		for _, m := range all {
			if m.matches(only) {
				some = append(some, m)
			}
		}
		all = some
	}
	if compile {
		return compileAll(ctx, root, all)
	}
	caught, err := run(ctx, root, all, func(line string) { fmt.Println(line) })
	fmt.Printf("mutate: %d of %d mutants caught\n", caught, len(all))
	if err == nil && caught < len(all) {
		err = errors.New("a mutant survived: a test is missing, or the guarantee is kept elsewhere, too")
	}
	return err
}

func (m *mutant) matches(text string) bool {
	for _, t := range m.tests {
		if strings.Contains(t.name, text) {
			return true
		}
	}
	return strings.Contains(m.title, text) || strings.Contains(m.file+" "+m.fn, text) || strings.Contains(m.at, text)
}

// check returns every fault of the set itself: texts that are not to be found
// exactly once, and tests that are not there.
func check(root string, mutants []*mutant) (woven map[string]string, err error) {
	woven, faults := weaveAll(root, mutants)
	return woven, errors.Join(append(faults, missingTests(root, mutants)...)...)
}

// weaver weaves the mutants into a directory of its own.
func weaver(root string, mutants []*mutant) (r *runner, done func(), err error) {
	woven, err := check(root, mutants)
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return nil, nil, err
	}
	done = func() { os.RemoveAll(dir) }
	overlay, err := writeOverlay(dir, woven)
	if err != nil {
		done()
		return nil, nil, err
	}
	return &runner{root: root, dir: dir, overlay: overlay, all: mutants}, done, nil
}

func compileAll(ctx context.Context, root string, mutants []*mutant) error {
	r, done, err := weaver(root, mutants)
	if err != nil {
		return err
	}
	defer done()
	return r.compile(ctx)
}

// run runs mutants, says a line for each, and returns how many were caught.
func run(ctx context.Context, root string, mutants []*mutant, say func(string)) (caught int, err error) {
	r, done, err := weaver(root, mutants)
	if err != nil {
		return 0, err
	}
	defer done()
	var mu sync.Mutex
	dead := map[*mutant]bool{}
	r.report = func(m *mutant, v verdict) {
		mu.Lock()
		defer mu.Unlock()
		what := "caught by " + v.by
		if v.caught {
			dead[m] = true
		} else {
			what = strings.ToUpper(v.why)
		}
		say(fmt.Sprintf("%-20s %s: %s (%s, %s %s, %.1f s)", m.file, m.title, what, m.at, m.file, m.fn, v.took.Seconds()))
	}
	for _, g := range groups(mutants) {
		err = errors.Join(err, r.run(ctx, g))
	}
	return len(dead), err
}
