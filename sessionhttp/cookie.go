package sessionhttp

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Cookie says how the cookie is to be. Its zero value is what RFC 6265bis and
// OWASP advise.
type Cookie struct {
	Name         string        // default "__Host-session", or "session" where Insecure or Domain is set, or Path is not "/"
	Path         string        // default "/"
	Domain       string        // default: the host that set it alone
	SameSite     http.SameSite // default Lax; http.SameSiteDefaultMode: no attribute
	Insecure     bool          // also over plain HTTP (development)
	ScriptAccess bool          // not HttpOnly
	Partitioned  bool          // a jar of its own below each top-level site (CHIPS)
	Persistent   bool          // Max-Age and Expires follow the session's deadline; default: a browser-session cookie
}

func (c *Cookie) setDefaults() {
	if c.Path == "" {
		c.Path = "/"
	}
	if c.Name == "" {
		c.Name = "__Host-session"
		if c.Insecure || c.Domain != "" || c.Path != "/" {
			c.Name = "session"
		}
	}
	if c.SameSite == 0 {
		c.SameSite = http.SameSiteLaxMode
	}
}

// prefixes are the cookie name prefixes that browsers hold a cookie to,
// whatever the case of their letters (RFC 6265bis, section 4.1.3; __Http- and
// __Host-Http- from the layered cookies draft). The longest that fits counts.
var prefixes = []struct {
	text           string
	host, httpOnly bool
}{
	{"__Host-Http-", true, true},
	{"__Host-", true, false},
	{"__Secure-", false, false},
	{"__Http-", false, true},
}

// check names every fault.
func (c *Cookie) check(fault func(format string, args ...any)) {
	plain := http.Cookie{Name: c.Name}
	if plain.Valid() != nil {
		fault("Cookie.Name %q is not a token (RFC 9110, section 5.6.2)", c.Name)
	}
	plain = http.Cookie{Name: "n", Path: c.Path}
	if !strings.HasPrefix(c.Path, "/") || plain.Valid() != nil {
		fault("Cookie.Path %q does not begin with / or has a byte that no path may have", c.Path)
	}
	plain = http.Cookie{Name: "n", Domain: c.Domain}
	if plain.Valid() != nil {
		fault("Cookie.Domain %q is not a domain", c.Domain)
	}
	if c.SameSite < http.SameSiteDefaultMode || c.SameSite > http.SameSiteNoneMode {
		fault("Cookie.SameSite is not a mode")
	}
	if c.SameSite == http.SameSiteNoneMode && c.Insecure {
		fault("Cookie.SameSite None needs Secure, which Cookie.Insecure takes away")
	}
	if c.Partitioned && c.Insecure {
		fault("Cookie.Partitioned needs Secure, which Cookie.Insecure takes away")
	}
	c.checkPrefix(fault)
}

func (c *Cookie) checkPrefix(fault func(format string, args ...any)) {
	for _, p := range prefixes {
		if len(c.Name) < len(p.text) || !strings.EqualFold(c.Name[:len(p.text)], p.text) {
			continue
		}
		if c.Insecure {
			fault("Cookie.Name with %s needs Secure, which Cookie.Insecure takes away", p.text)
		}
		if p.host && c.Domain != "" {
			fault("Cookie.Name with %s allows no Cookie.Domain", p.text)
		}
		if p.host && c.Path != "/" {
			fault("Cookie.Name with %s needs the Cookie.Path /", p.text)
		}
		if p.httpOnly && c.ScriptAccess {
			fault("Cookie.Name with %s needs HttpOnly, which Cookie.ScriptAccess takes away", p.text)
		}
		return
	}
}

// cookieText is the text of Set-Cookie, all but the id and the age of it.
type cookieText struct {
	name  string
	attrs string // with the leading "; "
}

func newCookieText(c Cookie) cookieText {
	plain := http.Cookie{
		Name: c.Name, Path: c.Path, Domain: c.Domain, SameSite: c.SameSite,
		Secure: !c.Insecure, HttpOnly: !c.ScriptAccess, Partitioned: c.Partitioned,
	}
	return cookieText{name: c.Name, attrs: strings.TrimPrefix(plain.String(), c.Name+"=")}
}

// set is the Set-Cookie of an id; age 0: for as long as the browser runs. Both
// Max-Age and Expires are sent: the former wins (RFC 6265bis, section 5.7), the
// latter is for clients that know only that.
func (t cookieText) set(id string, age time.Duration, now time.Time) string {
	if age == 0 {
		return t.name + "=" + id + t.attrs
	}
	return t.name + "=" + id + "; Expires=" + now.Add(age).UTC().Format(http.TimeFormat) +
		"; Max-Age=" + strconv.Itoa(int(age/time.Second)) + t.attrs
}

// clear is the Set-Cookie that removes the cookie. Name, domain and path must be
// the same as those it was set with (RFC 6265bis, section 5.7).
func (t cookieText) clear() string {
	return t.name + "=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0" + t.attrs
}

// longestAge is the longest that browsers keep a cookie (RFC 6265bis, section
// 5.5).
const longestAge = 400 * 24 * time.Hour

// ageUntil is how long a cookie is to last for a session that ends at deadline,
// in whole seconds, rounded up; zero deadline: never.
func ageUntil(deadline, now time.Time) time.Duration {
	if deadline.IsZero() {
		return longestAge
	}
	age := deadline.Sub(now)
	if rest := age % time.Second; rest > 0 {
		age += time.Second - rest
	}
	return min(max(age.Truncate(time.Second), time.Second), longestAge)
}

// IDSource is a place where a request may bear its id. The zero value is the
// cookie alone. A URL is none: ids in URLs end up in logs, referrers and other
// people's hands (OWASP: Session ID in URL).
type IDSource struct{ header string }

// Header is a request header as IDSource, for clients that keep no cookies. Where
// a request has that header, even an empty one, its cookies are not looked at,
// and the response bears a new id in the header of that name instead of a cookie:
// when the session is stored for the first time and when it is renewed; empty
// when it is destroyed. Requests without the header go by cookie.
func Header(name string) IDSource { return IDSource{header: http.CanonicalHeaderKey(name)} }

// reservedHeaders have a meaning of their own.
var reservedHeaders = []string{
	"Authorization", "Connection", "Content-Length", "Cookie", "Host", "Proxy-Authorization", "Referer",
	"Set-Cookie", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Vary", "Cache-Control",
}

func (s IDSource) check(fault func(format string, args ...any)) {
	if s == (IDSource{}) {
		return
	}
	token := http.Cookie{Name: s.header} // a field name is a token, as a cookie's name is
	if token.Valid() != nil {
		fault("IDSource %q is not the name of a header", s.header)
		return
	}
	for _, h := range reservedHeaders {
		if s.header == h {
			fault("IDSource %q is a header with a meaning of its own", s.header)
		}
	}
}

// String describes the source.
func (s IDSource) String() string {
	if s.header == "" {
		return "cookie"
	}
	return fmt.Sprintf("header %s, or cookie", s.header)
}
