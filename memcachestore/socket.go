package memcachestore

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// blindRead is how long a socket that cannot be read without blocking is looked
// at.
const blindRead = time.Millisecond

// socket is the lowest layer of a connection, under TLS. It can be read without
// waiting, through whatever layers lie above it: so TLS records that are not
// data (tickets, key updates) are taken in, and buffered data is found.
type socket struct {
	net.Conn
	raw     syscall.RawConn // nil: no descriptor at hand
	plain   bool            // Conn is a socket itself, so that it can write several pieces in one call
	looking bool            // Read does not wait

	// The first bytes received: a server that is full says so in plain text,
	// where TLS expects a record.
	head    [len(tooManyConns)]byte
	headLen int

	// What readNow hands to its callback: fields, so that it allocates nothing.
	buf []byte
	n   int
	err error
	fn  func(fd uintptr) bool
}

func newSocket(nc net.Conn) *socket {
	s := &socket{Conn: nc}
	if sc, ok := nc.(syscall.Conn); ok && canReadNow {
		if raw, err := sc.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn: // not what holds one, and may write in another way
		s.plain = true
	}
	s.fn = func(fd uintptr) bool {
		s.n, s.err = readFD(fd, s.buf)
		return true // never wait
	}
	return s
}

func (s *socket) Read(p []byte) (int, error) {
	if s.looking {
		return s.readNow(p)
	}
	n, err := s.Conn.Read(p)
	if s.headLen < len(s.head) {
		s.headLen += copy(s.head[s.headLen:], p[:n])
	}
	return n, err
}

// readNow reads what has already arrived, or answers os.ErrDeadlineExceeded,
// which TLS takes as a passing condition. The deadline of the socket must lie
// ahead.
func (s *socket) readNow(p []byte) (int, error) {
	if s.raw == nil {
		if err := s.Conn.SetReadDeadline(time.Now().Add(blindRead)); err != nil {
			return 0, err
		}
		return s.Conn.Read(p)
	}
	s.buf = p
	err := s.raw.Read(s.fn)
	s.buf = nil
	if err != nil {
		return 0, err
	}
	return s.n, s.err
}

// look reports whether nc, which lies over s, is quiet, as it must be between
// requests: nil, or errSurplus where something has arrived, or the error of a
// connection that has ended.
func (s *socket) look(nc net.Conn) error {
	var b [1]byte
	s.looking = true
	n, err := nc.Read(b[:])
	s.looking = false
	switch {
	case n > 0:
		return errSurplus
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case err == nil:
		return errSurplus // an empty read: nothing that can be relied on
	}
	return err
}
