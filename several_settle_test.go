package sessiondata_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// left lets a client die with a transaction over n of the sessions that set v to
// 1: decided, with nothing installed yet, or only prepared.
func left(t testing.TB, store sd.Store, decided bool, ids ...string) {
	t.Helper()
	fate := storetest.DieBefore
	if decided {
		fate = storetest.DieAfter
	}
	dies(t, store, len(ids)+1, fate, 1, ids...)
}

func ahead(d time.Duration) func() time.Time { return func() time.Time { return time.Now().Add(d) } }

func TestIntents_ItemThatHoldsOnlyAnIntentOrANoteReadsAsAbsent(t *testing.T) {
	for _, decided := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, c := storeA(t)
			ids := ascending(t, 2)
			fill(t, c, 0, ids[0])
			diesAt(t, w, 3, map[bool]storetest.Fault{false: storetest.DieBefore, true: storetest.DieAfter}[decided], func(c *sd.Container) *sd.Txn {
				tx := writing(t, c, 1, ids[1]) // new
				require.NoError(t, open(t, c, tx, ids[0]).Destroy())
				return tx
			})
			require.Len(t, keys(t, w.Store), 2)
			absent := ids[1]
			if decided {
				absent = ids[0]
			}
			tx := sd.Begin()
			require.True(t, open(t, c, tx, absent).IsNew())
			_, err := c.Existing(t.Context(), tx, absent)
			require.ErrorIs(t, err, sd.ErrNotFound)
			// Whoever creates one there settles first.
			require.NoError(t, open(t, c, tx, absent).Pkg("q").Set("w", 7))
			require.NoError(t, tx.Commit(t.Context()))
			require.Equal(t, pkg("q", map[string]any{"w": int64(7)}), stored(t, c, absent))
			if decided {
				require.Equal(t, []any{int64(1)}, holding(t, c, ids[1]))
			} else {
				require.Equal(t, []any{int64(0)}, holding(t, c, ids[0]))
			}
		})
	}
}

func TestIntents_ThePrimaryIsAskedAlsoWhereItsSessionHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := storeA(t)
		ids := ascending(t, 2)
		update(t, c, ids[0], func(s *sd.Session) { require.NoError(t, s.SetTimeout(time.Minute)) })
		fill(t, c, 0, ids...)
		left(t, w, true, ids...)
		time.Sleep(50 * time.Minute)
		require.Equal(t, []any{nil, int64(1)}, holding(t, c, ids...))
	})
}

// The item lives as long as the longest-lived body, at every step.
func TestIntents_ItemsLiveAsLongAsTheLongestLivedBody(t *testing.T) {
	for i, longest := range []time.Duration{3 * time.Hour, sd.NoTimeout, 3 * time.Hour, sd.NoTimeout, 3 * time.Hour} {
		w, c := storeA(t)
		ids := ascending(t, 3)
		fill(t, c, 0, ids...)
		longLived := func(timeout time.Duration) func(*sd.Session) {
			return func(s *sd.Session) { require.NoError(t, s.SetTimeout(timeout)) }
		}
		if i%2 == 0 { // as it was loaded
			update(t, c, ids[2], longLived(longest))
		}
		w.forget()
		tx := writing(t, c, 1, ids...)
		require.NoError(t, open(t, c, tx, ids[1]).Destroy())
		switch {
		case i == 4: // only as it was loaded
			longLived(0)(open(t, c, tx, ids[2]))
		case i%2 == 1: // only as it will be
			longLived(longest)(open(t, c, tx, ids[2]))
		}
		require.NoError(t, tx.Commit(t.Context()))
		ttl := func(timeout time.Duration) time.Duration {
			if timeout == sd.NoTimeout {
				return 0
			}
			return timeout + 10*time.Minute // twice the resolution
		}
		var ttls []time.Duration
		for _, c := range w.writes() {
			if c.op != "delete" {
				ttls = append(ttls, c.ttl)
			}
		}
		long, own := ttl(longest), ttl(time.Hour)
		installed := long
		if i == 4 {
			installed = own
		}
		// Three intents, the decision, one install, the clearing of the note.
		require.Equal(t, []time.Duration{long, long, long, long, installed, own}, ttls)
	}
}

// Taking back gives every item the time that it had.
func TestIntents_RolledBackItemsHaveTheirOwnTimeAgain(t *testing.T) {
	w, c := storeA(t)
	ids := ascending(t, 2)
	fill(t, c, 0, ids...)
	update(t, c, ids[1], func(s *sd.Session) { require.NoError(t, s.SetTimeout(3*time.Hour)) })
	w.forget()
	tx := writing(t, c, 1, ids...)
	require.NoError(t, tx.Join(&member{diary: new(diary), prepare: fails(errOne)}))
	require.ErrorIs(t, tx.Commit(t.Context()), errOne)
	var ttls []time.Duration
	for _, c := range w.writes() {
		ttls = append(ttls, c.ttl)
	}
	const long, own = 3*time.Hour + 10*time.Minute, time.Hour + 10*time.Minute
	require.Equal(t, []time.Duration{long, long, own, long}, ttls)
	require.Equal(t, keyOf(t, "a", ids[0]), w.writes()[2].key, "the primary's intent goes first")
	require.Equal(t, []any{int64(0), int64(0)}, holding(t, c, ids...))
}

// An intent outlives its deadline also where the sessions end sooner: else the
// last participant could commit into the void.
func TestIntents_ItemsLiveUntilTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := storeA(t, sd.Config{Timeout: time.Second})
		tx := writing(t, c, 1, ascending(t, 2)...)
		require.NoError(t, tx.JoinLast(&member{diary: new(diary), commit: func() error {
			time.Sleep(4 * time.Second)
			return nil
		}}))
		require.NoError(t, tx.Commit(t.Context()))
	})
}

// A session that was loaded with an intent on it, or a note, is not written over
// them.
func TestIntents_VersionReadWithAnIntentIsNotComparedAgainst(t *testing.T) {
	for who := range 2 {
		synctest.Test(t, func(t *testing.T) {
			_, c := storeA(t)
			ids := ascending(t, 2)
			fill(t, c, 0, ids...)
			other := hold(t, writing(t, c, 1, ids...))
			tx, s := begin(t, c, ids[who])
			require.NoError(t, s.Pkg("q").Set("w", 7))
			done := make(chan error, 1)
			go func() { done <- tx.Commit(t.Context()) }()
			time.Sleep(time.Second)
			require.Empty(t, done, "it writes while another is undecided")
			require.NoError(t, other.release())
			require.NoError(t, <-done)
			require.Equal(t, []any{int64(1), int64(1)}, holding(t, c, ids...))
			require.Equal(t, pkg("q", map[string]any{"w": int64(7)})["q"], stored(t, c, ids[who])["q"])
		})
	}
}

// Only a note tells that its transaction has committed: whatever is done to an
// item with one, it goes when nobody needs to ask any more.
func TestIntents_TheNoteGoesWhenTheOthersAreInstalled(t *testing.T) {
	acts := map[string]func(t *testing.T, c *sd.Container, id string){
		"written": func(t *testing.T, c *sd.Container, id string) { set(t, c, id, "q", "w", 7) },
		"destroyed": func(t *testing.T, c *sd.Container, id string) {
			update(t, c, id, func(s *sd.Session) { require.NoError(t, s.Destroy()) })
		},
		"renewed": func(t *testing.T, c *sd.Container, id string) {
			update(t, c, id, func(s *sd.Session) {
				_, err := s.Renew()
				require.NoError(t, err)
			})
		},
		"written with another": func(t *testing.T, c *sd.Container, id string) {
			tx := writing(t, c, 2, "another")
			require.NoError(t, open(t, c, tx, id).Pkg("q").Set("w", 7))
			require.NoError(t, tx.Commit(t.Context()))
		},
		"destroyed with another": func(t *testing.T, c *sd.Container, id string) {
			tx := writing(t, c, 2, "another")
			require.NoError(t, open(t, c, tx, id).Destroy())
			require.NoError(t, tx.Commit(t.Context()))
		},
	}
	for what, act := range acts {
		for _, loadedBefore := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w, c := storeA(t)
				ids := ascending(t, 3)
				fill(t, c, 0, ids...)
				if loadedBefore { // it finds the note by a conflict
					loaded, first := &wire{Store: w}, true
					loaded.on = func(call call, pass func() error) error {
						if call.write() && first {
							first = false
							left(t, w, true, ids...)
						}
						return pass()
					}
					act(t, containerA(t, loaded, sd.Config{CommitTimeout: time.Minute}), ids[0])
				} else {
					left(t, w, true, ids...)
					act(t, c, ids[0])
				}
				require.Equal(t, []any{int64(1), int64(1)}, holding(t, c, ids[1:]...), "%s, loaded before: %v", what, loadedBefore)
			})
		}
	}
}

// Where one of those that the note lists cannot be reached, the note stays, and
// so does the item.
func TestIntents_TheNoteStaysWhileOneCannotBeInstalled(t *testing.T) {
	synctest.Test(t, noteStaysWhileOneCannotBeInstalled)
}

func noteStaysWhileOneCannotBeInstalled(t *testing.T) {
	w, c := storeA(t)
	ids := ascending(t, 3)
	fill(t, c, 0, ids...)
	left(t, w, true, ids...)
	w.answer(func(c call, pass func() error) error {
		if c.key == keyOf(t, "a", ids[2]) {
			return sd.ErrUnavailable
		}
		return pass()
	})
	require.Equal(t, []any{int64(1), int64(1)}, holding(t, c, ids[:2]...), "it can be read")
	err := c.Update(t.Context(), ids[0], func(s *sd.Session) error { return s.Pkg("p").Set("v", 2) })
	require.ErrorIs(t, err, sd.ErrUnavailable)
	w.answer(nil)
	require.Equal(t, []any{int64(1), int64(1), int64(1)}, holding(t, c, ids...))
	fill(t, c, 3, ids...)
	require.Equal(t, []any{int64(3), int64(3), int64(3)}, holding(t, c, ids...))
}
