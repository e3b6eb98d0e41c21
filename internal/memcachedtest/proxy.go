package memcachedtest

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Proxy stands between clients and one memcached, in plain text. It knows where
// a request and its reply end, counts them, and makes the faults it is told.
type Proxy struct {
	l       net.Listener
	backend string
	done    chan struct{}
	running sync.WaitGroup

	mu       sync.Mutex
	faults   []*Fault
	requests map[string]int
	accepted int
	links    map[*link]bool
	closed   bool
}

// StartProxy listens on a free port of 127.0.0.1 and forwards to backend, which
// is host:port or unix:/path.
func StartProxy(t T, backend string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("memcachedtest: %v", err)
	}
	p := &Proxy{l: l, backend: backend, done: make(chan struct{}), requests: map[string]int{}, links: map[*link]bool{}}
	p.running.Add(1)
	go p.serve()
	t.Cleanup(p.Close)
	return p
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Close ends all connections. It leaves no goroutine.
func (p *Proxy) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	close(p.done)
	p.l.Close()
	for l := range p.links {
		l.close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

func (p *Proxy) serve() {
	defer p.running.Done()
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		network, address := "tcp", p.backend
		if path, ok := strings.CutPrefix(p.backend, "unix:"); ok {
			network, address = "unix", path
		}
		b, err := net.DialTimeout(network, address, time.Second)
		if err != nil {
			c.Close()
			continue
		}
		l := &link{p: p, client: c.(*net.TCPConn), server: b, asked: make(chan asked, 64), ended: make(chan struct{})}
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			l.close()
			return
		}
		p.accepted++
		p.links[l] = true
		p.running.Add(2)
		p.mu.Unlock()
		go l.up()
		go l.down()
	}
}

// link is one client's connection with the one that the proxy made for it.
type link struct {
	p      *Proxy
	client *net.TCPConn
	server net.Conn
	asked  chan asked // requests sent, in their order, for down
	once   sync.Once
	ended  chan struct{}
}

// asked is a request whose reply is to come.
type asked struct {
	verb  string
	fault *Fault
}

func (l *link) close() {
	l.once.Do(func() {
		close(l.ended)
		l.client.Close()
		l.server.Close()
	})
}

func (l *link) reset() {
	l.client.SetLinger(0)
	l.close()
}

// pause waits, unless the proxy is closed first.
func (l *link) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.p.done:
	}
}

// up carries requests to the server.
func (l *link) up() {
	defer l.p.running.Done()
	defer func() {
		l.p.mu.Lock()
		delete(l.p.links, l)
		l.p.mu.Unlock()
		l.close()
	}()
	br := bufio.NewReaderSize(l.client, 16<<10)
	for {
		verb, request, err := readRequest(br)
		if err != nil {
			return
		}
		fault := l.p.meet(verb)
		if fault != nil && fault.onRequest() {
			switch fault.Do {
			case DropRequest:
				continue
			case CutRequest:
				return
			case ResetRequest:
				l.reset()
				return
			case RefuseRequest:
				io.WriteString(l.client, fault.Text)
				continue
			case DelayRequest:
				l.pause(fault.Delay)
			}
		}
		select {
		case l.asked <- asked{verb, fault}:
		case <-l.ended:
			// The client is gone, and so is the way back; what was delayed
			// still arrives.
			if fault != nil && fault.Do == DelayRequest {
				l.late(request)
			}
			return
		}
		if _, err := l.server.Write(request); err != nil {
			if fault != nil && fault.Do == DelayRequest {
				l.late(request)
			}
			return
		}
	}
}

// late delivers a delayed request over a connection of its own.
func (l *link) late(request []byte) {
	network, address := "tcp", l.p.backend
	if path, ok := strings.CutPrefix(l.p.backend, "unix:"); ok {
		network, address = "unix", path
	}
	c, err := net.DialTimeout(network, address, time.Second)
	if err != nil {
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	c.Write(request)
	bufio.NewReader(c).ReadString('\n') // it has been carried out
}

// down carries replies to the client, and the end of the server's connection.
func (l *link) down() {
	defer l.p.running.Done()
	defer l.close()
	br := bufio.NewReaderSize(l.server, 64<<10)
	for {
		if _, err := br.Peek(1); err != nil {
			return
		}
		var a asked
		select {
		case a = <-l.asked:
		case <-l.ended:
			return
		}
		reply, err := readReply(br, a.verb)
		if err != nil {
			l.client.Write(reply)
			return
		}
		if !l.answer(reply, a.fault) {
			return
		}
	}
}

// answer forwards a reply; false ends the connection.
func (l *link) answer(reply []byte, f *Fault) bool {
	if f != nil {
		switch f.Do {
		case DropReply:
			return true
		case CutReply, ResetReply:
			l.client.Write(reply[:min(f.Bytes, len(reply))])
			if f.Do == ResetReply {
				l.reset()
			}
			return false
		case DelayReply:
			l.pause(f.Delay)
		case TrickleReply:
			for i := range reply {
				l.pause(f.Delay)
				if _, err := l.client.Write(reply[i : i+1]); err != nil {
					return false
				}
			}
			return true
		case DoubleReply:
			reply = append(reply[:len(reply):len(reply)], reply...)
		case ReplaceReply:
			reply = []byte(f.Text)
		}
	}
	_, err := l.client.Write(reply)
	return err == nil
}

// readRequest reads one command with its data.
func readRequest(br *bufio.Reader) (verb string, request []byte, err error) {
	line, err := br.ReadBytes('\n')
	if err != nil {
		return "", nil, err
	}
	f := strings.Fields(string(line))
	if len(f) == 0 {
		return "", line, nil
	}
	switch f[0] {
	case "set", "add", "replace", "append", "prepend", "cas":
		if len(f) < 5 {
			break
		}
		n, err := strconv.Atoi(f[4])
		if err != nil || n < 0 {
			break
		}
		data := make([]byte, n+2)
		if _, err := io.ReadFull(br, data); err != nil {
			return "", nil, err
		}
		line = append(line, data...)
	}
	return f[0], line, nil
}

// readReply reads the reply to a command. With an error it returns what came of
// it.
func readReply(br *bufio.Reader, verb string) ([]byte, error) {
	var reply []byte
	for {
		line, err := br.ReadBytes('\n')
		reply = append(reply, line...)
		if err != nil {
			return reply, err
		}
		first, rest, _ := strings.Cut(string(line), " ")
		switch {
		case verb != "get" && verb != "gets" && verb != "stats" && verb != "lru_crawler":
			return reply, nil
		case first == "VALUE":
			f := strings.Fields(rest)
			if len(f) < 3 {
				return reply, nil
			}
			n, err := strconv.Atoi(f[2])
			if err != nil {
				return reply, nil
			}
			data := make([]byte, n+2)
			k, err := io.ReadFull(br, data)
			reply = append(reply, data[:k]...)
			if err != nil {
				return reply, err
			}
		case first != "STAT" && !strings.HasPrefix(first, "key="):
			return reply, nil // END, or an error
		}
	}
}
