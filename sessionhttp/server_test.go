package sessionhttp_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

// spyStore is the embedded store, with its operations counted, and can be down.
type spyStore struct {
	*memstore.Store
	reads, writes atomic.Int64
	down          atomic.Bool // nothing gets through
	downForWrites atomic.Bool
	lostReplies   atomic.Bool // of writes: they are applied, and then nothing gets through
}

func (s *spyStore) Get(ctx context.Context, key string) (sd.Item, error) {
	s.reads.Add(1)
	if s.down.Load() {
		return sd.Item{}, sd.ErrUnavailable
	}
	return s.Store.Get(ctx, key)
}

func (s *spyStore) write(do func() error) error {
	s.writes.Add(1)
	if s.down.Load() || s.downForWrites.Load() {
		return sd.ErrUnavailable
	}
	err := do()
	if s.lostReplies.Load() {
		s.down.Store(true)
		return sd.ErrOutcomeUnknown
	}
	return err
}

func (s *spyStore) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.write(func() error { return s.Store.Add(ctx, key, value, ttl) })
}

func (s *spyStore) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	return s.write(func() error { return s.Store.CompareAndSwap(ctx, key, value, ttl, v) })
}

func (s *spyStore) CompareAndDelete(ctx context.Context, key string, v sd.Version) error {
	return s.write(func() error { return s.Store.CompareAndDelete(ctx, key, v) })
}

// counts returns the operations since the last call.
func (s *spyStore) counts() (reads, writes int64) { return s.reads.Swap(0), s.writes.Swap(0) }

// site is a real server whose handler has sessions.
type site struct {
	t         *testing.T
	store     *spyStore
	container *sd.Container
	manager   *sessionhttp.Manager
	server    *httptest.Server
	cookie    string                // its name
	clock     atomic.Pointer[clock] // of the container
}

type clock struct{ now time.Time }

// advance moves the container's clock on.
func (s *site) advance(d time.Duration) { s.clock.Store(&clock{s.clock.Load().now.Add(d)}) }

type options struct {
	container sd.Config
	http      sessionhttp.Config
	outside   func(http.Handler) http.Handler // around the manager's handler
}

// overBoth runs a test over HTTP/1.1 and HTTP/2.
func overBoth(t *testing.T, test func(t *testing.T, start func(http.HandlerFunc, ...options) *site)) {
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, func(h http.HandlerFunc, o ...options) *site { return newSite(t, h2, h, o...) })
		})
	}
}

func newSite(t *testing.T, h2 bool, handler http.HandlerFunc, opts ...options) *site {
	t.Helper()
	var o options
	if len(opts) > 0 {
		o = opts[0]
	}
	s := &site{t: t, store: &spyStore{Store: memstore.New(memstore.Config{})}}
	s.clock.Store(&clock{time.Now()})
	if o.container.Now == nil {
		o.container.Now = func() time.Time { return s.clock.Load().now }
	}
	var err error
	s.container, err = sd.NewContainer(s.store, o.container)
	require.NoError(t, err)
	o.http.Container = s.container
	s.manager, err = sessionhttp.New(o.http)
	require.NoError(t, err)
	if s.cookie = o.http.Cookie.Name; s.cookie == "" {
		s.cookie = "__Host-session"
	}
	var h http.Handler = s.manager.Handler(handler)
	if o.outside != nil {
		h = o.outside(h)
	}
	s.server = httptest.NewUnstartedServer(h)
	s.server.EnableHTTP2 = h2
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0) // panics are part of the tests
	s.server.StartTLS()
	t.Cleanup(s.server.Close)
	return s
}

// answer is what a visitor got.
type answer struct {
	status  int
	body    string
	header  http.Header
	trailer http.Header
	cookies []string // the Set-Cookie lines
	proto   string
	err     error
}

// visitor returns a client with an empty cookie jar, which follows no redirect.
func (s *site) visitor() *http.Client {
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	return &http.Client{
		Transport:     s.server.Client().Transport,
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       20 * time.Second,
	}
}

// ask sends a request of a visitor, and requires that it is answered.
func (s *site) ask(c *http.Client, method, path string, more ...any) answer {
	s.t.Helper()
	a := s.try(c, method, path, more...)
	require.NoError(s.t, a.err)
	return a
}

// try sends a request. more: a string is the body, a http.Header headers to add.
func (s *site) try(c *http.Client, method, path string, more ...any) answer {
	var body io.Reader
	add := http.Header{}
	for _, m := range more {
		switch m := m.(type) {
		case string:
			body = strings.NewReader(m)
		case http.Header:
			add = m
		case io.Reader:
			body = m
		}
	}
	req, err := http.NewRequest(method, s.server.URL+path, body)
	require.NoError(s.t, err)
	for name, values := range add {
		req.Header[name] = values
	}
	res, err := c.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, string(text), res.Header, res.Trailer, res.Header["Set-Cookie"], res.Proto, err}
}

// id returns the id in a visitor's cookie, "" where there is none.
func (s *site) id(c *http.Client) string {
	u, err := url.Parse(s.server.URL)
	require.NoError(s.t, err)
	for _, cookie := range c.Jar.Cookies(u) {
		if cookie.Name == s.cookie {
			return cookie.Value
		}
	}
	return ""
}

// with is a request header with these cookies.
func (s *site) with(values ...string) http.Header {
	var parts []string
	for _, v := range values {
		parts = append(parts, s.cookie+"="+v)
	}
	return http.Header{"Cookie": {strings.Join(parts, "; ")}}
}

// stored returns the number under "n" of a stored session, -1 where there is no
// such session.
func (s *site) stored(id string) int {
	s.t.Helper()
	tx := sd.Begin()
	defer func() { _ = tx.Rollback() }()
	session, err := s.container.Existing(context.Background(), tx, id)
	if errors.Is(err, sd.ErrNotFound) {
		return -1
	}
	require.NoError(s.t, err)
	n, err := sd.GetOr(session.Pkg("test"), "n", 0)
	require.NoError(s.t, err)
	return n
}

// sessions returns how many are stored.
func (s *site) sessions() int { return s.store.Stats().Items }

// count adds one to the session's number and returns it.
func count(r *http.Request) (n int, err error) {
	s, err := sessionhttp.Session(r)
	if err != nil {
		return 0, err
	}
	err = sd.Modify(s.Pkg("test"), "n", func(v *int) error {
		*v++
		n = *v
		return nil
	})
	return n, err
}

// read returns the session's number.
func read(r *http.Request) (int, error) {
	s, err := sessionhttp.Session(r)
	if err != nil {
		return 0, err
	}
	return sd.GetOr(s.Pkg("test"), "n", 0)
}

// must panics, which fails the test by way of a broken response.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
