package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// target runs a target of the Makefile; its last line is the figures.
func target(dir string, args ...string) func(context.Context, io.Writer) (string, error) {
	return func(ctx context.Context, log io.Writer) (string, error) {
		out, err := child(ctx, log, dir, "make", append([]string{"--no-print-directory"}, args...)...)
		return lastLine(out), err
	}
}

// child runs a command, which ends with all that it has started when ctx does.
func child(ctx context.Context, log io.Writer, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout = io.MultiWriter(&out, log)
	cmd.Stderr = log
	err := cmd.Run()
	if ctx.Err() != nil {
		err = errors.Join(fmt.Errorf("%s was not done in time", name), err)
	}
	return out.Bytes(), err
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// passed is what rapid logs for each property that held.
var passed = regexp.MustCompile(`\[rapid\] OK, passed (\d+) tests`)

// properties runs every test that calls rapid.Check, each property n times.
func properties(ctx context.Context, log io.Writer, dir string, n int) (string, error) {
	tests, err := propertyTests(dir)
	if err != nil {
		return "", err
	}
	properties, checks, names := 0, 0, 0
	var errs []error
	for _, pkg := range slices.Sorted(maps.Keys(tests)) {
		names += len(tests[pkg])
		out, err := child(ctx, log, pkg, "go", "test", "-race", "-shuffle=on", "-count=1", "-v",
			"-run", "^("+strings.Join(tests[pkg], "|")+")$", ".", "-rapid.checks="+strconv.Itoa(n))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", pkg, err))
		}
		for _, m := range passed.FindAllSubmatch(out, -1) {
			properties++
			k, _ := strconv.Atoi(string(m[1]))
			checks += k
		}
	}
	if properties < names {
		errs = append(errs, fmt.Errorf("%d properties held in %d tests", properties, names))
	}
	return fmt.Sprintf("%d tests, %d properties, %d checks", names, properties, checks), errors.Join(errs...)
}

// propertyTests returns, by directory, the tests that call rapid.Check.
func propertyTests(dir string) (map[string][]string, error) {
	tests := map[string][]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if ok && strings.HasPrefix(f.Name.Name, "Test") && calls(f, "rapid", "Check") {
				tests[filepath.Dir(path)] = append(tests[filepath.Dir(path)], f.Name.Name)
			}
		}
		return nil
	})
	if err == nil && len(tests) == 0 {
		err = fmt.Errorf("no test under %s calls rapid.Check", dir)
	}
	return tests, err
}

// calls reports whether a function calls pkg.name.
func calls(f *ast.FuncDecl, pkg, name string) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == name {
			if id, ok := sel.X.(*ast.Ident); ok && id.Name == pkg {
				found = true
			}
		}
		return !found
	})
	return found
}
