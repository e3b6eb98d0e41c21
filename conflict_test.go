package sessiondata_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// meet stores base, opens the session, lets theirs commit, and then commits
// mine. It returns what mine's commit said and what is stored then.
func meet(t *testing.T, cfg sd.Config, base, theirs, mine func(s *sd.Session)) (map[string]map[string]any, error) {
	t.Helper()
	w := newWire()
	c := container(t, w, cfg)
	if base != nil {
		update(t, c, "id", base)
	}
	tx, s := begin(t, c, "id")
	mine(s)
	update(t, c, "id", theirs)
	err := tx.Commit(t.Context())
	return stored(t, c, "id"), err
}

func setting(key string, v any) func(s *sd.Session) {
	return func(s *sd.Session) { _ = s.Pkg("p").Set(key, v) }
}

func deleting(key string) func(s *sd.Session) {
	return func(s *sd.Session) { _ = s.Pkg("p").Delete(key) }
}

// adding is a counter: it reads.
func adding(n int) func(s *sd.Session) {
	return func(s *sd.Session) { _ = sd.Modify(s.Pkg("p"), "k", func(v *int) error { *v += n; return nil }) }
}

func TestRule16_MergeByKey(t *testing.T) {
	three := func(s *sd.Session) {
		for _, k := range []string{"a", "b", "k"} {
			_ = s.Pkg("p").Set(k, "base")
		}
	}
	all := func(a, b, k any) map[string]any {
		m := map[string]any{}
		for key, v := range map[string]any{"a": a, "b": b, "k": k} {
			if v != nil {
				m[key] = v
			}
		}
		return m
	}
	for name, c := range map[string]struct {
		theirs, mine func(s *sd.Session)
		want         map[string]any // nil: a conflict
	}{
		"other keys":                       {setting("a", "theirs"), setting("b", "mine"), all("theirs", "mine", "base")},
		"new keys":                         {setting("x", 1), setting("y", 2), map[string]any{"a": "base", "b": "base", "k": "base", "x": int64(1), "y": int64(2)}},
		"same key":                         {setting("k", "theirs"), setting("k", "mine"), nil},
		"same key, same new one":           {setting("x", 1), setting("x", 2), nil},
		"their deletion, another key":      {deleting("a"), setting("b", "mine"), all(nil, "mine", "base")},
		"my deletion, another key":         {setting("a", "theirs"), deleting("b"), all("theirs", nil, "base")},
		"both delete others":               {deleting("a"), deleting("b"), all(nil, nil, "base")},
		"their deletion, my change":        {deleting("k"), setting("k", "mine"), nil},
		"my deletion, their change":        {setting("k", "theirs"), deleting("k"), nil},
		"the same blind change":            {setting("k", "same"), setting("k", "same"), all("base", "base", "same")},
		"the same blind new key":           {setting("x", "same"), setting("x", "same"), map[string]any{"a": "base", "b": "base", "k": "base", "x": "same"}},
		"the same blind deletion":          {deleting("k"), deleting("k"), all("base", "base", nil)},
		"the same change after a read":     {setting("k", "same"), func(s *sd.Session) { _ = s.Pkg("p").Has("k"); setting("k", "same")(s) }, nil},
		"the same deletion after a read":   {deleting("k"), func(s *sd.Session) { _, _ = sd.Pop[string](s.Pkg("p"), "k") }, nil},
		"a blind change, read by me after": {setting("k", "same"), func(s *sd.Session) { setting("k", "same")(s); _ = s.Pkg("p").Has("k") }, all("base", "base", "same")},
		"a read without a change":          {setting("a", "theirs"), func(s *sd.Session) { _ = s.Pkg("p").Keys(); setting("b", "mine")(s) }, all("theirs", "mine", "base")},
		"clear, and a new key of theirs":   {setting("x", 1), func(s *sd.Session) { _ = s.Pkg("p").Clear() }, map[string]any{"x": int64(1)}},
		"clear, and a change of theirs":    {setting("a", "theirs"), func(s *sd.Session) { _ = s.Pkg("p").Clear() }, nil},
		"both clear":                       {func(s *sd.Session) { _ = s.DeletePkg("p") }, func(s *sd.Session) { _ = s.DeletePkg("p") }, map[string]any{}},
		"their clear, my new key":          {func(s *sd.Session) { _ = s.Pkg("p").Clear() }, setting("x", 1), map[string]any{"x": int64(1)}},
		"an equal value is no change":      {setting("k", "theirs"), setting("k", "base"), all("base", "base", "theirs")},
		"theirs was taken back":            {setting("k", "base"), setting("k", "mine"), all("base", "base", "mine")},
		"mine was taken back": {setting("k", "theirs"), func(s *sd.Session) {
			_ = s.Txn().Atomic(func() error { setting("k", "mine")(s); return errOne })
			setting("a", "mine")(s)
		}, all("mine", "base", "theirs")},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := meet(t, sd.Config{Name: "shop"}, three, c.theirs, c.mine)
			if c.want == nil {
				var conflict *sd.ConflictError
				require.ErrorIs(t, err, sd.ErrConflict)
				require.ErrorAs(t, err, &conflict)
				require.Equal(t, "shop", conflict.Container)
				require.NotEmpty(t, conflict.Keys)
				return
			}
			require.NoError(t, err)
			if len(c.want) == 0 {
				require.Empty(t, got)
			} else {
				require.Equal(t, pkg("p", c.want), got)
			}
		})
	}
}

func TestRule16_TimeoutIsMergedAsAnyValue(t *testing.T) {
	timeout := func(d time.Duration) func(s *sd.Session) { return func(s *sd.Session) { _ = s.SetTimeout(d) } }
	read := func(fn func(s *sd.Session)) func(s *sd.Session) {
		return func(s *sd.Session) { _ = s.Timeout(); fn(s) }
	}
	for name, c := range map[string]struct {
		theirs, mine func(s *sd.Session)
		policy       sd.ConflictPolicy
		want         time.Duration // 0: a conflict
	}{
		"theirs alone":           {timeout(2 * time.Hour), setting("a", 1), sd.Merge, 2 * time.Hour},
		"mine alone":             {setting("a", 1), timeout(2 * time.Hour), sd.Merge, 2 * time.Hour},
		"both differently":       {timeout(2 * time.Hour), timeout(3 * time.Hour), sd.Merge, 0},
		"both the same":          {timeout(2 * time.Hour), timeout(2 * time.Hour), sd.Merge, 2 * time.Hour},
		"the same after a read":  {timeout(2 * time.Hour), read(timeout(2 * time.Hour)), sd.Merge, 0},
		"overwritten":            {timeout(2 * time.Hour), timeout(3 * time.Hour), sd.Overwrite, 3 * time.Hour},
		"read, serializable":     {timeout(2 * time.Hour), read(setting("a", 1)), sd.Serializable, 0},
		"deadline, serializable": {timeout(2 * time.Hour), func(s *sd.Session) { _ = s.Deadline(); setting("a", 1)(s) }, sd.Serializable, 0},
		"not read, serializable": {timeout(2 * time.Hour), setting("a", 1), sd.Serializable, 2 * time.Hour},
		"never, and theirs":      {setting("a", 1), timeout(sd.NoTimeout), sd.Merge, sd.NoTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire()
			cfg := sd.Config{Conflict: c.policy}
			cont := container(t, w, cfg)
			set(t, cont, "id", "p", "k", 1)
			tx, s := begin(t, cont, "id")
			c.mine(s)
			update(t, cont, "id", c.theirs)
			err := tx.Commit(t.Context())
			if c.want == 0 {
				var conflict *sd.ConflictError
				require.ErrorAs(t, err, &conflict)
				require.Equal(t, []sd.PkgKey{{}}, conflict.Keys)
				return
			}
			require.NoError(t, err)
			_, s = begin(t, cont, "id")
			require.Equal(t, c.want, s.Timeout())
		})
	}
}

func TestRule16_ATimeoutMayBeResolved(t *testing.T) {
	for name, c := range map[string]struct {
		keep func(c *sd.Collision) error
		want time.Duration
		err  error
	}{
		"mine":       {func(*sd.Collision) error { return nil }, 3 * time.Hour, nil},
		"theirs":     {func(c *sd.Collision) error { return c.Keep(c.Theirs) }, 2 * time.Hour, nil},
		"a sum":      {func(c *sd.Collision) error { return c.Keep(int64(5 * time.Hour)) }, 5 * time.Hour, nil},
		"absent":     {func(c *sd.Collision) error { return c.Keep(sd.Value{}) }, time.Hour, nil},
		"nonsense":   {func(c *sd.Collision) error { return c.Keep(int64(-5)) }, 0, sd.ErrInvalid},
		"zero":       {func(c *sd.Collision) error { return c.Keep(int64(0)) }, 0, sd.ErrInvalid},
		"no integer": {func(c *sd.Collision) error { return c.Keep("soon") }, 0, sd.ErrValue},
	} {
		cfg := sd.Config{Resolve: func(col *sd.Collision) error {
			if col.PkgKey != (sd.PkgKey{}) || !col.Base.IsZero() {
				return errors.New("not the timeout")
			}
			var mine int64
			if err := col.Mine.Decode(&mine); err != nil || mine != int64(3*time.Hour) {
				return errors.New("not mine")
			}
			return c.keep(col)
		}}
		cont := container(t, newWire(), cfg)
		set(t, cont, "id", "p", "k", 1)
		tx, s := begin(t, cont, "id")
		require.NoError(t, s.SetTimeout(3*time.Hour))
		update(t, cont, "id", func(s *sd.Session) { _ = s.SetTimeout(2 * time.Hour) })
		require.ErrorIs(t, tx.Commit(t.Context()), c.err, name)
		if c.err == nil {
			_, s = begin(t, cont, "id")
			require.Equal(t, c.want, s.Timeout(), name)
		}
	}
}

func TestRule16_TwoCountersFromZeroToOneMakeTwo(t *testing.T) {
	_, err := meet(t, sd.Config{}, nil, adding(1), adding(1))
	require.ErrorIs(t, err, sd.ErrConflict, "both read 0 and wrote 1")

	c := container(t, newWire())
	runs := 0
	require.NoError(t, c.Update(t.Context(), "id", func(s *sd.Session) error {
		if runs++; runs == 1 {
			update(t, c, "id", adding(1))
		}
		adding(1)(s)
		return nil
	}))
	require.Equal(t, 2, runs)
	require.Equal(t, pkg("p", map[string]any{"k": int64(2)}), stored(t, c, "id"))
}

func TestRule16_ConflictErrorNamesAllTheKeysSortedAndNoValue(t *testing.T) {
	change := func(v string) func(s *sd.Session) {
		return func(s *sd.Session) {
			for _, p := range []string{"b", "a"} {
				for _, k := range []string{"z", "y"} {
					_ = s.Pkg(p).Set(k, v)
				}
			}
			_ = s.Pkg(v).Set("own", 1)
		}
	}
	_, err := meet(t, sd.Config{Name: "shop"}, nil, change("their secret"), change("my secret"))
	var conflict *sd.ConflictError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, []sd.PkgKey{{Pkg: "a", Key: "y"}, {Pkg: "a", Key: "z"}, {Pkg: "b", Key: "y"}, {Pkg: "b", Key: "z"}}, conflict.Keys)
	require.Zero(t, conflict.Attempts)
	require.Equal(t, `sessiondata: conflict with another commit: container "shop" "a"/"y" "a"/"z" "b"/"y" "b"/"z"`, err.Error())
	require.ErrorIs(t, error(conflict), sd.ErrConflict)
	require.NotErrorIs(t, error(conflict), sd.ErrGone)
}

func TestRule16_ConflictErrorCountsTheTriesOfUpdate(t *testing.T) {
	c := container(t, newWire(), sd.Config{Attempts: 3})
	runs := 0
	err := c.Update(t.Context(), "id", func(s *sd.Session) error {
		runs++
		set(t, c, "id", "p", "k", runs)
		return s.Pkg("p").Set("k", -runs)
	})
	var conflict *sd.ConflictError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, 3, conflict.Attempts)
	require.Equal(t, 3, runs)
	require.Contains(t, err.Error(), "after 3 tries")

	runs = 0
	err = sd.Retry{Attempts: 2, Base: 1}.Run(t.Context(), func(*sd.Txn) error {
		runs++
		return errors.Join(sd.ErrConflict, errOne)
	})
	require.ErrorIs(t, err, sd.ErrConflict)
	require.ErrorIs(t, err, errOne)
	require.Contains(t, err.Error(), "2 tries")
	require.Equal(t, 2, runs)
}

func TestRule16_ALongConflictErrorIsCutShort(t *testing.T) {
	many := func(v int) func(s *sd.Session) {
		return func(s *sd.Session) {
			for i := range 20 {
				_ = s.Pkg("p").Set(string(rune('a'+i)), v)
			}
		}
	}
	_, err := meet(t, sd.Config{}, nil, many(1), many(2))
	require.Contains(t, err.Error(), `"p"/"h" and 12 more`)
}

func TestRule16_ErrorsThatAreNoConflictAreNotRunAgain(t *testing.T) {
	for _, fail := range []error{errOne, sd.ErrGone, errors.Join(sd.ErrConflict, sd.ErrOutcomeUnknown)} {
		runs := 0
		err := sd.Run(t.Context(), func(*sd.Txn) error { runs++; return fail })
		require.Equal(t, fail, err)
		require.Equal(t, 1, runs)
	}
}

func TestRule16_ResolveSettlesEachCollision(t *testing.T) {
	var asked []sd.PkgKey
	sum := func(c *sd.Collision) error {
		asked = append(asked, c.PkgKey)
		var base, theirs, mine int
		for v, n := range map[*sd.Value]*int{&c.Base: &base, &c.Theirs: &theirs, &c.Mine: &mine} {
			if err := v.Decode(n); err != nil && !errors.Is(err, sd.ErrKeyNotFound) {
				return err
			}
		}
		return c.Keep(theirs + mine - base)
	}
	two := func(n int) func(s *sd.Session) {
		return func(s *sd.Session) { adding(n)(s); _ = s.Pkg("a").Set("x", n) }
	}
	got, err := meet(t, sd.Config{Resolve: sum}, two(10), two(1), two(2))
	require.NoError(t, err)
	require.Equal(t, map[string]map[string]any{"p": {"k": int64(13)}, "a": {"x": int64(-7)}}, got)
	require.Equal(t, []sd.PkgKey{{Pkg: "a", Key: "x"}, {Pkg: "p", Key: "k"}}, asked)

	got, err = meet(t, sd.Config{Resolve: sum}, nil, adding(1), adding(1))
	require.NoError(t, err)
	require.Equal(t, pkg("p", map[string]any{"k": int64(2)}), got)
}

func TestRule16_ResolverMayKeepDeleteLeaveOrRefuse(t *testing.T) {
	own := errors.New("the resolver's own error")
	for name, c := range map[string]struct {
		resolve sd.Resolver
		want    any // nil: absent
		err     error
	}{
		"leaves mine":     {func(*sd.Collision) error { return nil }, "mine", nil},
		"keeps theirs":    {func(c *sd.Collision) error { return c.Keep(c.Theirs) }, "theirs", nil},
		"keeps base":      {func(c *sd.Collision) error { return c.Keep(c.Base) }, "base", nil},
		"deletes":         {func(c *sd.Collision) error { return c.Keep(sd.Value{}) }, nil, nil},
		"keeps the last":  {func(c *sd.Collision) error { return errors.Join(c.Keep(1), c.Keep("last")) }, "last", nil},
		"refuses":         {func(*sd.Collision) error { return sd.ErrConflict }, "theirs", sd.ErrConflict},
		"fails":           {func(*sd.Collision) error { return own }, "theirs", own},
		"cannot encode":   {func(c *sd.Collision) error { return c.Keep(make(chan int)) }, "theirs", sd.ErrValue},
		"ignores failure": {func(c *sd.Collision) error { _ = c.Keep(make(chan int)); return nil }, "mine", nil},
	} {
		w := newWire()
		cont := container(t, w, sd.Config{Resolve: c.resolve, Name: "shop"})
		set(t, cont, "id", "p", "other", 1)
		set(t, cont, "id", "p", "k", "base")
		tx, s := begin(t, cont, "id")
		setting("k", "mine")(s)
		set(t, cont, "id", "p", "k", "theirs")
		w.forget()
		err := tx.Commit(t.Context())
		require.ErrorIs(t, err, c.err, name)
		got := stored(t, cont, "id")["p"]
		require.Equal(t, c.want, got["k"], name)
		_, there := got["k"]
		require.Equal(t, c.want != nil, there, name)
		var conflict *sd.ConflictError
		if errors.As(err, &conflict) {
			require.Equal(t, []sd.PkgKey{{Pkg: "p", Key: "k"}}, conflict.Keys)
			require.Equal(t, "shop", conflict.Container)
		}
		if name == "keeps theirs" {
			require.Len(t, w.writes(), 1, "nothing is left to write after the refusal")
		}
	}
}

func TestRule16_OverwriteIsNeverAConflict(t *testing.T) {
	for _, c := range []struct {
		theirs, mine func(s *sd.Session)
		want         map[string]any
	}{
		{setting("k", "theirs"), setting("k", "mine"), map[string]any{"k": "mine", "b": int64(1)}},
		{setting("k", "theirs"), deleting("k"), map[string]any{"b": int64(1)}},
		{deleting("k"), setting("k", "mine"), map[string]any{"k": "mine", "b": int64(1)}},
		{setting("b", 2), setting("k", "mine"), map[string]any{"k": "mine", "b": int64(2)}},
	} {
		base := func(s *sd.Session) { setting("k", "base")(s); setting("b", 1)(s) }
		got, err := meet(t, sd.Config{Conflict: sd.Overwrite}, base, c.theirs, c.mine)
		require.NoError(t, err)
		require.Equal(t, pkg("p", c.want), got)
	}
}

func TestRule17_TwoCreatorsOfOneIDBothKeepTheirChanges(t *testing.T) {
	for _, policy := range []sd.ConflictPolicy{sd.Merge, sd.Serializable, sd.Overwrite} {
		got, err := meet(t, sd.Config{Conflict: policy}, nil, setting("a", 1), setting("b", 2))
		require.NoError(t, err)
		require.Equal(t, pkg("p", map[string]any{"a": int64(1), "b": int64(2)}), got)
	}
}

func TestRule17_CreatorsWithDifferentCodecsRunAgain(t *testing.T) {
	for _, policy := range []sd.ConflictPolicy{sd.Merge, sd.Overwrite} {
		w := newWire()
		m, j := container(t, w, sd.Config{Conflict: policy}), container(t, w, sd.Config{Codec: sd.JSON()})
		runs := 0
		require.NoError(t, m.Update(t.Context(), "id", func(s *sd.Session) error {
			if runs++; runs == 1 {
				set(t, j, "id", "p", "theirs", 1)
			}
			return s.Pkg("p").Set("mine", 2)
		}))
		require.Equal(t, 2, runs)
		require.Equal(t, pkg("p", map[string]any{"theirs": int64(1), "mine": int64(2)}), stored(t, j, "id"))
	}
}
