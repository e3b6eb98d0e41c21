package sessiondata_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const modulePath = "github.com/seed-ad7f1900/sessiondata"

// The rules of who imports whom. What a package is for decides where it stands
// in one of these lists; a package that stands in none may be imported by no
// other, and may not import a store but as its own business.
var (
	// storePackages keep encoded sessions somewhere. No two know each other.
	storePackages = []string{modulePath + "/memstore", modulePath + "/memcachestore"}
	// webPackages serve requests, over whatever store the container has.
	webPackages = []string{modulePath + "/sessionhttp"}
	// participantPackages bring others into a transaction, and know nothing of
	// this module but the root.
	participantPackages = []string{modulePath + "/sqltx"}
	// choosingPackages know the stores, so that a program need not. No other
	// package of this module knows them.
	choosingPackages = []string{modulePath + "/storeurl"}
	// testPackages are imported by tests alone, and may import testing.
	testPackages = []string{modulePath + "/storetest", modulePath + "/internal/memcachedtest", modulePath + "/internal/bounds"}

	// userModules are all that a user of the library builds, beside it.
	userModules = []string{
		"github.com/bradfitz/gomemcache",
		"github.com/vmihailenco/msgpack/v5",
		"github.com/vmihailenco/tagparser/v2", // of msgpack
	}
	// testModules are required by go.mod for the tests of this module only.
	testModules = []string{
		"github.com/anishathalye/porcupine",
		"github.com/google/go-cmp",
		"github.com/stretchr/testify",
		"pgregory.net/rapid",
	}
)

// listedPackage is what go list tells of a package, without its tests.
type listedPackage struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string // of all that it imports, too
	Module     *struct{ Path string }
}

// ours reports whether p is a package of this module.
func (p listedPackage) ours() bool { return p.Module != nil && p.Module.Path == modulePath }

// goList returns every package of this module and all that they depend on.
func goList(t *testing.T) map[string]listedPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps,Module", "./...")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	all := make(map[string]listedPackage)
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listedPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		all[p.ImportPath] = p
	}
	require.Contains(t, all, modulePath)
	return all
}

func isInternal(path string) bool { return strings.HasPrefix(path, modulePath+"/internal/") }

// brokenImportRules names each fault in what the packages import.
func brokenImportRules(all map[string]listedPackage) []string {
	var faults []string
	forbid := func(p listedPackage, paths []string, why string) {
		for _, path := range paths {
			if path != p.ImportPath && slices.Contains(p.Deps, path) {
				faults = append(faults, p.ImportPath+" depends on "+path+": "+why)
			}
		}
	}
	for _, p := range all {
		if p.Module == nil {
			continue // the standard library
		}
		if !p.ours() {
			if !slices.Contains(userModules, p.Module.Path) {
				faults = append(faults, p.ImportPath+" of another module reaches users of the library")
			}
			continue
		}
		if !slices.Contains(testPackages, p.ImportPath) {
			forbid(p, append([]string{"testing"}, testPackages...), "test code would reach users")
			forbid(p, choosingPackages, "a program chooses its store, and no package does for it")
		}
		switch {
		case p.ImportPath == modulePath:
			forbid(p, []string{"net", "net/http"}, "the root package opens no connection and serves no request")
			for _, dep := range p.Deps {
				if all[dep].ours() && !isInternal(dep) {
					faults = append(faults, p.ImportPath+" depends on "+dep+": it stands under every other package")
				}
			}
		case isInternal(p.ImportPath):
			for _, dep := range p.Deps {
				if all[dep].ours() {
					faults = append(faults, p.ImportPath+" depends on "+dep+": internal packages are leaves")
				}
			}
		case slices.Contains(storePackages, p.ImportPath):
			forbid(p, storePackages, "stores never import each other")
			forbid(p, webPackages, "a store knows nothing of requests")
		case slices.Contains(webPackages, p.ImportPath):
			forbid(p, storePackages, "requests are served over any store")
		case slices.Contains(participantPackages, p.ImportPath):
			for _, dep := range p.Imports {
				if !all[dep].Standard && dep != modulePath {
					faults = append(faults, p.ImportPath+" imports "+dep+": a participant needs the root alone")
				}
			}
		}
	}
	slices.Sort(faults)
	return faults
}

func TestImportsPointDownwards(t *testing.T) {
	require.Empty(t, brokenImportRules(goList(t)))
}

// Each rule is seen to be able to fail, on packages that break it.
func TestImportsThatBreakARuleAreFound(t *testing.T) {
	mod := func(path string) *struct{ Path string } { return &struct{ Path string }{path} }
	for name, c := range map[string]struct{ importer, dep, module string }{
		"root and net":                {modulePath, "net", ""},
		"root and net/http":           {modulePath, "net/http", ""},
		"root and a store":            {modulePath, modulePath + "/memstore", modulePath},
		"root and another module":     {modulePath, "example.com/handy", "example.com/handy"},
		"one store and another":       {modulePath + "/memstore", modulePath + "/memcachestore", modulePath},
		"a store and requests":        {modulePath + "/memstore", modulePath + "/sessionhttp", modulePath},
		"requests and a store":        {modulePath + "/sessionhttp", modulePath + "/memstore", modulePath},
		"requests and the choice":     {modulePath + "/sessionhttp", modulePath + "/storeurl", modulePath},
		"a store and the choice":      {modulePath + "/memstore", modulePath + "/storeurl", modulePath},
		"memcached outside test":      {modulePath + "/memcachestore", modulePath + "/internal/memcachedtest", modulePath},
		"a participant and a store":   {modulePath + "/sqltx", modulePath + "/memstore", modulePath},
		"a leaf and the root":         {modulePath + "/internal/leaf", modulePath, modulePath},
		"testing outside a test":      {modulePath + "/memstore", "testing", ""},
		"the test suite outside test": {modulePath + "/memstore", modulePath + "/storetest", modulePath},
	} {
		t.Run(name, func(t *testing.T) {
			dep := listedPackage{ImportPath: c.dep, Standard: c.module == ""}
			if c.module != "" {
				dep.Module = mod(c.module)
			}
			all := map[string]listedPackage{
				c.importer: {ImportPath: c.importer, Imports: []string{c.dep}, Deps: []string{c.dep}, Module: mod(modulePath)},
				c.dep:      dep,
			}
			require.Len(t, brokenImportRules(all), 1)
		})
	}
}

func TestImportsRequireNoModuleBeyondThoseDeclared(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json").Output()
	require.NoError(t, err)
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	require.NoError(t, json.Unmarshal(out, &mod))
	allowed := slices.Concat(userModules, testModules)
	for _, r := range mod.Require {
		if !r.Indirect {
			require.Contains(t, allowed, r.Path)
		}
	}
}
