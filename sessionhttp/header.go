package sessionhttp

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// keep returns a copy of h to go back to; nil stands for an empty header.
func keep(h http.Header) http.Header {
	if len(h) == 0 {
		return nil
	}
	return h.Clone()
}

// restore makes h what keep returned.
func restore(h, kept http.Header) {
	clear(h)
	for name, values := range kept {
		h[name] = slices.Clone(values)
	}
}

func sameHeader(a, b http.Header) bool { return maps.EqualFunc(a, b, slices.Equal[[]string]) }

// tell writes into the header of the response what the visitor, and the caches
// on the way, are to know of the session. Shared caches must not keep what was
// made for one visitor (RFC 9111, section 3; OWASP: Web Content Caching).
func (ex *exchange) tell(h http.Header) {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	if !ex.used {
		return
	}
	addVary(h, "Cookie")
	if header := ex.m.cfg.IDSource.header; header != "" {
		addVary(h, header)
	}
	told := ex.tellID(h)
	if cc := h["Cache-Control"]; len(cc) == 0 || told && !keptFromCaches(cc) {
		h["Cache-Control"] = []string{"private, no-store"}
	}
}

// tellAll is tell where the handler's part of the header has been taken back,
// and with it what the exchanges within this one have told.
func (ex *exchange) tellAll(h http.Header) {
	ex.mu.Lock()
	inner := ex.inner
	ex.mu.Unlock()
	for _, in := range inner {
		in.tell(h)
	}
	ex.tell(h)
}

// tellID sends the id, or that there is none any more; mu is held.
func (ex *exchange) tellID(h http.Header) bool {
	if ex.news.kind == nothing || ex.skipped || ex.deferred {
		return false
	}
	if ex.byHeader {
		h[ex.m.cfg.IDSource.header] = []string{ex.news.id}
		return true
	}
	var cookie string
	if ex.news.kind == noID {
		cookie = ex.m.cookie.clear()
	} else {
		cookie = ex.m.cookie.set(ex.news.id, ex.news.age, ex.m.now())
	}
	h["Set-Cookie"] = append(h["Set-Cookie"], cookie)
	return true
}

// addVary adds a name to Vary unless it is there.
func addVary(h http.Header, name string) {
	for _, line := range h["Vary"] {
		for part := range strings.SplitSeq(line, ",") {
			if part = trim(part); part == "*" || strings.EqualFold(part, name) {
				return
			}
		}
	}
	h["Vary"] = append(h["Vary"], name)
}

// keptFromCaches reports whether a Cache-Control keeps shared caches from storing
// the response.
func keptFromCaches(lines []string) bool {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			if part = trim(part); strings.EqualFold(part, "private") || strings.EqualFold(part, "no-store") {
				return true
			}
		}
	}
	return false
}
