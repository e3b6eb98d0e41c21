package sessiondata_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// The rules that hold over any store are checked by storetest.RunSessions; what
// stands in this package holds whatever the store, or needs one under control.
func TestSessionsOverTheEmbeddedStore(t *testing.T) {
	storetest.RunSessions(t, func(*testing.T) sd.Store { return memstore.New(memstore.Config{}) })
}

func TestRule01_ReadingWhatIsAbsentStoresNothingAndChangesNothing(t *testing.T) {
	for _, exists := range []bool{false, true} {
		w := newWire()
		c := container(t, w)
		if exists {
			set(t, c, "id", "there", "k", 1)
			w.forget()
		}
		tx, s := begin(t, c, "id")
		p := s.Pkg("absent")
		require.ErrorIs(t, p.Get("k", new(int)), sd.ErrKeyNotFound)
		_, err := sd.Get[int](p, "k")
		require.ErrorIs(t, err, sd.ErrKeyNotFound)
		v, err := sd.GetOr(p, "k", 7)
		require.NoError(t, err)
		require.Equal(t, 7, v)
		_, err = sd.Pop[int](p, "k")
		require.ErrorIs(t, err, sd.ErrKeyNotFound)
		require.ErrorIs(t, sd.Modify(p, "k", func(*int) error { return errOne }), errOne)
		require.False(t, p.Has("k"))
		require.Zero(t, p.Len())
		require.Empty(t, p.Keys())
		for range p.All() {
			t.Fatal("a value of an absent package")
		}
		require.NoError(t, p.Delete("k"))
		require.NoError(t, p.Clear())
		require.NoError(t, s.DeletePkg("absent too"))
		require.False(t, s.Pkg("there").Has("absent"))
		require.NotContains(t, s.Packages(), "absent")
		require.Equal(t, !exists, s.IsNew())
		require.Equal(t, sd.Unmodified, s.Status())
		require.NoError(t, tx.Commit(t.Context()))
		require.Equal(t, []string{"get"}, w.ops())
	}
}

func TestRule01_EqualValueAndChangeTakenBackStoreNothing(t *testing.T) {
	w := newWire()
	c := container(t, w)
	update(t, c, "id", func(s *sd.Session) {
		require.NoError(t, s.Pkg("p").Set("k", map[string]int{"a": 1, "b": 2}))
		require.NoError(t, s.Pkg("p").Set("other", "x"))
		require.NoError(t, s.SetTimeout(3*time.Hour))
	})
	w.forget()
	for name, fn := range map[string]func(s *sd.Session, p *sd.PkgData) error{
		"equal value": func(_ *sd.Session, p *sd.PkgData) error { return p.Set("k", map[string]int{"b": 2, "a": 1}) },
		"modified to equal": func(_ *sd.Session, p *sd.PkgData) error {
			return sd.Modify(p, "other", func(*string) error { return nil })
		},
		"there already": func(_ *sd.Session, p *sd.PkgData) error {
			v, err := sd.SetDefault(p, "other", "y")
			require.Equal(t, "x", v)
			return err
		},
		"set and set back": func(_ *sd.Session, p *sd.PkgData) error {
			require.NoError(t, p.Set("other", "y"))
			return p.Set("other", "x")
		},
		"deleted and set again": func(_ *sd.Session, p *sd.PkgData) error {
			require.NoError(t, p.Delete("other"))
			return p.Set("other", "x")
		},
		"added and deleted": func(_ *sd.Session, p *sd.PkgData) error {
			require.NoError(t, p.Set("new", 1))
			return p.Delete("new")
		},
		"new package, cleared": func(s *sd.Session, _ *sd.PkgData) error {
			require.NoError(t, s.Pkg("new").Set("k", 1))
			return s.DeletePkg("new")
		},
		"same timeout": func(s *sd.Session, _ *sd.PkgData) error { return s.SetTimeout(3 * time.Hour) },
		"timeout and back": func(s *sd.Session, _ *sd.PkgData) error {
			require.NoError(t, s.SetTimeout(time.Hour))
			return s.SetTimeout(3 * time.Hour)
		},
		"failed step": func(s *sd.Session, p *sd.PkgData) error {
			err := s.Txn().Atomic(func() error {
				require.NoError(t, p.Clear())
				require.NoError(t, s.SetTimeout(1))
				_, err := s.Renew()
				require.NoError(t, err)
				require.NoError(t, s.Destroy())
				return errOne
			})
			require.ErrorIs(t, err, errOne)
			return nil
		},
	} {
		update(t, c, "id", func(s *sd.Session) {
			require.NoError(t, fn(s, s.Pkg("p")), name)
			require.Equal(t, sd.Unmodified, s.Status(), name)
		})
		require.Empty(t, w.writes(), name)
	}
}

func TestRule01_NewSessionIsStoredOnlyIfChanged(t *testing.T) {
	w := newWire()
	c := container(t, w)
	tx := sd.Begin()
	s, err := c.New(t.Context(), tx)
	require.NoError(t, err)
	require.True(t, s.IsNew())
	_, err = s.Renew()
	require.NoError(t, err)
	require.Equal(t, sd.Unmodified, s.Status())
	require.NoError(t, tx.Commit(t.Context()))
	require.Empty(t, w.ops())

	tx = sd.Begin()
	s, err = c.New(t.Context(), tx)
	require.NoError(t, err)
	require.NoError(t, s.Pkg("p").Set("k", 1))
	require.NoError(t, s.Destroy())
	require.NoError(t, tx.Commit(t.Context()))
	require.Empty(t, w.ops(), "made and destroyed")

	require.NoError(t, c.Update(t.Context(), "id", func(s *sd.Session) error { return s.SetTimeout(time.Hour) }))
	require.Equal(t, []string{"get", "add"}, w.ops(), "a timeout is a change")
	require.Equal(t, map[string]map[string]any{}, stored(t, c, "id"), "a session without values")
}

func TestRule02_SessionIsReadOnceHoweverOftenItIsUsed(t *testing.T) {
	w := newWire()
	c := container(t, w)
	set(t, c, "id", "p", "k", 1)
	w.forget()
	tx, s := begin(t, c, "id")
	for range 3 {
		require.Same(t, s, open(t, c, tx, "id"))
		again, err := c.Existing(t.Context(), tx, "id")
		require.NoError(t, err)
		require.Same(t, s, again)
		require.True(t, s.Pkg("p").Has("k"))
		sp := savepoint(t, tx)
		require.NoError(t, s.Pkg("p").Set("k", 2))
		require.NoError(t, sp.Rollback())
	}
	_, err := c.Existing(t.Context(), tx, "absent")
	require.ErrorIs(t, err, sd.ErrNotFound)
	require.True(t, open(t, c, tx, "absent").IsNew())
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []string{"get", "get"}, w.ops())
}

func TestRule02_ParallelFirstUseLoadsOnce(t *testing.T) {
	w := newWire()
	c := container(t, w)
	set(t, c, "id", "p", "k", 1)
	arrived, enter := make(chan struct{}), make(chan struct{})
	w.answer(func(_ call, pass func() error) error {
		close(arrived)
		<-enter
		return pass()
	})
	tx := sd.Begin()
	handles := make(chan *sd.Session)
	for range 4 {
		go func() {
			s, err := c.Session(t.Context(), tx, "id")
			if err != nil {
				t.Error(err)
			}
			handles <- s
		}()
	}
	<-arrived
	close(enter)
	first := <-handles
	for range 3 {
		require.Same(t, first, <-handles)
	}
	require.Equal(t, []string{"get"}, w.ops())
	require.NoError(t, tx.Commit(t.Context()))
}

func TestRule02_FailedLoadIsTriedAgainByWhoWaitedAndByTheNext(t *testing.T) {
	w := newWire()
	c := container(t, w)
	set(t, c, "id", "p", "k", 1)
	w.answer(func(call call, pass func() error) error {
		if call.n == 1 {
			return sd.ErrUnavailable
		}
		return pass()
	})
	tx := sd.Begin()
	_, err := c.Session(t.Context(), tx, "id")
	require.ErrorIs(t, err, sd.ErrUnavailable)
	require.True(t, open(t, c, tx, "id").Pkg("p").Has("k"))
	require.NoError(t, tx.Commit(t.Context()))
}

func TestRule03_OneHandlePerSessionAndPerPackage(t *testing.T) {
	c := container(t, newWire())
	tx, s := begin(t, c, "id")
	require.Same(t, s, open(t, c, tx, "id"))
	require.Same(t, s.Pkg("p"), s.Pkg("p"))
	require.NotSame(t, s.Pkg("p"), s.Pkg("q"))
	require.Equal(t, "p", s.Pkg("p").Name())
	require.Same(t, tx, s.Txn())
	sp := savepoint(t, tx)
	p := s.Pkg("late")
	require.NoError(t, p.Set("k", 1))
	require.NoError(t, sp.Rollback())
	require.Same(t, p, s.Pkg("late"))
	require.NoError(t, p.Set("k", 2))
	require.Equal(t, 1, s.Pkg("late").Len())
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, pkg("late", map[string]any{"k": int64(2)}), stored(t, c, "id"))
}

func TestRule03_RenewedSessionIsOneHandleUnderBothIDs(t *testing.T) {
	w := newWire()
	c := container(t, w)
	set(t, c, "id", "p", "k", 1)
	w.forget()
	tx, s := begin(t, c, "id")
	renewed, err := s.Renew()
	require.NoError(t, err)
	require.Same(t, s, open(t, c, tx, "id"))
	require.Same(t, s, open(t, c, tx, renewed))
	require.Equal(t, renewed, s.ID())
	require.Equal(t, []string{"get"}, w.ops())
	require.NoError(t, tx.Rollback())
	require.Equal(t, "id", s.ID(), "the renewal did not happen")
}

func TestRule06_ContainersOfOtherNamesAreInvisible(t *testing.T) {
	w := newWire()
	a, b := container(t, w, sd.Config{Name: "a"}), container(t, w, sd.Config{Name: "b"})
	set(t, a, "id", "p", "k", "a")
	require.Nil(t, stored(t, b, "id"))
	set(t, b, "id", "p", "k", "b")
	update(t, b, "id", func(s *sd.Session) { require.NoError(t, s.Destroy()) })
	require.Equal(t, pkg("p", map[string]any{"k": "a"}), stored(t, a, "id"))
}

func TestRule06_NamesAndIDsCannotBeArrangedToMeet(t *testing.T) {
	w := newWire()
	for i, at := range []struct{ name, id string }{
		{"a", "b"}, {"a-b", "c"}, {"a", "-bc"}, {"a-", "bc"}, {"ab", ""}, {"a", "\x00b"}, {"a", "b\x00"}, {"a", ":b"},
	} {
		if at.id == "" {
			at.id = "\x00"
		}
		c := container(t, w, sd.Config{Name: at.name})
		require.Nil(t, stored(t, c, at.id))
		set(t, c, at.id, "p", "k", i)
		require.Len(t, keys(t, w.Store), i+1)
	}
}

func TestRule06_OneStoredSessionByTwoContainersInOneTransactionIsRefused(t *testing.T) {
	w := newWire()
	a, b := container(t, w), container(t, w)
	tx, s := begin(t, a, "id")
	_, err := b.Session(t.Context(), tx, "id")
	require.ErrorIs(t, err, sd.ErrInvalid)
	require.Same(t, s, open(t, a, tx, "id"))
	open(t, b, tx, "another")
	require.NoError(t, tx.Rollback())
}

func TestNew_DrawsIDsOfTheirOwn(t *testing.T) {
	c := container(t, newWire())
	tx := sd.Begin()
	seen := map[string]bool{}
	for range 50 {
		s, err := c.New(t.Context(), tx)
		require.NoError(t, err)
		require.Len(t, s.ID(), 43)
		require.Regexp(t, `^[A-Za-z0-9_-]+$`, s.ID())
		require.False(t, seen[s.ID()])
		seen[s.ID()] = true
		require.Same(t, s, open(t, c, tx, s.ID()))
	}
	require.NoError(t, tx.Rollback())
}

func TestClose_EndsTheContainerButNotWhatIsUnderWay(t *testing.T) {
	w := newWire()
	c := container(t, w)
	tx, s := begin(t, c, "id")
	require.NoError(t, s.Pkg("p").Set("k", 1))
	require.NoError(t, c.Ping(t.Context()))
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	for _, err := range []error{
		c.Ping(t.Context()),
		c.Update(t.Context(), "id", func(*sd.Session) error { return nil }),
		c.View(t.Context(), "id", func(*sd.Session) error { return nil }),
	} {
		require.ErrorIs(t, err, sd.ErrClosed)
	}
	_, err := c.Session(t.Context(), sd.Begin(), "id")
	require.ErrorIs(t, err, sd.ErrClosed)
	_, err = c.Existing(t.Context(), sd.Begin(), "id")
	require.ErrorIs(t, err, sd.ErrClosed)
	_, err = c.New(t.Context(), sd.Begin())
	require.ErrorIs(t, err, sd.ErrClosed)
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, pkg("p", map[string]any{"k": int64(1)}), stored(t, container(t, w), "id"))
}
