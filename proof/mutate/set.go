package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// mutant is one small breakage of the source, and the tests that must find it.
type mutant struct {
	n         int    // its number, from 1: what the woven source is switched by
	at        string // file and line of its entry, for messages
	guarantee string
	title     string // what is broken, and so what would happen
	dir       string // of the package, below the root, with slashes
	fn        string // function or Type.method that holds old
	file      string // of fn, below the root; found by locate
	old, new  string
	tests     []test
	race      bool // the breakage is a data race: its tests run under the detector
	count     int
	timeout   time.Duration
	short     bool // run by the short form, too
}

// test names a test, or a subtest behind a slash, of a package.
type test struct{ dir, name string }

// fn is the function that holds the test.
func (t test) fn() string {
	name, _, _ := strings.Cut(t.name, "/")
	return name
}

const defaultTimeout = 60 * time.Second

// readSet reads every file of mutants in dir, in the order of their names. See
// the README for the form.
func readSet(dir string) ([]*mutant, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no mutants in %s", dir)
	}
	var all []*mutant
	titles := map[string]string{}
	for _, path := range paths {
		set, err := readFile(path)
		if err != nil {
			return nil, err
		}
		for _, m := range set {
			if other := titles[m.title]; other != "" {
				return nil, fmt.Errorf("%s: the title stands at %s already", m.at, other)
			}
			titles[m.title] = m.at
			m.n = len(all) + 1
			all = append(all, m)
		}
	}
	return all, nil
}

func readFile(path string) ([]*mutant, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []*mutant
	var m *mutant
	var was, is []string
	guarantee := ""
	end := func() error {
		if m == nil {
			return nil
		}
		m.old, m.new = strings.Join(was, "\n"), strings.Join(is, "\n")
		switch {
		case m.guarantee == "":
			return fmt.Errorf("%s: no guarantee (a line that begins with #) before it", m.at)
		case m.dir == "" || m.fn == "":
			return fmt.Errorf("%s: no directory and function", m.at)
		case len(m.tests) == 0:
			return fmt.Errorf("%s: no test", m.at)
		case strings.TrimSpace(m.old) == "" || m.old == m.new:
			return fmt.Errorf("%s: no text to replace, or by the same", m.at)
		}
		all = append(all, m)
		m, was, is = nil, nil, nil
		return nil
	}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		at := fmt.Sprintf("%s:%d", filepath.Base(path), n)
		field, value, _ := strings.Cut(line, " ")
		switch {
		case line == "":
			err = end()
		case field == "#":
			if err = end(); err == nil {
				guarantee = value
			}
		case field == "mutant:":
			if err = end(); err == nil {
				m = &mutant{at: at, guarantee: guarantee, title: value, count: 1, timeout: defaultTimeout}
			}
		case m == nil:
			err = fmt.Errorf("%s: %q outside a mutant", at, field)
		case line == "-", line == "+", field == "-", field == "+":
			if line[0] == '-' {
				was = append(was, value)
			} else {
				is = append(is, value)
			}
		default:
			err = m.set(field, value)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return all, end()
}

func (m *mutant) set(field, value string) (err error) {
	switch field {
	case "in:":
		m.dir, m.fn, _ = strings.Cut(value, " ")
	case "test:":
		dir, name, _ := strings.Cut(value, " ")
		if name == "" {
			return fmt.Errorf("%s: test: wants a directory and a name", m.at)
		}
		m.tests = append(m.tests, test{dir, name})
	case "race:":
		m.race = true
	case "short:":
		m.short = true
	case "count:":
		_, err = fmt.Sscan(value, &m.count)
	case "timeout:":
		m.timeout, err = time.ParseDuration(value)
	default:
		err = fmt.Errorf("an unknown field %q", field)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.at, err)
	}
	return nil
}
