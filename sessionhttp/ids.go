package sessionhttp

import (
	"net/http"
	"strings"
)

// maxCandidates bounds the ids of one request that are tried, each of which
// costs a round trip. A browser sends several cookies of one name where they
// were set with different paths or domains: rarely more than two.
const maxCandidates = 4

// candidates are the well-formed ids of a request, each once, in its order: a
// browser sends the cookie of the longest path first (RFC 6265bis, section 5.8.3).
type candidates struct {
	ids   [maxCandidates]string
	n     int
	named bool // there was a cookie of the name, or the header, of whatever value
}

func (c *candidates) list() []string { return c.ids[:c.n] }

func (c *candidates) add(id string) {
	if c.n == maxCandidates || !wellFormed(id) {
		return
	}
	for _, known := range c.list() {
		if known == id {
			return
		}
	}
	c.ids[c.n] = id
	c.n++
}

// idLength is the length of the ids that a container draws: 256 bits in
// URL-safe base64. The middleware knows no others, so that no request can reach
// what else is kept in the container under ids that can be guessed.
const idLength = 43

// wellFormed reports whether id may be one that a container drew. What is not
// costs no store operation.
func wellFormed(id string) bool {
	if len(id) != idLength {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// inCookies finds the ids in the cookies of that name. It goes by net/http's
// rules: parts are separated by semicolons, spaces and tabs around part and name
// do not count, names are compared exactly, a value may stand in double quotes.
// It allocates nothing, whatever the header holds.
func inCookies(h http.Header, name string) (found candidates) {
	for _, line := range h["Cookie"] {
		for line != "" {
			var part string
			part, line, _ = strings.Cut(line, ";")
			key, value, _ := strings.Cut(trim(part), "=")
			if trim(key) != name {
				continue
			}
			found.named = true
			if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
				value = value[1 : len(value)-1]
			}
			found.add(value)
		}
	}
	return found
}

// inHeader finds the ids in a header of that name; named tells whether there is
// one.
func inHeader(h http.Header, name string) (found candidates) {
	for _, value := range h[name] {
		found.named = true
		found.add(trim(value))
	}
	return found
}

// trim removes optional white space (RFC 9110, section 5.6.3).
func trim(s string) string { return strings.Trim(s, " \t") }
