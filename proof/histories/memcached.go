package histories

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/proof/cluster"
)

const (
	servers = 3
	apps    = 4 // app servers, each with a client of every history
)

// memcached is places in real servers, which all histories share, each with
// sessions of its own.
type memcached struct {
	c        *cluster.Cluster
	kills    bool
	killed   atomic.Int64
	levels   map[Level]*cluster.Fleet
	stop     context.CancelFunc
	stopped  chan struct{}
	restarts error // of a server that did not start again
}

// commitTimeout is how long what is undecided holds up others. It is long enough
// for a server that is given up and tried again.
const commitTimeout = 600 * time.Millisecond

// startMemcached starts servers in a storm of faults, in which they are killed too
// if so asked.
func startMemcached(ctx context.Context, seed uint64, kills bool) (_ *memcached, err error) {
	m := &memcached{kills: kills, levels: map[Level]*cluster.Fleet{}, stopped: make(chan struct{})}
	if m.c, err = cluster.Start(servers, apps); err != nil {
		return nil, err
	}
	for _, level := range []Level{MergeLevel, SerializableLevel, StrictLevel} {
		m.levels[level], err = m.c.Fleet(func(s sd.Store) (cluster.Pair, error) { return containers(s, level.policy(), commitTimeout) })
		if err != nil {
			m.c.Close()
			return nil, err
		}
	}
	ctx, m.stop = context.WithCancel(ctx)
	go m.storm(ctx, rand.New(rand.NewPCG(seed, 1<<40)))
	return m, nil
}

// storm injects faults, and kills a server now and then.
func (m *memcached) storm(ctx context.Context, rng *rand.Rand) {
	defer close(m.stopped)
	for kill := time.Now(); ctx.Err() == nil; time.Sleep(rand.N(8 * time.Millisecond)) {
		m.c.Inject(rng)
		if m.kills && time.Since(kill) > 0 {
			if m.restarts = m.c.Restart(rng.IntN(servers), rand.N(50*time.Millisecond)); m.restarts != nil {
				return
			}
			m.killed.Add(1)
			kill = time.Now().Add(time.Second/4 + rand.N(time.Second/2))
		}
	}
}

// close ends the storm and the servers, and returns how many faults were met.
func (m *memcached) close() (faults int, err error) {
	m.stop()
	<-m.stopped
	faults = m.c.Met() + int(m.killed.Load())
	m.c.Close()
	return faults, m.restarts
}

func (m *memcached) open(ctx context.Context, shape Shape, seed uint64, n int) (*place, error) {
	l := m.levels[shape.Level]
	p := &place{
		ctx: ctx, clean: l.Clean, id: func(s int) string { return fmt.Sprintf("%x-%d-%v-%d", seed, n, shape.Level, s) },
		may:  []error{errFail, sd.ErrConflict, sd.ErrUnavailable, sd.ErrOutcomeUnknown},
		rest: 40 * time.Millisecond,
	}
	if shape.Destroys || m.kills {
		p.may = append(p.may, sd.ErrGone)
	}
	if m.kills {
		p.restarts = m.c.Boots
		p.server = func(s int) (int, error) { return serverOf(p, l, s) }
	}
	for i := range shape.Clients {
		p.clients = append(p.clients, &client{containers: l.Apps[i%apps]})
	}
	return p, nil
}

// serverOf returns where a session lies. If its server was restarted since the
// session was stored, it is stored again.
func serverOf(p *place, l *cluster.Fleet, s int) (on int, err error) {
	store := func(session *sd.Session) error { return session.Pkg("seal").Set("where", true) }
	err = p.patiently(func() error {
		if err := l.Clean[s%2].Update(p.ctx, p.id(s), store); err != nil {
			return err
		}
		var ok bool
		if on, ok = l.Where(p.ctx, s%2, p.id(s)); !ok {
			return fmt.Errorf("%w: a session is on none of the servers", sd.ErrUnavailable)
		}
		return nil
	})
	return on, err
}
