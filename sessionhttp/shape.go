package sessionhttp

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// shaped returns w with those of the optional interfaces that the writer beneath
// has, and no others: handlers choose what they do by them. A Pusher is shown
// only in the company that HTTP/2 gives it.
func (w *response) shaped() http.ResponseWriter {
	_, f := w.under.(http.Flusher)
	_, h := w.under.(http.Hijacker)
	_, r := w.under.(io.ReaderFrom)
	_, p := w.under.(http.Pusher)
	switch {
	case f && h && r: // HTTP/1
		return struct {
			plain
			flusher
			hijacker
			readerFrom
		}{plain{w}, flusher{w}, hijacker{w}, readerFrom{w}}
	case f && p && !h && !r: // HTTP/2
		return struct {
			plain
			flusher
			pusher
		}{plain{w}, flusher{w}, pusher{w}}
	case f && h:
		return struct {
			plain
			flusher
			hijacker
		}{plain{w}, flusher{w}, hijacker{w}}
	case f && r:
		return struct {
			plain
			flusher
			readerFrom
		}{plain{w}, flusher{w}, readerFrom{w}}
	case h && r:
		return struct {
			plain
			hijacker
			readerFrom
		}{plain{w}, hijacker{w}, readerFrom{w}}
	case f:
		return struct {
			plain
			flusher
		}{plain{w}, flusher{w}}
	case h:
		return struct {
			plain
			hijacker
		}{plain{w}, hijacker{w}}
	case r:
		return struct {
			plain
			readerFrom
		}{plain{w}, readerFrom{w}}
	}
	return plain{w}
}

type plain struct{ *response }

// Unwrap lets [http.ResponseController] hijack where only a writer further down
// can. It does not lead to that writer: nothing may be sent around the commit.
func (p plain) Unwrap() http.ResponseWriter {
	return struct {
		*response
		hijacker
	}{p.response, hijacker{p.response}}
}

type flusher struct{ w *response }

// Flush implements http.Flusher. That the commit failed is seen at the next
// Write; FlushError tells at once.
func (f flusher) Flush() { _ = f.w.FlushError() }

type hijacker struct{ w *response }

// Hijack implements http.Hijacker.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.w.hijack() }

type readerFrom struct{ w *response }

// ReadFrom implements io.ReaderFrom.
func (r readerFrom) ReadFrom(src io.Reader) (int64, error) { return r.w.readFrom(src) }

type pusher struct{ w *response }

// Push implements http.Pusher. What is pushed is a request of its own.
func (p pusher) Push(target string, opts *http.PushOptions) error {
	return p.w.under.(http.Pusher).Push(target, opts)
}

// supports reports whether w, or a writer that it wraps, is a T, as
// [http.ResponseController] finds it. A writer of this package can what the one
// beneath can.
func supports[T any](w http.ResponseWriter) bool {
	for {
		if own, ok := w.(interface{ beneath() http.ResponseWriter }); ok {
			w = own.beneath()
			continue
		}
		if _, ok := w.(T); ok {
			return true
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = u.Unwrap()
	}
}

func (w *response) beneath() http.ResponseWriter { return w.under }
