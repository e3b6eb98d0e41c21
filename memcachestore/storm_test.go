package memcachestore

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

var (
	soakFor  = flag.Duration("soak", 3*time.Second, "how long each TestSoak runs")
	soakSeed = flag.Uint64("soak.seed", 0, "of TestSoak; 0 draws one")
)

func seedOfSoak(t *testing.T) uint64 {
	t.Helper()
	seed := *soakSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-soak.seed %d", seed)
	return seed
}

// storm is three servers that are killed, stopped, and whose requests and replies
// are lost, doubled and delayed, for as long as -soak says.
type storm struct {
	seed    uint64
	servers []*mct.Server
	proxies []*mct.Proxy
	names   []string
	end     chan struct{}

	// A write that meets a restart may be counted to the boot before it or after
	// it: so what a write remembers is the restarts that were done when it began,
	// and what it is compared with are those that had begun when it was looked for.
	mu          sync.Mutex
	begun, done []int
}

func newStorm(t *testing.T, seed uint64) *storm {
	t.Helper()
	st := &storm{seed: seed, begun: make([]int, 3), done: make([]int, 3), end: make(chan struct{})}
	for i := range st.done {
		srv := mct.Start(t, "-t", "2")
		p := mct.StartProxy(t, srv.Addr())
		st.servers, st.proxies = append(st.servers, srv), append(st.proxies, p)
		st.names = append(st.names, fmt.Sprintf("s%d=%s", i, p.Addr()))
	}
	time.AfterFunc(*soakFor, func() { close(st.end) })
	return st
}

// open returns a store over the servers, as one app server has it.
func (st *storm) open(t *testing.T) *Store {
	t.Helper()
	return open(t, st.names, quick, func(cfg *Config) { cfg.MaxConns, cfg.RetryAfter = 8, 50*time.Millisecond })
}

// over reports whether the time is over.
func (st *storm) over() bool {
	select {
	case <-st.end:
		return true
	default:
		return false
	}
}

// boot is how often a server has been restarted, for a write that begins.
func (st *storm) boot(i int) int {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.done[i]
}

// restarted reports whether a server was restarted since boot said so.
func (st *storm) restarted(i, boot int) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.begun[i] > boot
}

func (st *storm) restart(i int) {
	st.mu.Lock()
	st.begun[i]++
	st.mu.Unlock()
	st.servers[i].Restart()
	st.mu.Lock()
	st.done[i]++
	st.mu.Unlock()
}

// serverOf is the number of the server that holds key.
func (st *storm) serverOf(s *Store, key string) int {
	i, _ := strconv.Atoi(s.route(key).name[1:])
	return i
}

// rage makes faults until the time is over.
func (st *storm) rage() {
	rng := rand.New(rand.NewPCG(st.seed, 1<<40))
	actions := []mct.Action{
		mct.DropRequest, mct.CutRequest, mct.ResetRequest, mct.DelayRequest, mct.DropReply, mct.CutReply,
		mct.ResetReply, mct.DelayReply, mct.DoubleReply,
	}
	for !st.over() {
		i := rng.IntN(len(st.servers))
		switch k := rng.IntN(25); {
		case k == 0:
			st.restart(i)
		case k <= 2:
			st.servers[i].Pause()
			time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
			st.servers[i].Resume()
		default:
			st.proxies[i].Inject(mct.Fault{
				Verb: []string{"", "add", "cas", "gets"}[rng.IntN(4)],
				Do:   actions[rng.IntN(len(actions))], Bytes: rng.IntN(12), Delay: time.Duration(rng.IntN(300)) * time.Millisecond,
			})
		}
		time.Sleep(time.Duration(rng.IntN(40)) * time.Millisecond)
	}
}

// calm ends all faults and waits until what was delayed has arrived and ready
// finds every server in use again.
func (st *storm) calm(t *testing.T, ready func() error) {
	t.Helper()
	for _, p := range st.proxies {
		p.Heal()
	}
	time.Sleep(700 * time.Millisecond) // the longest delay, and the way
	eventually(t, 5*time.Second, "all servers are in use again", func() bool { return ready() == nil })
}
