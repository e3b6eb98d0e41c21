package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// peer is one way to keep sessions in memcached. Its methods are the work that is
// measured; each is what a careful user of that way would write.
type peer interface {
	name() string
	// seed stores a session before anything is measured.
	seed(ctx context.Context, c *content) (id string, err error)
	// create stores a new session with all its values.
	create(ctx context.Context, c *content) error
	// read reads one value, and checks it.
	read(ctx context.Context, id string, c *content) error
	// change sets values and stores the session.
	change(ctx context.Context, id string, edits []edit) error
	// takeBack sets the first value, marks the state, sets the others, takes them
	// back, and stores the session.
	takeBack(ctx context.Context, id string, edits []edit) error
	// handler serves /read and /change as an application of that way would.
	handler(c *content) http.Handler
	// cookie is the request header that leads the handler to a session.
	cookie(id string) string
	// newCounter stores a session that holds a number, count adds one to it, and
	// total reads it.
	newCounter(ctx context.Context) (id string, err error)
	count(ctx context.Context, id string) error
	total(ctx context.Context, id string) (int, error)
	close() error
}

const (
	nameBare    = "gomemcache"
	nameOurs    = "sessiondata"
	nameRaw     = "raw+msgpack"
	nameSCS     = "scs"
	nameGorilla = "gorilla"
)

// timeout is every client's bound on one request: high, as 64 goroutines share
// a processor.
const timeout = 10 * time.Second

// maxConns is every client's pool: as many as there are goroutines at most.
const maxConns = 64

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// openPeers returns all peers, the bare client first.
func openPeers(addr string, dial dialer) ([]peer, error) {
	ours, err := newOurs(addr, dial)
	if err != nil {
		return nil, err
	}
	client := func() *memcache.Client { return newClient(addr, dial) }
	gorilla, err := newGorilla(client())
	if err != nil {
		return nil, errors.Join(err, ours.close())
	}
	return []peer{newBare(client()), ours, newRaw(client()), newSCS(client()), gorilla}, nil
}

func closePeers(peers []peer) error {
	var err error
	for _, p := range peers {
		err = errors.Join(err, p.close())
	}
	return err
}

func newClient(addr string, dial dialer) *memcache.Client {
	c := memcache.New(addr)
	c.Timeout, c.MaxIdleConns, c.DialContext = timeout, maxConns, dial
	return c
}

// lifetime is how long every peer's sessions are kept, in seconds.
const lifetime = 3600

var errWrongValue = errors.New("bench: a value is not as it was stored")

// variant of what is changed: a request takes the one that is not stored.
func otherVariant(edits [2][]edit, was string) []edit {
	if any(was) == edits[0][0].value {
		return edits[1]
	}
	return edits[0]
}
