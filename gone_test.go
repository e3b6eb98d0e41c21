package sessiondata_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

func TestRule18_DestroyAndRenewWinOverWritersInFlight(t *testing.T) {
	writers := map[string]func(s *sd.Session){
		"set":     setting("k", 2),
		"delete":  deleting("k"),
		"timeout": func(s *sd.Session) { _ = s.SetTimeout(2 * time.Hour) },
		"renew":   func(s *sd.Session) { _, _ = s.Renew() },
	}
	winners := map[string]func(s *sd.Session){
		"destroy": func(s *sd.Session) { _ = s.Destroy() },
		"renew":   func(s *sd.Session) { _, _ = s.Renew() },
	}
	for wname, winner := range winners {
		for name, writer := range writers {
			for _, policy := range []sd.ConflictPolicy{sd.Merge, sd.Serializable, sd.Overwrite} {
				for _, anew := range []bool{false, true} {
					w := newWire()
					c := container(t, w, sd.Config{Conflict: policy})
					set(t, c, "id", "p", "k", 1)
					tx, s := begin(t, c, "id")
					writer(s)
					update(t, c, "id", winner)
					var want map[string]map[string]any
					if anew {
						set(t, c, "id", "anew", "k", 1)
						want = pkg("anew", map[string]any{"k": int64(1)})
					}
					live := len(keys(t, w.Store))
					require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrGone, "%s against %s", wname, name)
					require.Equal(t, sd.RolledBack, tx.State())
					require.Equal(t, want, stored(t, c, "id"), "%s against %s", wname, name)
					require.Len(t, keys(t, w.Store), live, "nothing is left behind")
				}
			}
		}
	}
}

func TestRule18_SessionMadeAnewIsNeverMergedWithItsPredecessor(t *testing.T) {
	// Equal contents, equal revision: only the birth differs.
	c := container(t, newWire())
	set(t, c, "id", "p", "k", 1)
	tx, s := begin(t, c, "id")
	require.NoError(t, s.Pkg("p").Set("mine", 1))
	update(t, c, "id", func(s *sd.Session) { require.NoError(t, s.Destroy()) })
	set(t, c, "id", "p", "k", 1)
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrGone)
	require.Equal(t, only, stored(t, c, "id"))
}

func TestRule18_DestroyOfASessionMadeAnewLeavesTheNewOne(t *testing.T) {
	c := container(t, newWire())
	set(t, c, "id", "p", "k", 1)
	tx, s := begin(t, c, "id")
	require.NoError(t, s.Destroy())
	update(t, c, "id", func(s *sd.Session) { require.NoError(t, s.Destroy()) })
	set(t, c, "id", "anew", "k", 1)
	require.NoError(t, tx.Commit(t.Context()), "what was to be destroyed is")
	require.Equal(t, pkg("anew", map[string]any{"k": int64(1)}), stored(t, c, "id"))
}

func TestRule18_DestroyWinsOverCommitsThatComeBetween(t *testing.T) {
	w := newWire()
	c, others := container(t, w), container(t, w.Store)
	set(t, c, "id", "p", "k", 1)
	tx, s := begin(t, c, "id")
	require.NoError(t, s.Destroy())
	w.answer(func(call call, pass func() error) error {
		if call.op == "delete" && call.n <= 5 {
			set(t, others, "id", "p", "theirs", call.n)
		}
		return pass()
	})
	require.NoError(t, tx.Commit(t.Context()))
	require.Nil(t, stored(t, others, "id"))
}

func TestRule18_DestroyOfWhatIsGoneOrNewIsSuccess(t *testing.T) {
	w := newWire()
	c := container(t, w)
	set(t, c, "id", "p", "k", 1)
	tx, s := begin(t, c, "id")
	require.NoError(t, s.Destroy())
	require.NoError(t, s.Destroy(), "twice")
	update(t, c, "id", func(s *sd.Session) { require.NoError(t, s.Destroy()) })
	require.NoError(t, tx.Commit(t.Context()))

	w.forget()
	update(t, c, "never", func(s *sd.Session) { require.NoError(t, s.Destroy()) })
	require.Equal(t, []string{"get"}, w.ops())
}

func TestRule18_DestroyedSessionReadsAsEmptyAndRefusesChanges(t *testing.T) {
	c := container(t, newWire())
	set(t, c, "id", "p", "k", 1)
	update(t, c, "id", func(s *sd.Session) {
		p := s.Pkg("p")
		require.NoError(t, p.Set("new", 1))
		require.NoError(t, s.Destroy())
		require.ErrorIs(t, p.Set("k", 2), sd.ErrGone)
		require.Equal(t, sd.Destroyed, s.Status())
		require.ErrorIs(t, p.Get("k", new(int)), sd.ErrKeyNotFound)
		require.False(t, p.Has("new"))
		require.Zero(t, p.Len())
		require.Empty(t, p.Keys())
		require.Empty(t, s.Packages())
		require.True(t, s.Deadline().IsZero())
		for range p.All() {
			t.Fatal("a value")
		}
		_, renew := s.Renew()
		for name, err := range map[string]error{
			"Set": p.Set("k", 2), "Delete": p.Delete("k"), "Clear": p.Clear(), "DeletePkg": s.DeletePkg("q"),
			"SetTimeout": s.SetTimeout(time.Hour), "Renew": renew, "Pop": second(sd.Pop[int](p, "k")),
			"SetDefault": second(sd.SetDefault(p, "k", 1)), "Modify": sd.Modify(p, "k", func(*int) error { return nil }),
		} {
			require.ErrorIs(t, err, sd.ErrGone, name)
		}
	})
	require.Nil(t, stored(t, c, "id"))
}

func TestRule18_RenewedThenDestroyedIsDestroyed(t *testing.T) {
	w := newWire()
	c := container(t, w)
	set(t, c, "id", "p", "k", 1)
	update(t, c, "id", func(s *sd.Session) {
		_, err := s.Renew()
		require.NoError(t, err)
		require.NoError(t, s.Destroy())
	})
	require.Empty(t, keys(t, w.Store))
}

func TestRule18_TwoParallelRenewsLeaveOneLiveID(t *testing.T) {
	for range 20 {
		w := newWire()
		c := container(t, w)
		set(t, c, "id", "p", "k", 1)
		ids, errs := make([]string, 4), make([]error, 4)
		txs := make([]*sd.Txn, 4)
		for i := range ids {
			tx, s := begin(t, c, "id")
			id, err := s.Renew()
			require.NoError(t, err)
			txs[i], ids[i] = tx, id
		}
		together(4, func(i int) { errs[i] = txs[i].Commit(t.Context()) })
		won := 0
		for i, err := range errs {
			if err == nil {
				won++
				require.Equal(t, only, stored(t, c, ids[i]))
			} else {
				require.ErrorIs(t, err, sd.ErrGone)
			}
		}
		require.Equal(t, 1, won)
		require.Len(t, keys(t, w.Store), 1)
	}
}

func TestRule18_RenewOfANewSessionStoresItUnderTheNewIDAlone(t *testing.T) {
	w := newWire()
	c := container(t, w)
	var id string
	update(t, c, "id", func(s *sd.Session) {
		first, err := s.Renew()
		require.NoError(t, err)
		id, err = s.Renew()
		require.NoError(t, err)
		require.NotEqual(t, first, id)
		require.NoError(t, s.Pkg("p").Set("k", 1))
	})
	require.Equal(t, []string{"get", "add"}, w.ops())
	require.Nil(t, stored(t, c, "id"))
	require.Equal(t, only, stored(t, c, id))
}

func TestRule18_RenewedSessionKeepsItsFacts(t *testing.T) {
	clock := newClock()
	w := newWire()
	c := container(t, w, sd.Config{Now: clock.Now, Lifetime: 3 * time.Hour})
	created := clock.Now()
	update(t, c, "id", func(s *sd.Session) {
		setting("k", 1)(s)
		require.NoError(t, s.SetTimeout(2*time.Hour))
	})
	clock.move(time.Hour)
	var id string
	update(t, c, "id", func(s *sd.Session) { id, _ = s.Renew() })
	_, s := begin(t, c, id)
	require.False(t, s.IsNew())
	require.True(t, created.Equal(s.Created()))
	require.Equal(t, 2*time.Hour, s.Timeout())
	require.True(t, created.Add(time.Hour).Equal(s.LastAccess()))
	require.True(t, created.Add(3*time.Hour).Equal(s.Deadline()), "the lifetime does not begin anew")
}

func TestNew_AnIDThatIsTakenIsErrExists(t *testing.T) {
	w := newWire()
	c := container(t, w)
	tx := sd.Begin()
	s, err := c.New(t.Context(), tx)
	require.NoError(t, err)
	require.NoError(t, s.Pkg("p").Set("k", 1))
	set(t, c, s.ID(), "p", "theirs", 1)
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrExists)
	require.Equal(t, pkg("p", map[string]any{"theirs": int64(1)}), stored(t, c, s.ID()))

	for name, exists := range map[string]bool{"renewed": true, "new and renewed": false} {
		if exists {
			set(t, c, "id", "p", "k", 1)
		}
		tx, s := begin(t, c, "id")
		id, err := s.Renew()
		require.NoError(t, err)
		require.NoError(t, s.Pkg("p").Set("mine", 1))
		set(t, c, id, "p", "theirs", 1)
		require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrExists, name)
		require.Equal(t, pkg("p", map[string]any{"theirs": int64(1)}), stored(t, c, id), name)
		if exists {
			require.Equal(t, only, stored(t, c, "id"), name)
			update(t, c, "id", func(s *sd.Session) { _ = s.Destroy() })
		}
	}
}
