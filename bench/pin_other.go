//go:build !linux

package main

import "errors"

func pin(...int) (unpin func() error, cpu int, err error) {
	return nil, 0, errors.New("bench: client and server can be bound to one processor on Linux only")
}
