package sessiondata_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// proof matches a link to a test or an example, as the pages have.
var proof = regexp.MustCompile("\\[`((?:Test|Example)\\w*)`\\]\\(([^)]+)\\)")

// linksToTests sees that every test or example that a page links to is there, and
// that it has no link of another form that looks the same.
func linksToTests(t *testing.T, page string) string {
	t.Helper()
	text := readFile(t, page)
	links := proof.FindAllStringSubmatch(text, -1)
	require.NotEmpty(t, links)
	for _, link := range links {
		name, path := link[1], filepath.Join("docs", link[2])
		require.Contains(t, readFile(t, path), "\nfunc "+name+"(", "%s is not in %s", name, path)
	}
	require.Len(t, links, strings.Count(text, "[`"), "a link of another form")
	return text
}

// Every claim of docs/coming-from.md names what shows it, and that is there. A
// row that names nothing says that something is not there.
func TestDocsNameOnlyTestsThatThereAre(t *testing.T) {
	for _, line := range strings.Split(linksToTests(t, "docs/coming-from.md"), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| there |") {
			continue
		}
		here := strings.TrimSpace(cells[len(cells)-3])
		if strings.TrimSpace(cells[len(cells)-2]) == "" {
			require.Regexp(t, "^(none|not yet|`ListEmpty`, and)", here, "a claim that nothing shows")
		}
	}
}

// Every line of the tables of docs/guarantees.md, but for the first, which names
// commands, ends with a test that shows it.
func TestGuaranteesNameTheTestThatShowsThem(t *testing.T) {
	text := linksToTests(t, "docs/guarantees.md")
	_, tables, ok := strings.Cut(text, "\n## Isolation\n")
	require.True(t, ok)
	rows := 0
	for _, line := range strings.Split(tables, "\n") {
		head := strings.HasPrefix(line, "|---") || strings.HasSuffix(line, "| shown by |") || strings.HasSuffix(line, "| found by |")
		if !strings.HasPrefix(line, "|") || head {
			continue
		}
		rows++
		cells := strings.Split(line, "|")
		require.Regexp(t, proof, cells[len(cells)-2], "a claim that nothing shows: %s", line)
	}
	require.Greater(t, rows, 200)
}
