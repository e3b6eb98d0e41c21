package memcachestore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strconv"
	"strings"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

var (
	errBusy  = errors.New("another listing is in progress")
	errClass = errors.New("the server cannot walk its hash table")
	errNever = errors.New("the server does not list keys (memcached -X, or no_lru_crawler)")
)

// Keys lists the keys with the given prefix, by `lru_crawler metadump`, server
// by server. Each server's keys are read completely before the first of them is
// handed out, so a consumer may take its time: a server whose listing is not
// read stops serving others. That takes memory for the keys of one server, at
// most ListTimeout per server, and a connection of its own; a server runs one
// listing at a time, others wait within their context. KeyInfo.Size is that of
// the item, with key and header.
//
// Keys that lie on a server where they would not be looked for, since servers
// were added or renamed, are not listed.
func (s *Store) Keys(ctx context.Context, prefix string) iter.Seq2[sd.KeyInfo, error] {
	return func(yield func(sd.KeyInfo, error) bool) {
		for _, srv := range s.servers {
			keys, err := s.drain(ctx, srv, prefix)
			if err != nil {
				yield(sd.KeyInfo{}, err)
				return
			}
			for _, k := range keys {
				if !yield(k, nil) {
					return
				}
			}
		}
	}
}

// drain reads all keys of one server.
func (s *Store) drain(ctx context.Context, srv *server, prefix string) ([]sd.KeyInfo, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.end()
	ctx, cancel := s.bound(ctx, s.cfg.ListTimeout)
	defer cancel()
	select {
	case srv.listing <- struct{}{}:
		defer func() { <-srv.listing }()
	case <-ctx.Done():
		return nil, srv.errorf(sd.ErrUnavailable, causeOf(ctx))
	}
	here := func(key string) bool { return strings.HasPrefix(key, prefix) && s.route(key) == srv }
	mode := "hash" // one pass over all items, where `all` can meet one twice
	pause := 5 * time.Millisecond
	for {
		keys, err := srv.dump(ctx, mode, here)
		switch {
		case err == nil:
			return keys, nil
		case errors.Is(err, errClass) && mode == "hash":
			mode = "all"
			continue
		case errors.Is(err, errNever):
			return nil, srv.errorf(sd.ErrNotSupported, err)
		case !errors.Is(err, errBusy):
			if over(ctx) {
				err = causeOf(ctx)
			}
			return nil, srv.errorf(sd.ErrUnavailable, err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
			pause = min(2*pause, 200*time.Millisecond)
		case <-ctx.Done():
			timer.Stop()
			return nil, srv.errorf(sd.ErrUnavailable, fmt.Errorf("%w: %w", err, causeOf(ctx)))
		}
	}
}

// bound is ctx, ended by Close and after d as well.
func (s *Store) bound(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, d)
	closing, leave := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.servers[0].stop, func() { leave(sd.ErrClosed) })
	return closing, func() {
		stop()
		leave(nil)
		cancel()
	}
}

// dump makes a connection and reads one listing over it.
func (s *server) dump(ctx context.Context, mode string, here func(key string) bool) ([]sd.KeyInfo, error) {
	c, err := s.aside(ctx, false)
	if err != nil {
		return nil, err
	}
	defer c.close()
	interrupt := context.AfterFunc(ctx, c.interrupt)
	defer interrupt()
	// The command stands alone: the server takes no other before its end.
	if _, err := io.WriteString(c.nc, "lru_crawler metadump "+mode+"\r\n"); err != nil {
		return nil, err
	}
	var keys []sd.KeyInfo
	seen := map[string]struct{}{}
	br := bufio.NewReaderSize(c.nc, 64<<10)
	for {
		b, err := br.ReadSlice('\n')
		if err != nil {
			return nil, wireError(err)
		}
		line := strings.TrimRight(string(b), "\r\n")
		switch {
		case line == "END":
			return keys, nil
		case strings.HasPrefix(line, "BUSY"):
			return nil, errBusy
		case strings.HasPrefix(line, "BADCLASS"), strings.HasPrefix(line, "CLIENT_ERROR"):
			return nil, errClass
		case isRefusal(b):
			return nil, fmt.Errorf("%w: %w", errNever, &refusal{plain(line, "")})
		}
		k, err := parseDump(line)
		if err != nil {
			return nil, err
		}
		if _, twice := seen[k.Key]; twice || !here(k.Key) {
			continue
		}
		if !k.Expires.IsZero() && !k.Expires.After(c.boot.now()) {
			continue // the server drops it when it next comes across it
		}
		seen[k.Key] = struct{}{}
		keys = append(keys, k)
	}
}

// parseDump reads a line such as
// key=a%20b exp=1800000000 la=1790000000 cas=7 fetch=yes cls=1 size=63.
func parseDump(line string) (sd.KeyInfo, error) {
	var k sd.KeyInfo
	for field := range strings.FieldsSeq(line) {
		name, value, _ := strings.Cut(field, "=")
		var err error
		switch name {
		case "key":
			k.Key, err = url.PathUnescape(value)
		case "exp":
			var at int64
			if at, err = strconv.ParseInt(value, 10, 64); err == nil && at > 0 {
				k.Expires = time.Unix(at, 0)
			}
		case "size":
			k.Size, err = strconv.Atoi(value)
		}
		if err != nil {
			return k, errForeign // without the text, which may hold the key
		}
	}
	if k.Key == "" {
		return k, errForeign
	}
	return k, nil
}

// aside makes a connection beside the pool.
func (s *server) aside(ctx context.Context, keep bool) (*conn, error) {
	start := time.Now()
	c, err := s.dial(ctx, keep)
	if err != nil && !over(ctx) && !errors.Is(err, errTooMany) {
		s.failed(err, start, s.cfg.RetryAfter, false)
	}
	if err == nil {
		err = c.nc.SetDeadline(time.Time{})
	}
	return c, err
}
