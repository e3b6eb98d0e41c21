package memcachestore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// maxKey is the longest key of the Store contract; memcached's bound is 250.
const maxKey = 200

// Store implements sessiondata.Store and sessiondata.Lister over memcached. It
// is safe for concurrent use.
type Store struct {
	cfg     Config
	servers []*server // sorted by name
	cancel  context.CancelFunc

	mu     sync.Mutex
	calls  int // in progress
	closed bool
	idle   chan struct{} // closed when the last call of a closed store has ended
	gone   chan struct{} // closed when Close is done
}

var (
	_ sd.Store  = (*Store)(nil)
	_ sd.Lister = (*Store)(nil)
)

// New checks cfg and returns every fault in it as one error that matches
// [sessiondata.ErrInvalid]. It does not contact the servers: see [Store.Ping].
func New(cfg Config) (*Store, error) {
	cfg, ends, err := cfg.check()
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, idle: make(chan struct{}), gone: make(chan struct{})}
	stop, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	for _, e := range ends {
		s.servers = append(s.servers, newServer(e, &s.cfg, stop))
	}
	return s, nil
}

// Close waits for the calls in progress, each within its time, and closes every
// connection. It leaves no goroutine. A second Close is nil.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		<-s.gone
		return nil
	}
	s.closed = true
	if s.calls == 0 {
		close(s.idle)
	}
	s.mu.Unlock()

	s.cancel()
	<-s.idle
	for _, srv := range s.servers {
		srv.shut()
	}
	close(s.gone)
	return nil
}

func (s *Store) begin(ctx context.Context) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return sd.ErrClosed
	}
	s.calls++
	return nil
}

func (s *Store) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls--
	if s.closed && s.calls == 0 {
		close(s.idle)
	}
}

// server checks key and returns the server that holds it.
func (s *Store) server(key string) (*server, error) {
	if len(key) == 0 || len(key) > maxKey {
		return nil, fmt.Errorf("%w: a key of %d bytes, want 1 to %d", sd.ErrInvalid, len(key), maxKey)
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] >= 0x7f {
			return nil, fmt.Errorf("%w: a key holds byte %#02x, want 0x21 to 0x7e", sd.ErrInvalid, key[i])
		}
	}
	return s.route(key), nil
}

// Get returns the item, or ErrNotFound; its Value is the caller's own. A server
// that does not answer, or not with this item, is ErrUnavailable, which names it. A
// reply that is lost is asked for once more, over another connection; it is given
// up at the deadline of ctx, or where that is cancelled within 2 ms. It costs one
// round trip.
func (s *Store) Get(ctx context.Context, key string) (sd.Item, error) {
	srv, err := s.server(key)
	if err != nil {
		return sd.Item{}, err
	}
	if err := s.begin(ctx); err != nil {
		return sd.Item{}, err
	}
	defer s.end()
	item, again, err := srv.get(ctx, key)
	if again {
		item, _, err = srv.get(ctx, key)
	}
	return item, err
}

// get asks once; again says that asking over another connection may help.
func (s *server) get(ctx context.Context, key string) (item sd.Item, again bool, err error) {
	for {
		c, err := s.conn(ctx, ctx.Done() != nil)
		if err != nil {
			return sd.Item{}, false, err
		}
		if item, again, err = s.getOver(ctx, c, key); err != errStale {
			return item, again, err
		}
	}
}

func (s *server) getOver(ctx context.Context, c *conn, key string) (item sd.Item, again bool, err error) {
	if ctx.Err() != nil {
		s.put(c)
		return sd.Item{}, false, ended(ctx)
	}
	size := c.boot.itemMax
	if size == 0 {
		size = 1 << 30 // the largest that memcached can be told (-I)
	}
	c.get(ctx, key, size)
	it, err := c.client.Get(key)
	interrupted := c.interrupted()
	if c.asking.stale != nil {
		s.discard(c, c.asking.stale)
		return sd.Item{}, true, errStale
	}

	miss := err == memcache.ErrCacheMiss
	switch {
	case miss && c.ex.exact(0, false), err == nil && it.Key == key && it.CasID != 0 && c.ex.exact(len(it.Value), true):
		if interrupted {
			s.answering(time.Now())
			s.drop(c) // its deadline may be about to be changed
		} else {
			s.answered(c)
		}
		if miss {
			return sd.Item{}, false, sd.ErrNotFound
		}
		return sd.Item{Value: it.Value, Version: sd.Version{ID: it.CasID, Epoch: c.boot.epoch}}, false, nil
	case err == nil && it.CasID == 0 && it.Key == key:
		s.drop(c)
		return sd.Item{}, false, s.errorf(sd.ErrNotSupported, errNoCAS)
	case err == nil || miss || errors.Is(err, errForeign):
		s.desync(c, errForeign)
		return sd.Item{}, true, s.errorf(sd.ErrUnavailable, errForeign)
	case c.ex.whole && isRefusal(c.ex.line):
		s.drop(c)
		return sd.Item{}, false, s.errorf(sd.ErrUnavailable, &refusal{plain(string(c.ex.line), key)})
	case interrupted:
		s.drop(c)
		return sd.Item{}, false, s.errorf(sd.ErrUnavailable, causeOf(ctx))
	case isTimeout(err):
		s.timedOut(c, wireError(err))
		return sd.Item{}, false, s.errorf(sd.ErrUnavailable, wireError(err))
	}
	s.drop(c)
	return sd.Item{}, true, s.errorf(sd.ErrUnavailable, wireError(err))
}

// Add stores value only where key holds nothing, else ErrExists.
//
// What holds of every write: it costs one round trip, and is sent once. A ctx that
// has ended before it is sent is ErrUnavailable; once it is sent its answer is
// awaited whatever ctx does, for at most Config.Timeout. ErrUnavailable names the
// server, and says that certainly nothing was written: the server is down, or full
// (memcached -M). ErrOutcomeUnknown names it too: the answer was lost. A value that
// the server will not take (memcached -I) is ErrTooLarge before anything is sent.
//
// An item lives for ttl at least and for two seconds more at most, but not beyond
// 2038-01-19, where the protocol's dates end; 0 is for ever.
func (s *Store) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.write(ctx, request{verb: add, key: key, value: value, ttl: ttl})
}

// CompareAndSwap replaces the item only if it is still the one read as v, else
// ErrConflict, or ErrNotFound where it is gone. Nothing that was read before its
// server was restarted is still the same; that answer costs one round trip too.
// Whatever it says, what is stored is whole: this value or the one before.
func (s *Store) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	return s.write(ctx, request{verb: swap, key: key, value: value, ttl: ttl, version: v})
}

// CompareAndDelete removes the item only if it is still the one read as v, else
// ErrConflict, or ErrNotFound where it is gone. It works on a full server too, at
// the price of a second round trip there.
func (s *Store) CompareAndDelete(ctx context.Context, key string, v sd.Version) error {
	return s.write(ctx, request{verb: remove, key: key, version: v})
}

func (s *Store) write(ctx context.Context, r request) error {
	srv, err := s.server(r.key)
	if err != nil {
		return err
	}
	if r.ttl < 0 {
		return fmt.Errorf("%w: a negative ttl", sd.ErrInvalid)
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	return srv.write(ctx, r)
}
