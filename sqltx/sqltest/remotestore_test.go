package sqltest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// A session store that outlives its clients, as memcached does, and kills one at
// the moment it is told to. The client sends its SQL steps here as well, so that
// all that it does stands in one log.

// moment is when to kill: at the event of that number, before or after it has
// taken effect. The zero moment is never.
type moment struct {
	event int // from 1
	after bool
}

// event is one thing that a client has done or was about to do.
type event struct {
	name string
	done bool // it took effect before the client died
}

type storeServer struct {
	store *memstore.Store
	when  moment
	kill  func()

	mu     sync.Mutex
	events []event
	dead   bool
}

// StoreCall and StoreReply are exported because net/rpc wants them to be.

// StoreCall is what a client asks for: a method of Store, or an SQL step.
type StoreCall struct {
	Method  string
	Key     string
	Value   []byte
	TTL     time.Duration
	Version sd.Version
}

// StoreReply is what it gets.
type StoreReply struct {
	Item sd.Item
	Code int // 0: no error; else of sentinels
}

// sentinels are the errors that go over the wire, by their position.
var sentinels = []error{nil, sd.ErrNotFound, sd.ErrExists, sd.ErrConflict, sd.ErrTooLarge, sd.ErrInvalid, sd.ErrClosed}

const sqlStep = "SQL "

// Call serves a client.
func (s *storeServer) Call(c StoreCall, r *StoreReply) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return errors.New("killed")
	}
	s.events = append(s.events, event{name: c.Method})
	now := len(s.events) == s.when.event
	if now && !s.when.after {
		return s.killed()
	}
	err := s.do(c, r)
	s.events[len(s.events)-1].done = err == nil
	if now {
		return s.killed()
	}
	for code, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			r.Code = code
			return nil
		}
	}
	return err
}

func (s *storeServer) killed() error {
	s.dead = true
	s.kill()
	return errors.New("killed")
}

func (s *storeServer) do(c StoreCall, r *StoreReply) (err error) {
	ctx := context.Background()
	switch c.Method {
	case "Get":
		r.Item, err = s.store.Get(ctx, c.Key)
	case "Add":
		err = s.store.Add(ctx, c.Key, c.Value, c.TTL)
	case "CompareAndSwap":
		err = s.store.CompareAndSwap(ctx, c.Key, c.Value, c.TTL, c.Version)
	case "CompareAndDelete":
		err = s.store.CompareAndDelete(ctx, c.Key, c.Version)
	default: // an SQL step
	}
	return err
}

// serveStore serves store until the test ends, and returns its address.
func serveStore(t *testing.T, s *storeServer) string {
	t.Helper()
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := rpc.NewServer()
	require.NoError(t, server.RegisterName("Store", s))
	var done sync.WaitGroup
	done.Go(func() {
		for {
			conn, err := listen.Accept()
			if err != nil {
				return
			}
			done.Go(func() { server.ServeConn(conn) })
		}
	})
	t.Cleanup(func() {
		require.NoError(t, listen.Close())
		done.Wait() // the clients are dead
	})
	return listen.Addr().String()
}

// remoteStore is the client's side.
type remoteStore struct{ rpc *rpc.Client }

func (s remoteStore) call(c StoreCall) (sd.Item, error) {
	var r StoreReply
	if err := s.rpc.Call("Store.Call", c, &r); err != nil {
		return sd.Item{}, fmt.Errorf("%w: %w", sd.ErrOutcomeUnknown, err)
	}
	return r.Item, sentinels[r.Code]
}

func (s remoteStore) step(name string) error {
	_, err := s.call(StoreCall{Method: sqlStep + name})
	return err
}

func (s remoteStore) Get(_ context.Context, key string) (sd.Item, error) {
	return s.call(StoreCall{Method: "Get", Key: key})
}

func (s remoteStore) Add(_ context.Context, key string, value []byte, ttl time.Duration) error {
	_, err := s.call(StoreCall{Method: "Add", Key: key, Value: value, TTL: ttl})
	return err
}

func (s remoteStore) CompareAndSwap(_ context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	_, err := s.call(StoreCall{Method: "CompareAndSwap", Key: key, Value: value, TTL: ttl, Version: v})
	return err
}

func (s remoteStore) CompareAndDelete(_ context.Context, key string, v sd.Version) error {
	_, err := s.call(StoreCall{Method: "CompareAndDelete", Key: key, Version: v})
	return err
}

func (s remoteStore) Ping(context.Context) error { return nil }
func (s remoteStore) Close() error               { return s.rpc.Close() }
