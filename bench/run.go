package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"

	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

// report is everything that was measured.
type report struct {
	machine machine
	command string
	results []result
	lost    []lostUpdates
}

// find returns a result; the zero one where it was not measured.
func (r *report) find(key string) *result {
	for i := range r.results {
		if r.results[i].key() == key {
			return &r.results[i]
		}
	}
	panic("bench: not measured: " + key)
}

func (r *report) lostBy(peer string) lostUpdates {
	for _, l := range r.lost {
		if l.peer == peer {
			return l
		}
	}
	panic("bench: not measured: updates lost by " + peer)
}

// host makes a server's life that of a function, where tests have testing.T.
type host struct{ cleanups []func() }

type failure struct{ error }

func (h *host) Helper() {}

func (h *host) Fatalf(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

func (h *host) Cleanup(f func()) { h.cleanups = append(h.cleanups, f) }

func (h *host) end(err *error) {
	if p := recover(); p != nil {
		f, ok := p.(failure)
		if !ok {
			panic(p)
		}
		*err = f.error
	}
	for i := len(h.cleanups) - 1; i >= 0; i-- {
		h.cleanups[i]()
	}
}

// serverFlags give memcached room for all the sessions that are created.
var serverFlags = []string{"-m", "1024"}

// run starts memcached, measures what the plan says, and stops it.
func run(ctx context.Context, p plan, progress io.Writer) (r *report, err error) {
	h := new(host)
	defer h.end(&err)
	server := mct.Start(h, serverFlags...)
	r = &report{machine: describeMachine()}

	peers, err := openPeers(server.Addr(), new(net.Dialer).DialContext)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closePeers(peers)) }()
	m := new(meter)
	metered, err := openPeers(server.Addr(), m.dial)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closePeers(metered)) }()

	all := func(scenarios []scenario) error {
		for i, sc := range scenarios {
			fmt.Fprintf(progress, "%3d/%d %s\n", i+1, len(scenarios), sc.key())
			res, err := measure(ctx, sc, peers, server.PID(), p.effort(sc))
			if err == nil && sc.goroutines == 1 && sc.pinned && !sc.isSweep() {
				err = count(ctx, &res, metered, m, p.effort(sc).counts)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", sc.key(), err)
			}
			r.results = append(r.results, res)
		}
		return nil
	}
	unpin, cpu, err := pin(server.PID())
	if err != nil {
		return nil, err
	}
	r.machine.pinnedTo = cpu
	err = all(p.pinned)
	if err = errors.Join(err, unpin()); err != nil {
		return nil, err
	}
	if err := all(p.unpinned); err != nil {
		return nil, err
	}
	runtime.GC()
	for _, peer := range peers {
		l, err := countTogether(ctx, peer)
		if err != nil {
			return nil, err
		}
		r.lost = append(r.lost, l)
	}
	r.machine.loadAfter = load()
	return r, nil
}
