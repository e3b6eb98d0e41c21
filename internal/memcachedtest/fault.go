package memcachedtest

import "time"

// Action is what a Proxy does with a request or its reply.
type Action int

// What can go wrong between a client and its server.
const (
	// DropRequest swallows the request; no reply comes.
	DropRequest Action = iota + 1
	// CutRequest ends the connection (FIN) instead of forwarding the request.
	CutRequest
	// ResetRequest is CutRequest with RST.
	ResetRequest
	// DelayRequest forwards the request after Delay, also when the client has
	// hung up meanwhile.
	DelayRequest
	// DropReply swallows the reply; the connection stays open.
	DropReply
	// CutReply ends the connection (FIN) after Bytes bytes of the reply.
	CutReply
	// ResetReply is CutReply with RST.
	ResetReply
	// DelayReply forwards the reply after Delay.
	DelayReply
	// TrickleReply forwards the reply byte by byte, one each Delay.
	TrickleReply
	// DoubleReply forwards the reply twice.
	DoubleReply
	// ReplaceReply answers Text in place of the reply.
	ReplaceReply
	// RefuseRequest answers Text without forwarding the request.
	RefuseRequest
)

// Fault says which request of those to come meets what.
type Fault struct {
	// Verb is the first word of the request; "" means any but those that set up
	// a connection (stats, set).
	Verb  string
	Do    Action
	Delay time.Duration
	Bytes int
	Text  string
	// Times is how many requests meet it; 0 means one, -1 all.
	Times int
}

func (f *Fault) matches(verb string) bool {
	if f.Verb == "" {
		return !isSetup(verb)
	}
	return f.Verb == verb
}

func isSetup(verb string) bool { return verb == "stats" || verb == "set" }

func (f *Fault) onRequest() bool {
	switch f.Do {
	case DropRequest, CutRequest, ResetRequest, DelayRequest, RefuseRequest:
		return true
	}
	return false
}

// Inject adds a fault. Faults are looked at in the order of their injection; a
// request meets one of them.
func (p *Proxy) Inject(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &f)
}

// Heal takes away all faults.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// Pending is how many requests are still to meet a fault; -1 means all.
func (p *Proxy) Pending() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, f := range p.faults {
		if f.Times < 0 {
			return -1
		}
		n += f.Times
	}
	return n
}

// meet counts a request and returns the fault that it meets, or nil.
func (p *Proxy) meet(verb string) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests[verb]++
	for i, f := range p.faults {
		if !f.matches(verb) {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		if f.Times == 0 {
			p.faults = append(p.faults[:i:i], p.faults[i+1:]...)
		}
		return f
	}
	return nil
}

// Requests is how many requests came with one of the given verbs.
func (p *Proxy) Requests(verbs ...string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, v := range verbs {
		n += p.requests[v]
	}
	return n
}

// RoundTrips is how many requests came, without those that set up a connection.
func (p *Proxy) RoundTrips() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for verb, k := range p.requests {
		if !isSetup(verb) {
			n += k
		}
	}
	return n
}

// Accepted is how many connections were made so far.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Surplus sends text, unasked, to every client that is connected now.
func (p *Proxy) Surplus(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.client.Write([]byte(text))
	}
}
