//go:build unix

package memcachestore

import (
	"io"
	"os"
	"syscall"
)

const canReadNow = true

// readFD reads from a socket that Go has set to non-blocking.
func readFD(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return 0, os.ErrDeadlineExceeded
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// writeFD writes to such a socket.
func writeFD(fd uintptr, p []byte) (int, error) { return syscall.Write(int(fd), p) }
