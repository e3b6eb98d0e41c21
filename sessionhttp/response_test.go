package sessionhttp_test

import (
	"bufio"
	"bytes"
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
