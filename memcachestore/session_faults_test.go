package memcachestore

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
)

// Rule 26.
func TestSessionsLoadedBeforeARestartAreGone(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *sd.Session) error
		want   error
	}{
		"changed":   {count, sd.ErrGone},
		"renewed":   {func(s *sd.Session) error { _, err := s.Renew(); return err }, sd.ErrGone},
		"destroyed": {(*sd.Session).Destroy, nil}, // it is
	} {
		for _, anew := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, made anew: %v", name, anew), func(t *testing.T) {
				srv, s := one(t)
				cont := container(t, s)
				require.NoError(t, cont.Update(t.Context(), "id", count))
				key := onlyKey(t, s)
				old := versionOf(t, s, key)
				tx := sd.Begin()
				session, err := cont.Session(t.Context(), tx, "id")
				require.NoError(t, err)
				require.NoError(t, c.change(session))
				srv.Restart()
				want := -1
				if anew {
					require.NoError(t, cont.Update(t.Context(), "id", func(s *sd.Session) error { return s.Pkg("p").Set("n", 7) }))
					require.Equal(t, old.ID, versionOf(t, s, key).ID, "the CAS ids meet")
					want = 7
				}
				require.ErrorIs(t, tx.Commit(t.Context()), c.want)
				require.Equal(t, want, counted(t, cont, "id"))
			})
		}
	}
}

// Rule 26, of several sessions: one of the servers is restarted between the
// reading and the commit.
func TestSeveralSessionsWithOneOnARestartedServerAreAllOrNone(t *testing.T) {
	servers := []*mct.Server{mct.Start(t), mct.Start(t)}
	s := open(t, []string{"a=" + servers[0].Addr(), "b=" + servers[1].Addr()})
	c := container(t, s)
	on := map[string]string{} // server: a session that lies there
	for i := 0; len(on) < 2; i++ {
		id := fmt.Sprint("id", i)
		require.NoError(t, c.Update(t.Context(), id, count))
		for k, err := range s.Keys(t.Context(), "") {
			require.NoError(t, err)
			if name := s.route(k.Key).name; on[name] == "" {
				on[name] = id
			}
		}
	}
	tx := sd.Begin()
	for _, id := range on {
		session, err := c.Session(t.Context(), tx, id)
		require.NoError(t, err)
		require.NoError(t, count(session))
	}
	servers[1].Restart()
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrGone)
	require.Equal(t, 1, counted(t, c, on["a"]))
	require.Equal(t, -1, counted(t, c, on["b"]))
	require.NoError(t, c.Update(t.Context(), on["a"], count))
}

func onlyKey(t testing.TB, s *Store) (key string) {
	t.Helper()
	n := 0
	for k, err := range s.Keys(t.Context(), "") {
		require.NoError(t, err)
		key = k.Key
		n++
	}
	require.Equal(t, 1, n)
	return key
}

func versionOf(t testing.TB, s *Store, key string) sd.Version {
	t.Helper()
	item, err := s.Get(t.Context(), key)
	require.NoError(t, err)
	return item.Version
}

// Rule 26.
func TestNoSessionSeesANetworkErrorOfARestart(t *testing.T) {
	srv, s := one(t)
	c := container(t, s)
	for range 3 {
		warmPool(t, s, 20)
		srv.Restart()
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				assert.NoError(t, c.Update(t.Context(), fmt.Sprint("id", i%7), func(s *sd.Session) error {
					return s.Pkg("p").Set(fmt.Sprint(i), true)
				}))
			})
		}
		all.Wait()
	}
}

// Rule 27.
func TestSessionsOfAServerThatIsDownOrHungAreUnavailableAndNeverEmpty(t *testing.T) {
	for name, stop := range map[string]func(*mct.Server){"down": (*mct.Server).Kill, "hung": (*mct.Server).Pause} {
		t.Run(name, func(t *testing.T) {
			srv := mct.Start(t)
			c := container(t, open(t, []string{srv.Addr()}, quick))
			require.NoError(t, c.Update(t.Context(), "id", count))
			tx := sd.Begin()
			session, err := c.Session(t.Context(), tx, "id")
			require.NoError(t, err)
			require.NoError(t, count(session))
			stop(srv)
			never := func(*sd.Session) error { t.Error("a session without its store"); return nil }
			for _, call := range []func() error{
				func() error { return c.View(t.Context(), "id", never) },
				func() error { return c.Update(t.Context(), "id", never) },
				func() error { _, err := c.Existing(t.Context(), sd.Begin(), "id"); return err },
				func() error { return c.Ping(t.Context()) },
				func() error { return tx.Commit(t.Context()) },
			} {
				start := time.Now()
				require.ErrorIs(t, call(), sd.ErrUnavailable)
				require.Less(t, time.Since(start), 2*time.Second)
			}
			require.Equal(t, sd.RolledBack, tx.State())
			if name == "hung" {
				srv.Resume()
				eventually(t, 2*time.Second, "it is used again", func() bool { return c.Update(t.Context(), "id", count) == nil })
				require.Equal(t, 2, counted(t, c, "id"))
			}
		})
	}
}

// Rule 28: what Update says of a write whose reply, or request, was lost is true,
// and it happened once.
func TestWhatASessionIsToldOfALostReplyIsTrue(t *testing.T) {
	for _, verb := range []string{"add", "cas"} {
		for _, loss := range losses {
			t.Run(verb+": "+loss.name, func(t *testing.T) {
				t.Parallel()
				srv := mct.Start(t, "-t", "1")
				p := mct.StartProxy(t, srv.Addr())
				c := container(t, open(t, []string{srv.Addr() + "=" + p.Addr()}, quick))
				sure := container(t, open(t, []string{srv.Addr()}))
				before := -1
				if verb == "cas" {
					require.NoError(t, c.Update(t.Context(), "id", count))
					before = 1
				}
				loss.fault.Verb = verb
				p.Inject(loss.fault)
				err := c.Update(t.Context(), "id", count)
				found := counted(t, sure, "id")
				switch {
				case err == nil:
					require.Equal(t, max(before, 0)+1, found)
				case verb == "add" && !loss.applied: // it may still be on its way
					require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
					require.Equal(t, before, found)
				default:
					t.Fatalf("%v, where asking tells", err)
				}
			})
		}
	}
}

// Rule 29.
func TestASurplusReplyGivesNoSessionToAnother(t *testing.T) {
	_, p, s := proxied(t)
	c := container(t, s)
	whose := func(i int) {
		id := fmt.Sprint("visitor", i)
		require.NoError(t, c.View(t.Context(), id, func(s *sd.Session) error {
			v, err := sd.Get[string](s.Pkg("p"), "me")
			require.Equal(t, id, v)
			return err
		}))
	}
	for i := range 5 {
		id := fmt.Sprint("visitor", i)
		require.NoError(t, c.Update(t.Context(), id, func(s *sd.Session) error { return s.Pkg("p").Set("me", id) }))
	}
	for i := range 20 {
		p.Inject(mct.Fault{Verb: "gets", Do: mct.DoubleReply})
		whose(i % 5)
		whose((i + 1) % 5)
	}
}

// Rule 30.
func TestASessionOverTheItemSizeIsErrTooLargeAndWhatIsStoredStays(t *testing.T) {
	srv := mct.Start(t, "-I", "64k", "-o", "slab_chunk_max=32768")
	c := container(t, open(t, []string{srv.Addr()}))
	require.NoError(t, c.Update(t.Context(), "id", count))
	err := c.Update(t.Context(), "id", func(s *sd.Session) error { return s.Pkg("p").Set("big", make([]byte, 70<<10)) })
	require.ErrorIs(t, err, sd.ErrTooLarge)
	require.Equal(t, 1, counted(t, c, "id"))
}

// Rule 30.
func TestAFullServerRefusesSessionsAndKeepsThoseItHas(t *testing.T) {
	srv := mct.Start(t, "-M", "-m", "2")
	c := container(t, open(t, []string{srv.Addr()}))
	require.NoError(t, c.Update(t.Context(), "mine", count))
	grow := func(size int) func(s *sd.Session) error {
		return func(s *sd.Session) error { return s.Pkg("p").Set("big", strings.Repeat("x", size)) }
	}
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		err = c.Update(t.Context(), fmt.Sprint("id", n), grow(100<<10))
	}
	require.ErrorIs(t, err, sd.ErrUnavailable)
	require.ErrorContains(t, err, "full")
	require.ErrorIs(t, c.Update(t.Context(), "mine", grow(100<<10)), sd.ErrUnavailable)
	require.Equal(t, 1, counted(t, c, "mine"))
	require.NoError(t, c.Update(t.Context(), "id0", (*sd.Session).Destroy), "logging out needs no room")
	require.Equal(t, -1, counted(t, c, "id0"))
}
