package sqltest

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/sqltx"
)

// A connection that is lost before the last look: nothing is decided, and both
// are rolled back.
func TestAConnectionLostBeforeTheCommitRollsBothBack(t *testing.T) {
	kill := map[sqltx.Dialect][2]string{
		sqltx.PostgreSQL: {"SELECT pg_backend_pid()", "SELECT pg_terminate_backend(%d)"},
		sqltx.MySQL:      {"SELECT CONNECTION_ID()", "KILL CONNECTION %d"},
	}
	for d, stmts := range kill {
		on(t, d, func(t *testing.T, db *sql.DB, opts *sqltx.Options) {
			c := newCarts(t)
			tx, sqlTx := begun(t, c, db, opts)
			run(t, db, fmt.Sprintf(stmts[1], query(t, sqlTx, stmts[0])))
			err := tx.Commit(t.Context())
			require.Error(t, err)
			require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
			require.Equal(t, sd.RolledBack, tx.State())
			unchanged(t, c, db, opts)
		})
	}
}

// cutter passes a connection through until COMMIT, and cuts it there: before the
// server has seen it, or after it has answered.
type cutter struct {
	t      *testing.T
	to     string
	after  bool
	armed  atomic.Bool
	ends   sync.WaitGroup
	listen net.Listener
}

func newCutter(t *testing.T, s *source, after bool) *cutter {
	t.Helper()
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{t: t, to: fmt.Sprintf("127.0.0.1:%d", s.Port), after: after, listen: listen}
	s.Port = listen.Addr().(*net.TCPAddr).Port
	c.ends.Go(func() {
		for {
			client, err := listen.Accept()
			if err != nil {
				return
			}
			c.ends.Go(func() { c.pass(client) })
		}
	})
	t.Cleanup(func() {
		require.NoError(t, listen.Close())
		c.ends.Wait()
	})
	return c
}

func (c *cutter) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.to)
	if err != nil {
		c.t.Error(err)
		return
	}
	defer server.Close()
	var answered atomic.Bool // the next answer is the one to COMMIT
	c.ends.Go(func() {
		defer client.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil || answered.Load() {
				return // what it has answered is lost
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if c.armed.Load() && bytes.Contains(bytes.ToUpper(buf[:n]), []byte("COMMIT")) {
			if !c.after {
				return
			}
			answered.Store(true)
			_, _ = server.Write(buf[:n])
			_, _ = io.Copy(io.Discard, client) // until the other direction has cut it
			return
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// A connection that is lost around COMMIT: the outcome is unknown, the sessions
// are as before, and after the deadline they can be written again.
func TestAConnectionLostAtTheCommitLeavesTheOutcomeUnknown(t *testing.T) {
	for name, after := range map[string]bool{"before the server sees it": false, "after the server has done it": true} {
		t.Run(name, func(t *testing.T) {
			for _, d := range []sqltx.Dialect{sqltx.PostgreSQL, sqltx.MySQL} {
				t.Run(d.String(), func(t *testing.T) {
					s := newSource(t, d)
					direct := open(t, s)
					createOrders(t, direct)
					cut := newCutter(t, &s, after)
					db := open(t, s)
					store := memstore.New(memstore.Config{})
					var ahead atomic.Int64
					c, err := sd.NewContainer(store, sd.Config{Timeout: 100 * time.Hour, Now: func() time.Time {
						return time.Now().Add(time.Duration(ahead.Load()))
					}})
					require.NoError(t, err)
					require.NoError(t, c.Update(t.Context(), "s", func(s *sd.Session) error { return s.Pkg("cart").Set("n", 1) }))

					tx, _ := begun(t, c, db, s.options())
					cut.armed.Store(true)
					err = tx.Commit(t.Context())
					require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
					require.Equal(t, sd.Unknown, tx.State())
					require.Equal(t, 1, cart(t, c))
					require.Equal(t, after, orders(t, direct)["a"] == 1, "only the database can tell")

					ahead.Store(int64(time.Hour))
					require.NoError(t, c.Update(t.Context(), "s", func(s *sd.Session) error { return s.Pkg("cart").Set("n", 7) }))
					require.Equal(t, 7, cart(t, c))
				})
			}
		})
	}
}
