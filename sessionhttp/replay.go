package sessionhttp

import (
	"io"
	"net/http"
	"sync"
)

// recording keeps what is read of a request's body, so that a later run of the
// request can read it again.
type recording struct {
	mu     sync.Mutex
	src    io.Reader
	room   int // bytes that may be kept
	kept   []byte
	broken bool  // more was read than there was room for
	err    error // of src, once it has ended
	turn   int   // the run that may read
}

// play returns the body for the next run, from its beginning. The bodies of
// earlier runs are closed.
func (rec *recording) play() io.ReadCloser {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.turn++
	return &playback{rec: rec, turn: rec.turn}
}

// complete reports whether all that was read of the body is kept.
func (rec *recording) complete() bool {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return !rec.broken && (rec.err == nil || rec.err == io.EOF)
}

// playback is the body of one run. Closing it does not close the source: the
// next run may read on. The server closes that at the end.
type playback struct {
	rec  *recording
	turn int
	at   int // the next byte of rec.kept
}

// Read implements io.Reader.
func (p *playback) Read(b []byte) (int, error) {
	rec := p.rec
	rec.mu.Lock()
	defer rec.mu.Unlock()
	switch {
	case p.turn != rec.turn:
		return 0, http.ErrBodyReadAfterClose
	case len(b) == 0:
		return 0, nil
	case !rec.broken && p.at < len(rec.kept):
		n := copy(b, rec.kept[p.at:])
		p.at += n
		return n, nil
	case rec.err != nil:
		return 0, rec.err
	}
	n, err := rec.src.Read(b)
	rec.err = err
	switch {
	case rec.broken:
	case len(rec.kept)+n > rec.room:
		rec.broken, rec.kept = true, nil
	default:
		rec.kept = append(rec.kept, b[:n]...)
		p.at += n
	}
	return n, err
}

// Close implements io.Closer.
func (p *playback) Close() error {
	p.rec.mu.Lock()
	defer p.rec.mu.Unlock()
	p.turn = 0
	return nil
}
