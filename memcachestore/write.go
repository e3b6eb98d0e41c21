package memcachestore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	sd "github.com/seed-ad7f1900/sessiondata"
)

type verb int

const (
	add verb = iota
	swap
	remove
	// removeBare is remove without room for anything: see write.
	removeBare
)

// request is one conditional write. None is unconditional: a delayed one would
// overwrite what came after it.
type request struct {
	verb    verb
	key     string
	value   []byte
	ttl     time.Duration
	version sd.Version
}

// writeTries bounds how often a write that certainly was not sent is tried over
// another connection.
const writeTries = 3

// errUnsent says that nothing of the request can be carried out: it was not sent,
// or not to its end.
var errUnsent = errors.New("nothing was sent")

// write carries out r once. It is tried again only where certainly nothing of it
// was carried out.
func (s *server) write(ctx context.Context, r request) error {
	var err error
	for tries := 0; tries < writeTries; {
		var c *conn
		c, err = s.conn(ctx, false)
		if err != nil {
			return err
		}
		var again bool
		if r.verb != add && c.boot.epoch != r.version.Epoch {
			again, err = s.otherBoot(ctx, c, r)
		} else {
			err = s.writeOver(ctx, c, r)
			again = errors.Is(err, errUnsent) && !isTimeout(err)
		}
		switch {
		case err == errStale: // no try: only so many connections were idle
			continue
		case r.verb == remove && errors.Is(err, errFull):
			// A compare-and-delete by cas needs room for an empty item, which a
			// server that does not evict (-M) may not have; the meta command
			// needs none. Without it nobody could log out of a full server.
			r.verb = removeBare
		case !again:
			return err
		}
		tries++
	}
	return err
}

// errFull marks the refusal of a server that has no memory left.
var errFull = errors.New("the server is full")

// otherBoot answers a write by a version that this connection's boot did not
// give out. CAS ids start again at 1 in every boot, so it must not be sent. One
// look proves that this boot is the present one, as a connection to an earlier
// one does not answer, and tells a conflict from an item that is gone: after a
// warm restart (-e), which keeps items, it may still be there.
func (s *server) otherBoot(ctx context.Context, c *conn, r request) (again bool, err error) {
	if _, again, err = s.getOver(ctx, c, r.key); err != nil {
		return again, err // ErrNotFound, or why it cannot be told
	}
	return false, sd.ErrConflict
}

// writeOver sends r over c, and waits for its answer whatever ctx does then.
func (s *server) writeOver(ctx context.Context, c *conn, r request) error {
	if limit := c.boot.maxValue(len(r.key)); len(r.value) > limit {
		s.put(c)
		return fmt.Errorf("%w: %d bytes, server %q takes %d", sd.ErrTooLarge, len(r.value), s.name, max(limit, 0))
	}
	if ctx.Err() != nil {
		s.put(c)
		return ended(ctx)
	}
	c.write(r.value)
	err := c.do(r)
	if c.asking.stale != nil {
		s.discard(c, c.asking.stale)
		return errStale
	}
	ex := &c.ex
	answered := ex.whole && (err == nil || errors.Is(err, memcache.ErrNotStored) ||
		errors.Is(err, memcache.ErrCASConflict) || errors.Is(err, memcache.ErrCacheMiss))
	switch {
	case answered && ex.exact(0, false):
		s.answered(c)
		return r.outcome(err)
	case ex.sent == 0 || len(c.out.list) > 0: // what is not complete cannot be carried out
		if isTimeout(err) {
			s.timedOut(c, wireError(err))
		} else {
			s.drop(c)
		}
		return s.errorf(sd.ErrUnavailable, fmt.Errorf("%w: %w", errUnsent, wireError(err)))
	case answered, errors.Is(err, errForeign):
		s.desync(c, errForeign)
		return s.errorf(sd.ErrOutcomeUnknown, errForeign)
	case ex.whole && isRefusal(ex.line):
		s.drop(c) // the client has closed it: what follows is not known
		var why error = &refusal{plain(string(ex.line), r.key)}
		if isFull(ex.line) {
			s.journal.note(slog.LevelError, eventFull, "")
			why = fmt.Errorf("%w: %w", errFull, why)
		}
		return s.errorf(refused(ex.line), why)
	case isTimeout(err):
		s.timedOut(c, wireError(err))
	default:
		s.drop(c)
	}
	return s.errorf(sd.ErrOutcomeUnknown, wireError(err))
}

// outcome turns the client's word for an answer into the contract's.
func (r *request) outcome(err error) error {
	switch err {
	case nil:
		return nil
	case memcache.ErrNotStored:
		if r.verb == add {
			return sd.ErrExists
		}
	case memcache.ErrCASConflict: // the client's comment says ErrNotStored for an evicted item: it is ErrCacheMiss
		if r.verb != add {
			return sd.ErrConflict
		}
	case memcache.ErrCacheMiss:
		if r.verb != add {
			return sd.ErrNotFound
		}
	}
	return fmt.Errorf("%w: the server answered NOT_STORED", sd.ErrUnavailable)
}

func (c *conn) do(r request) error {
	if r.verb == removeBare {
		return c.removeBare(r)
	}
	item := &memcache.Item{Key: r.key, Value: r.value, Expiration: expireNow, CasID: r.version.ID}
	if r.verb != remove {
		item.Expiration = expiration(r.ttl, c.boot.now())
	}
	if r.verb == add {
		return c.client.Add(item)
	}
	return c.client.CompareAndSwap(item)
}

// removeBare deletes by a meta command (protocol.txt, "Meta Delete"), which
// gomemcache does not have.
func (c *conn) removeBare(r request) error {
	c.ex.freely = true
	w := wire{c.nc, c}
	if _, err := fmt.Fprintf(w, "md %s C%d\r\n", r.key, r.version.ID); err != nil {
		return err
	}
	line, err := bufio.NewReaderSize(w, maxLine).ReadSlice('\n')
	switch {
	case err != nil:
		return err
	case string(line) == "HD\r\n":
		return nil
	case string(line) == "NF\r\n":
		return memcache.ErrCacheMiss
	case string(line) == "EX\r\n":
		return memcache.ErrCASConflict
	case isRefusal(line):
		return errors.New("refused")
	}
	return errForeign
}
