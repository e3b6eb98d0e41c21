package memcachestore

import (
	"bytes"
	"errors"
	"net"
	"os"
	"time"
)

// wire is the connection as gomemcache sees it. The client renews its deadline
// with every item, so that a server that trickles is waited for without end:
// here the deadline stays where begin put it. And the client's buffers hold 4 kB:
// what is larger it would write in three pieces, each of which may wake the
// server, and read in as many. Here a request goes out in one, and what has
// arrived is taken in at once.
type wire struct {
	net.Conn
	c *conn
}

func (w wire) SetDeadline(time.Time) error      { return nil }
func (w wire) SetReadDeadline(time.Time) error  { return nil }
func (w wire) SetWriteDeadline(time.Time) error { return nil }

func (w wire) Close() error {
	w.c.close()
	return nil
}

// outgoing is what of a request waits for the rest.
type outgoing struct {
	held  []byte
	parts [3][]byte
	list  net.Buffers
}

// lineEnd ends a request with a value. The client writes it by itself.
var lineEnd = []byte("\r\n")

func (w wire) Write(p []byte) (int, error) {
	ex := &w.c.ex
	if ex.value == 0 {
		return w.send(p, nil)
	}
	if ex.request == 0 {
		first := bytes.IndexByte(p, '\n')
		if first < 0 {
			return 0, errForeign // the client begins with a line: what this is, is not known
		}
		ex.request = first + 1 + ex.value + len(lineEnd)
	}
	if ex.taken >= ex.request-len(lineEnd) {
		return len(p), nil // the line end, which was sent before the client came to it
	}
	ex.taken += len(p)
	left := ex.request - ex.taken
	if left > len(lineEnd) {
		w.c.out.held = append(w.c.out.held, p...)
		return len(p), nil
	}
	return w.send(p, lineEnd[len(lineEnd)-left:])
}

// send sends what is held, p, and an end that the client has not written yet.
func (w wire) send(p, end []byte) (int, error) {
	c, out := w.c, &w.c.out
	if len(out.held) == 0 && len(end) == 0 {
		n, err := c.nc.Write(p)
		c.ex.note(n, err)
		return n, err
	}
	n, err := c.sendPieces(p, end)
	c.ex.note(n, err)
	out.held = out.held[:0]
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *conn) sendPieces(p, end []byte) (int, error) {
	out := &c.out
	plain := c.sock.plain && c.nc == net.Conn(c.sock)
	if !plain && len(p) <= incomingSize { // a copy costs less than a piece more
		out.held = append(append(out.held, p...), end...)
		return c.nc.Write(out.held)
	}
	out.parts = [...][]byte{out.held, p, end}
	out.list = out.parts[:]
	to := c.sock.Conn
	if !plain {
		to = struct{ net.Conn }{c.nc} // piece by piece, by its own Write
	}
	n, err := out.list.WriteTo(to)
	out.parts = [3][]byte{}
	return int(n), err
}

func (ex *exchange) note(sent int, err error) {
	ex.sent += sent
	ex.cut = ex.cut || err != nil
}

// incoming is what has arrived and was not read by the client yet. All of it
// counts as received: see exchange.exact.
type incoming struct {
	buf  []byte
	left []byte // of buf
}

// incomingSize is how much is taken in beyond what the client asks for. Larger
// reads go where they are wanted.
const incomingSize = 16 << 10

func (w wire) Read(p []byte) (int, error) {
	c := w.c
	if len(c.in.left) == 0 && len(p) < incomingSize {
		if c.in.buf == nil {
			c.in.buf = make([]byte, incomingSize)
		}
		n, err := w.receive(c.in.buf)
		if n == 0 {
			return 0, err
		}
		c.in.left = c.in.buf[:n]
	}
	if len(c.in.left) > 0 {
		n := copy(p, c.in.left)
		c.in.left = c.in.left[n:]
		return n, nil
	}
	return w.receive(p)
}

// receive reads from the connection, and looks at what it reads.
func (w wire) receive(p []byte) (int, error) {
	n, err := w.c.nc.Read(p)
	if err != nil && n == 0 && w.c.ex.pending && errors.Is(err, os.ErrDeadlineExceeded) {
		if err = w.c.persist(); err == nil {
			n, err = w.c.nc.Read(p)
		}
	}
	if ferr := w.c.ex.receive(p[:n]); ferr != nil {
		return 0, ferr
	}
	return n, err
}
