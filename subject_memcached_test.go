package sessiondata_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

// traffic is requests of many visitors at once, to several app servers.
type traffic struct {
	t         *testing.T
	memcached *memcachedtest.Server
	cfg       sd.Config
	servers   []*sd.Container
	ahead     atomic.Int64  // how far the servers' clock is before the real one
	answers   chan struct{} // one for each request

	mu       sync.Mutex
	visitors []*visitor
}

// visitor is one session that requests are sent for.
type visitor struct {
	id      string
	revoked atomic.Bool  // it may be refused, and must be
	late    atomic.Bool  // once this long has passed
	changes atomic.Int64 // that were committed
}

func newTraffic(t *testing.T, apps int, change func(*sd.Config)) *traffic {
	tr := &traffic{t: t, answers: make(chan struct{}, 1<<20)}
	tr.memcached = memcachedtest.Start(t)
	tr.cfg = sd.Config{
		Name: "c", Keys: []sd.Key{key(1)}, Attempts: 1000, CommitTimeout: 30 * time.Second,
		Now: func() time.Time { return time.Now().Add(time.Duration(tr.ahead.Load())) },
	}
	if change != nil {
		change(&tr.cfg)
	}
	for range apps {
		tr.servers = append(tr.servers, container(t, appServer(t, tr.memcached), tr.cfg))
	}
	return tr
}

func (tr *traffic) server() *sd.Container { return tr.servers[rand.IntN(len(tr.servers))] }

// login logs a subject in, and makes it a visitor.
func (tr *traffic) login(who, id string) *visitor {
	if err := tr.server().Update(tr.t.Context(), id, loginAs(who, id)); err != nil {
		tr.t.Errorf("login of %s: %v", id, err)
	}
	v := &visitor{id: id}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.visitors = append(tr.visitors, v)
	return v
}

// logins logs a subject in n times at once.
func (tr *traffic) logins(who, prefix string, n int) []*visitor {
	vs := make([]*visitor, n)
	together(n, func(i int) { vs[i] = tr.login(who, fmt.Sprint(prefix, i)) })
	return vs
}

// run sends requests for any visitor, n at a time, until the function that it
// returns is called.
func (tr *traffic) run(n int) (end func()) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for worker := range n {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				tr.mu.Lock()
				v := tr.visitors[rand.IntN(len(tr.visitors))]
				tr.mu.Unlock()
				tr.request(v, fmt.Sprint("worker ", worker))
				tr.answers <- struct{}{}
			}
		})
	}
	return func() { close(stop); wg.Wait() }
}

// request counts for a visitor.
func (tr *traffic) request(v *visitor, key string) {
	late, absent := v.late.Load(), false
	err := tr.server().Update(tr.t.Context(), v.id, func(s *sd.Session) error {
		if absent = s.IsNew(); absent {
			return nil
		}
		return sd.Modify(s.Pkg("p"), key, func(n *int) error { *n++; return nil })
	})
	refused := absent || errors.Is(err, sd.ErrGone)
	switch {
	case err != nil && !refused:
		tr.t.Errorf("%s: %v", v.id, err)
	case refused && !v.revoked.Load():
		tr.t.Errorf("%s is refused, and was not revoked", v.id)
	case !refused && late:
		tr.t.Errorf("%s is accepted after its revocation", v.id)
	case !refused:
		v.changes.Add(1)
	}
}

// await waits for n more requests.
func (tr *traffic) await(n int) {
	for len(tr.answers) > 0 {
		<-tr.answers
	}
	for range n {
		<-tr.answers
	}
}

// changes returns how many changes of a visitor are stored; -1: it is refused.
func (tr *traffic) changes(c *sd.Container, v *visitor) (sum int) {
	require.NoError(tr.t, c.View(tr.t.Context(), v.id, func(s *sd.Session) error {
		if s.IsNew() {
			sum = -1
			return nil
		}
		for _, val := range s.Pkg("p").All() {
			var n int
			require.NoError(tr.t, val.Decode(&n))
			sum += n
		}
		return nil
	}))
	return sum
}

// Logins of one subject at once, requests in flight for them and for others, and
// a revocation in the middle of it, by three app servers over memcached. Once
// Revoke has returned and one resolution has passed none of the old sessions is
// accepted anywhere, also where the store has lost the list; no request of anybody
// else fails, and no change of theirs is lost: other subjects, the session that
// was excepted, and later logins.
func TestRevocationUnderLoadOverMemcached(t *testing.T) {
	const apps, logins, requests = 3, 24, 32
	tr := newTraffic(t, apps, nil)
	unhurt := append(tr.logins("bob", "bob ", 4), tr.logins("carol", "carol ", 4)...)
	for round := range 3 {
		tr.mu.Lock()
		tr.visitors = nil
		tr.visitors = append(tr.visitors, unhurt...)
		tr.mu.Unlock()
		end := tr.run(requests)
		old := tr.logins("alice", fmt.Sprint("alice before ", round, " "), logins)
		kept := tr.login("alice", fmt.Sprint("alice here ", round))
		tr.await(5 * requests)

		if round == 1 {
			loseIndexes(t, appServer(t, tr.memcached)) // none of the old is listed, but for those that come by
		}

		// Some log in at the same moment: they are logged out, or not.
		const between = logins / 4
		for _, v := range old {
			v.revoked.Store(true)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			together(between, func(i int) {
				id := fmt.Sprint("alice meanwhile ", round, " ", i)
				if err := tr.server().Update(t.Context(), id, loginAs("alice", id)); err != nil && !errors.Is(err, sd.ErrGone) {
					t.Error(err)
				}
			})
		})
		require.NoError(t, tr.servers[round%apps].Revoke(t.Context(), "shop", "alice", tr.servers[0].Ref(kept.id)))
		later := tr.logins("alice", fmt.Sprint("alice after ", round, " "), logins/4)
		wg.Wait()
		tr.await(requests)
		tr.ahead.Add(int64(5 * time.Minute)) // one resolution
		for _, v := range old {
			v.late.Store(true)
		}
		tr.await(5 * requests)
		end()

		for _, c := range append(tr.servers, container(t, appServer(t, tr.memcached), tr.cfg)) {
			for _, v := range old {
				require.Equal(t, -1, tr.changes(c, v), v.id)
			}
			for _, v := range append(append([]*visitor{kept}, unhurt...), later...) {
				require.EqualValues(t, v.changes.Load(), tr.changes(c, v), v.id)
			}
		}
		accepted := 0
		for i := range between {
			if visit(t, tr.servers[0], fmt.Sprint("alice meanwhile ", round, " ", i)) {
				accepted++
			}
		}
		t.Logf("of %d that logged in at the same moment %d are logged in", between, accepted)
		require.NoError(t, tr.servers[0].Revoke(t.Context(), "shop", "alice"))
	}
}
