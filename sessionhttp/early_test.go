package sessionhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

func TestFlushAndALongResponseCommitFirst(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var errs atomic.Value
		goOn := make(chan bool)
		s := start(func(w http.ResponseWriter, r *http.Request) {
			session := must(sessionhttp.Session(r))
			must(count(r))
			switch r.URL.Path {
			case "/flush":
				w.(http.Flusher).Flush()
			case "/flush/text":
				fmt.Fprint(w, "text")
				check(http.NewResponseController(w).Flush())
			case "/long":
				fmt.Fprint(w, strings.Repeat("x", 1000))
				must(count(r)) // not yet
				fmt.Fprint(w, "y")
			case "/long/declared":
				w.Header().Set("Content-Length", "1001")
				fmt.Fprint(w, "x")
			}
			_, late := sessionhttp.Session(r)
			errs.Store([]error{
				session.Pkg("test").Set("late", 1), late, sessionhttp.Commit(r.Context(), r),
				sessionhttp.Renew(r), sessionhttp.Destroy(r),
			})
			if strings.HasPrefix(r.URL.Path, "/flush") {
				select {
				case <-goOn: // the client has the header
				case <-time.After(10 * time.Second):
					panic("not flushed")
				}
			}
			fmt.Fprint(w, strings.Repeat("z", 1000))
		}, options{http: sessionhttp.Config{Buffer: 1000}})
		for path, want := range map[string]string{
			"/flush": "", "/flush/text": "text", "/long": strings.Repeat("x", 1000) + "y", "/long/declared": "x",
		} {
			c := s.visitor()
			res, err := c.Get(s.server.URL + path) // returns once the header is here
			require.NoError(t, err, path)
			require.Len(t, res.Header["Set-Cookie"], 1, path)
			require.Positive(t, s.stored(s.id(c)), path)
			if strings.HasPrefix(path, "/flush") {
				goOn <- true
			}
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, want+strings.Repeat("z", 1000), string(body), path)
			for _, err := range errs.Load().([]error) {
				require.ErrorIs(t, err, sd.ErrTxnDone, path)
			}
		}
	})
}

func TestAnEarlyCommitThatFailsIsTheHandlersToKnowAndAnswered(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var errs atomic.Value
		s := start(func(w http.ResponseWriter, r *http.Request) {
			must(count(r))
			w.Header().Set("X-Handler", "yes")
			w.WriteHeader(http.StatusAccepted)
			var found []error
			add := func(_ int, err error) { found = append(found, err) }
			if r.URL.Path == "/flush" {
				add(0, http.NewResponseController(w).Flush())
			}
			add(io.WriteString(w, strings.Repeat("x", 2000)))
			add(fmt.Fprint(w, "more"))
			add(0, http.NewResponseController(w).Flush())
			if _, err := io.Copy(w, strings.NewReader("copied")); true {
				add(0, err)
			}
			if h, ok := w.(http.Hijacker); ok {
				_, _, err := h.Hijack()
				add(0, err)
			}
			w.WriteHeader(http.StatusOK)
			errs.Store(found)
		}, options{http: sessionhttp.Config{Buffer: 1000}})
		s.store.downForWrites.Store(true)
		for _, path := range []string{"/flush", "/long"} {
			got := s.ask(s.visitor(), "GET", path)
			require.Equal(t, 503, got.status)
			require.Equal(t, "Service Unavailable\n", got.body)
			require.Empty(t, got.cookies)
			require.NotContains(t, got.header, "X-Handler")
			for _, err := range errs.Load().([]error) {
				require.ErrorIs(t, err, sd.ErrUnavailable)
			}
		}
	})
}

func TestAnEarlyCommitThatConflictsRunsTheRequestAgain(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var runs atomic.Int64
		var h http.HandlerFunc
		s := start(func(w http.ResponseWriter, r *http.Request) {
			h(w, r)
			_, _ = io.WriteString(w, strings.Repeat("x", 1000))
		}, options{http: sessionhttp.Config{Buffer: 1000}})
		h = meddle(s, 0, &runs)
		c := s.visitor()
		s.ask(c, "GET", "/")
		runs.Store(0)
		h = meddle(s, 1, &runs)
		got := s.ask(c, "GET", "/")
		require.Equal(t, "12 "+strings.Repeat("x", 1000), got.body)
		require.Equal(t, []string{"2"}, got.header["X-Run"])
		require.Equal(t, 12, s.stored(s.id(c)))
	})
}

func TestHijackCommitsFirstAndLeavesTheCookieInTheHeader(t *testing.T) {
	for _, text := range []string{"", "written before"} {
		s := newSite(t, false, func(w http.ResponseWriter, r *http.Request) {
			must(count(r))
			if text != "" {
				fmt.Fprint(w, text)
				check(http.NewResponseController(w).Flush())
			}
			conn, rw, err := http.NewResponseController(w).Hijack()
			check(err)
			defer conn.Close()
			if text == "" {
				fmt.Fprint(rw, "HTTP/1.1 200 OK\r\nConnection: close\r\n")
				check(w.Header().Write(rw))
				fmt.Fprint(rw, "\r\n")
			}
			fmt.Fprint(rw, "by hand")
			check(rw.Flush())
			_, err = w.Write([]byte("x"))
			if !errors.Is(err, http.ErrHijacked) {
				panic(err)
			}
		})
		c := s.visitor()
		got := s.try(c, "GET", "/")
		require.Len(t, got.cookies, 1)
		require.Equal(t, 1, s.stored(s.id(c)))
		require.True(t, strings.HasPrefix(got.body, text))
		if text == "" {
			require.NoError(t, got.err)
			require.Equal(t, "by hand", got.body)
		} else {
			require.Error(t, got.err, "what is not a chunk follows the first one")
		}
	}
}

func TestACommitRunsToItsEndWhenTheClientHasGone(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		gone, done := make(chan bool, 1), make(chan bool, 1)
		s := start(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "GET" {
				must(count(r))
				return
			}
			must(count(r))
			fmt.Fprint(w, "page")
			tx, _ := sessionhttp.Txn(r)
			check(tx.AfterEnd(func(error) { done <- true }))
			heard := w.(interface{ CloseNotify() <-chan bool }).CloseNotify()
			gone <- true
			<-r.Context().Done()
			<-heard
		})
		c := s.visitor()
		s.ask(c, "GET", "/")
		res := make(chan error)
		cancelled := *c
		req, stop := requestWithStop(t, s.server.URL)
		go func() {
			_, err := cancelled.Do(req)
			res <- err
		}()
		<-gone
		stop()
		require.Error(t, <-res)
		<-done
		require.Equal(t, 2, s.stored(s.id(c)))
	})
}

func requestWithStop(t *testing.T, url string) (*http.Request, context.CancelFunc) {
	ctx, stop := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", url, nil)
	require.NoError(t, err)
	return req, stop
}
