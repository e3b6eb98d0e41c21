package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// little is a module of one package, to be broken.
var little = map[string]string{
	"go.mod": "module example.test/little\n\ngo 1.26.0\n",
	"little.go": `package little

import "context"

type box[T any] struct{ in []T }

func (b *box[T]) put(_ context.Context, more ...T) (n int, err error) {
	b.in = append(b.in, more...)
	defer func() { n = len(b.in) }()
	return 0, nil
}

func half(n int) int {
	n /= 2
	return n
}

func reset(p *int) { *p = 0 }

func wait(done chan int) {
	if done == nil {
		return
	}
	done <- 1
}

func unused() int { return 1 }
`,
	"little_test.go": `package little

import (
	"context"
	"testing"
	"time"
)

func TestPut(t *testing.T) {
	var b box[string]
	if n, err := b.put(context.Background(), "a", "b"); n != 2 || err != nil {
		t.Error(n, err)
	}
}

func TestHalf(t *testing.T) {
	t.Run("of four", func(t *testing.T) {
		if half(4) != 2 {
			t.Error(half(4))
		}
	})
}

func TestReset(t *testing.T) {
	n := 1
	if reset(&n); n != 0 {
		t.Error(n)
	}
}

func TestWait(t *testing.T) {
	done := make(chan int, 1)
	wait(done)
	if <-done != 1 {
		t.Error("another")
	}
}

func TestWaitBounded(t *testing.T) {
	done := make(chan int, 1)
	wait(done)
	select {
	case <-done:
	case <-time.After(50 * time.Millisecond):
		t.Error("no answer")
	}
}

func TestFails(t *testing.T) { t.Error("always") }
`,
}

// littleModule writes the module and returns where it is.
func littleModule(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range little {
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o600))
	}
	return root
}

// set reads mutants from text, as from a file of them.
func set(t *testing.T, text string) ([]*mutant, error) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "set.txt"), []byte(text), 0o600))
	return readSet(dir)
}

func mustSet(t *testing.T, text string) []*mutant {
	t.Helper()
	all, err := set(t, text)
	require.NoError(t, err)
	return all
}

const several = `# A guarantee

mutant: a method of a generic type, its result set by a defer
in: . box.put
test: . TestPut
- n = len(b.in)
+ n = len(b.in) + 1

mutant: a subtest finds it
in: . half
test: . TestHalf/of four
- n /= 2
+ n /= 3

mutant: a function without results
in: . reset
test: . TestReset
- *p = 0
+ _ = p

mutant: a panic
in: . reset
test: . TestReset
- *p = 0
+ p = nil
+ *p = 0

mutant: it survives
in: . unused
test: . TestReset
- return 1
+ return 2

mutant: it hangs
in: . wait
test: . TestWait
timeout: 300ms
- done <- 1
+ _ = done

mutant: it hangs, and the test says so
in: . wait
test: . TestWaitBounded
- done <- 1
+ _ = 1
`

func TestARunTellsTheFateOfEachMutant(t *testing.T) {
	var said []string
	caught, err := run(t.Context(), littleModule(t), mustSet(t, several), func(line string) { said = append(said, line) })
	require.NoError(t, err)
	require.Equal(t, 5, caught)
	all := strings.Join(said, "\n")
	require.Len(t, said, 7, all)
	for title, fate := range map[string]string{
		"a method of a generic type, its result set by a defer": "caught by TestPut",
		"a subtest finds it":             "caught by TestHalf",
		"a function without results":     "caught by TestReset",
		"a panic":                        "caught by TestReset",
		"it survives":                    "SURVIVED",
		"it hangs":                       "HUNG",
		"it hangs, and the test says so": "caught by TestWaitBounded",
	} {
		require.Contains(t, all, title+": "+fate)
	}
}

func TestWhatIsWrongWithTheSetIsAnErrorAndNothingIsCaught(t *testing.T) {
	const head = "# A guarantee\n\nmutant: m\nin: . half\n"
	for what, c := range map[string]struct{ text, says string }{
		"does not compile":       {head + "test: . TestHalf\n- n /= 2\n+ n /= missing\n", `set.txt:3: "m" does not compile: undefined: missing`},
		"is no Go":               {head + "test: . TestHalf\n- n /= 2\n+ n /= (\n", `set.txt:3: "m" is no Go`},
		"no text":                {head + "test: . TestHalf\n- n /= 4\n+ n /= 3\n", "the text to replace must stand exactly once in half of little.go, but is not there any more:\n\tn /= 4"},
		"text twice":             {head + "test: . TestHalf\n- n\n+ m\n", "but stands there 3 times"},
		"no function":            {strings.Replace(head, "half", "third", 1) + "test: . TestHalf\n- n\n+ m\n", "there is no function third in ."},
		"no package":             {strings.Replace(head, "in: .", "in: large", 1) + "test: . TestHalf\n- n\n+ m\n", "there is no function half in large"},
		"no test":                {head + "test: . TestThird\n- n /= 2\n+ n /= 3\n", "there is no TestThird in ."},
		"a test that fails":      {head + "test: . TestFails\n- n /= 2\n+ n /= 3\n", "the tests of . do not pass without a mutant"},
		"a test that is not run": {head + "test: . TestHalf\n- n /= 2\n+ n /= 3\n", ""},
	} {
		t.Run(what, func(t *testing.T) {
			root := littleModule(t)
			if what == "a test that is not run" {
				path := filepath.Join(root, "little_test.go")
				require.NoError(t, os.WriteFile(path, []byte(strings.Replace(little["little_test.go"], `t.Run("of four"`, "t.Skip()\n\tt.Run(\"of four\"", 1)), 0o600))
				c.says = "TestHalf of . has not passed without a mutant"
			}
			caught, err := run(t.Context(), root, mustSet(t, c.text), func(string) {})
			require.ErrorContains(t, err, c.says)
			require.Zero(t, caught)
		})
	}
}

func TestASetThatIsNotInFormIsAnErrorThatSaysWhere(t *testing.T) {
	const head = "# A guarantee\nmutant: m\nin: a f\n"
	for says, text := range map[string]string{
		"set.txt:1: no guarantee":              "mutant: m\nin: a f\ntest: . TestF\n- a\n+ b\n",
		"set.txt:2: no directory and function": "# g\nmutant: m\nin: a\ntest: . TestF\n- a\n+ b\n",
		"set.txt:2: no test":                   head + "- a\n+ b\n",
		"set.txt:2: no text to replace":        head + "test: . TestF\n- a\n+ a\n",
		"set.txt:2: test: wants a directory":   head + "test: TestF\n",
		`set.txt:2: an unknown field "tset:"`:  head + "tset: . TestF\n",
		"set.txt:2: time: invalid duration":    head + "timeout: soon\n",
		`set.txt:2: "in:" outside a mutant`:    "# g\nin: a f\n",
		"stands at set.txt:2 already":          head + "test: . TestF\n- a\n+ b\n\nmutant: m\nin: a f\ntest: . TestF\n- a\n+ b\n",
	} {
		_, err := set(t, text)
		require.ErrorContains(t, err, says)
	}
	_, err := readSet(t.TempDir())
	require.ErrorContains(t, err, "no mutants")
	all := mustSet(t, head+"test: . TestF\ntest: b TestG/sub\nrace: yes\nshort: yes\ncount: 3\ntimeout: 5s\n- a\n- \tb\n+ c\n")
	require.Equal(t, []*mutant{{
		n: 1, at: "set.txt:2", guarantee: "A guarantee", title: "m", dir: "a", fn: "f", old: "a\n\tb", new: "c",
		tests: []test{{".", "TestF"}, {"b", "TestG/sub"}}, race: true, short: true, count: 3, timeout: 5 * time.Second,
	}}, all)
}
