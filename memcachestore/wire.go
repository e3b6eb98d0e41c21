package memcachestore

import (
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// wire is the connection as gomemcache sees it. The client renews its deadline
// with every item, so that a server that trickles is waited for without end:
// here the deadline stays where begin put it. And the client's buffers hold 4 kB:
// what is larger it would write in three pieces, each of which may wake the
// server, and read in as many. Here a request goes out in one, when the client
// begins to read its reply, and what has arrived is taken in at once.
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

// outgoing is a request that is not sent yet: held, and where the client has
// written the end of a large value from the value itself, that, and what follows.
// Then list is what is left of it to send, in pieces.
type outgoing struct {
	held, tail, end []byte
	parts           [3][]byte
	list            net.Buffers
}

// Write keeps p for the first Read. It copies what it keeps, but for the value,
// which stays as it is until the request has ended.
func (w wire) Write(p []byte) (int, error) {
	out := &w.c.out
	switch {
	case out.tail != nil:
		out.end = append(out.end, p...)
	case isEnd(p, w.c.ex.value):
		out.tail = p
	default:
		out.held = append(out.held, p...)
	}
	return len(p), nil
}

// isEnd reports whether p is the end of value, in the same place of memory: the
// client's buffer, which it will use again, is not.
func isEnd(p, value []byte) bool {
	return len(p) > 0 && len(p) <= len(value) && &p[0] == &value[len(value)-len(p)]
}

// finish makes what the client has written the request to send, in as few pieces
// as it takes.
func (out *outgoing) finish() {
	if len(out.tail) <= incomingSize { // a copy costs less than a piece more
		out.held = append(append(out.held, out.tail...), out.end...)
		out.tail = nil
	}
	out.parts = [...][]byte{out.held, out.tail, out.end}
	out.list = out.parts[:]
	if out.tail == nil {
		out.list = out.parts[:1]
	}
	out.held, out.tail, out.end = out.held[:0], nil, out.end[:0]
}

// send sends what is left.
func (c *conn) send() error {
	out := &c.out
	if len(out.list) > 1 && c.plain {
		n, err := out.list.WriteTo(c.sock.Conn)
		c.ex.sent += int(n)
		return err
	}
	for len(out.list) > 0 {
		n, err := c.nc.Write(out.list[0])
		if err = c.sent(n, err); err != nil {
			return err
		}
	}
	return nil
}

// sent notes that n bytes of the first piece are sent.
func (c *conn) sent(n int, err error) error {
	out := &c.out
	c.ex.sent += n
	if n < len(out.list[0]) {
		out.list[0] = out.list[0][n:]
		return cmp.Or(err, io.ErrShortWrite)
	}
	out.list[0], out.list = nil, out.list[1:]
	return err
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
		n, err := c.receive(c.in.buf)
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
	return c.receive(p)
}

// receive sends what is to be sent, and looks at what it reads.
func (c *conn) receive(p []byte) (int, error) {
	n, err := c.transfer(p)
	if err != nil && n == 0 && c.ex.pending && errors.Is(err, os.ErrDeadlineExceeded) {
		if err = c.persist(); err == nil {
			n, err = c.transfer(p)
		}
	}
	if ferr := c.ex.receive(p[:n]); ferr != nil {
		return 0, ferr
	}
	return n, err
}

// transfer sends what is to be sent, and reads.
func (c *conn) transfer(p []byte) (int, error) {
	if len(c.out.held) > 0 {
		c.out.finish()
		c.ex.value = nil // an idle connection keeps nobody's value
	}
	switch {
	case c.asking.raw != nil:
		return c.ask(p)
	case len(c.out.list) > 0:
		if err := c.send(); err != nil {
			return 0, err
		}
	}
	return c.nc.Read(p)
}
