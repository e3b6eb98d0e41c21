package sessiondata_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

func key(id uint32) sd.Key {
	k := sd.Key{ID: id, Secret: make([]byte, sd.KeySize)}
	rand.Read(k.Secret)
	return k
}

func sealing(t *testing.T, store sd.Store, name string, keys ...sd.Key) *sd.Container {
	c, err := sd.NewContainer(store, sd.Config{Name: name, Keys: keys})
	require.NoError(t, err)
	return c
}

// dump returns all that the store holds, keys and values.
func dump(t *testing.T, store sd.Store) []byte {
	var all []byte
	for _, key := range keys(t, store) {
		item, err := store.Get(t.Context(), key)
		require.NoError(t, err)
		all = append(append(all, key...), item.Value...)
	}
	return all
}

func setTo(v string) func(*sd.Session) error {
	return func(s *sd.Session) error { return s.Pkg("package name").Set("key name", v) }
}

func get(t *testing.T, c *sd.Container, id string) (v string, err error) {
	err = c.View(t.Context(), id, func(s *sd.Session) (err error) {
		v, err = sd.GetOr(s.Pkg("package name"), "key name", "")
		return err
	})
	return v, err
}

func TestSealedSessionsShowNothingInADump(t *testing.T) {
	store := memstore.New(memstore.Config{})
	c := sealing(t, store, "c", key(1))
	const id = "the id of the visitor"
	require.NoError(t, c.Update(t.Context(), id, setTo("the value")))
	require.NoError(t, c.Update(t.Context(), id, setTo("the value, changed")))
	all := dump(t, store)
	for _, secret := range []string{id, "package name", "key name", "the value"} {
		require.NotContains(t, string(all), secret)
	}
	// The control: without keys the same search finds them.
	plain := memstore.New(memstore.Config{})
	require.NoError(t, sealing(t, plain, "c").Update(t.Context(), id, setTo("the value")))
	for _, shown := range []string{"package name", "key name", "the value"} {
		require.Contains(t, string(dump(t, plain)), shown)
	}
	require.NotContains(t, string(dump(t, plain)), id)
}

func TestSealingKeysAreRotatedWithoutDowntime(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		k1, k2 := key(1), key(2)
		require.NoError(t, sealing(t, store, "c").Update(t.Context(), "plain", setTo("v0")))
		require.NoError(t, sealing(t, store, "c", k1).Update(t.Context(), "old", setTo("v1")))

		both := sealing(t, store, "c", k2, k1)
		for id, want := range map[string]string{"plain": "v0", "old": "v1"} {
			got, err := get(t, both, id)
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.NoError(t, both.Update(t.Context(), id, setTo(want+" again")))
		}
		// What is written is sealed anew, so the old key may go.
		for id, want := range map[string]string{"plain": "v0 again", "old": "v1 again"} {
			got, err := get(t, sealing(t, store, "c", k2), id)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	})
}

func TestWhatIsSealedWithAMissingKeyIsLeftAsItIs(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		k1 := key(1)
		require.NoError(t, sealing(t, store, "c", k1).Update(t.Context(), "id", setTo("v")))
		before := dump(t, store)
		for _, c := range []*sd.Container{sealing(t, store, "c"), sealing(t, store, "c", key(2))} {
			require.ErrorIs(t, c.Update(t.Context(), "id", setTo("w")), sd.ErrUnsupportedVersion)
			_, err := get(t, c, "id")
			require.ErrorIs(t, err, sd.ErrUnsupportedVersion)
		}
		// Another secret under the same key id.
		require.ErrorIs(t, sealing(t, store, "c", key(1)).Update(t.Context(), "id", setTo("w")), sd.ErrCorrupt)
		require.Equal(t, before, dump(t, store))

		// Sealed after it was read: as absent, or in clear.
		set(t, sealing(t, store, "c"), "in clear", "p", "k", 1)
		for _, id := range []string{"absent", "in clear"} {
			for _, c := range []*sd.Container{sealing(t, store, "c"), sealing(t, store, "c", key(2))} {
				tx, s := begin(t, c, id)
				require.NoError(t, s.Pkg("p").Set("k", 2))
				require.NoError(t, sealing(t, store, "c", k1).Update(t.Context(), id, setTo(c.Ref(id).Hash)))
				before := everything(t, store)
				require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrUnsupportedVersion)
				require.Equal(t, before, everything(t, store))
				update(t, sealing(t, store, "c", k1), id, func(s *sd.Session) { require.NoError(t, s.Destroy()) })
				set(t, sealing(t, store, "c"), "in clear", "p", "k", 1)
			}
		}
	})
}

func TestASealedValueUnderAnotherKeyOrChangedIsCorrupt(t *testing.T) {
	overStores(t, func(t *testing.T, store sd.Store, _ *clock) {
		k := key(1)
		c := sealing(t, store, "c", k)
		require.NoError(t, c.Update(t.Context(), "a", setTo("of a")))
		require.NoError(t, c.Update(t.Context(), "b", setTo("of b")))
		items := map[string]sd.Item{}
		keys := keys(t, store)
		for _, key := range keys {
			var err error
			items[key], err = store.Get(t.Context(), key)
			require.NoError(t, err)
		}
		swap := func(key string, value []byte) {
			item, err := store.Get(t.Context(), key)
			require.NoError(t, err)
			require.NoError(t, store.CompareAndSwap(t.Context(), key, value, 0, item.Version))
		}
		// Swapped, with the checksum made to fit, as an attacker would.
		swap(keys[0], sd.Reseal(items[keys[1]].Value, keys[0]))
		swap(keys[1], sd.Reseal(items[keys[0]].Value, keys[1]))
		for _, id := range []string{"a", "b"} {
			_, err := get(t, c, id)
			require.ErrorIs(t, err, sd.ErrCorrupt)
		}
		swap(keys[0], items[keys[0]].Value)
		swap(keys[1], items[keys[1]].Value)
		for _, id := range []string{"a", "b"} {
			_, err := get(t, c, id)
			require.NoError(t, err, "the control: back in their places they are read")
		}
		value := items[keys[0]].Value
		for i := range len(value) - 4 {
			flipped := bytes.Clone(value)
			flipped[i] ^= 1
			swap(keys[0], sd.Reseal(flipped, keys[0]))
			_, errA := get(t, c, "a")
			_, errB := get(t, c, "b")
			err := errors.Join(errA, errB)
			require.True(t, errors.Is(err, sd.ErrCorrupt) || errors.Is(err, sd.ErrUnsupportedVersion), "byte %d: %v", i, err)
		}
	})
}

func TestAFaultyRingIsOneErrorThatNamesEachFault(t *testing.T) {
	_, err := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{Keys: []sd.Key{
		key(7), key(7), {ID: 8, Secret: []byte("short")}, {ID: 9}, {ID: 10, Secret: make([]byte, 33)},
	}})
	require.ErrorIs(t, err, sd.ErrInvalid)
	require.ErrorContains(t, err, "the id 7 stands twice")
	for fault, bytes := range map[string]int{"Keys[2]": 5, "Keys[3]": 0, "Keys[4]": 33} {
		require.ErrorContains(t, err, fmt.Sprintf("%s has %d bytes, want 32", fault, bytes))
	}
	require.NotContains(t, err.Error(), "short")
}

// Intents over sealed sessions are settled by who does not know their ids.
func TestRule13_SealedSessionsAreAllOrNoneWhereverTheClientDies(t *testing.T) {
	k := key(1)
	for _, fate := range []storetest.Fault{storetest.DieBefore, storetest.DieAfter} {
		for n, died := 1, true; died; n++ {
			for _, first := range []string{"one", "two"} {
				synctest.Test(t, func(t *testing.T) {
					store := memstore.New(memstore.Config{})
					a, b := sealing(t, store, "a", k), sealing(t, store, "b", k)
					require.NoError(t, a.Update(t.Context(), "one", setTo("old")))
					require.NoError(t, b.Update(t.Context(), "two", setTo("old")))
					faulty := storetest.NewFaulty(store, storetest.FaultConfig{Shared: true, Plan: map[int]storetest.Fault{n: fate}})
					said := sd.Run(t.Context(), func(tx *sd.Txn) error {
						for name, id := range map[string]string{"a": "one", "b": "two"} {
							s, err := sealing(t, faulty, name, k).Session(t.Context(), tx, id)
							if err != nil {
								return err
							}
							if err := setTo("new")(s); err != nil {
								return err
							}
						}
						return nil
					})
					died = faulty.Died()
					require.NotContains(t, string(dump(t, store)), "package name")
					touch := func(s *sd.Session) error { return s.Pkg("other").Set("k", 1) }
					if first == "one" {
						require.NoError(t, a.Update(t.Context(), "one", touch))
					} else {
						require.NoError(t, b.Update(t.Context(), "two", touch))
					}
					one, err := get(t, a, "one")
					require.NoError(t, err)
					two, err := get(t, b, "two")
					require.NoError(t, err)
					require.Equal(t, one, two, "a half, after write %d: %v", n, said)
					if said == nil {
						require.Equal(t, "new", one)
					} else if !errors.Is(said, sd.ErrOutcomeUnknown) {
						require.Equal(t, "old", one)
					}
				})
			}
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{100, 10_000, 150_000} {
		for _, keys := range [][]sd.Key{nil, {key(1)}} {
			c, err := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{Keys: keys})
			require.NoError(b, err)
			ctx := context.Background()
			require.NoError(b, c.Update(ctx, "id", setTo(string(make([]byte, size)))))
			b.Run(fmt.Sprintf("read/%d/sealed=%t", size, keys != nil), func(b *testing.B) {
				for b.Loop() {
					_ = c.View(ctx, "id", func(s *sd.Session) error { s.Pkg("package name").Has("key name"); return nil })
				}
			})
			n := 0
			b.Run(fmt.Sprintf("write/%d/sealed=%t", size, keys != nil), func(b *testing.B) {
				for b.Loop() {
					n++
					_ = c.Update(ctx, "id", func(s *sd.Session) error { return s.Pkg("n").Set("n", n) })
				}
			})
		}
	}
}
