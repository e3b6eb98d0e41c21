package sessiondata_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// placed returns the keys of the first n writes.
func (w *wire) placed(n int) (keys []string) {
	for _, c := range w.writes()[:n] {
		keys = append(keys, c.key)
	}
	return keys
}

func TestIntents_PrimaryIsTheFirstInOrderAndPlacedBeforeAllOthers(t *testing.T) {
	for _, what := range []string{"changed", "destroyed"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, c := storeA(t)
				ids := ascending(t, 4)
				fill(t, c, 0, ids...)
				tx := writing(t, c, 1, ids[3], ids[1], ids[2])
				if s := open(t, c, tx, ids[0]); what == "destroyed" {
					require.NoError(t, s.Destroy())
				} else {
					require.NoError(t, s.Pkg("p").Set("v", 1))
				}
				w.answer(func(c call, pass func() error) error {
					if c.write() && c.key == keyOf(t, "a", ids[0]) {
						time.Sleep(time.Second) // time for others that do not wait for it
					}
					return pass()
				})
				require.NoError(t, tx.Commit(t.Context()))
				placed := w.placed(5)
				require.Equal(t, keyOf(t, "a", ids[0]), placed[0])
				require.NotContains(t, placed[1:4], placed[0])
				require.Equal(t, placed[0], placed[4], "the primary's is the deciding write")
			})
		})
	}
}

// A renewed session is a delete under its old id and a put under its new one;
// the put is placed when all else has been.
func TestIntents_RenewalIsADeleteAndAPutThatIsPlacedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 4 { // the new id is random
			w, c := storeA(t)
			ids := ascending(t, 3)
			fill(t, c, 0, ids...)
			tx := writing(t, c, 1, ids...)
			next, err := open(t, c, tx, ids[0]).Renew()
			require.NoError(t, err)
			w.answer(func(c call, pass func() error) error {
				if c.op != "add" && c.write() {
					time.Sleep(time.Second)
				}
				return pass()
			})
			require.NoError(t, tx.Commit(t.Context()))
			require.Equal(t, keyOf(t, "a", ids[0]), w.placed(1)[0])
			require.Equal(t, keyOf(t, "a", next), w.placed(4)[3])
			require.Equal(t, "add", w.writes()[3].op)
			require.Equal(t, []any{nil, int64(1), int64(1), int64(1)}, holding(t, c, ids[0], ids[1], ids[2], next))
		}
	})
}

// What others write into a session between the loading of it and its intent is
// in the new body, too.
func TestIntents_ConflictsAreMergedWhilePlacing(t *testing.T) {
	for _, renew := range []bool{false, true} {
		t.Run(fmt.Sprint("renewed: ", renew), func(t *testing.T) {
			_, c := storeA(t)
			ids := ascending(t, 3)
			fill(t, c, 0, ids...)
			tx := writing(t, c, 1, ids...)
			last := ids[2]
			if renew {
				var err error
				last, err = open(t, c, tx, last).Renew()
				require.NoError(t, err)
			}
			set(t, c, ids[0], "q", "w", 5)
			set(t, c, ids[2], "q", "w", 6)
			require.NoError(t, tx.Commit(t.Context()))
			want := func(w int) map[string]map[string]any {
				return map[string]map[string]any{"p": {"v": int64(1)}, "q": {"w": int64(w)}}
			}
			require.Equal(t, want(5), stored(t, c, ids[0]))
			require.Equal(t, want(6), stored(t, c, last))

			tx = writing(t, c, 2, ids[0], ids[1])
			fill(t, c, 3, ids[1])
			require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrConflict)
			require.Equal(t, []any{int64(1), int64(3)}, holding(t, c, ids[0], ids[1]))
		})
	}
}

func TestIntents_SessionDestroyedByAnotherIsNothingToDestroy(t *testing.T) {
	ids := ascending(t, 3)
	for gone := range 3 {
		_, c := storeA(t)
		fill(t, c, 0, ids...)
		tx := sd.Begin()
		for i, id := range ids {
			if s := open(t, c, tx, id); i <= gone {
				require.NoError(t, s.Destroy())
			} else {
				require.NoError(t, s.Pkg("p").Set("v", 1))
			}
		}
		for _, id := range ids[:gone+1] {
			update(t, c, id, func(s *sd.Session) { require.NoError(t, s.Destroy()) })
		}
		fill(t, c, 7, ids[0]) // made anew: another session, which stays
		require.NoError(t, tx.Commit(t.Context()))
		want := []any{int64(7), nil, nil}
		for i := gone + 1; i < 3; i++ {
			want[i] = int64(1)
		}
		require.Equal(t, want, holding(t, c, ids...))
	}
}

func TestIntents_ChangedSessionDestroyedByAnotherIsErrGone(t *testing.T) {
	ids := ascending(t, 3)
	for i := range ids {
		for _, anew := range []bool{false, true} {
			_, c := storeA(t)
			fill(t, c, 0, ids...)
			tx := writing(t, c, 1, ids...)
			update(t, c, ids[i], func(s *sd.Session) { require.NoError(t, s.Destroy()) })
			want := []any{int64(0), int64(0), int64(0)}
			want[i] = nil
			if anew {
				fill(t, c, 7, ids[i])
				want[i] = int64(7)
			}
			require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrGone)
			require.Equal(t, want, holding(t, c, ids...))
		}
	}
}

// Two transactions over the same sessions meet in one order: each that waits
// holds nothing that the other could be waiting for.
func TestIntents_TransactionsThatPlaceInParallelDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := storeA(t)
		ids := ascending(t, 5)
		fill(t, c, 0, ids...)
		// Each has a primary of its own, and the rest in common. The first gets
		// hold of ids[4] first, the second of ids[2].
		first, second := writing(t, c, 1, ids[0], ids[2], ids[3], ids[4]), writing(t, c, 2, ids[1])
		for _, id := range ids[2:] {
			require.NoError(t, open(t, c, second, id).Pkg("q").Set("v", 2))
		}
		slow := map[string]time.Duration{}
		w.answer(func(c call, pass func() error) error {
			if c.op == "swap" {
				w.mu.Lock()
				d := slow[c.key]
				delete(slow, c.key) // once: the first to come
				w.mu.Unlock()
				time.Sleep(d)
			}
			return pass()
		})
		w.mu.Lock()
		slow[keyOf(t, "a", ids[2])] = 20 * time.Millisecond
		w.mu.Unlock()
		start := time.Now()
		done := make(chan error)
		go func() { done <- first.Commit(t.Context()) }()
		go func() {
			time.Sleep(10 * time.Millisecond)
			done <- second.Commit(t.Context())
		}()
		require.NoError(t, <-done)
		require.NoError(t, <-done)
		require.Less(t, time.Since(start), time.Second, "they waited for a deadline")
		require.Equal(t, []any{int64(1), int64(2), int64(1), int64(1), int64(1)}, holding(t, c, ids...))
	})
}

// The same, by many at once: a wait for one another would end by a deadline,
// after five seconds.
func TestIntents_NoDeadlockAmongManyTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := containerA(t, slowed{memstore.New(memstore.Config{})})
		ids := ascending(t, 6)
		fill(t, c, 0, ids...)
		var wg sync.WaitGroup
		for client := range 6 {
			wg.Go(func() {
				for n := range 30 {
					tx := sd.Begin()
					for i, id := range ids {
						if (client+n+i)%3 > 0 {
							s, err := c.Session(t.Context(), tx, id)
							if err != nil || s.Pkg(fmt.Sprint("client ", client)).Set("n", n) != nil {
								t.Error(err)
							}
						}
					}
					start := time.Now()
					if err := tx.Commit(t.Context()); err != nil {
						t.Error(err)
					}
					if took := time.Since(start); took > 4*time.Second {
						t.Errorf("a commit took %v", took)
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestIntents_FreshSessionBehindOneThatIsWaitedForIsPlaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := storeA(t)
		ids := ascending(t, 3)
		fill(t, c, 0, ids...)
		other := hold(t, writing(t, c, 1, ids[1:]...))
		var tx *sd.Txn
		var fresh *sd.Session
		for fresh == nil || keyOf(t, "a", fresh.ID()) < keyOf(t, "a", ids[1]) {
			tx = writing(t, c, 2, ids[0])
			require.NoError(t, open(t, c, tx, ids[1]).Pkg("q").Set("v", 2))
			var err error
			fresh, err = c.New(t.Context(), tx)
			require.NoError(t, err)
		}
		require.NoError(t, fresh.Pkg("p").Set("v", 2))
		id := fresh.ID()
		done := make(chan error)
		go func() { done <- tx.Commit(t.Context()) }()
		time.Sleep(time.Second)
		require.NoError(t, other.release())
		require.NoError(t, <-done)
		require.Equal(t, []any{int64(2), int64(1), int64(1), int64(2)}, holding(t, c, ids[0], ids[1], ids[2], id))
	})
}

func TestIntents_SessionsOfTwoStoresAreErrNotSupportedBeforeAnythingIsWritten(t *testing.T) {
	one, a := storeA(t)
	two := newWire()
	b := container(t, two, sd.Config{Name: "b"})
	tx := sd.Begin()
	require.NoError(t, open(t, a, tx, "x").Pkg("p").Set("v", 1))
	require.NoError(t, open(t, b, tx, "x").Pkg("p").Set("v", 1))
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrNotSupported)
	require.Equal(t, sd.RolledBack, tx.State())
	require.Empty(t, slices.Concat(one.writes(), two.writes()))

	// To read in one and write in the other is no matter.
	fill(t, a, 1, "x")
	tx = sd.Begin()
	_, err := sd.GetOr(open(t, a, tx, "x").Pkg("p"), "v", 0)
	require.NoError(t, err)
	require.NoError(t, open(t, b, tx, "x").Pkg("p").Set("v", 1))
	require.NoError(t, tx.Commit(t.Context()))
}

func TestIntents_MoreSessionsThanANoteCanListAreRefusedBeforeAnythingIsWritten(t *testing.T) {
	w, c := storeA(t, sd.Config{MaxSize: 1 << 30})
	tx := sd.Begin()
	for range 1<<16 + 1 {
		s, err := c.New(t.Context(), tx)
		require.NoError(t, err)
		require.NoError(t, s.Pkg("p").Set("v", 1))
	}
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrNotSupported)
	require.Empty(t, w.writes())
}
