//go:build !unix

package memcachestore

import "os"

// Without a read that does not wait, look waits for blindRead.
const canReadNow = false

func readFD(uintptr, []byte) (int, error) { return 0, os.ErrDeadlineExceeded }

func writeFD(uintptr, []byte) (int, error) { return 0, os.ErrDeadlineExceeded }
