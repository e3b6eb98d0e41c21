package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"

	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

// profile writes processor profiles of this library's work, and of the bare
// client's beside it, for so long each: go tool pprof -top -diff_base.
func profile(ctx context.Context, dir string, each time.Duration) (err error) {
	h := new(host)
	defer h.end(&err)
	server := mct.Start(h, serverFlags...)
	peers, err := openPeers(server.Addr(), new(net.Dialer).DialContext)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closePeers(peers)) }()
	unpin, _, err := pin(server.PID())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unpin()) }()
	for _, w := range []work{readOne, changeOne, create} {
		for _, s := range shapes {
			c, err := newContent(s)
			if err != nil {
				return err
			}
			for _, p := range peers[:2] {
				name := filepath.Join(dir, fmt.Sprintf("%s-%s-%s.pprof", w, s.name, p.name()))
				if err := profileOne(ctx, name, scenario{work: w, shape: s, goroutines: 1}, c, p, each); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func profileOne(ctx context.Context, name string, sc scenario, c *content, p peer, each time.Duration) error {
	j, err := prepare(ctx, sc, c, p)
	if err != nil {
		return err
	}
	n, err := j.calibrate(1, each)
	if err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	_, err = j.run(1, n)
	return err
}
