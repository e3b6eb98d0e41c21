package sessiondata_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

func TestPkg_NamesAreFreeTextUpToTheLimit(t *testing.T) {
	c := container(t, newWire())
	names := []string{"", "\x00", "\r\nflush_all\r\n", "\xff\xfe", "\u2603", strings.Repeat("x", sd.MaxName)}
	update(t, c, "id", func(s *sd.Session) {
		for _, p := range names {
			for _, k := range names {
				require.NoError(t, s.Pkg(p).Set(k, p+k))
			}
		}
		long := strings.Repeat("x", sd.MaxName+1)
		for _, p := range []*sd.PkgData{s.Pkg(long), s.Pkg("p")} {
			key := long
			if p.Name() == long {
				key = "k"
				require.ErrorIs(t, p.Clear(), sd.ErrInvalid)
				require.Zero(t, p.Len())
				require.Empty(t, p.Keys())
			}
			require.ErrorIs(t, p.Set(key, 1), sd.ErrInvalid)
			require.ErrorIs(t, p.Delete(key), sd.ErrInvalid)
			require.ErrorIs(t, p.Get(key, new(int)), sd.ErrInvalid)
			require.ErrorIs(t, sd.Modify(p, key, func(*int) error { return nil }), sd.ErrInvalid)
			require.False(t, p.Has(key))
		}
	})
	require.NoError(t, c.View(t.Context(), "id", func(s *sd.Session) error {
		require.Len(t, s.Packages(), len(names))
		for _, p := range names {
			for _, k := range names {
				require.Equal(t, p+k, first(sd.Get[string](s.Pkg(p), k)))
			}
		}
		return nil
	}))
}

func TestPkg_AllIsASnapshotInTheOrderOfKeys(t *testing.T) {
	c := container(t, newWire())
	update(t, c, "id", func(s *sd.Session) {
		p := s.Pkg("p")
		for _, k := range []string{"c", "a", "b"} {
			require.NoError(t, p.Set(k, k))
		}
		var seen []string
		for k, v := range p.All() {
			require.NoError(t, p.Set(k, "changed"))
			require.NoError(t, p.Delete("c"))
			require.NoError(t, p.Set("d", "new"))
			seen = append(seen, k+first(v.Any()).(string))
		}
		require.Equal(t, []string{"aa", "bb", "cc"}, seen)
		require.Equal(t, []string{"a", "b", "d"}, p.Keys())
		for range p.All() {
			break
		}
	})
}
