package sessiondata_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/internal/bounds"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// FuzzStoredSession lets any bytes stand in the store, with a checksum that fits:
// a session is refused and its bytes stay, or what can be read of it is there
// again after a change to it was committed.
func FuzzStoredSession(f *testing.F) {
	files, err := filepath.Glob("testdata/envelope/*.bin")
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, name := range files {
		raw, err := os.ReadFile(name)
		require.NoError(f, err)
		if len(raw) < 1000 {
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) < 4 {
			return
		}
		store := memstore.New(memstore.Config{})
		set(t, container(t, store), "id", "p", "k", 1)
		now := time.Unix(1_800_000_000, 0)
		c := container(t, store, sd.Config{
			Timeout: sd.NoTimeout, CommitTimeout: 50 * time.Millisecond, Attempts: 1, Now: func() time.Time { return now },
		})
		key := keys(t, store)[0]
		put(t, store, key, sd.Reseal(raw, key))
		before, err := store.Get(t.Context(), key)
		require.NoError(t, err)

		tx := sd.Begin()
		defer tx.Rollback()
		var s *sd.Session
		require.NoError(t, bounds.Check(len(raw), 32, func() { s, err = c.Session(t.Context(), tx, "id") }))
		if err != nil {
			if !errors.Is(err, sd.ErrUnavailable) { // an intent that names a key of a form that it cannot have
				requireUnreadable(t, err)
			}
			after, err := store.Get(t.Context(), key)
			require.NoError(t, err)
			require.Equal(t, before.Value, after.Value)
			return
		}
		content := func(s *sd.Session) (vals map[sd.PkgKey]any) {
			vals = map[sd.PkgKey]any{}
			require.NoError(t, bounds.Check(len(raw), 512, func() {
				for _, name := range s.Packages() {
					for k, v := range s.Pkg(name).All() {
						var val any
						if _ = v.Decode(&val); !v.IsZero() {
							vals[sd.PkgKey{Pkg: name, Key: k}] = v
						}
					}
				}
			}))
			return vals
		}
		want := content(s)
		err = s.Pkg("fuzz").Set("k", "new")
		if err == nil {
			err = tx.Commit(t.Context())
		}
		switch {
		case err == nil:
		case errors.Is(err, sd.ErrCorrupt), errors.Is(err, sd.ErrTooLarge), errors.Is(err, sd.ErrInvalid):
			return // a broken package, or names that are too long
		case errors.Is(err, sd.ErrConflict), errors.Is(err, sd.ErrUnavailable):
			return // another transaction's intent, whose deadline lies ahead
		default:
			t.Fatalf("%v", err)
		}
		tx = sd.Begin()
		s, err = c.Session(t.Context(), tx, "id")
		require.NoError(t, err)
		got, err := sd.Get[string](s.Pkg("fuzz"), "k")
		require.NoError(t, err)
		require.Equal(t, "new", got)
		is := content(s)
		delete(is, sd.PkgKey{Pkg: "fuzz", Key: "k"})
		delete(want, sd.PkgKey{Pkg: "fuzz", Key: "k"})
		require.Len(t, is, len(want))
		for at, v := range want {
			require.True(t, v.(sd.Value).Equal(is[at].(sd.Value)), "%q", at)
		}
		require.NoError(t, tx.Rollback())
	})
}
