package sessiondata_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// proof matches a link to a test or an example, as docs/coming-from.md has.
var proof = regexp.MustCompile("\\[`((?:Test|Example)\\w*)`\\]\\(([^)]+)\\)")

// Every claim of docs/coming-from.md names what shows it, and that is there. A
// row that names nothing says that something is not there.
func TestDocsNameOnlyTestsThatThereAre(t *testing.T) {
	text := readFile(t, "docs/coming-from.md")
	links := proof.FindAllStringSubmatch(text, -1)
	require.NotEmpty(t, links)
	for _, link := range links {
		name, path := link[1], filepath.Join("docs", link[2])
		require.Contains(t, readFile(t, path), "\nfunc "+name+"(", "%s is not in %s", name, path)
	}
	require.Len(t, links, strings.Count(text, "[`"), "a link of another form")
	for _, line := range strings.Split(text, "\n") {
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
