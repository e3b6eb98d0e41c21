package model

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// pan is the checker that spin makes of the model. All runs share it: what each
// is to check stands in its environment.
type pan struct {
	dir     string
	numbers map[string]string // of configurations, windows and mutants, from the model's own list
}

// errMissing says what to install.
var errMissing = errors.New("the model is checked by spin and a C compiler: install them (Debian: apt-get install spin gcc libc6-dev; macOS: brew install spin and xcode-select --install)")

// build makes pan in a directory of its own, and a second one that looks for the
// shortest history, for which it comes to the same states again and again.
func build(ctx context.Context) (p *pan, err error) {
	source, err := find()
	if err != nil {
		return nil, err
	}
	for _, tool := range []string{"spin", compiler()} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("sessiondata: %w: %w", errMissing, err)
		}
	}
	p = &pan{numbers: map[string]string{}}
	list, err := os.ReadFile(filepath.Join(filepath.Dir(source), "protocol", "configs.pml"))
	if err != nil {
		return nil, err
	}
	for _, m := range regexp.MustCompile(`(?m)^#define (\w+) (\d+)$`).FindAllSubmatch(list, -1) {
		p.numbers[string(m[1])] = string(m[2])
	}
	if p.dir, err = os.MkdirTemp("", "sessiondata-model"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.remove()
		}
	}()
	if err := p.tool(ctx, "spin", "-a", source); err != nil {
		return nil, err
	}
	cc := []string{compiler(), "-O0", "-w", "-DSAFETY", "-DNOFAIR", "-DMEMLIM=2000", "pan.c", "-o"}
	errs := make([]error, 2)
	var both sync.WaitGroup
	both.Go(func() { errs[0] = p.tool(ctx, append(slices.Clone(cc), "pan")...) })
	both.Go(func() { errs[1] = p.tool(ctx, append(slices.Clone(cc), "shorter", "-DREACH")...) })
	both.Wait()
	return p, errors.Join(errs...)
}

func (p *pan) tool(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = p.dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("sessiondata: %s: %w: %s", args[0], err, text)
	}
	return nil
}

func (p *pan) remove() { _ = os.RemoveAll(p.dir) }

func compiler() string {
	if cc := strings.Fields(os.Getenv("CC")); len(cc) > 0 {
		return cc[0]
	}
	return "cc"
}

// find looks for the model above the working directory, which is that of a test
// or of a command in this module.
func find() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		for _, name := range []string{"commit.pml", "proof/commit.pml"} {
			if path := filepath.Join(dir, filepath.FromSlash(name)); isFile(path) {
				return path, nil
			}
		}
		if filepath.Dir(dir) == dir {
			return "", errors.New("sessiondata: proof/commit.pml is not at or above the working directory")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// call runs pan for r with more arguments, in a directory of r's own.
func (p *pan) call(ctx context.Context, dir string, r run, args ...string) ([]byte, error) {
	checker := "pan"
	if r.window != "" {
		checker = "shorter"
	}
	cmd := exec.CommandContext(ctx, filepath.Join(p.dir, checker), args...)
	cmd.Dir = dir
	cmd.Env = os.Environ()
	for name, key := range map[string]string{"CONFIG": r.config, "WINDOW": prefixed("WINDOW_", r.window), "MUTANT": prefixed("MUTANT_", r.mutant)} {
		number := "0"
		if key != "" {
			var ok bool
			if number, ok = p.numbers[key]; !ok {
				return nil, fmt.Errorf("the model has no %s", key)
			}
		}
		cmd.Env = append(cmd.Env, name+"="+number)
	}
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		err = nil // what it found is in its text
	}
	return text, err
}

func prefixed(prefix, name string) string {
	if name == "" {
		return ""
	}
	return prefix + name
}

// outcome is what pan found.
type outcome struct {
	states, depth int64
	whole         bool   // the search was not cut short
	violated      string // the property; empty: none
	moments       map[string]int64
	history       []string
}

var (
	statesLine = regexp.MustCompile(`(?m)^\s*(\d+) states, stored$`)
	depthLine  = regexp.MustCompile(`depth reached (\d+), errors: (\d+)`)
	errorLine  = regexp.MustCompile(`(?m)^pan:1: (?:assertion violated\s+!\((\w+)\)|(.*))`)
	seenLine   = regexp.MustCompile(`(?m)^seen (\w+) (\d+)$`)
)

func (p *pan) run(ctx context.Context, r run) (o outcome, err error) {
	dir, err := os.MkdirTemp(p.dir, "run")
	if err != nil {
		return o, err
	}
	args := []string{"-m100000", "-n"}
	if r.window != "" {
		args = []string{"-m2000", "-n", "-i"} // each history that it finds is shorter
	}
	text, err := p.call(ctx, dir, r, args...)
	if err != nil {
		return o, err
	}
	states, depth := statesLine.FindSubmatch(text), depthLine.FindSubmatch(text)
	if states == nil || depth == nil {
		return o, fmt.Errorf("pan: %s", tail(text))
	}
	o.states, _ = strconv.ParseInt(string(states[1]), 10, 64)
	o.depth, _ = strconv.ParseInt(string(depth[1]), 10, 64)
	o.whole = !bytes.Contains(text, []byte("Search not completed")) && !bytes.Contains(text, []byte("search depth too small"))
	if m := errorLine.FindSubmatch(text); m != nil {
		o.violated = string(m[1]) + string(m[2])
	}
	o.moments = map[string]int64{}
	for _, m := range seenLine.FindAllSubmatch(text, -1) {
		n, _ := strconv.ParseInt(string(m[2]), 10, 64)
		o.moments[string(m[1])] += n
	}
	if r.window != "" && o.violated != "" {
		text, err := p.call(ctx, dir, r, "-r", "commit.pml.trail")
		if err != nil {
			return o, err
		}
		o.history = history(text)
		if m := errorLine.FindSubmatch(text); m != nil {
			o.violated = string(m[1]) + string(m[2]) // of the shortest
		}
	}
	return o, nil
}

func tail(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], " ")
}

// judge says what is wrong with an outcome.
func (o outcome) judge(r run) error {
	switch {
	case r.want != "" && o.violated == "":
		return fmt.Errorf("no violation in %d states, want one of %s", o.states, r.want)
	case r.want != o.violated:
		return fmt.Errorf("violates %q, want %q", o.violated, r.want)
	case r.window != "" && len(o.history) == 0:
		return errors.New("there is no history of it")
	case r.want == "" && !o.whole:
		return errors.New("the search was not completed")
	}
	for _, name := range r.moments {
		if o.moments[name] == 0 {
			return fmt.Errorf("never came to %s", name)
		}
	}
	return nil
}

func (o outcome) String() string {
	if o.violated != "" {
		return fmt.Sprintf("%s after %d states", o.violated, o.states)
	}
	return fmt.Sprintf("%d states, depth %d, no violation", o.states, o.depth)
}
