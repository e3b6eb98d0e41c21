package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Weaving puts every mutant of a file into one source, each behind a switch at
// the beginning of its function:
//
//	func (w *write) put(ctx context.Context) (fate, error) {
//		if mutantOn == 7 {
//			return func(ctx context.Context) (fate, error) { ...the body with mutant 7... }(ctx)
//		}
//		...the body as it is...
//
// So a package is built once for all of them. The body stands in a function of
// the same parameters and results, and means what it would mean in their place.

// switchFile is added to each package that has a mutant.
const switchFile = "zz_mutant.go"

const switchSource = `package %s

import (
	"os"
	"strconv"
)

// mutantOn is the mutant that is in force; 0: none.
var mutantOn, _ = strconv.Atoi(os.Getenv("` + switchEnv + `"))
`

const switchEnv = "MUTANT"

// source is one parsed file.
type source struct {
	path string // absolute
	text string
	fset *token.FileSet
	file *ast.File
}

func parseSource(path string) (*source, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &source{path: path, text: string(text), fset: token.NewFileSet()}
	s.file, err = parser.ParseFile(s.fset, path, text, parser.SkipObjectResolution)
	return s, err
}

func (s *source) offset(p token.Pos) int { return s.fset.Position(p).Offset }

func (s *source) slice(n ast.Node) string { return s.text[s.offset(n.Pos()):s.offset(n.End())] }

// function finds a function by its name, or a method by Type.name.
func (s *source) function(name string) *ast.FuncDecl {
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil && funcName(f) == name {
			return f
		}
	}
	return nil
}

func funcName(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return f.Name.Name
	}
	t := f.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name + "." + f.Name.Name
		default:
			return f.Name.Name
		}
	}
}

// body returns the body of m's function, without its braces, with m in it.
func (s *source) body(m *mutant, f *ast.FuncDecl) (string, error) {
	body := s.text[s.offset(f.Body.Lbrace)+1 : s.offset(f.Body.Rbrace)]
	if n := strings.Count(body, m.old); n != 1 {
		what := "is not there any more"
		if n > 1 {
			what = fmt.Sprintf("stands there %d times", n)
		}
		return "", fmt.Errorf("%s: %q: the text to replace must stand exactly once in %s of %s, but %s:\n\t%s",
			m.at, m.title, m.fn, m.file, what, strings.ReplaceAll(m.old, "\n", "\n\t"))
	}
	return strings.Replace(body, m.old, m.new, 1), nil
}

// weave returns the source with all mutants in it, and every fault.
func (s *source) weave(mutants []*mutant) (string, []error) {
	var faults []error
	type insert struct {
		from, to int // of the source, replaced
		text     string
	}
	var inserts []insert
	of := map[*ast.FuncDecl]string{}
	for _, m := range mutants {
		f := s.function(m.fn)
		body, err := s.body(m, f)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		params, args := s.params(f)
		results, give, leave := "", "return ", ""
		if f.Type.Results != nil {
			results = s.text[s.offset(f.Type.Results.Pos()):s.offset(f.Type.Results.End())]
		} else {
			give, leave = "", "\nreturn"
		}
		of[f] += fmt.Sprintf("\nif mutantOn == %d {\n%sfunc%s %s {\n//line %s:1\n%s\n}(%s)%s\n}", m.n, give, params, results, lineName(m), body, args, leave)
		if _, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc f"+params+" "+results+" {"+body+"}", 0); err != nil {
			faults = append(faults, fmt.Errorf("%s: %q is no Go: %w", m.at, m.title, err))
		}
	}
	for f, text := range of {
		params, _ := s.params(f)
		open := f.Body.Lbrace
		inserts = append(inserts,
			insert{s.offset(f.Type.Params.Pos()), s.offset(f.Type.Params.End()), params},
			insert{s.offset(open) + 1, s.offset(open) + 1, fmt.Sprintf("%s\n//line %s:%d\n", text, s.path, s.fset.Position(open).Line)})
	}
	slices.SortFunc(inserts, func(a, b insert) int { return cmp.Compare(b.from, a.from) })
	out := s.text
	for _, in := range inserts {
		out = out[:in.from] + in.text + out[in.to:]
	}
	return out, faults
}

// lineName is the file that a compiler names for what is wrong with m.
func lineName(m *mutant) string { return fmt.Sprintf("mutant%d.go", m.n) }

// params returns the list of parameters with a name for each, and the arguments
// that pass them on.
func (s *source) params(f *ast.FuncDecl) (params, args string) {
	var ps, as []string
	for _, field := range f.Type.Params.List {
		names := field.Names
		if len(names) == 0 {
			names = []*ast.Ident{{Name: "_"}}
		}
		for _, id := range names {
			name := id.Name
			if name == "_" {
				name = fmt.Sprintf("mutantArg%d", len(ps))
			}
			ps = append(ps, name+" "+s.slice(field.Type))
			if _, variadic := field.Type.(*ast.Ellipsis); variadic {
				name += "..."
			}
			as = append(as, name)
		}
	}
	return "(" + strings.Join(ps, ", ") + ")", strings.Join(as, ", ")
}

// locate finds the file of each mutant's function, wherever in its package that
// is by now, and names those that have none.
func locate(root string, mutants []*mutant) (map[string]*source, []error) {
	sources := map[string]*source{}
	byDir := map[string][]*source{}
	var faults []error
	for _, m := range mutants {
		if byDir[m.dir] == nil {
			paths, _ := filepath.Glob(filepath.Join(root, filepath.FromSlash(m.dir), "*.go"))
			for _, path := range paths {
				if strings.HasSuffix(path, "_test.go") {
					continue
				}
				s, err := parseSource(path)
				if err != nil {
					faults = append(faults, err)
					continue
				}
				byDir[m.dir] = append(byDir[m.dir], s)
			}
		}
		m.file = ""
		for _, s := range byDir[m.dir] {
			if s.function(m.fn) != nil {
				m.file = filepath.ToSlash(filepath.Join(m.dir, filepath.Base(s.path)))
				sources[m.file] = s
			}
		}
		if m.file == "" {
			faults = append(faults, fmt.Errorf("%s: %q: there is no function %s in %s", m.at, m.title, m.fn, m.dir))
		}
	}
	return sources, faults
}

// weaveAll weaves every file that has a mutant, and returns what is to stand in
// their places, by absolute path.
func weaveAll(root string, mutants []*mutant) (map[string]string, []error) {
	sources, faults := locate(root, mutants)
	byFile := map[string][]*mutant{}
	for _, m := range mutants {
		if m.file != "" {
			byFile[m.file] = append(byFile[m.file], m)
		}
	}
	woven := map[string]string{}
	for file, set := range byFile {
		s := sources[file]
		text, errs := s.weave(set)
		faults = append(faults, errs...)
		woven[s.path] = text
		woven[filepath.Join(filepath.Dir(s.path), switchFile)] = fmt.Sprintf(switchSource, s.file.Name.Name)
	}
	slices.SortFunc(faults, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return woven, faults
}

// writeOverlay writes the woven files into dir, and the list of them that the go
// command takes with -overlay.
func writeOverlay(dir string, woven map[string]string) (string, error) {
	replace := map[string]string{}
	for path, text := range woven {
		at := filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[path] = at
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, list, 0o600)
}

// missingTests names the tests that are not where the mutants say.
func missingTests(root string, mutants []*mutant) []error {
	files, err := testFiles(root, mutants)
	if err != nil {
		return []error{err}
	}
	var faults []error
	for _, m := range mutants {
		for _, t := range m.tests {
			if files[test{t.dir, t.fn()}] == "" {
				faults = append(faults, fmt.Errorf("%s: %q: there is no %s in %s", m.at, m.title, t.fn(), t.dir))
			}
		}
	}
	return faults
}

// testFiles tells in which file, below root, each test function is.
func testFiles(root string, mutants []*mutant) (map[test]string, error) {
	files := map[test]string{}
	seen := map[string]bool{}
	for _, m := range mutants {
		for _, t := range m.tests {
			if seen[t.dir] {
				continue
			}
			seen[t.dir] = true
			paths, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(t.dir), "*_test.go"))
			if err != nil {
				return nil, err
			}
			for _, path := range paths {
				s, err := parseSource(path)
				if err != nil {
					return nil, err
				}
				for _, d := range s.file.Decls {
					if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
						rel, err := filepath.Rel(root, path)
						if err != nil {
							return nil, err
						}
						files[test{t.dir, f.Name.Name}] = filepath.ToSlash(rel)
					}
				}
			}
		}
	}
	return files, nil
}
