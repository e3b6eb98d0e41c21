package memcachestore

import (
	"cmp"
	"errors"
	"os"
	"syscall"
)

// errStale says that the connection had ended, or was not quiet, before anything
// of the request was sent: another connection is to be taken.
var errStale = errors.New("the connection is not usable any more")

// asking is a request over a plain socket. The look whether the connection is
// quiet and alive, the request and the wait for its reply are one wait for the
// socket, which costs less than three calls one after the other.
type asking struct {
	raw    syscall.RawConn // nil: there is no plain socket, see conn.look
	looked bool
	stale  error // what the look has found

	// Of the wait: fields, so that it allocates nothing.
	ready func(fd uintptr) bool
	p     []byte // where the reply goes
	n     int
	err   error
}

// ask looks, unless the connection is fresh, sends what is to be sent, and reads.
func (c *conn) ask(p []byte) (int, error) {
	a := &c.asking
	a.p, a.n, a.err = p, 0, nil
	err := a.raw.Read(a.ready)
	a.p = nil
	return a.n, cmp.Or(err, a.err)
}

// onReady is called when the wait begins, and whenever there may be something to
// read; it returns true to end the wait. That the wait begins before anything is
// sent is why no reply is missed, however soon it comes.
func (c *conn) onReady(fd uintptr) bool {
	a := &c.asking
	if !a.looked {
		a.looked = true
		if _, err := readFD(fd, a.p[:1]); err != os.ErrDeadlineExceeded {
			a.stale = cmp.Or(err, errSurplus)
			a.err = a.stale
			return true
		}
	}
	if len(c.out.list) == 1 {
		if n, err := writeFD(fd, c.out.list[0]); err == nil {
			_ = c.sent(n, nil)
		}
	}
	if len(c.out.list) > 0 { // several pieces, or the end of one that did not go at once
		if a.err = c.send(); a.err != nil {
			return true
		}
	}
	a.n, a.err = readFD(fd, a.p)
	return a.err != os.ErrDeadlineExceeded
}
