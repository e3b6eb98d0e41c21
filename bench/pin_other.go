//go:build !linux

package main

import (
	"errors"
	"time"
)

func pin(...int) (unpin func() error, cpu int, err error) {
	return nil, 0, errors.New("bench: client and server can be bound to one processor on Linux only")
}

func processorTime(...int) (time.Duration, error) { return 0, nil }
