package sessiondata_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// steps runs fn over a store whose every call takes a millisecond, in a
// synctest bubble, and returns what was in flight together, step by step:
// "3 swap" are three of them side by side.
func steps(w *wire, fn func()) (steps []string) {
	const trip = time.Millisecond
	start := time.Now()
	flying := map[int][]string{}
	w.answer(func(c call, pass func() error) error {
		step := int(time.Since(start) / trip)
		w.mu.Lock()
		flying[step] = append(flying[step], c.op)
		w.mu.Unlock()
		time.Sleep(trip)
		return pass()
	})
	defer w.answer(nil)
	fn()
	for step := range len(flying) {
		var ops []string
		for _, op := range []string{"get", "add", "swap", "delete"} {
			n := len(slices.DeleteFunc(slices.Clone(flying[step]), func(o string) bool { return o != op }))
			if n > 0 {
				ops = append(ops, fmt.Sprint(n, " ", op))
			}
		}
		steps = append(steps, strings.Join(ops, ", "))
	}
	return steps
}

// One session: one round trip to load and one to write, as if there were no
// transactions over several; and its reader needs nothing more.
func TestRoundTrips_OfOneSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := storeA(t)
		require.Equal(t, []string{"1 get", "1 add"}, steps(w, func() { fill(t, c, 0, "x") }))
		require.Equal(t, []string{"1 get", "1 swap"}, steps(w, func() { fill(t, c, 1, "x") }))
		require.Equal(t, []string{"1 get"}, steps(w, func() { holding(t, c, "x") }))
		time.Sleep(10 * time.Minute) // an access is due
		require.Equal(t, []string{"1 get", "1 swap"}, steps(w, func() {
			require.NoError(t, c.View(t.Context(), "x", func(*sd.Session) error { return nil }))
		}))
	})
}

// k sessions: k intents, the primary's before the others; k reads, for the
// versions; the decision; k-1 installs beside one read of the primary; one
// clearing. Six steps, however many sessions.
func TestRoundTrips_OfSeveralSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for k := 2; k <= 8; k++ {
			w, c := storeA(t)
			ids := ascending(t, k)
			fill(t, c, 0, ids...)
			tx := writing(t, c, 1, ids...)
			want := []string{
				"1 swap",
				fmt.Sprint(k-1, " swap"),
				fmt.Sprint(k, " get"),
				"1 swap",
				fmt.Sprintf("1 get, %d swap", k-1),
				"1 swap",
			}
			require.Equal(t, want, steps(w, func() { require.NoError(t, tx.Commit(t.Context())) }))
		}
	})
}

// New sessions are added and destroyed ones deleted in the same steps; a renewed
// one has a delete and an add, the add in a step of its own.
func TestRoundTrips_OfNewDestroyedAndRenewedSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := storeA(t)
		ids := ascending(t, 4)
		fill(t, c, 0, ids[0], ids[2], ids[3])
		tx := writing(t, c, 1, ids...)
		require.NoError(t, open(t, c, tx, ids[2]).Destroy())
		_, err := open(t, c, tx, ids[3]).Renew()
		require.NoError(t, err)
		require.Equal(t, []string{
			"1 swap",
			"1 add, 2 swap",
			"1 add",
			"5 get",
			"1 swap",
			"1 get, 2 swap, 2 delete",
			"1 swap",
		}, steps(w, func() { require.NoError(t, tx.Commit(t.Context())) }))
	})
}

// With a last participant the primary's deadline is moved, and read back; one
// session needs no note.
func TestRoundTrips_WithALastParticipant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for k, want := range map[int][]string{
			1: {"1 swap", "1 get", "1 swap", "1 get", "1 swap"},
			3: {"1 swap", "2 swap", "3 get", "1 swap", "1 get", "1 swap", "1 get, 2 swap", "1 swap"},
		} {
			w, c := storeA(t)
			ids := ascending(t, k)
			fill(t, c, 0, ids...)
			tx := joinedLast(t, c, func() error { return nil }, ids...)
			require.Equal(t, want, steps(w, func() { require.NoError(t, tx.Commit(t.Context())) }))
		}
	})
}

// Under Serializable what was only read is loaded again, all at once, when all
// is prepared.
func TestRoundTrips_UnderSerializable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := storeA(t, serializable)
		ids := ascending(t, 6)
		fill(t, c, 0, ids...)
		tx := writing(t, c, 1, ids[:3]...)
		for _, id := range ids[3:] {
			reads(t, c, tx, id)
		}
		require.Equal(t, []string{"1 swap", "2 swap", "3 get", "3 get", "1 swap", "1 get, 2 swap", "1 swap"},
			steps(w, func() { require.NoError(t, tx.Commit(t.Context())) }))

		tx = sd.Begin()
		for _, id := range ids {
			reads(t, c, tx, id)
		}
		require.Equal(t, []string{"6 get"}, steps(w, func() { require.NoError(t, tx.Commit(t.Context())) }))
	})
}

// A rollback takes the intents away, the primary's first: a read and a write of
// each.
func TestRoundTrips_OfARollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := storeA(t)
		ids := ascending(t, 4)
		fill(t, c, 0, ids...)
		tx := writing(t, c, 1, ids...)
		require.NoError(t, tx.Join(&member{diary: new(diary), prepare: fails(errOne)}))
		require.Equal(t, []string{"1 swap", "3 swap", "4 get", "1 get", "1 swap", "3 get", "3 swap"},
			steps(w, func() { require.ErrorIs(t, tx.Commit(t.Context()), errOne) }))
	})
}

// Reading an item with an intent takes one more round trip, to ask the primary,
// and where the transaction was undone a third.
func TestRoundTrips_OfReadingAnItemWithAnIntent(t *testing.T) {
	for _, decided := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, c := storeA(t)
			ids := ascending(t, 3)
			fill(t, c, 0, ids...)
			left(t, w, decided, ids...)
			look := func(id string) []string { return steps(w, func() { holding(t, c, id) }) }
			require.Equal(t, []string{"1 get"}, look(ids[0]), "the primary tells by itself")
			if decided {
				require.Equal(t, []string{"1 get", "1 get", "1 swap", "1 get"}, look(ids[1]), "installed on the way")
				require.Equal(t, []string{"1 get"}, look(ids[1]))
				return
			}
			require.Equal(t, []string{"1 get", "1 get"}, look(ids[1]))
			time.Sleep(later)
			written(t, c, ids[0])
			require.Equal(t, []string{"1 get", "1 get", "1 get"}, look(ids[1]))
			written(t, c, ids[1])
			require.Equal(t, []string{"1 get"}, look(ids[1]))
		})
	}
}
