// Package cluster runs memcached servers, and between them and each of several
// app servers a proxy of its own, so that any app server can be cut off from any
// memcached while the others still reach it.
package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
	"github.com/seed-ad7f1900/sessiondata/memcachestore"
)

// Cluster is such servers and proxies.
type Cluster struct {
	servers []*memcachedtest.Server
	proxies [][]*memcachedtest.Proxy // by app server, by server
	rig     rig

	// The stores of the app servers, and those without a proxy between: over all
	// servers, and over each alone.
	apps   []sd.Store
	direct sd.Store
	only   []sd.Store

	mu       sync.Mutex
	begun    []int // restarts of each server that have begun
	done     []int // and that are over
	injected int
}

// Start starts servers, and proxies for the given number of app servers.
func Start(servers, apps int) (*Cluster, error) {
	c := &Cluster{begun: make([]int, servers), done: make([]int, servers)}
	err := c.rig.do(func() {
		for range servers {
			c.servers = append(c.servers, memcachedtest.Start(&c.rig, "-t", "2"))
		}
		for range apps {
			var row []*memcachedtest.Proxy
			for _, s := range c.servers {
				row = append(row, memcachedtest.StartProxy(&c.rig, s.Addr()))
			}
			c.proxies = append(c.proxies, row)
		}
	})
	if err == nil {
		err = c.openStores()
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) openStores() error {
	all := make([]string, len(c.servers))
	for i, s := range c.servers {
		all[i] = named(i, s.Addr())
		only, err := c.openDirect(all[i])
		if err != nil {
			return err
		}
		c.only = append(c.only, only)
	}
	for _, row := range c.proxies {
		app, err := c.openApp(row)
		if err != nil {
			return err
		}
		c.apps = append(c.apps, app)
	}
	var err error
	c.direct, err = c.openDirect(all...)
	return err
}

// named is a server as memcachestore is told of it. Its name stays the same
// behind every proxy, and with it where a session lies.
func named(server int, addr string) string { return fmt.Sprintf("s%d=%s", server, addr) }

// Close ends all that Start and the others have started.
func (c *Cluster) Close() { c.rig.cleanup() }

// Servers returns how many servers there are.
func (c *Cluster) Servers() int { return len(c.servers) }

// openApp opens a store as one app server has it. Whatever does not answer is
// given up soon.
func (c *Cluster) openApp(row []*memcachedtest.Proxy) (sd.Store, error) {
	var names []string
	for i, p := range row {
		names = append(names, named(i, p.Addr()))
	}
	return c.open(memcachestore.Config{
		Servers: names, MaxConns: 16,
		DialTimeout: time.Second, Timeout: 150 * time.Millisecond, RetryAfter: 20 * time.Millisecond,
	})
}

func (c *Cluster) openDirect(names ...string) (sd.Store, error) {
	return c.open(memcachestore.Config{
		Servers: names, DialTimeout: 5 * time.Second, Timeout: 5 * time.Second, RetryAfter: 20 * time.Millisecond,
	})
}

func (c *Cluster) open(cfg memcachestore.Config) (sd.Store, error) {
	cfg.Logger = slog.New(slog.DiscardHandler)
	s, err := memcachestore.New(cfg)
	if err != nil {
		return nil, err
	}
	c.rig.Cleanup(func() { s.Close() })
	return s, nil
}

// Restart kills a server, which loses what it holds, and starts it again after
// a while.
func (c *Cluster) Restart(server int, after time.Duration) error {
	c.mu.Lock()
	c.begun[server]++
	c.mu.Unlock()
	err := c.rig.do(func() {
		c.servers[server].Kill()
		time.Sleep(after)
		c.servers[server].Restart()
	})
	c.mu.Lock()
	c.done[server]++
	c.mu.Unlock()
	return err
}

// Boots returns the restarts of each server, those that have begun and those
// that are over. What began when some were over, and is looked at when no more
// have begun, has met no restart.
func (c *Cluster) Boots() (begun, done []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.begun), slices.Clone(c.done)
}

// A fault that one request meets; the first word of the request, and how often
// it is drawn.
var faults = []struct {
	do     memcachedtest.Action
	weight int
}{
	{memcachedtest.CutRequest, 4},
	{memcachedtest.ResetRequest, 4},
	{memcachedtest.CutReply, 4},   // also after a part of the line
	{memcachedtest.ResetReply, 4}, // also after a part of the line
	{memcachedtest.DoubleReply, 2},
	{memcachedtest.DelayReply, 2},
	{memcachedtest.DelayRequest, 2}, // also past the patience of who sent it
	{memcachedtest.DropRequest, 1},
	{memcachedtest.DropReply, 1},
}

// Inject makes one request to come, of any app server, meet a fault.
func (c *Cluster) Inject(rng *rand.Rand) {
	all := 0
	for _, f := range faults {
		all += f.weight
	}
	k := rng.IntN(all)
	var do memcachedtest.Action
	for _, f := range faults {
		if k < f.weight {
			do = f.do
			break
		}
		k -= f.weight
	}
	row := c.proxies[rng.IntN(len(c.proxies))]
	row[rng.IntN(len(row))].Inject(memcachedtest.Fault{
		Verb: []string{"", "add", "cas", "cas", "gets"}[rng.IntN(5)], Do: do,
		Bytes: rng.IntN(12), Delay: time.Duration(rng.IntN(200)) * time.Millisecond,
	})
	c.mu.Lock()
	c.injected++
	c.mu.Unlock()
}

// Met returns how many of the faults that were injected a request has met. It is
// not to be called while an app server is cut off.
func (c *Cluster) Met() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	met := c.injected
	for _, row := range c.proxies {
		for _, p := range row {
			met -= max(p.Pending(), 0)
		}
	}
	return met
}

// Way is the direction in which nothing comes through.
type Way int

// The ways to cut off an app server from a memcached.
const (
	Both    Way = iota // no request arrives
	Replies            // requests arrive, and are carried out; no reply comes
	Refused            // connections end at once
)

// Cut cuts off an app server from a memcached until it is healed.
func (c *Cluster) Cut(app, server int, way Way) {
	do := [...]memcachedtest.Action{memcachedtest.DropRequest, memcachedtest.DropReply, memcachedtest.ResetRequest}[way]
	for _, verb := range []string{"stats", ""} { // new connections begin with stats
		c.proxies[app][server].Inject(memcachedtest.Fault{Verb: verb, Do: do, Times: -1})
	}
}

// Heal ends all faults between an app server and a memcached.
func (c *Cluster) Heal(app, server int) { c.proxies[app][server].Heal() }

// rig is what memcachedtest asks of a test, outside of one.
type rig struct {
	mu       sync.Mutex
	cleanups []func()
	failed   error
}

func (*rig) Helper() {}

// Fatalf ends the goroutine of do, which returns the error.
func (r *rig) Fatalf(format string, args ...any) {
	r.mu.Lock()
	r.failed = errors.Join(r.failed, fmt.Errorf(format, args...))
	r.mu.Unlock()
	runtime.Goexit()
}

func (r *rig) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *rig) cleanup() {
	r.mu.Lock()
	all := r.cleanups
	r.cleanups = nil
	r.mu.Unlock()
	for _, f := range slices.Backward(all) {
		f()
	}
}

// do runs f and returns what Fatalf was told meanwhile.
func (r *rig) do(f func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}
