package sqltest

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/rpc"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/sqltx"
)

// order is the work of the process that is killed: it takes three pieces from a
// shared stock, empties the cart and books a row.
type order struct {
	Store  string // address
	Source source
}

const orderVariable = "SQLTEST_ORDER"

// runOrder is the process.
func runOrder(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	client, err := rpc.Dial("tcp", o.Store)
	if err != nil {
		return err
	}
	store := remoteStore{client}
	shop, err := sd.NewContainer(store, shopConfig(0))
	if err != nil {
		return err
	}
	connector, err := o.Source.connector()
	if err != nil {
		return err
	}
	db := sql.OpenDB(steppedConnector{connector, store.step})
	ctx := context.Background()
	tx := sd.Begin()
	if err := addTo(ctx, shop, tx, "stock", -3); err != nil {
		return err
	}
	if err := addTo(ctx, shop, tx, "cart", -3); err != nil {
		return err
	}
	sqlTx, err := sqltx.Begin(ctx, tx, db, o.Source.options())
	if err != nil {
		return err
	}
	if _, err := sqlTx.ExecContext(ctx, "INSERT INTO orders VALUES ('first', 3)"); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// shopConfig is of a container whose clock is ahead.
func shopConfig(ahead time.Duration) sd.Config {
	return sd.Config{Name: "shop", Timeout: 100 * time.Hour, Now: func() time.Time { return time.Now().Add(ahead) }}
}

func addTo(ctx context.Context, shop *sd.Container, tx *sd.Txn, id string, n int) error {
	s, err := shop.Session(ctx, tx, id)
	if err != nil {
		return err
	}
	return sd.Modify(s.Pkg("goods"), "pieces", func(have *int) error { *have += n; return nil })
}

// pieces reads both sessions.
func pieces(t *testing.T, shop *sd.Container) (found [2]int) {
	t.Helper()
	for i, id := range []string{"stock", "cart"} {
		require.NoError(t, shop.View(t.Context(), id, func(s *sd.Session) (err error) {
			found[i], err = sd.Get[int](s.Pkg("goods"), "pieces")
			return err
		}))
	}
	return found
}

var (
	piecesBefore = [2]int{10, 3}
	piecesAfter  = [2]int{7, 0}
)

// story is one life of the process, and what it left.
type story struct {
	events   []event
	booked   bool   // the database has the row
	sessions [2]int // as read at once
	later    [2]int // as read after the deadline
	said     string // by the process, where it lived
}

// tell starts the process, which dies at that moment, and reads what it left.
// Then both sides are written again, whatever it left.
func tell(t *testing.T, d sqltx.Dialect, when moment) story {
	t.Helper()
	s := newSource(t, d)
	db := open(t, s)
	createOrders(t, db)
	server := &storeServer{store: memstore.New(memstore.Config{}), when: when}
	shop, err := sd.NewContainer(server.store, shopConfig(0))
	require.NoError(t, err)
	for i, id := range []string{"stock", "cart"} {
		require.NoError(t, shop.Update(t.Context(), id, func(s *sd.Session) error {
			return s.Pkg("goods").Set("pieces", piecesBefore[i])
		}))
	}
	text, err := json.Marshal(order{Store: serveStore(t, server), Source: s})
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	process := exec.CommandContext(ctx, self)
	process.Env = append(os.Environ(), orderVariable+"="+string(text))
	var said bytes.Buffer
	process.Stdout, process.Stderr = &said, &said
	server.mu.Lock()
	require.NoError(t, process.Start())
	server.kill = func() { _ = process.Process.Kill() } // SIGKILL
	server.mu.Unlock()
	err = process.Wait()
	require.NoError(t, ctx.Err())
	var exit *exec.ExitError
	if when == (moment{}) {
		require.NoError(t, err, said.String())
	} else {
		require.ErrorAs(t, err, &exit, said.String())
		require.Equal(t, "signal: killed", exit.String(), said.String())
	}

	left := story{events: server.events, said: said.String()}
	left.sessions = pieces(t, shop)
	left.booked = orders(t, db)["first"] == 3
	ahead, err := sd.NewContainer(server.store, shopConfig(time.Hour))
	require.NoError(t, err)
	left.later = pieces(t, ahead)

	tx := sd.Begin()
	require.NoError(t, addTo(t.Context(), ahead, tx, "stock", 100))
	require.NoError(t, addTo(t.Context(), ahead, tx, "cart", 100))
	sqlTx, err := sqltx.Begin(t.Context(), tx, db, s.options())
	require.NoError(t, err)
	if left.booked {
		run(t, sqlTx, "DELETE FROM orders")
	} else {
		run(t, sqlTx, "INSERT INTO orders VALUES ('first', 4)") // no lock is left
	}
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, [2]int{left.later[0] + 100, left.later[1] + 100}, pieces(t, ahead))
	return left
}

// committed reports how far the log says that the process came: the database had
// committed, and the primary session was told of it.
func (s story) committed() (sql, told bool) {
	at := slices.IndexFunc(s.events, func(e event) bool { return e.name == sqlStep+"after COMMIT" })
	if at < 0 {
		return false, false
	}
	return true, slices.ContainsFunc(s.events[at:], func(e event) bool { return e.done && e.name == "CompareAndSwap" })
}

func (s story) String() string {
	var b strings.Builder
	for i, e := range s.events {
		fmt.Fprintf(&b, "%3d %s", i+1, e.name)
		if !e.done {
			b.WriteString(" (not done)")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// The process is killed before and after each of its steps. Session and database
// agree afterwards, and everything can be written again, but for the one window
// that the package's documentation states: COMMIT has succeeded, and the primary
// session was not told.
func TestAProcessKilledAtAnyStepLeavesSessionAndDatabaseInAgreement(t *testing.T) {
	for _, d := range []sqltx.Dialect{sqltx.SQLite, sqltx.PostgreSQL, sqltx.MySQL} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			lived := tell(t, d, moment{})
			require.Equal(t, "committed\n", lived.said)
			require.True(t, lived.booked)
			require.Equal(t, piecesAfter, lived.sessions)
			t.Logf("the steps:\n%s", lived)

			var windows []string
			for at := 1; at <= len(lived.events); at++ {
				fates := []bool{false}
				if lived.events[at-1].name == "CompareAndSwap" {
					fates = []bool{false, true} // others change nothing in the store
				}
				for _, after := range fates {
					left := tell(t, d, moment{at, after})
					what := fmt.Sprintf("killed at step %d, done: %v, of\n%s", at, after, left)
					require.Len(t, left.events, at, what)
					committed, told := left.committed()
					require.Equal(t, committed, left.booked, what)
					want := piecesBefore
					if told {
						want = piecesAfter
					}
					require.Equal(t, want, left.sessions, what)
					require.Equal(t, want, left.later, what)
					if left.booked != (left.sessions == piecesAfter) {
						windows = append(windows, left.events[at-1].name)
					}
				}
			}
			// The moment after COMMIT, and the write to the primary that did not arrive.
			require.Equal(t, []string{sqlStep + "after COMMIT", "CompareAndSwap"}, windows)
		})
	}
}

func TestMain(m *testing.M) {
	if text := os.Getenv(orderVariable); text != "" {
		if err := runOrder(text); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("committed")
		os.Exit(0)
	}
	os.Exit(withServers(m.Run))
}
