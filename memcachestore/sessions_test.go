package memcachestore

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	mct "github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

func TestSessionsHoldOverMemcached(t *testing.T) {
	for name, n := range map[string]int{"one server": 1, "three servers": 3} {
		t.Run(name, func(t *testing.T) {
			servers := make([]*mct.Server, n)
			var names []string
			for i := range servers {
				servers[i] = mct.Start(t)
				names = append(names, fmt.Sprintf("s%d=%s", i, servers[i].Addr()))
			}
			storetest.RunSessions(t, func(t *testing.T) sd.Store {
				for _, srv := range servers {
					srv.Raw("flush_all")
				}
				return open(t, names)
			})
		})
	}
}

// container returns a container over s; cfg is at most one.
func container(t testing.TB, s sd.Store, cfg ...sd.Config) *sd.Container {
	t.Helper()
	c, err := sd.NewContainer(s, append(cfg, sd.Config{})[0])
	require.NoError(t, err)
	return c
}

func count(s *sd.Session) error {
	return sd.Modify(s.Pkg("p"), "n", func(n *int) error { *n++; return nil })
}

// counted reads the counter; -1: there is no session.
func counted(t testing.TB, c *sd.Container, id string) (n int) {
	t.Helper()
	require.NoError(t, c.View(t.Context(), id, func(s *sd.Session) (err error) {
		if s.IsNew() {
			n = -1
			return nil
		}
		n, err = sd.GetOr(s.Pkg("p"), "n", 0)
		return err
	}))
	return n
}

func TestRoundTripsOfARequest(t *testing.T) {
	_, p, s := proxied(t)
	now := time.Now()
	c := container(t, s, sd.Config{Timeout: time.Hour, Resolution: time.Minute, Now: func() time.Time { return now }})
	trips := func(what string, want int, request func(tx *sd.Txn) error) {
		t.Helper()
		before := p.RoundTrips()
		require.NoError(t, sd.Run(t.Context(), request), what)
		require.Equal(t, want, p.RoundTrips()-before, what)
	}
	session := func(fn func(s *sd.Session) error) func(tx *sd.Txn) error {
		return func(tx *sd.Txn) error {
			for range 3 { // however often it is used
				s, err := c.Session(t.Context(), tx, "id")
				if err != nil {
					return err
				}
				if err := fn(s); err != nil {
					return err
				}
			}
			return nil
		}
	}
	read := session(func(s *sd.Session) error { _, err := sd.GetOr(s.Pkg("p"), "n", 0); return err })
	trips("a visitor without a session", 1, read)
	trips("a new session", 2, session(count))
	trips("read", 1, read)
	trips("changed", 2, session(count))
	now = now.Add(time.Minute + 1)
	trips("read when the access is due", 2, read)
	trips("read again", 1, read)
	trips("changed back", 1, session(func(s *sd.Session) error {
		return errors.Join(s.Pkg("p").Set("x", 1), s.Pkg("p").Delete("x"))
	}))
	trips("no session used", 0, func(*sd.Txn) error { return nil })
	trips("made and not used", 0, func(tx *sd.Txn) error { _, err := c.New(t.Context(), tx); return err })
	trips("made and used", 1, func(tx *sd.Txn) error {
		s, err := c.New(t.Context(), tx)
		if err != nil {
			return err
		}
		return count(s)
	})
	trips("destroyed", 2, session((*sd.Session).Destroy))
	require.Equal(t, 1, p.Accepted(), "all over one connection")
}

// Rule 31: sessions stay where they are when servers are listed in another order
// or get another address, and a hung one does not slow the others.
func TestSessionsFindTheirServersWhateverTheOrderAndTheAddress(t *testing.T) {
	servers := []*mct.Server{mct.Start(t), mct.Start(t), mct.Start(t)}
	var names, renamed []string
	for i, srv := range servers {
		names = append(names, fmt.Sprintf("s%d=%s", i, srv.Addr()))
		renamed = append([]string{fmt.Sprintf("s%d=%s", i, mct.StartProxy(t, srv.Addr()).Addr())}, renamed...)
	}
	one, other := container(t, open(t, names)), container(t, open(t, renamed))
	for i := range 50 {
		require.NoError(t, one.Update(t.Context(), fmt.Sprint("id", i), count))
		require.NoError(t, other.Update(t.Context(), fmt.Sprint("id", i), count))
		require.Equal(t, 2, counted(t, one, fmt.Sprint("id", i)))
	}
}

// Rule 33.
func TestAContainerListsItsSessionsOnAllServers(t *testing.T) {
	var names []string
	for i := range 3 {
		names = append(names, fmt.Sprintf("s%d=%s", i, mct.Start(t).Addr()))
	}
	s := open(t, names)
	mine, other := container(t, s, sd.Config{Name: "mine"}), container(t, s, sd.Config{Name: "other"})
	const n = 200
	for i := range n {
		require.NoError(t, mine.Update(t.Context(), fmt.Sprint("id", i), count))
		require.NoError(t, other.Update(t.Context(), fmt.Sprint("id", i), count))
	}
	found := 0
	for _, err := range mine.All(t.Context()) {
		require.NoError(t, err)
		found++
	}
	require.Equal(t, n, found)
}

// Rule 34.
func TestAfterCloseASessionIsErrClosed(t *testing.T) {
	_, s := one(t)
	c := container(t, s)
	require.NoError(t, c.Update(t.Context(), "id", count))
	tx := sd.Begin()
	session, err := c.Session(t.Context(), tx, "id")
	require.NoError(t, err)
	require.NoError(t, count(session))
	require.NoError(t, s.Close())
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrClosed)
	require.ErrorIs(t, c.Update(t.Context(), "id", count), sd.ErrClosed)
	require.ErrorIs(t, c.Ping(t.Context()), sd.ErrClosed)
}

// Rule 22, and what every log line promises: the library logs and reports no id.
func TestNoLogLineAndNoErrorShowsASessionID(t *testing.T) {
	var log logbook
	srv := mct.Start(t)
	p := mct.StartProxy(t, srv.Addr())
	s := open(t, []string{"one=" + p.Addr()}, quick, log.use)
	c := container(t, s)
	const id = "a-session-id-that-nobody-may-see"
	var errs strings.Builder
	say := func(err error) { io.WriteString(&errs, fmt.Sprintln(err)) }
	require.NoError(t, c.Update(t.Context(), id, count))
	key := onlyKey(t, s)
	for _, f := range []mct.Fault{
		{Verb: "gets", Do: mct.DoubleReply},
		{Verb: "gets", Do: mct.ReplaceReply, Text: "VALUE " + key + " 0 99999999 1\r\n"},
		{Verb: "cas", Do: mct.RefuseRequest, Text: "SERVER_ERROR out of memory storing object " + key + "\r\n"},
		{Verb: "cas", Do: mct.ReplaceReply, Text: "what " + key + "\r\n"},
		{Verb: "cas", Do: mct.DropReply},
		{Verb: "gets", Do: mct.DropReply},
	} {
		p.Inject(f)
		say(c.Update(t.Context(), id, count))
	}
	srv.Restart()
	say(c.Update(t.Context(), id, count))
	srv.Kill()
	say(c.Update(t.Context(), id, count))
	require.NotEmpty(t, log.String())
	for _, text := range []string{log.String(), errs.String()} {
		require.NotContains(t, text, id)
		require.NotContains(t, text, key)
	}
}
