package bank

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/proof/cluster"
)

// Config says how long the bank runs.
type Config struct {
	Seed uint64        // the same seed gives the same transfers and faults; the schedules differ
	For  time.Duration // at least one generation
	Out  io.Writer     // every fault, and one line of figures
}

// Figures are what the bank did and lost.
type Figures struct {
	Generations int
	Transfers   int // that were answered nil
	Refused     int // that certainly were not made, for a conflict or for want of a server
	Closed      int // that were not tried to the end, for a session of theirs was lost
	Unknown     int // of unknown outcome
	Audits      int // snapshots of all sessions that were checked, those at the end included
	Kills       int // of servers
	Partitions  int // of an app server from a server
	Lost        int // sessions lost with their server
	Missing     int // money that was in them
	Window      int // transfers that lost a part with a server, as documented
	Faults      int // what nothing explains
}

func (f Figures) String() string {
	return fmt.Sprintf("%d transfers (%d more refused, %d of unknown outcome, %d to lost sessions), %d audits, %d kills, %d partitions, %d of %d sessions lost with their server and %d units in them, %d half-lost transfers that a restart explains, %d unexplained",
		f.Transfers, f.Refused, f.Unknown, f.Closed, f.Audits, f.Kills, f.Partitions, f.Lost, f.Generations*sessions, f.Missing, f.Window, f.Faults)
}

const (
	servers  = 3
	apps     = 2
	workers  = 6
	sessions = 9
	// lifetime is how long the sessions of one generation are used.
	lifetime = 3 * time.Second
	// commitTimeout is how long what is undecided holds up others.
	commitTimeout = 700 * time.Millisecond
)

// bank is two app servers, each of two containers, over three servers.
type bank struct {
	cfg   Config
	c     *cluster.Cluster
	fleet *cluster.Fleet

	cuts, kills atomic.Int64

	mu      sync.Mutex
	figures Figures
}

// Run runs the bank. A fault that nothing explains is an error.
func Run(ctx context.Context, cfg Config) (Figures, error) {
	b := &bank{cfg: cfg}
	if err := b.start(); err != nil {
		return Figures{}, err
	}
	defer b.c.Close()
	storm, stop := context.WithCancel(ctx)
	var raging sync.WaitGroup
	var stormErr error
	raging.Go(func() { stormErr = b.kill(storm) })
	raging.Go(func() { b.cut(storm) })
	var err error
	for begin, n := time.Now(), 0; err == nil && (n == 0 || time.Since(begin) < cfg.For); n++ {
		err = b.generation(ctx, n)
	}
	stop()
	raging.Wait()
	f := b.figures
	f.Kills, f.Partitions = int(b.kills.Load()), int(b.cuts.Load())
	if f.Faults > 0 {
		err = errors.Join(err, fmt.Errorf("%d faults that nothing explains", f.Faults))
	}
	fmt.Fprintf(cfg.Out, "bank: %v\n", f)
	return f, errors.Join(err, stormErr)
}

func (b *bank) start() (err error) {
	if b.c, err = cluster.Start(servers, apps); err != nil {
		return err
	}
	b.fleet, err = b.c.Fleet(func(store sd.Store) (cs cluster.Pair, err error) {
		for i := range cs {
			cs[i], err = sd.NewContainer(store, sd.Config{Name: fmt.Sprint("bank", i), Conflict: sd.Serializable, CommitTimeout: commitTimeout})
			if err != nil {
				return cs, err
			}
		}
		return cs, nil
	})
	if err != nil {
		b.c.Close()
	}
	return err
}

// kill kills a server every other second, which loses what it holds.
func (b *bank) kill(ctx context.Context) error {
	rng := rand.New(rand.NewPCG(b.cfg.Seed, 1<<40))
	for wait(ctx, time.Second+time.Duration(rng.Int64N(int64(3*time.Second)))) {
		if err := b.c.Restart(rng.IntN(servers), time.Duration(rng.Int64N(int64(300*time.Millisecond)))); err != nil {
			return err
		}
		b.kills.Add(1)
	}
	return nil
}

// cut cuts off an app server from a server for a while, and then another.
func (b *bank) cut(ctx context.Context) {
	rng := rand.New(rand.NewPCG(b.cfg.Seed, 1<<41))
	for wait(ctx, time.Duration(rng.Int64N(int64(time.Second)))) {
		app, server := rng.IntN(apps), rng.IntN(servers)
		b.c.Cut(app, server, cluster.Way(rng.IntN(3)))
		b.cuts.Add(1)
		wait(ctx, time.Duration(rng.Int64N(int64(800*time.Millisecond))))
		b.c.Heal(app, server)
	}
}

// wait reports whether ctx is still there after d.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
