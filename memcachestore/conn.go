package memcachestore

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// maxLine bounds the first line of a reply: a key of 200 bytes and four numbers
// fit well.
const maxLine = 512

var (
	errSurplus = errors.New("a reply that nobody asked for")
	errForeign = errors.New("a reply that does not belong to the request")
	errEnded   = errors.New("the connection has ended")
)

// conn is one pooled connection. One goroutine uses it at a time.
type conn struct {
	sock   *socket
	nc     net.Conn // sock, or TLS over it
	plain  bool     // nc is sock, and that is a socket itself
	client *memcache.Client
	boot   boot
	gen    uint64    // of the pool when it was made
	idle   time.Time // since when

	// Of the exchange under way.
	began, deadline time.Time
	patient         bool // the deadline of nc is that of patience: see begin
	closed          bool
	ex              exchange
	out             outgoing
	in              incoming
	asking          asking
	// interrupt ends the request under way: a field, so that a request does not
	// allocate it.
	interrupt func()
}

// exchange is what the wire showed of one request and its reply.
type exchange struct {
	sent  int    // bytes of the request handed to the system
	got   int    // bytes received
	line  []byte // the first line of the reply, as far as it was received
	whole bool   // line ends with its \n

	// What the first line may be, before the client sees it: of a get, a value of
	// this key and at most this size; of a write, where key is "", an answer.
	key     string
	most    int
	freely  bool // anything: the request's own code looks at it
	pending bool // the reply is still waited for without ctx: see patience
	ctx     context.Context
	unwatch func() bool // not nil: ctx is watched

	value []byte // of a write, until it is sent
}

// patience is how long a reply is waited for before its request begins to watch
// its context: nearly all replies come sooner, and watching costs more than the
// rest of what is done for one. It is how much later than a cancellation a read
// may end; a deadline is kept to.
const patience = 2 * time.Millisecond

func newConn(sock *socket, nc net.Conn) *conn {
	c := &conn{sock: sock, nc: nc, plain: sock.plain && nc == net.Conn(sock)}
	if c.plain {
		c.asking.raw, c.asking.ready = sock.raw, c.onReady
	}
	c.ex.line = make([]byte, 0, maxLine)
	c.interrupt = func() { c.sock.SetDeadline(time.Unix(1, 0)) }
	handed := false
	addr := nc.RemoteAddr()
	c.client = memcache.NewFromSelector(onlyServer{madeAddr{addr.Network(), addr.String()}})
	c.client.MaxIdleConns = 1
	c.client.DialContext = func(context.Context, string, string) (net.Conn, error) {
		if handed {
			return nil, errEnded
		}
		handed = true
		return wire{nc, c}, nil
	}
	return c
}

func (c *conn) close() {
	if !c.closed {
		c.closed = true
		c.sock.Close() // without the goodbye of TLS, for which a hung server may have no room
	}
}

// begin starts the time of an exchange, which must end within d; of a patient one
// over a plain socket only the first part. A connection that is not fresh is
// looked at before anything is sent: here, or over a plain socket by ask.
func (c *conn) begin(ctx context.Context, d time.Duration, fresh, patient bool) error {
	c.asking.looked, c.asking.stale = fresh, nil
	c.began = time.Now()
	c.deadline = c.began.Add(d)
	c.patient = patient && c.asking.raw != nil
	if c.patient {
		return c.nc.SetDeadline(c.watchFrom(ctx))
	}
	err := c.nc.SetDeadline(c.deadline)
	if err == nil && !fresh && c.asking.raw == nil {
		err = c.look()
	}
	return err
}

// watchFrom is when a request that ctx may end begins to watch it.
func (c *conn) watchFrom(ctx context.Context) time.Time {
	from := c.began.Add(patience)
	if end, ok := ctx.Deadline(); ok && end.Before(from) {
		from = end
	}
	if c.deadline.Before(from) {
		from = c.deadline
	}
	return from
}

// look reports whether the connection is quiet, as it must be before a request.
func (c *conn) look() error {
	err := c.sock.look(c.nc)
	if err == nil && c.sock.raw == nil {
		err = c.nc.SetDeadline(c.deadline) // looking has changed it
	}
	return err
}

// write starts an exchange whose reply is an answer to a write of value, which
// must stay as it is.
func (c *conn) write(value []byte) {
	c.start(exchange{value: value})
}

// start starts an exchange, with the room of the one before.
func (c *conn) start(ex exchange) {
	ex.line = c.ex.line[:0]
	c.ex, c.out = ex, outgoing{held: c.out.held[:0], end: c.out.end[:0]}
}

// get starts an exchange whose reply is the value of key, of at most so many
// bytes, or a miss. It is given up when ctx ends.
func (c *conn) get(ctx context.Context, key string, most int) {
	c.start(exchange{key: key, most: most})
	if ctx.Done() == nil {
		return
	}
	// The deadline of TLS is set for reading alone: it does not survive a write
	// that has timed out.
	if c.patient || c.nc.SetReadDeadline(c.watchFrom(ctx)) == nil {
		c.ex.pending, c.ex.ctx = true, ctx
		return
	}
	c.ex.unwatch = context.AfterFunc(ctx, c.interrupt)
}

// persist goes on to wait for a reply, for as long as ctx lets it.
func (c *conn) persist() error {
	c.ex.pending = false
	if err := c.nc.SetDeadline(c.deadline); err != nil {
		return err
	}
	// Only now, so that an end of ctx is not undone.
	c.ex.unwatch = context.AfterFunc(c.ex.ctx, c.interrupt)
	return nil
}

// interrupted ends the watch, and reports whether ctx has ended the exchange.
func (c *conn) interrupted() bool {
	c.ex.ctx = nil // an idle connection keeps nobody's request
	return c.ex.unwatch != nil && !c.ex.unwatch()
}

// exact reports whether the reply ended where it should have: after its first
// line, and for a value after the value, its line end and END.
func (ex *exchange) exact(value int, hit bool) bool {
	want := len(ex.line)
	if hit {
		want += value + len("\r\nEND\r\n")
	}
	return ex.whole && ex.got == want
}

func (ex *exchange) receive(p []byte) error {
	ex.got += len(p)
	if ex.whole {
		return nil
	}
	rest := p
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		ex.whole, rest = true, p[:i+1]
	}
	if len(ex.line)+len(rest) > maxLine {
		ex.whole = false
		return errForeign
	}
	ex.line = append(ex.line, rest...)
	switch {
	case !ex.whole || ex.freely:
		return nil
	case ex.key != "":
		return checkValue(ex.line, ex.key, ex.most)
	}
	return checkAnswer(ex.line)
}

// checkValue is the check of a get: the client allocates what the line promises
// and takes a value of any key, so both are looked at before.
func checkValue(line []byte, key string, max int) error {
	rest, ok := bytes.CutPrefix(line, []byte("VALUE "))
	if !ok {
		if string(line) == "END\r\n" || isRefusal(line) {
			return nil
		}
		return errForeign
	}
	name, rest, _ := bytes.Cut(rest, []byte(" "))
	_, rest, _ = bytes.Cut(rest, []byte(" ")) // flags
	size, _, _ := bytes.Cut(rest, []byte(" "))
	n, err := strconv.Atoi(string(size))
	if err != nil || n < 0 || n > max || string(name) != key {
		return errForeign
	}
	return nil
}

// checkAnswer is the check of a write.
func checkAnswer(line []byte) error {
	switch string(line) {
	case "STORED\r\n", "NOT_STORED\r\n", "EXISTS\r\n", "NOT_FOUND\r\n":
		return nil
	}
	if isRefusal(line) {
		return nil
	}
	return errForeign
}

// madeAddr is an address whose text is made once: the client asks for it twice in
// each request, to find its pool.
type madeAddr struct{ network, text string }

func (a madeAddr) Network() string { return a.network }
func (a madeAddr) String() string  { return a.text }

// onlyServer is the selector of a client that has one connection and no choice.
type onlyServer struct{ addr net.Addr }

func (o onlyServer) PickServer(string) (net.Addr, error) { return o.addr, nil }
func (o onlyServer) Each(fn func(net.Addr) error) error  { return fn(o.addr) }
