package sessiondata_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// meetAt commits mine on a session that another has changed by theirs, after a
// while.
func meetAt(t *testing.T, c *sd.Container, clock *clock, while time.Duration, mine, theirs func(*sd.Session) error) error {
	t.Helper()
	tx := sd.Begin()
	s, err := c.Session(t.Context(), tx, "v")
	require.NoError(t, err)
	require.NoError(t, mine(s))
	clock.move(while)
	require.NoError(t, c.Update(t.Context(), "v", theirs))
	return tx.Commit(t.Context())
}

func TestMergingTakesWhatHasEndedAsAbsentOnBothSides(t *testing.T) {
	readAndSet := func(s *sd.Session) error {
		return sd.Modify(s.Pkg("p"), "k", func(n *int) error { *n++; return nil })
	}
	for name, c := range map[string]struct {
		mine, theirs func(*sd.Session) error
		while        time.Duration
		conflict     bool
		want         int // of k; 0: absent
	}{
		"theirs swept it out":                    {setIn("p", "k", 7), setIn("p", "other", 1), time.Minute, false, 7},
		"theirs swept it out, mine had read it":  {func(s *sd.Session) error { s.Pkg("p").Has("k"); return s.Pkg("p").Set("k", 7) }, setIn("p", "other", 1), time.Minute, false, 7},
		"theirs wrote elsewhere, and it ended":   {setIn("p", "k", 7), setIn("q", "other", 1), time.Minute, false, 7},
		"mine deletes what has ended meanwhile":  {func(s *sd.Session) error { return s.Pkg("p").Delete("k") }, setIn("p", "other", 1), time.Minute, false, 0},
		"theirs began it anew":                   {readAndSet, setForIn("p", "k", 9, time.Hour), time.Minute, true, 9},
		"theirs gave it another end":             {readAndSet, setForIn("p", "k", 1, time.Hour), time.Second, true, 1},
		"both gave it the same, blindly":         {setIn("p", "k", 3), setIn("p", "k", 3), time.Second, false, 3},
		"the same value with different ends":     {setForIn("p", "k", 3, time.Hour), setIn("p", "k", 3), time.Second, true, 3},
		"mine gave it another end, theirs apart": {setForIn("p", "k", 1, time.Hour), setIn("p", "other", 1), time.Second, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
				container, err := sd.NewContainer(store, sd.Config{Now: clock.Now})
				require.NoError(t, err)
				require.NoError(t, container.Update(t.Context(), "v", setForIn("p", "k", 1, time.Minute)))
				err = meetAt(t, container, clock, c.while, c.mine, c.theirs)
				if c.conflict {
					require.ErrorIs(t, err, sd.ErrConflict)
				} else {
					require.NoError(t, err)
				}
				view(t, container, func(s *sd.Session) {
					n, err := sd.GetOr(s.Pkg("p"), "k", 0)
					require.NoError(t, err)
					require.Equal(t, c.want, n)
				})
			})
		})
	}
}

func TestUnderSerializableThePassingOfTimeIsNoConflict(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		c, err := sd.NewContainer(store, sd.Config{Now: clock.Now, Conflict: sd.Serializable})
		require.NoError(t, err)
		reads := func(s *sd.Session) error {
			_ = s.Packages()
			_ = s.Pkg("p").Keys()
			_, err := sd.GetOr(s.Pkg("p"), "k", 0)
			return errors.Join(err, s.Pkg("mine").Set("k", 1))
		}
		begin := func() {
			require.NoError(t, c.Update(t.Context(), "v", func(s *sd.Session) error {
				return errors.Join(s.Pkg("mine").Set("k", 0), s.Pkg("q").Set("k", 0), s.Pkg("p").SetFor("k", 1, time.Minute))
			}))
		}
		begin()
		require.NoError(t, meetAt(t, c, clock, time.Minute, reads, setIn("q", "k", 1)), "it has ended on both sides")
		begin()
		require.NoError(t, meetAt(t, c, clock, 0, reads, setIn("q", "k", 1)), "it has ended on neither")
		begin()
		require.ErrorIs(t, meetAt(t, c, clock, time.Minute, reads, setForIn("p", "k", 1, time.Minute)), sd.ErrConflict)
		begin()
		require.ErrorIs(t, meetAt(t, c, clock, 0, reads, setIn("p", "k", 1)), sd.ErrConflict, "another end is a change")

		// Read beside another session, and compared once more at the commit.
		begin()
		require.NoError(t, sd.Run(t.Context(), func(tx *sd.Txn) error {
			s, err := c.Session(t.Context(), tx, "v")
			require.NoError(t, err)
			require.True(t, s.Pkg("p").Has("k"))
			o, err := c.Session(t.Context(), tx, "other")
			require.NoError(t, err)
			clock.move(time.Minute)
			return o.Pkg("p").Set("k", 1)
		}))
	})
}

func TestAResolverSeesAndKeepsTheEndOfAValue(t *testing.T) {
	for name, keep := range map[string]struct {
		what func(*sd.Collision) any
		ends bool
	}{
		"theirs":         {func(c *sd.Collision) any { return c.Theirs }, true},
		"mine":           {func(c *sd.Collision) any { return c.Mine }, false},
		"another":        {func(*sd.Collision) any { return 5 }, false},
		"none":           {func(*sd.Collision) any { return sd.Value{} }, false},
		"theirs decoded": {func(c *sd.Collision) any { v, _ := c.Theirs.Any(); return v }, false},
	} {
		t.Run(name, func(t *testing.T) {
			overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
				c, err := sd.NewContainer(store, sd.Config{Now: clock.Now, Resolve: func(c *sd.Collision) error {
					require.NotZero(t, c.Theirs.Expires())
					return c.Keep(keep.what(c))
				}})
				require.NoError(t, err)
				require.NoError(t, c.Update(t.Context(), "v", setIn("p", "k", 1)))
				require.NoError(t, meetAt(t, c, clock, 0, setIn("p", "k", 2), setForIn("p", "k", 3, time.Minute)))
				view(t, c, func(s *sd.Session) {
					for _, v := range s.Pkg("p").All() {
						require.Equal(t, keep.ends, !v.Expires().IsZero())
					}
					require.Equal(t, name != "none", s.Pkg("p").Has("k"))
				})
			})
		})
	}
}
