package memcachestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// refusal is one of the protocol's error replies (protocol.txt, "Error
// strings").
type refusal struct{ text string }

func (r *refusal) Error() string { return "the server answered " + r.text }

func isRefusal(line []byte) bool {
	return bytes.HasPrefix(line, []byte("SERVER_ERROR ")) ||
		bytes.HasPrefix(line, []byte("CLIENT_ERROR ")) ||
		bytes.HasPrefix(line, []byte("ERROR"))
}

func isFull(line []byte) bool {
	return bytes.HasPrefix(line, []byte("SERVER_ERROR out of memory"))
}

// refused sorts an error reply to a write: what it means, and so whether the
// write may have been carried out all the same.
func refused(line []byte) error {
	switch {
	case bytes.HasPrefix(line, []byte("SERVER_ERROR object too large")):
		return sd.ErrTooLarge
	case isFull(line),
		// The command was not understood, and so not carried out.
		bytes.HasPrefix(line, []byte("CLIENT_ERROR ")), bytes.HasPrefix(line, []byte("ERROR")):
		return sd.ErrUnavailable
	}
	// A proxy says SERVER_ERROR also when the server behind it has not answered
	// in time.
	return sd.ErrOutcomeUnknown
}

// plain is what of a server's line may stand in an error or a log: short,
// printable, without the key.
func plain(line, key string) string {
	line = strings.TrimRight(line, "\r\n")
	if key != "" {
		line = strings.ReplaceAll(line, key, "(key)")
	}
	line = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, line)
	if len(line) > 120 {
		line = line[:120] + "..."
	}
	return line
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// wireError is err where it came from the network and says nothing of keys, else
// something that does not either: gomemcache quotes what it did not expect.
func wireError(err error) error {
	var op *net.OpError
	switch {
	case err == nil:
		return errForeign
	case errors.As(err, &op), errors.Is(err, errForeign), errors.Is(err, errSurplus), errors.Is(err, errEnded):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed):
		return errEnded
	}
	var no syscall.Errno
	if errors.As(err, &no) || isTimeout(err) {
		return err
	}
	return errForeign
}

// ended is the error of a call whose context ended before anything was sent.
func ended(ctx context.Context) error {
	return fmt.Errorf("%w: nothing was sent: %w", sd.ErrUnavailable, causeOf(ctx))
}

// over reports whether ctx has ended, or is about to: a dialer keeps its deadline
// by a timer of its own, which may run out before that of ctx. What a call's own
// deadline has ended says nothing about the server.
func over(ctx context.Context) bool {
	if ctx.Err() != nil {
		return true
	}
	end, ok := ctx.Deadline()
	return ok && !time.Now().Before(end)
}

// causeOf is an error that matches both the cause and the error of ctx, which is
// over. Before its timer has run there is no cause yet: the error is that of a
// deadline.
func causeOf(ctx context.Context) error {
	err := ctx.Err() // before the cause: ctx may end in between
	if err == nil {
		return context.DeadlineExceeded
	}
	cause := context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
