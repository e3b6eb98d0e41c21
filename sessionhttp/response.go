package sessionhttp

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// response is the http.ResponseWriter that a handler gets. It holds the response
// back until the transaction has ended: the status, a copy of the header as it
// was when the status was written, and up to Config.Buffer bytes of the body. The
// header itself is that of the writer beneath, so that 1xx responses, trailers
// and Hijack find there what the handler has set.
//
// As net/http's, it is not safe for concurrent use.
type response struct {
	ex     *exchange
	under  http.ResponseWriter
	before http.Header // of under, before the handler ran; nil: empty

	status int         // 0: none written yet
	header http.Header // as it was then
	length int64       // declared by Content-Length; -1: not
	size   int64       // bytes of the body written so far, held or not
	held   *[]byte     // nil: none

	sent  bool  // all goes on to under
	fault error // the commit failed, so nothing may be sent any more
}

// buffers are the bytes held back, for use by later responses.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxPooled is the largest buffer that is kept.
const maxPooled = 64 << 10

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.under.Header() }

// WriteHeader implements http.ResponseWriter. A 1xx status is sent at once
// (RFC 9110, section 15.2), but for 101, which is a final one.
func (w *response) WriteHeader(status int) {
	switch {
	case w.sent:
		w.under.WriteHeader(status)
		return
	case w.status != 0 || w.fault != nil:
		return
	case status < 100 || status > 999:
		panic(fmt.Sprintf("invalid WriteHeader code %v", status)) // as net/http's
	case status < 200 && status != http.StatusSwitchingProtocols:
		w.under.WriteHeader(status)
		return
	}
	w.status = status
	w.header = w.under.Header().Clone()
	if text := w.header.Get("Content-Length"); text != "" {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
			w.length = n
		}
	}
}

func (w *response) statusOr(otherwise int) int {
	if w.status == 0 {
		return otherwise
	}
	return w.status
}

// Write implements io.Writer. An error may be that of the commit: the handler
// should return, for nothing of its response will be sent.
func (w *response) Write(p []byte) (int, error) {
	if direct, err := w.prepare(len(p)); err != nil {
		return 0, err
	} else if direct {
		return w.under.Write(p)
	}
	*w.held = append(*w.held, p...)
	return len(p), nil
}

// WriteString implements io.StringWriter.
func (w *response) WriteString(s string) (int, error) {
	if direct, err := w.prepare(len(s)); err != nil {
		return 0, err
	} else if direct {
		return io.WriteString(w.under, s)
	}
	*w.held = append(*w.held, s...)
	return len(s), nil
}

// prepare makes ready for n bytes of the body, and reports whether they go to
// under directly.
func (w *response) prepare(n int) (direct bool, err error) {
	switch {
	case w.sent:
		return true, nil
	case w.fault != nil:
		return false, w.fault
	case w.status == 0:
		w.WriteHeader(http.StatusOK)
	}
	if !bodyAllowed(w.status) && n > 0 {
		return false, http.ErrBodyNotAllowed
	}
	w.size += int64(n)
	if w.length >= 0 && w.size > w.length {
		w.size -= int64(n)
		return false, http.ErrContentLength
	}
	if room := int64(w.ex.m.cfg.Buffer); w.size > room || w.length > room {
		return true, w.release()
	}
	if w.held == nil {
		w.held = buffers.Get().(*[]byte)
	}
	return false, nil
}

// bodyAllowed is by RFC 9110, section 6.4.1.
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// release ends the transaction and sends what is held, before the handler has
// returned.
func (w *response) release() error {
	if w.sent || w.fault != nil {
		return w.fault
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.fault = w.ex.end(w.status); w.fault != nil {
		w.drop()
		return w.fault
	}
	w.send()
	return nil
}

// send sends what is held. From now on under is written to directly.
func (w *response) send() {
	w.sent = true
	h := w.under.Header()
	if w.status == 0 { // under answers 200 when the handler has returned
		w.ex.tell(h)
		return
	}
	// What was set after the status is not part of the header, but may be
	// trailers: those must be there after the body, and not before.
	var later http.Header
	if !sameHeader(h, w.header) {
		later = maps.Clone(h)
		clear(h)
		maps.Copy(h, w.header)
	}
	w.ex.tell(h)
	w.under.WriteHeader(w.status)
	if w.held != nil {
		_, _ = w.under.Write(*w.held) // the client has gone: nobody is left to be told
	}
	w.drop()
	if later != nil {
		clear(h)
		maps.Copy(h, later)
	}
}

// drop forgets the bytes held.
func (w *response) drop() {
	if w.held == nil {
		return
	}
	if cap(*w.held) <= maxPooled {
		*w.held = (*w.held)[:0]
		buffers.Put(w.held)
	}
	w.held = nil
}

// FlushError commits, sends what is held and flushes it; [http.ResponseController]
// calls it. It commits nothing where the server cannot flush.
func (w *response) FlushError() error {
	if !supports[interface{ FlushError() error }](w.under) && !supports[http.Flusher](w.under) {
		return http.ErrNotSupported
	}
	if err := w.release(); err != nil {
		return err
	}
	return http.NewResponseController(w.under).Flush()
}

// hijack commits and hands the connection over. What the handler has written is
// sent before; if it has written nothing, the header holds the cookie for the
// answer that the handler will write itself.
func (w *response) hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !supports[http.Hijacker](w.under) {
		return nil, nil, http.ErrNotSupported
	}
	if w.fault != nil {
		return nil, nil, w.fault
	}
	if !w.sent {
		if w.fault = w.ex.end(w.statusOr(http.StatusSwitchingProtocols)); w.fault != nil {
			w.drop()
			return nil, nil, w.fault
		}
		w.send()
	}
	return http.NewResponseController(w.under).Hijack()
}

// readFrom copies src into the buffer, and the rest, where it does not fit, to
// under, which can often do so without a copy in memory.
func (w *response) readFrom(src io.Reader) (n int64, err error) {
	for {
		direct, err := w.prepare(0)
		if err != nil {
			return n, err
		}
		if !direct && w.size == int64(w.ex.m.cfg.Buffer) {
			if err := w.release(); err != nil {
				return n, err
			}
			direct = true
		}
		if direct {
			rest, err := w.under.(io.ReaderFrom).ReadFrom(src)
			return n + rest, err
		}
		chunk := w.spare()
		got, err := src.Read(chunk)
		if written, werr := w.Write(chunk[:got]); werr != nil {
			return n + int64(written), werr
		}
		n += int64(got)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// spare is room to read into, behind what is held.
func (w *response) spare() []byte {
	const least = 4 << 10
	b := *w.held
	if cap(b)-len(b) < least {
		b = append(make([]byte, 0, 2*cap(b)+least), b...)
		*w.held = b
	}
	room := b[len(b):cap(b)]
	return room[:min(len(room), w.ex.m.cfg.Buffer-len(b))]
}

// SetReadDeadline is found by [http.ResponseController].
func (w *response) SetReadDeadline(t time.Time) error {
	return http.NewResponseController(w.under).SetReadDeadline(t)
}

// SetWriteDeadline is found by [http.ResponseController].
func (w *response) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(w.under).SetWriteDeadline(t)
}

// EnableFullDuplex is found by [http.ResponseController].
func (w *response) EnableFullDuplex() error {
	return http.NewResponseController(w.under).EnableFullDuplex()
}

// CloseNotify is what http.CloseNotifier asks for, which frameworks still do. It
// tells of the end of the request's context, as net/http's does.
func (w *response) CloseNotify() <-chan bool {
	gone := make(chan bool, 1)
	context.AfterFunc(w.ex.r.Context(), func() { gone <- true })
	return gone
}
