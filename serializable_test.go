package sessiondata_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

var serializable = sd.Config{Conflict: sd.Serializable}

func TestRule16_SerializableRefusesWriteSkew(t *testing.T) {
	on := func(s *sd.Session) {
		setting("a", true)(s)
		setting("b", true)(s)
	}
	// Each turns one off if the other is on: at least one must stay on.
	off := func(mine, other string) func(s *sd.Session) {
		return func(s *sd.Session) {
			if isOn, _ := sd.Get[bool](s.Pkg("p"), other); isOn {
				_ = s.Pkg("p").Set(mine, false)
			}
		}
	}
	got, err := meet(t, serializable, on, off("a", "b"), off("b", "a"))
	require.ErrorIs(t, err, sd.ErrConflict)
	require.Equal(t, pkg("p", map[string]any{"a": false, "b": true}), got)

	got, err = meet(t, sd.Config{}, on, off("a", "b"), off("b", "a"))
	require.NoError(t, err, "Merge allows it")
	require.Equal(t, pkg("p", map[string]any{"a": false, "b": false}), got)
}

func TestRule16_SerializableRefusesWhatWasReadAndChanged(t *testing.T) {
	base := func(s *sd.Session) { setting("k", 1)(s); setting("other", 1)(s) }
	inP := func(fn func(p *sd.PkgData)) func(s *sd.Session) {
		return func(s *sd.Session) { fn(s.Pkg("p")) }
	}
	newPkg := func(s *sd.Session) { _ = s.Pkg("new").Set("k", 1) }
	for name, c := range map[string]struct {
		read, theirs func(s *sd.Session)
		keys         []sd.PkgKey // nil: no conflict
	}{
		"read key changed":            {inP(func(p *sd.PkgData) { _ = p.Get("k", new(int)) }), setting("k", 2), []sd.PkgKey{{Pkg: "p", Key: "k"}}},
		"read key deleted":            {inP(func(p *sd.PkgData) { p.Has("k") }), deleting("k"), []sd.PkgKey{{Pkg: "p", Key: "k"}}},
		"read key set back":           {inP(func(p *sd.PkgData) { p.Has("k") }), setting("k", 1), nil},
		"absent key appeared":         {inP(func(p *sd.PkgData) { p.Has("x") }), setting("x", 2), []sd.PkgKey{{Pkg: "p"}, {Pkg: "p", Key: "x"}}},
		"absent key, another appears": {inP(func(p *sd.PkgData) { p.Has("x") }), setting("y", 2), []sd.PkgKey{{Pkg: "p"}}},
		"absent package appeared":     {func(s *sd.Session) { s.Pkg("new").Has("k") }, newPkg, []sd.PkgKey{{Pkg: "new"}, {Pkg: "new", Key: "k"}}},
		"phantom by Len":              {inP(func(p *sd.PkgData) { p.Len() }), setting("x", 2), []sd.PkgKey{{Pkg: "p"}}},
		"phantom by Keys":             {inP(func(p *sd.PkgData) { p.Keys() }), deleting("k"), []sd.PkgKey{{Pkg: "p"}}},
		"counted, a value changed":    {inP(func(p *sd.PkgData) { p.Len() }), setting("k", 2), nil},
		"phantom by All": {inP(func(p *sd.PkgData) {
			for range p.All() {
				break
			}
		}), setting("x", 2), []sd.PkgKey{{Pkg: "p"}}},
		"value by All": {inP(func(p *sd.PkgData) {
			for range p.All() {
				break
			}
		}), setting("k", 2), []sd.PkgKey{{Pkg: "p", Key: "k"}}},
		"package list":                {func(s *sd.Session) { s.Packages() }, newPkg, []sd.PkgKey{{}}},
		"package gone":                {func(s *sd.Session) { s.Packages() }, func(s *sd.Session) { _ = s.DeletePkg("p") }, []sd.PkgKey{{}}},
		"package list, key appears":   {func(s *sd.Session) { s.Packages() }, setting("x", 1), nil},
		"nothing read":                {func(*sd.Session) {}, setting("k", 2), nil},
		"own change read":             {inP(func(p *sd.PkgData) { _ = p.Set("own", 1); p.Has("own") }), setting("k", 2), nil},
		"blind change":                {setting("mine too", 1), setting("k", 2), nil},
		"blind clear":                 {func(s *sd.Session) { _ = s.Pkg("absent").Clear() }, newPkg, nil},
		"default of an absent key":    {func(s *sd.Session) { _, _ = sd.SetDefault(s.Pkg("p"), "x", 1) }, setting("y", 2), []sd.PkgKey{{Pkg: "p"}}},
		"read, then taken back":       {func(s *sd.Session) { _ = s.Txn().Atomic(func() error { s.Pkg("p").Has("k"); return errOne }) }, setting("k", 2), []sd.PkgKey{{Pkg: "p", Key: "k"}}},
		"read before its own change":  {func(s *sd.Session) { s.Pkg("p").Has("other"); setting("other", 5)(s) }, setting("other", 1), nil},
		"prefix of the names changed": {inP(func(p *sd.PkgData) { p.Keys() }), func(s *sd.Session) { deleting("other")(s); setting("othe", 1)(s) }, []sd.PkgKey{{Pkg: "p"}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire()
			cont := container(t, w, serializable)
			update(t, cont, "id", base)
			tx, s := begin(t, cont, "id")
			c.read(s)
			_ = s.Pkg("mine").Set("k", 1)
			update(t, cont, "id", c.theirs)
			// And a commit that changes nothing that was read, so that there is
			// always something to merge with.
			set(t, cont, "id", "unrelated", "k", 1)
			if name == "package list" || name == "package list, key appears" || name == "package gone" {
				update(t, cont, "id", func(s *sd.Session) { _ = s.DeletePkg("unrelated") })
			}
			err := tx.Commit(t.Context())
			if c.keys == nil {
				require.NoError(t, err)
				return
			}
			var conflict *sd.ConflictError
			require.ErrorAs(t, err, &conflict)
			require.Equal(t, c.keys, conflict.Keys)
		})
	}
}

func TestRule16_SerializableDestroyDependsOnWhatWasRead(t *testing.T) {
	for name, c := range map[string]struct {
		cfg sd.Config
		err error
	}{"serializable": {serializable, sd.ErrConflict}, "merge": {sd.Config{}, nil}} {
		got, err := meet(t, c.cfg, setting("empty", true), setting("empty", false), func(s *sd.Session) {
			if first(sd.Get[bool](s.Pkg("p"), "empty")) {
				_ = s.Destroy()
			}
		})
		require.ErrorIs(t, err, c.err, name)
		require.Equal(t, c.err == nil, got == nil, name)
	}
	got, err := meet(t, serializable, setting("k", 1), setting("other", 2), func(s *sd.Session) {
		_ = s.Pkg("p").Has("k")
		_ = s.Destroy()
	})
	require.NoError(t, err, "nothing that was read has changed")
	require.Nil(t, got)
}

func TestRule16_SerializableRenewDependsOnWhatWasRead(t *testing.T) {
	for name, c := range map[string]struct {
		read func(s *sd.Session)
		err  error
	}{
		"read":     {func(s *sd.Session) { s.Pkg("p").Has("k") }, sd.ErrConflict},
		"not read": {func(*sd.Session) {}, nil},
	} {
		w := newWire()
		cont := container(t, w, serializable)
		set(t, cont, "id", "p", "k", 1)
		tx, s := begin(t, cont, "id")
		c.read(s)
		next, err := s.Renew()
		require.NoError(t, err)
		set(t, cont, "id", "p", "k", 2)
		require.ErrorIs(t, tx.Commit(t.Context()), c.err, name)
		require.Len(t, keys(t, w.Store), 1, name)
		id := next
		if c.err != nil {
			id = "id"
		}
		require.Equal(t, pkg("p", map[string]any{"k": int64(2)}), stored(t, cont, id), name)
	}
}

// Two sets of keys may be one text: "a" and "bc", "ab" and "c".
func TestRule16_KeySetsOfOneTextAreTwo(t *testing.T) {
	cont := container(t, newWire(), serializable)
	update(t, cont, "id", func(s *sd.Session) { setting("a", 1)(s); setting("bc", 1)(s) })
	tx, s := begin(t, cont, "id")
	require.Equal(t, 2, s.Pkg("p").Len())
	require.NoError(t, s.Pkg("mine").Set("k", 1))
	update(t, cont, "id", func(s *sd.Session) {
		_ = s.DeletePkg("p")
		setting("ab", 1)(s)
		setting("c", 1)(s)
	})
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrConflict)
}
