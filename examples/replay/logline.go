package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// request is one line of the access log. Its texts keep the escapes that Apache
// wrote (\" and \xhh).
type request struct {
	Line     int // in the log, from 1
	Visitor  string
	Time     time.Time // UTC, whole seconds
	Page     string    // path of the request target, at most maxPage bytes
	Referrer string    // empty where the visitor sent none
	Status   int
	Bytes    int64 // of the response's body

	// Where a server is restarted, a visit ends that the log shows to go on: the
	// account says which boot held the request, and which request began anew.
	Boot  uint64
	Began bool
}

// failed reports whether the server answered with an error.
func (r request) failed() bool { return r.Status >= 400 }

const (
	maxVisitor = 255 // bytes; a host name has at most 253 (RFC 1035, 2.3.4)
	maxPage    = 512 // bytes; a page becomes part of a key, and those end at 1024
)

// parseLine reads one line in Apache's combined log format:
//
//	host ident user [day/Mon/year:hh:mm:ss zone] "request" status bytes "referrer" "user agent"
//
// The user agent, which nothing here asks for, is not looked at beyond its
// opening quote: servers cut long ones off, and the quote with them. An error
// names the field, and shows no more of the line than is needed to find it.
func parseLine(line string) (request, error) {
	var r request
	var ok bool
	rest := line
	if r.Visitor, rest, ok = strings.Cut(rest, " "); !ok || r.Visitor == "" {
		return request{}, errors.New("no client address")
	}
	if len(r.Visitor) > maxVisitor {
		return request{}, fmt.Errorf("client address of %d bytes, at most %d are possible", len(r.Visitor), maxVisitor)
	}
	for _, name := range []string{"identity", "user"} {
		var field string
		if field, rest, ok = strings.Cut(rest, " "); !ok || field == "" || field[0] == '[' {
			return request{}, fmt.Errorf("no %s", name)
		}
	}
	stamp, rest, ok := strings.Cut(rest, "] ")
	if !ok || !strings.HasPrefix(stamp, "[") {
		return request{}, errors.New("no time in brackets")
	}
	var err error
	if r.Time, err = parseTime(stamp[1:]); err != nil {
		return request{}, err
	}
	asked, rest, err := cutQuoted(rest)
	if err != nil {
		return request{}, fmt.Errorf("request: %w", err)
	}
	r.Page = pageOf(asked)
	status, rest, _ := strings.Cut(rest, " ")
	r.Status, err = strconv.Atoi(status)
	if err != nil || len(status) != 3 || r.Status < 100 {
		return request{}, fmt.Errorf("status %s is not a number from 100 to 999", excerpt(status))
	}
	size, rest, _ := strings.Cut(rest, " ")
	if size != "-" {
		n, err := strconv.ParseUint(size, 10, 48)
		if err != nil {
			return request{}, fmt.Errorf("size %s is not a number of bytes under 2^48", excerpt(size))
		}
		r.Bytes = int64(n)
	}
	if r.Referrer, rest, err = cutQuoted(rest); err != nil {
		return request{}, fmt.Errorf("referrer: %w", err)
	}
	if r.Referrer == "-" {
		r.Referrer = ""
	}
	if !strings.HasPrefix(rest, `"`) {
		return request{}, errors.New("no user agent")
	}
	return r, nil
}

// parseTime refuses what no access log can hold, so that the times that remain
// can be counted in nanoseconds.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse("02/Jan/2006:15:04:05 -0700", s)
	if err != nil {
		return time.Time{}, fmt.Errorf("time %s is not like 17/May/2015:10:05:03 +0000", excerpt(s))
	}
	if t = t.UTC(); t.Year() < 1970 || t.Year() > 2199 {
		return time.Time{}, fmt.Errorf("time %s is outside the years 1970 to 2199", excerpt(s))
	}
	return t, nil
}

// cutQuoted returns the text between the quotes that s begins with, and what
// follows the blank after it. A backslash takes the character behind it along.
func cutQuoted(s string) (text, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		return "", "", errors.New("no opening quote")
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[1:i], strings.TrimPrefix(s[i+1:], " "), nil
		}
	}
	return "", "", errors.New("no closing quote")
}

// pageOf is the path that a request line asks for. What is no request line (a
// client that spoke something else, or nothing) stands for itself. A path that
// is too long for a key keeps its beginning and is told apart by a digest.
func pageOf(asked string) string {
	page := asked
	if part := strings.Split(asked, " "); (len(part) == 2 || len(part) == 3) && part[1] != "" {
		page, _, _ = strings.Cut(part[1], "?")
	}
	if page == "" {
		return "-"
	}
	if len(page) > maxPage {
		digest := fmt.Sprintf("...%x", sha256.Sum256([]byte(page)))
		page = page[:maxPage-len(digest)] + digest
	}
	return page
}

// excerpt quotes the beginning of s, so that a hostile line can neither flood a
// terminal nor speak to it.
func excerpt(s string) string {
	if len(s) > 40 {
		return strconv.QuoteToASCII(s[:40]) + "..."
	}
	return strconv.QuoteToASCII(s)
}
