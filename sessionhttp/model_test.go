package sessionhttp_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

// A sequential browser. Handlers are drawn: what they do with the sessions of two
// Managers, one within the other, and how they answer. The model says what each
// of their calls answers, which cookies are sent, and what is stored.

// deed is one thing that a handler does.
type deed struct {
	Do     string
	Inside bool // with the session of the inner Manager
	Key    string
	N      int
}

var deedKinds = []string{
	"get", "get", "set", "set", "set", "delete", "destroy", "renew", "skip", "defer", "commit", "commit", "write", "write much", "flush",
}

// drawnPage is a handler: its deeds, and the status with which it answers after them;
// 0: it writes none; -1: it panics.
type drawnPage struct {
	Deeds  []deed
	Status int
}

var pages = rapid.Custom(func(t *rapid.T) drawnPage {
	n := rapid.SampledFrom([]int{0, 1, 3, 6, 9}).Draw(t, "length") // left to itself rapid draws few
	deeds := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) deed {
		return deed{
			Do: rapid.SampledFrom(deedKinds).Draw(t, "do"), Inside: rapid.IntRange(0, 2).Draw(t, "inside") == 0,
			Key: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key"), N: rapid.IntRange(1, 3).Draw(t, "n"),
		}
	}), n, n).Draw(t, "deeds")
	return drawnPage{deeds, rapid.SampledFrom([]int{0, 0, 200, 204, 303, 404, 500, 503, -1}).Draw(t, "status")}
})

// buffered is Config.Buffer of both Managers: "write" stays below it, and one
// "write much" is above it.
const buffered = 1000

// shop is the site of the pages.
type shop struct {
	*site
	inner another

	mu   sync.Mutex
	page drawnPage
	log  []string
}

func newShop(t *testing.T, h2 bool) *shop {
	p := &shop{inner: newAnother(t, sessionhttp.Config{Buffer: buffered})}
	within := p.inner.Handler(http.HandlerFunc(p.serve))
	p.site = newSite(t, h2, within.ServeHTTP, options{
		http: sessionhttp.Config{Buffer: buffered},
		outside: func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() {
					if p := recover(); p != nil && p != "as drawn" {
						panic(p)
					} else if p != nil {
						w.WriteHeader(http.StatusTeapot)
					}
				}()
				h.ServeHTTP(w, r)
			})
		},
	})
	return p
}

// kind names an error.
func kind(err error) string {
	for _, known := range []error{sd.ErrTxnDone, sd.ErrGone, sd.ErrKeyNotFound, sd.ErrInvalid} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return fmt.Sprint(err)
}

// serve runs the page, and notes what it was answered.
func (p *shop) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	say := func(format string, args ...any) { p.log = append(p.log, fmt.Sprintf(format, args...)) }
	for _, d := range p.page.Deeds {
		m := p.manager
		if d.Inside {
			m = p.inner.Manager
		}
		switch d.Do {
		case "get", "set", "delete":
			s, err := m.Session(r)
			if err == nil {
				switch d.Do {
				case "get":
					var n int
					n, err = sd.Get[int](s.Pkg("test"), d.Key)
					say("%d", n)
				case "set":
					err = s.Pkg("test").Set(d.Key, d.N)
				case "delete":
					err = s.Pkg("test").Delete(d.Key)
				}
			}
			say("%s %s", d.Do, kind(err))
		case "destroy":
			say("destroy %s", kind(m.Destroy(r)))
		case "renew":
			say("renew %s", kind(m.Renew(r)))
		case "skip":
			m.Skip(r)
		case "defer":
			m.Defer(r)
		case "commit":
			say("commit %s", kind(m.Commit(r.Context(), r)))
		case "write", "write much":
			n := 1
			if d.Do == "write much" {
				n = buffered + 1
			}
			_, err := io.WriteString(w, strings.Repeat("x", n))
			say("write %s", kind(err))
		case "flush":
			say("flush %s", kind(http.NewResponseController(w).Flush()))
		}
	}
	switch p.page.Status {
	case 0:
	case -1:
		panic("as drawn")
	default:
		w.WriteHeader(p.page.Status)
	}
}

// browser is a visitor: a client with its jar, and what the model knows of that.
type browser struct {
	c       *http.Client
	cookies [2]string
}

func (b *browser) put(s *shop, i int, value string) {
	u, _ := url.Parse(s.server.URL)
	b.c.Jar.SetCookies(u, []*http.Cookie{{Name: cookieNames[i], Value: value, Path: "/", Secure: true}})
	b.cookies[i] = value
}

func (b *browser) holds(s *shop, i int) string {
	u, _ := url.Parse(s.server.URL)
	for _, c := range b.c.Jar.Cookies(u) {
		if c.Name == cookieNames[i] {
			return c.Value
		}
	}
	return ""
}

// newBrowser returns one with an empty jar. It is patient: a request that it gave up
// would still be running when the next one comes.
func (s *shop) newBrowser() *browser {
	b := &browser{c: s.visitor()}
	b.c.Timeout = 5 * time.Minute
	return b
}

var cookieNames = [2]string{"__Host-session", "__Host-other"}

const cookieAttrs = "; Path=/; HttpOnly; Secure; SameSite=Lax"

// browse asks for a page, and holds all of the answer to the model.
func (s *shop) browse(t *rapid.T, b *browser, p drawnPage, books [2]*book) {
	var vs [2]*part
	for i := range vs {
		id := b.cookies[i]
		vs[i] = &part{named: id != ""}
		if r, ok := books[i].records[id]; ok {
			vs[i].known, vs[i].stored = id, r
		}
	}
	log, status := expect(p, vs, books)
	s.mu.Lock()
	s.page, s.log = p, nil
	s.mu.Unlock()
	got := s.try(b.c, "GET", "/")
	require.NoError(t, got.err)
	s.mu.Lock()
	said := s.log
	s.mu.Unlock()
	require.Equal(t, log, said)
	require.Equal(t, status, got.status)

	for i, v := range vs {
		news := v.news
		if v.skipped || v.put {
			news = ""
		}
		var lines []string
		for _, line := range got.cookies {
			if strings.HasPrefix(line, cookieNames[i]+"=") {
				lines = append(lines, line)
			}
		}
		holds := b.holds(s, i)
		switch news {
		case "":
			require.Empty(t, lines)
			require.Equal(t, b.cookies[i], holds)
		case "none":
			require.Equal(t, []string{cookieNames[i] + "=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0" + cookieAttrs}, lines)
			require.Empty(t, holds)
			b.cookies[i] = ""
		case "new":
			require.Equal(t, []string{cookieNames[i] + "=" + holds + cookieAttrs}, lines)
			require.NotEqual(t, b.cookies[i], holds)
			require.NotContains(t, books[i].records, holds)
			b.cookies[i] = holds
			books[i].records[holds] = v.stored
			books[i].orphans--
		}
	}
	if p.Status != -1 {
		used := vs[0].used && !usedLate(p, 0) || vs[1].used && !usedLate(p, 1)
		require.Equal(t, used, slices.Contains(got.header["Vary"], "Cookie"))
		require.Equal(t, used, len(got.header["Cache-Control"]) > 0)
	}
}

// usedLate reports whether a page asks for a session only once the response is on
// its way.
func usedLate(p drawnPage, of int) bool {
	written := 0
	for _, d := range p.Deeds {
		switch d.Do {
		case "write":
			written++
		case "write much":
			written += buffered + 1
		case "flush":
			return true
		case "get", "set", "delete", "destroy", "renew":
			if d.Inside == (of == 1) {
				return false
			}
		}
		if written > buffered {
			return true
		}
	}
	return false
}

func TestModel_ASequentialBrowserSeesWhatTheModelSays(t *testing.T) {
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, h2)
			stores := [2]*spyStore{s.store, s.inner.store}
			look := drawnPage{Status: 0}
			for _, inside := range []bool{false, true} {
				for _, key := range []string{"a", "b"} {
					look.Deeds = append(look.Deeds, deed{Do: "get", Inside: inside, Key: key})
				}
			}
			rapid.Check(t, func(t *rapid.T) {
				books := [2]*book{}
				var base [2]int
				for i := range books {
					books[i] = &book{name: cookieNames[i], records: map[string]record{}}
					base[i] = stores[i].Stats().Items
				}
				browsers := make([]*browser, 3)
				for i := range browsers {
					browsers[i] = s.newBrowser()
				}
				for range rapid.SampledFrom([]int{1, 3, 8, 15}).Draw(t, "requests") {
					b := rapid.SampledFrom(browsers).Draw(t, "browser")
					i := rapid.IntRange(0, 1).Draw(t, "cookie")
					switch rapid.SampledFrom([]string{"", "", "", "", "", "shares", "forges", "garbles", "forgets"}).Draw(t, "cookie trick") {
					case "shares": // the id of another browser
						if id := rapid.SampledFrom(browsers).Draw(t, "of").cookies[i]; id != "" {
							b.put(s, i, id)
						}
					case "forges":
						b.put(s, i, strings.Repeat("f", 43))
					case "garbles":
						b.put(s, i, "x")
					case "forgets":
						*b = *s.newBrowser()
					}
					s.browse(t, b, pages.Draw(t, "page"), books)
					s.browse(t, b, look, books)
					for i, store := range stores {
						require.Equal(t, len(books[i].records)+books[i].orphans, store.Stats().Items-base[i], "sessions of %s", books[i].name)
					}
				}
			})
		})
	}
}
