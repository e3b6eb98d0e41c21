package sessionhttp_test

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
	"github.com/seed-ad7f1900/sessiondata/memcachestore"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

var rotationFor = flag.Duration("rotation", time.Second, "how long TestRotationUnderParallelRequestsOverMemcached sends requests")

// One visitor, whose session gets a new id every 100 ms, sends 16 requests at a
// time to two app servers over memcached: no request finds itself anonymous, and
// no change is lost.
func TestRotationUnderParallelRequestsOverMemcached(t *testing.T) {
	const (
		every    = 100 * time.Millisecond
		parallel = 16
		servers  = 2
	)
	srv := mct.Start(t)
	key := sd.Key{ID: 1, Secret: make([]byte, sd.KeySize)}
	var apps []*url.URL
	var container *sd.Container
	var transport http.RoundTripper
	for range servers {
		store, err := memcachestore.New(memcachestore.Config{
			Servers: []string{srv.Addr()}, Timeout: 10 * time.Second, DialTimeout: 10 * time.Second, Logger: slog.New(slog.DiscardHandler),
		})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		container, err = sd.NewContainer(store, sd.Config{
			RenewEvery: every, RenewGrace: 20 * time.Second, Keys: []sd.Key{key}, CommitTimeout: 20 * time.Second,
		})
		require.NoError(t, err)
		m, err := sessionhttp.New(sessionhttp.Config{Container: container, Attempts: 1000, CommitTimeout: 20 * time.Second})
		require.NoError(t, err)
		app := httptest.NewTLSServer(m.Handler(http.HandlerFunc(countOfTab)))
		app.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = parallel
		t.Cleanup(app.Close)
		u, err := url.Parse(app.URL)
		require.NoError(t, err)
		apps, transport = append(apps, u), app.Client().Transport
	}
	jar, err := cookiejar.New(nil) // ports do not count: it is one for all app servers
	require.NoError(t, err)
	visitor := &http.Client{Transport: transport, Jar: jar, Timeout: time.Minute}
	id := func() string { return jar.Cookies(apps[0])[0].Value }
	get := func(app int, path string) (answer string, err error) {
		res, err := visitor.Get(apps[app].JoinPath(path).String())
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return fmt.Sprint(res.StatusCode, " ", string(body)), err
	}
	first, err := get(0, "/count/0")
	require.NoError(t, err)
	require.Equal(t, "200 new", first)

	var mu sync.Mutex
	ids, counted, asked := map[string]bool{id(): true}, [parallel]int{1}, 1
	var slowest time.Duration
	start := time.Now()
	var wg sync.WaitGroup
	for tab := range parallel {
		wg.Go(func() {
			for i := 0; time.Since(start) < *rotationFor; i++ {
				path := fmt.Sprintf("/count/%d", tab)
				if i%4 == 3 {
					path = "/read" // which renews as well
				}
				begun := time.Now()
				answer, err := get((tab+i)%servers, path)
				if err != nil || answer != "200 known" {
					t.Errorf("anonymous, or failed: %q, %v", answer, err)
					return
				}
				mu.Lock()
				asked++
				if path != "/read" {
					counted[tab]++
				}
				ids[id()] = true
				slowest = max(slowest, time.Since(begun))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	took := time.Since(start)

	total, each := 0, [parallel]int{}
	require.NoError(t, container.View(t.Context(), id(), func(s *sd.Session) error {
		require.False(t, s.IsNew())
		for tab := range parallel {
			each[tab], err = sd.GetOr(s.Pkg("tabs"), fmt.Sprint(tab), 0)
			require.NoError(t, err)
		}
		total, err = sd.Get[int](s.Pkg("all"), "n")
		return err
	}))
	want := 0
	for _, n := range counted {
		want += n
	}
	require.Equal(t, counted, each, "a change was lost")
	require.Equal(t, want, total, "a change was lost")
	require.LessOrEqual(t, len(ids), 1+int(took/every), "more than one renewal a period")
	require.GreaterOrEqual(t, len(ids), 2, "no renewal")
	t.Logf("%d requests in %v (the slowest took %v), %d changes, %d ids; none anonymous, none lost", asked, took, slowest, want, len(ids))
}

// countOfTab counts for a tab of a browser, and for all of them, and says
// whether the visitor is known.
func countOfTab(w http.ResponseWriter, r *http.Request) {
	s, err := sessionhttp.Session(r)
	check(err)
	if s.IsNew() {
		fmt.Fprint(w, "new")
	} else {
		fmt.Fprint(w, "known")
	}
	var tab int
	if _, err := fmt.Sscanf(r.URL.Path, "/count/%d", &tab); err != nil {
		return
	}
	for pkg, key := range map[string]string{"tabs": fmt.Sprint(tab), "all": "n"} {
		check(sd.Modify(s.Pkg(pkg), key, func(n *int) error { *n++; return nil }))
	}
}
