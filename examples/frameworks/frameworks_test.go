package frameworks

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

var routers = map[string]func(*sessionhttp.Manager) http.Handler{
	"ServeMux": ServeMux, "chi": Chi, "gin": Gin, "echo": Echo,
}

// visitor is a client of one of the servers, with a cookie jar.
type visitor struct {
	t         *testing.T
	server    *httptest.Server
	client    *http.Client
	container *sd.Container
}

// underEach runs a test under each framework, over HTTP/1.1 and HTTP/2.
func underEach(t *testing.T, test func(*testing.T, *visitor)) {
	for name, router := range routers {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/HTTP2=%t", name, h2), func(t *testing.T) {
				container, err := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{})
				require.NoError(t, err)
				manager, err := sessionhttp.New(sessionhttp.Config{
					Container: container,
					Attempts:  100,
					Retry:     func(*http.Request) bool { return true },
				})
				require.NoError(t, err)
				server := httptest.NewUnstartedServer(router(manager))
				server.EnableHTTP2 = h2
				server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the panics
				server.StartTLS()
				t.Cleanup(server.Close)
				jar, err := cookiejar.New(nil)
				require.NoError(t, err)
				test(t, &visitor{t, server, &http.Client{
					Transport: server.Client().Transport, Jar: jar, Timeout: 20 * time.Second,
					CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
				}, container})
			})
		}
	}
}

func (v *visitor) try(method, path string) (status int, body string, err error) {
	req, err := http.NewRequest(method, v.server.URL+path, nil)
	if err != nil {
		return 0, "", err
	}
	res, err := v.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

func (v *visitor) post(path string) (int, string) {
	v.t.Helper()
	status, body, err := v.try("POST", path)
	require.NoError(v.t, err)
	return status, body
}

// id returns the session's id in the cookie.
func (v *visitor) id() string {
	u, err := url.Parse(v.server.URL)
	require.NoError(v.t, err)
	for _, c := range v.client.Jar.Cookies(u) {
		if c.Name == "__Host-session" {
			return c.Value
		}
	}
	return ""
}

// inCart returns what is stored of an item.
func (v *visitor) inCart(item string) (n int) {
	v.t.Helper()
	require.NoError(v.t, v.container.View(v.t.Context(), v.id(), func(s *sd.Session) (err error) {
		n, err = sd.GetOr(s.Pkg("cart"), item, 0)
		return err
	}))
	return n
}

func TestChangesAreStoredWithTheResponse(t *testing.T) {
	underEach(t, func(t *testing.T, v *visitor) {
		for want := 1; want <= 3; want++ {
			status, body := v.post("/cart/book")
			require.Equal(t, 200, status)
			require.Equal(t, fmt.Sprint(want), body)
			require.Equal(t, want, v.inCart("book"))
		}
	})
}

func TestAnErrorAndAPanicOfAHandlerStoreNothing(t *testing.T) {
	underEach(t, func(t *testing.T, v *visitor) {
		status, _ := v.post("/cart/unicorn")
		require.Equal(t, 500, status)
		require.Empty(t, v.id())
		if status, _, err := v.try("POST", "/cart/bomb"); err == nil { // net/http alone recovers by ending the connection
			require.Equal(t, 500, status)
		}
		require.Empty(t, v.id())
		v.post("/cart/book")
		v.post("/cart/unicorn")
		_, _, _ = v.try("POST", "/cart/bomb")
		require.Equal(t, []int{1, 0, 0}, []int{v.inCart("book"), v.inCart("unicorn"), v.inCart("bomb")})
	})
}

func TestSigningInTakesANewID(t *testing.T) {
	underEach(t, func(t *testing.T, v *visitor) {
		v.post("/cart/book")
		before := v.id()
		status, _ := v.post("/sign-in")
		require.Equal(t, http.StatusSeeOther, status)
		require.NotEqual(t, before, v.id())
		require.Equal(t, 1, v.inCart("book"))
	})
}

func TestAStreamCommitsBeforeItsFirstByte(t *testing.T) {
	underEach(t, func(t *testing.T, v *visitor) {
		status, body, err := v.try("GET", "/stream")
		require.NoError(t, err)
		require.Equal(t, 200, status)
		require.Equal(t, "one two", body)
		require.Equal(t, 1, v.inCart("stream"))
	})
}

func TestParallelRequestsLoseNothing(t *testing.T) {
	underEach(t, func(t *testing.T, v *visitor) {
		v.post("/cart/book")
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				if status, _, err := v.try("POST", "/cart/book"); err != nil || status != 200 {
					t.Errorf("status %d, %v", status, err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, 17, v.inCart("book"))
	})
}

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // chi writes the stack of a panic there
	os.Exit(m.Run())
}
