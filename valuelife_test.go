package sessiondata_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// markCodec begins every value with the byte that marks values with an end.
type markCodec struct{ sd.Codec }

func (markCodec) ID() uint8 { return 201 }

func (c markCodec) Marshal(v any) ([]byte, error) {
	b, err := c.Codec.Marshal(v)
	return append([]byte{0xC1}, b...), err
}

func (c markCodec) Unmarshal(b []byte, dst any) error {
	if len(b) == 0 || b[0] != 0xC1 {
		return errors.New("not of this codec")
	}
	return c.Codec.Unmarshal(b[1:], dst)
}

// lifeContainers are containers for which values may end.
func lifeContainers(t *testing.T, test func(t *testing.T, c *sd.Container, clock *clock)) {
	t.Helper()
	for name, cfg := range map[string]sd.Config{
		"MessagePack":            {},
		"JSON":                   {Codec: sd.JSON()},
		"a codec with the mark":  {Codec: markCodec{sd.JSON()}},
		"sealed":                 {Keys: []sd.Key{key(1)}},
		"serializable, no grace": {Conflict: sd.Serializable, Resolution: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
				cfg := cfg
				cfg.Now = clock.Now
				test(t, container(t, store, cfg), clock)
			})
		})
	}
}

func setForIn(pkg, key string, v any, d time.Duration) func(*sd.Session) error {
	return func(s *sd.Session) error { return s.Pkg(pkg).SetFor(key, v, d) }
}

// view runs fn on the session, of which nothing is to be wrong.
func view(t *testing.T, c *sd.Container, fn func(s *sd.Session)) {
	t.Helper()
	require.NoError(t, c.View(t.Context(), "v", func(s *sd.Session) error { fn(s); return nil }))
}

func TestValueThatHasEndedIsAbsentEverywhere(t *testing.T) {
	lifeContainers(t, func(t *testing.T, c *sd.Container, clock *clock) {
		end := clock.Now().Add(10 * time.Minute)
		require.NoError(t, c.Update(t.Context(), "v", func(s *sd.Session) error {
			return errors.Join(
				s.Pkg("p").SetFor("code", "1234", 10*time.Minute), s.Pkg("p").Set("name", "n"),
				s.Pkg("gone").SetFor("k", 1, 10*time.Minute))
		}))
		clock.move(10*time.Minute - time.Nanosecond)
		view(t, c, func(s *sd.Session) {
			code, err := sd.Get[string](s.Pkg("p"), "code")
			require.NoError(t, err)
			require.Equal(t, "1234", code)
			require.Equal(t, []string{"gone", "p"}, s.Packages())
			for key, v := range s.Pkg("p").All() {
				if key == "code" {
					require.Equal(t, end.UnixNano(), v.Expires().UnixNano())
				} else {
					require.Zero(t, v.Expires())
				}
			}
			clock.move(time.Nanosecond)
			require.True(t, s.Pkg("p").Has("code"), "a transaction sees the session as of its loading")
			require.Equal(t, 1, s.Pkg("gone").Len())
		})
		view(t, c, func(s *sd.Session) {
			p := s.Pkg("p")
			require.ErrorIs(t, p.Get("code", new(string)), sd.ErrKeyNotFound)
			require.False(t, p.Has("code"))
			require.Equal(t, 1, p.Len())
			require.Equal(t, []string{"name"}, p.Keys())
			for key := range p.All() {
				require.Equal(t, "name", key)
			}
			require.Equal(t, []string{"p"}, s.Packages())
			require.Zero(t, s.Pkg("gone").Len())
			require.Equal(t, []string{"p"}, s.Packages())
		})
	})
}

// holds reports whether text stands anywhere in the store.
func holds(t *testing.T, store sd.Store, text string) bool {
	t.Helper()
	return bytes.Contains(dump(t, store), []byte(text))
}

func TestValueThatHasEndedIsRemovedByTheNextWriteOfItsPackageAndIsNoChange(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		c, err := sd.NewContainer(store, sd.Config{Now: clock.Now})
		require.NoError(t, err)
		require.NoError(t, c.Update(t.Context(), "v", func(s *sd.Session) error {
			return errors.Join(s.Pkg("p").SetFor("k", "the secret", time.Minute), s.Pkg("q").Set("k", 1))
		}))
		clock.move(time.Minute)
		before := dump(t, store)
		require.NoError(t, c.Update(t.Context(), "v", func(s *sd.Session) error {
			require.NoError(t, s.Pkg("p").Delete("k"), "it is absent: nothing to delete")
			require.NoError(t, s.Pkg("p").Clear())
			require.Equal(t, sd.Unmodified, s.Status())
			return nil
		}))
		require.Equal(t, before, dump(t, store))
		require.NoError(t, c.Update(t.Context(), "v", setIn("q", "k", 2)))
		require.True(t, holds(t, store, "the secret"), "another package was written")
		require.NoError(t, c.Update(t.Context(), "v", setIn("p", "other", 2)))
		require.False(t, holds(t, store, "the secret"))
		view(t, c, func(s *sd.Session) { require.Equal(t, []string{"other"}, s.Pkg("p").Keys()) })

		// Where nothing else is left, the package goes.
		require.NoError(t, c.Update(t.Context(), "v", func(s *sd.Session) error {
			require.NoError(t, s.Pkg("p").Clear())
			return s.Pkg("p").SetFor("k", "the secret", time.Minute)
		}))
		clock.move(time.Minute)
		require.NoError(t, c.Update(t.Context(), "v", func(s *sd.Session) error {
			require.NoError(t, s.Pkg("p").Set("k", 1))
			return s.Pkg("p").Delete("k")
		}))
		view(t, c, func(s *sd.Session) { require.Equal(t, []string{"q"}, s.Packages()) })
	})
}

func TestSetForAndSetAndModifyDecideHowLongAValueLives(t *testing.T) {
	lifeContainers(t, func(t *testing.T, c *sd.Container, clock *clock) {
		status := func(fn func(p *sd.PkgData)) (got sd.Status) {
			t.Helper()
			require.NoError(t, c.Update(t.Context(), "v", func(s *sd.Session) error {
				fn(s.Pkg("p"))
				got = s.Status()
				return nil
			}))
			return got
		}
		end := func() (at time.Time) {
			view(t, c, func(s *sd.Session) {
				for _, v := range s.Pkg("p").All() {
					at = v.Expires()
				}
			})
			return at
		}
		in := func(d time.Duration) time.Time { return time.Unix(0, clock.Now().Add(d).UnixNano()).UTC() }

		first := in(time.Minute)
		require.Equal(t, sd.Modified, status(func(p *sd.PkgData) { require.NoError(t, p.SetFor("n", 1, time.Minute)) }))
		require.Equal(t, first, end())
		clock.move(time.Second)
		require.Equal(t, sd.Modified, status(func(p *sd.PkgData) { require.NoError(t, p.SetFor("n", 1, time.Minute)) }),
			"an equal value with another end is a change")
		require.Equal(t, first.Add(time.Second), end())
		require.Equal(t, sd.Unmodified, status(func(p *sd.PkgData) {
			require.NoError(t, p.SetFor("n", 1, time.Minute), "an equal end is none")
		}))

		require.Equal(t, sd.Modified, status(func(p *sd.PkgData) {
			require.NoError(t, sd.Modify(p, "n", func(n *int) error { *n++; return nil }))
		}))
		require.Equal(t, first.Add(time.Second), end(), "Modify keeps the end")
		n, err := 0, error(nil)
		require.Equal(t, sd.Unmodified, status(func(p *sd.PkgData) { n, err = sd.SetDefault(p, "n", 7) }))
		require.NoError(t, err)
		require.Equal(t, 2, n)

		require.Equal(t, sd.Modified, status(func(p *sd.PkgData) { require.NoError(t, p.Set("n", 2)) }))
		require.Zero(t, end(), "Set stores a value without an end")
		clock.move(30 * time.Minute)
		view(t, c, func(s *sd.Session) { require.True(t, s.Pkg("p").Has("n")) })

		// A value that has ended begins again.
		require.NoError(t, c.Update(t.Context(), "v", setForIn("p", "n", 5, time.Second)))
		clock.move(time.Second)
		require.Equal(t, sd.Modified, status(func(p *sd.PkgData) {
			require.NoError(t, sd.Modify(p, "n", func(n *int) error { require.Zero(t, *n); *n = 1; return nil }))
		}))
		require.Zero(t, end())
		require.NoError(t, c.Update(t.Context(), "v", setForIn("p", "n", 5, time.Second)))
		clock.move(time.Second)
		require.NoError(t, c.Update(t.Context(), "v", func(s *sd.Session) error {
			n, err := sd.SetDefault(s.Pkg("p"), "n", 9)
			require.Equal(t, 9, n)
			return err
		}))
		// A value that is copied to another key goes there without its end.
		require.NoError(t, c.Update(t.Context(), "v", setForIn("p", "n", 5, time.Minute)))
		require.NoError(t, c.Update(t.Context(), "v", func(s *sd.Session) error {
			for _, v := range s.Pkg("p").All() {
				require.NotZero(t, v.Expires())
				require.NoError(t, s.Pkg("copy").Set("n", v))
			}
			return nil
		}))
		clock.move(time.Minute)
		view(t, c, func(s *sd.Session) {
			require.False(t, s.Pkg("p").Has("n"))
			n, err := sd.Get[int](s.Pkg("copy"), "n")
			require.NoError(t, err)
			require.Equal(t, 5, n)
		})
		require.Equal(t, sd.Modified, status(func(p *sd.PkgData) { require.NoError(t, p.SetFor("n", 1, 1<<62)) }))
		require.False(t, end().Before(in(0)), "a life without measure does not overflow")
		require.Equal(t, 1, func() int { v, _ := popIn(c, "p", "n"); return v }())
	})
}

func popIn(c *sd.Container, pkg, key string) (v int, err error) {
	err = c.Update(context.Background(), "v", func(s *sd.Session) (err error) {
		v, err = sd.Pop[int](s.Pkg(pkg), key)
		return err
	})
	return v, err
}

func TestSetForRefusesWhatItCannotStore(t *testing.T) {
	c, err := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{})
	require.NoError(t, err)
	require.NoError(t, c.Update(t.Context(), "v", func(s *sd.Session) error {
		for _, d := range []time.Duration{0, -1, -1 << 63} {
			err := s.Pkg("p").SetFor("k", 1, d)
			require.ErrorIs(t, err, sd.ErrInvalid)
			require.ErrorContains(t, err, `package "p" key "k"`)
		}
		require.ErrorIs(t, s.Pkg("p").SetFor("k", make(chan int), 1), sd.ErrValue)
		require.Equal(t, sd.Unmodified, s.Status())
		return nil
	}))
	require.NoError(t, c.View(t.Context(), "v", func(s *sd.Session) error {
		require.ErrorIs(t, s.Pkg("p").SetFor("k", 1, time.Second), sd.ErrReadOnly)
		return nil
	}))
	tx := sd.Begin()
	s, err := c.Session(t.Context(), tx, "v")
	require.NoError(t, err)
	require.NoError(t, tx.Rollback())
	require.ErrorIs(t, s.Pkg("p").SetFor("k", 1, time.Second), sd.ErrTxnDone)
}

func TestSavepointsAndRenewalsKeepTheEndOfAValue(t *testing.T) {
	lifeContainers(t, func(t *testing.T, c *sd.Container, clock *clock) {
		end := clock.Now().Add(time.Minute).UnixNano()
		endOf := func(s *sd.Session) (at int64) {
			for _, v := range s.Pkg("p").All() {
				at = v.Expires().UnixNano()
			}
			return at
		}
		require.NoError(t, c.Update(t.Context(), "v", setForIn("p", "k", 1, time.Minute)))
		next := ""
		require.NoError(t, c.Update(t.Context(), "v", func(s *sd.Session) (err error) {
			sp, err := s.Txn().Savepoint()
			require.NoError(t, err)
			require.NoError(t, s.Pkg("p").SetFor("k", 1, time.Hour))
			require.NotEqual(t, end, endOf(s))
			require.NoError(t, sp.Rollback())
			require.Equal(t, end, endOf(s))
			require.NoError(t, s.Pkg("p").Set("k", 1))
			require.NoError(t, sp.Rollback())
			require.Equal(t, sd.Unmodified, s.Status())
			next, err = s.Renew()
			return err
		}))
		// Together with another session, so by intents.
		require.NoError(t, sd.Run(t.Context(), func(tx *sd.Txn) error {
			s, err := c.Session(t.Context(), tx, next)
			require.NoError(t, err)
			require.Equal(t, end, endOf(s))
			require.NoError(t, s.Pkg("q").SetFor("k", 2, time.Hour))
			o, err := c.Session(t.Context(), tx, "other")
			require.NoError(t, err)
			require.NoError(t, o.Pkg("p").SetFor("k", 3, time.Hour))
			next, err = s.Renew()
			return err
		}))
		require.NoError(t, c.View(t.Context(), next, func(s *sd.Session) error {
			require.Equal(t, end, endOf(s))
			return nil
		}))
		clock.move(time.Minute)
		require.NoError(t, c.View(t.Context(), next, func(s *sd.Session) error {
			require.Equal(t, []string{"q"}, s.Packages())
			return nil
		}))
	})
}

func TestListShowsNothingThatHasEnded(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, clock *clock) {
		c, err := sd.NewContainer(store, sd.Config{Now: clock.Now})
		require.NoError(t, err)
		require.NoError(t, c.Update(t.Context(), "v", func(s *sd.Session) error {
			return errors.Join(s.Pkg("p").SetFor("k", 1, time.Minute), s.Pkg("q").Set("k", 1), s.Pkg("q").SetFor("l", 1, time.Minute))
		}))
		require.Equal(t, []string{"p", "q"}, listing(t, c)[0].Packages())
		clock.move(time.Minute)
		s := listing(t, c)[0]
		require.Equal(t, []string{"q"}, s.Packages())
		require.ErrorIs(t, s.Get("p", "k", new(int)), sd.ErrKeyNotFound)
		for key := range s.Values("q") {
			require.Equal(t, "k", key)
		}
	})
}

// A value of another codec may begin with the byte that marks an end, or be
// shorter than one: it comes back as it was.
func TestValuesThatLookAsIfTheyEndedComeBack(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		c, err := sd.NewContainer(store, sd.Config{Codec: rawCodec{}})
		require.NoError(t, err)
		values := []string{"", "\xC1", "\xC1\x00", "\xC1\x01\x00\x00\x00\x00\x00\x00\x00", "\xC1\x01\x00\x00\x00\x00\x00\x00\x00rest", "\xC1\xC1\xC1\xC1\xC1\xC1\xC1\xC1\xC1\xC1\xC1\xC1"}
		require.NoError(t, c.Update(t.Context(), "v", func(s *sd.Session) error {
			for i, v := range values {
				require.NoError(t, s.Pkg("p").Set(fmt.Sprint(i), v))
				require.NoError(t, s.Pkg("p").SetFor(fmt.Sprint("for", i), v, time.Hour))
			}
			return nil
		}))
		view(t, c, func(s *sd.Session) {
			require.Equal(t, 2*len(values), s.Pkg("p").Len())
			for i, v := range values {
				for _, prefix := range []string{"", "for"} {
					got, err := sd.Get[string](s.Pkg("p"), prefix+fmt.Sprint(i))
					require.NoError(t, err)
					require.Equal(t, v, got)
				}
			}
		})
	})
}

// rawCodec stores strings as they are.
type rawCodec struct{}

func (rawCodec) ID() uint8                     { return 202 }
func (rawCodec) Marshal(v any) ([]byte, error) { return []byte(v.(string)), nil }
func (rawCodec) Unmarshal(b []byte, dst any) error {
	*dst.(*string) = string(b)
	return nil
}

func ExamplePkgData_SetFor() {
	ctx := context.Background()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	c, _ := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{Now: func() time.Time { return now }})
	_ = c.Update(ctx, "visitor-1", func(s *sd.Session) error {
		return s.Pkg("login").SetFor("code", "1234", 10*time.Minute)
	})
	for range 2 {
		_ = c.View(ctx, "visitor-1", func(s *sd.Session) error {
			fmt.Println(now.Format("15:04"), s.Pkg("login").Has("code"))
			return nil
		})
		now = now.Add(10 * time.Minute)
	}
	// Output:
	// 12:00 true
	// 12:10 false
}
