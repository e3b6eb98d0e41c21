package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

var noon = time.Date(2015, time.May, 17, 12, 0, 0, 0, time.UTC)

func TestParseLineReadsTheCombinedFormat(t *testing.T) {
	const agent = `"Mozilla/5.0 (X11)"`
	for name, c := range map[string]struct {
		line string
		want request
	}{
		"as Apache writes it": {
			`2001:db8::1 - - [17/May/2015:12:00:00 +0000] "GET /a/b.html HTTP/1.1" 200 203023 "http://example.com/" ` + agent,
			request{Visitor: "2001:db8::1", Time: noon, Page: "/a/b.html", Referrer: "http://example.com/", Status: 200, Bytes: 203023},
		},
		"another zone, a user, no body, no referrer": {
			`192.0.2.7 - alice [17/May/2015:14:00:00 +0200] "HEAD / HTTP/1.0" 304 - "-" ` + agent,
			request{Visitor: "192.0.2.7", Time: noon, Page: "/", Status: 304},
		},
		"the query is no part of the page": {
			`h - - [17/May/2015:12:00:00 +0000] "GET /search?q=a?b HTTP/1.1" 200 1 "-" ` + agent,
			request{Visitor: "h", Time: noon, Page: "/search", Status: 200, Bytes: 1},
		},
		"escaped quotes and backslashes": {
			`h - - [17/May/2015:12:00:00 +0000] "GET /a\"b\\ HTTP/1.1" 200 1 "http://e/\"x\" \xe4" "\"quoted\""`,
			request{Visitor: "h", Time: noon, Page: `/a\"b\\`, Referrer: `http://e/\"x\" \xe4`, Status: 200, Bytes: 1},
		},
		"the user agent is cut off": {
			`h - - [17/May/2015:12:00:00 +0000] "GET / HTTP/1.1" 200 235 "-" "Mozilla/5.0 (compat`,
			request{Visitor: "h", Time: noon, Page: "/", Status: 200, Bytes: 235},
		},
		"HTTP/0.9": {
			`h - - [17/May/2015:12:00:00 +0000] "GET /old" 200 1 "-" ` + agent,
			request{Visitor: "h", Time: noon, Page: "/old", Status: 200, Bytes: 1},
		},
		"a client that sent nothing": {
			`h - - [17/May/2015:12:00:00 +0000] "-" 408 0 "-" ` + agent,
			request{Visitor: "h", Time: noon, Page: "-", Status: 408},
		},
		"a client that spoke TLS to a plain port": {
			`h - - [17/May/2015:12:00:00 +0000] "\x16\x03\x01" 400 226 "-" ` + agent,
			request{Visitor: "h", Time: noon, Page: `\x16\x03\x01`, Status: 400, Bytes: 226},
		},
		"a query and nothing else": {
			`h - - [17/May/2015:12:00:00 +0000] "GET ?a HTTP/1.1" 400 0 "-" ` + agent,
			request{Visitor: "h", Time: noon, Page: "-", Status: 400},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseLine(c.line)
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(c.want, got))
		})
	}
}

func TestParseLineNamesTheFieldThatIsBroken(t *testing.T) {
	const rest = ` "-" "agent"`
	for name, c := range map[string]struct{ line, want string }{
		"empty":                 {``, "no client address"},
		"one word":              {`hello`, "no client address"},
		"no address":            {` - - [17/May/2015:12:00:00 +0000] "GET / HTTP/1.1" 200 1` + rest, "no client address"},
		"huge address":          {strings.Repeat("a", 300) + ` - - [17/May/2015:12:00:00 +0000] "GET / HTTP/1.1" 200 1` + rest, "client address of 300 bytes"},
		"no identity":           {`h [17/May/2015:12:00:00 +0000] "GET / HTTP/1.1" 200 1` + rest, "no identity"},
		"no user":               {`h - [17/May/2015:12:00:00 +0000] "GET / HTTP/1.1" 200 1` + rest, "no user"},
		"no brackets":           {`h - - 17/May/2015:12:00:00 "GET / HTTP/1.1" 200 1` + rest, "no time in brackets"},
		"no such day":           {`h - - [32/May/2015:12:00:00 +0000] "GET / HTTP/1.1" 200 1` + rest, `time "32/May/2015:12:00:00 +0000" is not like`},
		"no zone":               {`h - - [17/May/2015:12:00:00] "GET / HTTP/1.1" 200 1` + rest, "is not like"},
		"before Unix":           {`h - - [17/May/0001:12:00:00 +0000] "GET / HTTP/1.1" 200 1` + rest, "outside the years 1970 to 2199"},
		"before Unix by a zone": {`h - - [01/Jan/1970:00:00:00 +0100] "GET / HTTP/1.1" 200 1` + rest, "outside the years 1970 to 2199"},
		"no request":            {`h - - [17/May/2015:12:00:00 +0000] 200 1` + rest, "request: no opening quote"},
		"request left open":     {`h - - [17/May/2015:12:00:00 +0000] "GET / HTTP/1.1 200 1`, "request: no closing quote"},
		"quote escaped away":    {`h - - [17/May/2015:12:00:00 +0000] "GET /\" 200 1`, "request: no closing quote"},
		"ends in a backslash":   {`h - - [17/May/2015:12:00:00 +0000] "GET /\`, "request: no closing quote"},
		"no status":             {`h - - [17/May/2015:12:00:00 +0000] "GET / HTTP/1.1"`, `status "" is not a number`},
		"status of letters":     {`h - - [17/May/2015:12:00:00 +0000] "GET / HTTP/1.1" abc 1` + rest, `status "abc" is not`},
		"status with a sign":    {`h - - [17/May/2015:12:00:00 +0000] "GET / HTTP/1.1" -20 1` + rest, `status "-20" is not`},
		"status too small":      {`h - - [17/May/2015:12:00:00 +0000] "GET / HTTP/1.1" 099 1` + rest, `status "099" is not`},
		"size below zero":       {`h - - [17/May/2015:12:00:00 +0000] "GET / HTTP/1.1" 200 -1` + rest, `size "-1" is not`},
		"size beyond counting":  {`h - - [17/May/2015:12:00:00 +0000] "GET / HTTP/1.1" 200 9223372036854775807` + rest, "under 2^48"},
		"no referrer":           {`h - - [17/May/2015:12:00:00 +0000] "GET / HTTP/1.1" 200 1`, "referrer: no opening quote"},
		"no user agent":         {`h - - [17/May/2015:12:00:00 +0000] "GET / HTTP/1.1" 200 1 "-"`, "no user agent"},
		"speaks to a terminal":  {"h - - [\x1b]0;owned\a] \"GET / HTTP/1.1\" 200 1" + rest, `time "\x1b]0;owned\a" is not like`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseLine(c.line)
			require.ErrorContains(t, err, c.want)
			require.Zero(t, got)
			require.Less(t, len(err.Error()), 300)
		})
	}
}

func TestLongPagesAreCutAndStayDifferent(t *testing.T) {
	long := "/" + strings.Repeat("a", 2*maxPage)
	one, other := pageOf("GET "+long+"1 HTTP/1.1"), pageOf("GET "+long+"2 HTTP/1.1")
	require.Len(t, one, maxPage)
	require.Len(t, other, maxPage)
	require.NotEqual(t, one, other)
	short := "/" + strings.Repeat("a", maxPage-1)
	require.Equal(t, short, pageOf("GET "+short+" HTTP/1.1"))
}

func FuzzParseLine(f *testing.F) {
	f.Add(`h - - [17/May/2015:12:00:00 +0000] "GET /a\"b HTTP/1.1" 200 1 "-" "agent"`)
	f.Add(`h - - [17/May/2015:12:00:00 +0000] "-" 408 - "http://e/" "`)
	f.Add(`h - - [01/Jan/0000:00:00:00 -2359] "\" 200 1 "-" "agent"`)
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parseLine(line)
		if err != nil {
			require.Zero(t, r)
			require.Less(t, len(err.Error()), 300)
			return
		}
		require.NotEmpty(t, r.Visitor)
		require.LessOrEqual(t, len(r.Visitor), maxVisitor)
		require.NotEmpty(t, r.Page)
		require.LessOrEqual(t, len(r.Page), maxPage)
		require.Contains(t, line, r.Referrer)
		require.Equal(t, r.Time, time.Unix(0, r.Time.UnixNano()).UTC())
		require.Equal(t, time.UTC, r.Time.Location())
		require.True(t, r.Status >= 100 && r.Status <= 999)
		require.GreaterOrEqual(t, r.Bytes, int64(0))
	})
}
