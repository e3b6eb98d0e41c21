package sessionhttp_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

// offers names the optional interfaces of a writer.
func offers(w http.ResponseWriter) (names []string) {
	add := func(name string, ok bool) {
		if ok {
			names = append(names, name)
		}
	}
	_, ok := w.(http.Flusher)
	add("Flusher", ok)
	_, ok = w.(http.Hijacker)
	add("Hijacker", ok)
	_, ok = w.(io.ReaderFrom)
	add("ReaderFrom", ok)
	_, ok = w.(http.Pusher)
	add("Pusher", ok)
	_, ok = w.(io.StringWriter)
	add("StringWriter", ok)
	_, ok = w.(interface{ CloseNotify() <-chan bool })
	add("CloseNotifier", ok)
	return names
}

func TestTheHandlerSeesTheInterfacesThatTheServerOffers(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var outside, within atomic.Value
		s := start(func(w http.ResponseWriter, r *http.Request) { within.Store(offers(w)) }, options{
			outside: func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					outside.Store(offers(w))
					h.ServeHTTP(w, r)
				})
			},
		})
		s.ask(s.visitor(), "GET", "/")
		require.Empty(t, cmp.Diff(outside.Load(), within.Load()))
		require.Contains(t, within.Load(), "Flusher")
	})
}

// Writers that offer some interfaces only, as other middlewares make them.
type (
	bare   struct{ http.ResponseWriter }
	flush  struct{ w http.ResponseWriter }
	hijack struct{ w http.ResponseWriter }
	reads  struct{ w http.ResponseWriter }
	wraps  struct{ bare }
)

func (f flush) Flush()                                        { f.w.(http.Flusher).Flush() }
func (h hijack) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.w.(http.Hijacker).Hijack() }

func (r reads) ReadFrom(src io.Reader) (int64, error) { return r.w.(io.ReaderFrom).ReadFrom(src) }
func (w wraps) Unwrap() http.ResponseWriter           { return w.ResponseWriter }
func wrapped(h http.Handler, by func(http.ResponseWriter) http.ResponseWriter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(by(w), r) })
}

func TestTheHandlerSeesTheInterfacesThatAnotherMiddlewareLeaves(t *testing.T) {
	for want, by := range map[string]func(w http.ResponseWriter) http.ResponseWriter{
		"": func(w http.ResponseWriter) http.ResponseWriter { return bare{w} },
		"Flusher": func(w http.ResponseWriter) http.ResponseWriter {
			return struct {
				bare
				flush
			}{bare{w}, flush{w}}
		},
		"Hijacker": func(w http.ResponseWriter) http.ResponseWriter {
			return struct {
				bare
				hijack
			}{bare{w}, hijack{w}}
		},
		"ReaderFrom": func(w http.ResponseWriter) http.ResponseWriter {
			return struct {
				bare
				reads
			}{bare{w}, reads{w}}
		},
		"Flusher Hijacker": func(w http.ResponseWriter) http.ResponseWriter {
			return struct {
				bare
				flush
				hijack
			}{bare{w}, flush{w}, hijack{w}}
		},
		"Flusher ReaderFrom": func(w http.ResponseWriter) http.ResponseWriter {
			return struct {
				bare
				flush
				reads
			}{bare{w}, flush{w}, reads{w}}
		},
		"Hijacker ReaderFrom": func(w http.ResponseWriter) http.ResponseWriter {
			return struct {
				bare
				hijack
				reads
			}{bare{w}, hijack{w}, reads{w}}
		},
	} {
		t.Run(want, func(t *testing.T) {
			var got atomic.Value
			s := newSite(t, false, func(w http.ResponseWriter, r *http.Request) {
				got.Store(strings.Join(offers(w)[:len(offers(w))-2], " "))
				if _, ok := w.(io.ReaderFrom); ok {
					must(io.Copy(w, strings.NewReader("text")))
				}
				if f, ok := w.(http.Flusher); ok {
					f.Flush()
				}
				if h, ok := w.(http.Hijacker); ok {
					conn, _, err := h.Hijack()
					check(err)
					conn.Close()
				}
			}, options{outside: func(h http.Handler) http.Handler { return wrapped(h, by) }})
			s.try(s.visitor(), "GET", "/")
			require.Equal(t, want, got.Load())
		})
	}
}

func TestResponseControllerWorksThroughOtherWriters(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var errs atomic.Value
		s := start(func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			must(count(r))
			errs.Store([]error{
				rc.SetReadDeadline(time.Now().Add(time.Minute)),
				rc.SetWriteDeadline(time.Now().Add(time.Minute)),
				rc.EnableFullDuplex(),
				rc.Flush(),
			})
		}, options{outside: func(h http.Handler) http.Handler {
			return wrapped(h, func(w http.ResponseWriter) http.ResponseWriter { return wraps{bare{w}} })
		}})
		got := s.ask(s.visitor(), "GET", "/")
		require.Len(t, got.cookies, 1)
		require.Equal(t, []error{nil, nil, nil, nil}, errs.Load())
	})
}

func TestWhatTheServerCannotDoCommitsNothing(t *testing.T) {
	var errs atomic.Value
	s := newSite(t, true, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_, _, err := rc.Hijack()
		errs.Store([]error{err, rc.Flush()})
		must(count(r)) // still possible
	}, options{outside: func(h http.Handler) http.Handler {
		return wrapped(h, func(w http.ResponseWriter) http.ResponseWriter { return bare{w} })
	}})
	c := s.visitor()
	s.ask(c, "GET", "/")
	for _, err := range errs.Load().([]error) {
		require.ErrorIs(t, err, http.ErrNotSupported)
	}
	require.Equal(t, 1, s.stored(s.id(c)))
}

func TestNothingLeadsAroundTheCommit(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) {
			must(count(r))
			for { // to the innermost writer that can be found
				u, ok := w.(interface{ Unwrap() http.ResponseWriter })
				if !ok {
					break
				}
				w = u.Unwrap()
			}
			fmt.Fprint(w, "held back all the same")
			tx, _ := sessionhttp.Txn(r)
			tx.Doom()
		})
		got := s.ask(s.visitor(), "GET", "/")
		require.Equal(t, 500, got.status)
		require.Equal(t, "Internal Server Error\n", got.body)
	})
}

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

func TestReadFromHoldsBackWhatFits(t *testing.T) {
	dir := t.TempDir()
	big := bytes.Repeat([]byte("0123456789"), 100_000)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "big"), big, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "small"), big[:100], 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "exact"), big[:64<<10], 0o600))
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) {
			must(count(r))
			name := filepath.Join(dir, filepath.Base(r.URL.Path))
			switch {
			case strings.HasPrefix(r.URL.Path, "/served/"):
				http.ServeFile(w, r, name)
			case strings.HasPrefix(r.URL.Path, "/doomed/"):
				tx, _ := sessionhttp.Txn(r)
				tx.Doom()
				fallthrough
			default:
				f := must(os.Open(name))
				defer f.Close()
				fmt.Fprint(w, ">")
				n, err := io.Copy(w, f)
				if err == nil && n != must(f.Stat()).Size() {
					panic(n)
				}
			}
		})
		for name, size := range map[string]int{"small": 100, "exact": 64 << 10, "big": len(big)} {
			c := s.visitor()
			got := s.ask(c, "GET", "/served/"+name)
			require.True(t, got.body == string(big[:size]), name)
			require.Equal(t, 1, s.stored(s.id(c)), name)
			got = s.ask(c, "GET", "/served/"+name, http.Header{"Range": {"bytes=10-19"}})
			require.Equal(t, "0123456789", got.body)
			require.Equal(t, http.StatusPartialContent, got.status)
			require.Empty(t, s.ask(c, "HEAD", "/served/"+name).body)
			require.Equal(t, 3, s.stored(s.id(c)))
			got = s.ask(c, "GET", "/copied/"+name)
			require.True(t, got.body == ">"+string(big[:size]), name)
			got = s.ask(c, "GET", "/doomed/"+name)
			require.Equal(t, "Internal Server Error\n", got.body)
			require.Equal(t, 500, got.status)
		}
	})
}

// failing is a reader that ends with an error.
type failing struct{ r io.Reader }

func (f failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err == io.EOF {
		err = errors.New("the source broke")
	}
	return n, err
}

func TestReadFromTellsTheErrorOfItsSource(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var errs atomic.Value
		s := start(func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(w, failing{strings.NewReader("some text")})
			errs.Store(fmt.Sprint(n, " ", err))
		})
		require.Equal(t, "some text", s.ask(s.visitor(), "GET", "/").body)
		require.Equal(t, "9 the source broke", errs.Load())
	})
}

func TestInformationalResponsesAreSentAtOnce(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		hinted := make(chan string, 2)
		s := start(func(w http.ResponseWriter, r *http.Request) {
			must(count(r))
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			select {
			case <-hinted: // the client has it before the commit
			case <-time.After(10 * time.Second):
				panic("no early hints")
			}
			fmt.Fprint(w, "page")
		})
		c := s.visitor()
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				hinted <- fmt.Sprint(code, h["Link"], h["Set-Cookie"])
				hinted <- fmt.Sprint(code, h["Link"], h["Set-Cookie"])
				return nil
			},
		})
		req, err := http.NewRequestWithContext(ctx, "GET", s.server.URL, nil)
		require.NoError(t, err)
		res, err := c.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		require.Equal(t, "103 [</style.css>; rel=preload] []", <-hinted)
		require.Equal(t, 200, res.StatusCode)
		require.Len(t, res.Header["Set-Cookie"], 1)
	})
}

func TestTrailersStayTrailers(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		s := start(func(w http.ResponseWriter, r *http.Request) {
			must(count(r))
			w.Header().Set("Trailer", "X-Sum")
			w.Header().Set("X-Before", "1")
			w.WriteHeader(http.StatusOK)
			fmt.Fprint(w, "body")
			if r.URL.Path == "/flush" {
				w.(http.Flusher).Flush()
			}
			w.Header().Set("X-Sum", "42")
			w.Header().Set(http.TrailerPrefix+"X-Late", "7")
			w.Header().Set("X-After", "1") // neither header nor trailer
			w.Header().Del("X-Before")
		})
		for _, path := range []string{"/", "/flush"} {
			got := s.ask(s.visitor(), "GET", path)
			require.Equal(t, "body", got.body)
			require.Equal(t, "42", got.trailer.Get("X-Sum"))
			require.Equal(t, "7", got.trailer.Get("X-Late"))
			require.NotContains(t, got.header, "X-Sum")
			require.NotContains(t, got.header, "X-After")
			require.Equal(t, "1", got.header.Get("X-Before"))
			require.Len(t, got.cookies, 1)
		}
	})
}

func TestWritesAnswerAsTheServersOwnWould(t *testing.T) {
	overBoth(t, func(t *testing.T, start func(http.HandlerFunc, ...options) *site) {
		var errs atomic.Value
		s := start(func(w http.ResponseWriter, r *http.Request) {
			must(count(r))
			var err error
			switch r.URL.Path {
			case "/204":
				w.WriteHeader(http.StatusNoContent)
				w.WriteHeader(http.StatusOK) // superfluous
				_, err = fmt.Fprint(w, "x")
			case "/length":
				w.Header().Set("Content-Length", "3")
				_, _ = fmt.Fprint(w, "abc")
				_, err = io.WriteString(w, "d")
			case "/bad-length":
				w.Header().Set("Content-Length", "many")
				_, err = fmt.Fprint(w, "abc")
			case "/status":
				defer func() { err, _ = recover().(error); w.WriteHeader(202) }()
				w.WriteHeader(1000)
			case "/push":
				if p, ok := w.(http.Pusher); ok {
					err = p.Push("/x", nil)
				}
			}
			errs.Store(fmt.Sprint(err))
		})
		c := s.visitor()
		require.Equal(t, 204, s.ask(c, "GET", "/204").status)
		require.Equal(t, http.ErrBodyNotAllowed.Error(), errs.Load())
		require.Equal(t, "abc", s.ask(c, "GET", "/length").body)
		require.Equal(t, http.ErrContentLength.Error(), errs.Load())
		require.Equal(t, "abc", s.ask(c, "GET", "/bad-length").body)
		require.Equal(t, 202, s.ask(c, "GET", "/status").status)
		if s.ask(c, "GET", "/push"); s.server.EnableHTTP2 {
			require.Equal(t, http.ErrNotSupported.Error(), errs.Load(), "the client takes none")
		}
		require.Equal(t, 5, s.stored(s.id(c)))
	})
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

func TestUnencryptedHTTP2(t *testing.T) {
	s := newSite(t, true, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto, must(count(r))) },
		options{http: sessionhttp.Config{Cookie: sessionhttp.Cookie{Insecure: true, Name: "session"}}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: s.server.Config.Handler, Protocols: &protocols, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	s.server.URL = "http://" + l.Addr().String()
	c := s.visitor()
	c.Transport = &http.Transport{Protocols: &protocols}
	require.Equal(t, "HTTP/2.01", s.ask(c, "GET", "/").body)
	got := s.ask(c, "GET", "/")
	require.Equal(t, "HTTP/2.02", got.body)
	require.Empty(t, got.cookies)
}

func requestWithStop(t *testing.T, url string) (*http.Request, context.CancelFunc) {
	ctx, stop := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", url, nil)
	require.NoError(t, err)
	return req, stop
}
