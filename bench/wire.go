package main

import (
	"context"
	"net"
	"sync/atomic"
)

// meter counts what goes over the connections that it dials. One goroutine at a
// time may use a connection, as with every client here.
type meter struct {
	trips, sent, received, dials atomic.Int64
}

// traffic is what a meter has counted.
type traffic struct{ trips, sent, received float64 }

func (m *meter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	m.dials.Add(1)
	return &metered{TCPConn: c.(*net.TCPConn), m: m}, nil
}

func (m *meter) read() traffic {
	return traffic{float64(m.trips.Load()), float64(m.sent.Load()), float64(m.received.Load())}
}

func (t traffic) since(was traffic, n int) traffic {
	per := float64(n)
	return traffic{(t.trips - was.trips) / per, (t.sent - was.sent) / per, (t.received - was.received) / per}
}

// metered is a connection that is counted. A round trip ends with the first bytes
// that arrive after something was sent.
type metered struct {
	*net.TCPConn
	m       *meter
	waiting bool
}

func (c *metered) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	c.m.sent.Add(int64(n))
	c.waiting = true
	return n, err
}

func (c *metered) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.m.received.Add(int64(n))
	if n > 0 && c.waiting {
		c.waiting = false
		c.m.trips.Add(1)
	}
	return n, err
}
