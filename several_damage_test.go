package sessiondata_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// rewritten puts what change makes of the stored bytes in their place.
func rewritten(t testing.TB, store sd.Store, key string, change func([]byte) []byte) []byte {
	t.Helper()
	it, err := store.Get(t.Context(), key)
	require.NoError(t, err)
	b := change(bytes.Clone(it.Value))
	require.NoError(t, store.CompareAndSwap(t.Context(), key, b, time.Hour, it.Version))
	return b
}

// damaged flips a bit in the section at the end of an item, which is its intent
// or note.
func damaged(t testing.TB, store sd.Store, key string) []byte {
	return rewritten(t, store, key, func(b []byte) []byte {
		b[len(b)-20] ^= 1
		return b
	})
}

// resealed puts the right checksum behind a changed body.
func resealed(key string, body []byte) []byte {
	table := crc32.MakeTable(crc32.Castagnoli)
	return binary.LittleEndian.AppendUint32(body, crc32.Update(crc32.Update(0, table, []byte(key)), table, body))
}

// A damaged intent is ErrCorrupt for that session alone, which is left as it is:
// the others go the way of their primary.
func TestIntents_DamagedIntentIsErrCorruptForThatSessionAlone(t *testing.T) {
	for _, decided := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, c := storeA(t)
			ids := ascending(t, 3)
			fill(t, c, 0, ids...)
			left(t, w, decided, ids...)
			key := keyOf(t, "a", ids[1])
			bytes := damaged(t, w.Store, key)
			time.Sleep(later)
			want := int64(0)
			if decided {
				want = 1
			}
			untouched := func() {
				t.Helper()
				_, err := c.Session(t.Context(), sd.Begin(), ids[1])
				require.ErrorIs(t, err, sd.ErrCorrupt)
				it, err := w.Store.Get(t.Context(), key)
				require.NoError(t, err)
				require.Equal(t, bytes, it.Value)
			}
			untouched()
			require.Equal(t, []any{want, want}, holding(t, c, ids[0], ids[2]))
			fill(t, c, 2, ids[0], ids[2])
			require.Equal(t, []any{int64(2), int64(2)}, holding(t, c, ids[0], ids[2]))
			require.NoError(t, writing(t, c, 3, ids[0], ids[2]).Commit(t.Context()))
			require.Equal(t, []any{int64(3), int64(3)}, holding(t, c, ids[0], ids[2]))
			untouched()
		})
	}
}

// While a transaction is under way, too: it has been read, so that its bytes are
// known and the damage is mended, or it has not, and nothing happens.
func TestIntents_DamageWhileATransactionIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := storeA(t)
		ids := ascending(t, 2)
		fill(t, c, 0, ids...)
		tx := writing(t, c, 1, ids...)
		w.answer(func(c call, pass func() error) error {
			if c.op == "get" && c.n == 2 {
				damaged(t, w.Store, c.key)
			}
			return pass()
		})
		require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrCorrupt)
		time.Sleep(later)
		for _, id := range ids {
			if _, err := c.Session(t.Context(), sd.Begin(), id); err != nil {
				require.ErrorIs(t, err, sd.ErrCorrupt)
			} else {
				require.Equal(t, []any{int64(0)}, holding(t, c, id))
			}
		}
	})
}

// Nobody can tell what has become of a transaction whose primary is damaged, as
// while its server is down: the others cannot be read until it is removed, or
// has expired.
func TestIntents_WithADamagedPrimaryTheOthersCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := storeA(t)
		ids := ascending(t, 2)
		fill(t, c, 0, ids...)
		left(t, w, false, ids...)
		damaged(t, w.Store, keyOf(t, "a", ids[0]))
		for _, id := range ids {
			_, err := c.Session(t.Context(), sd.Begin(), id)
			require.ErrorIs(t, err, sd.ErrCorrupt)
		}
		it, err := w.Store.Get(t.Context(), keyOf(t, "a", ids[0]))
		require.NoError(t, err)
		require.NoError(t, w.Store.CompareAndDelete(t.Context(), keyOf(t, "a", ids[0]), it.Version))
		require.Equal(t, []any{nil, int64(0)}, holding(t, c, ids...))
	})
}

// What a newer version has put into a section that may be ignored survives a
// transaction over several sessions, at each of its ends.
func TestIntents_SectionsThatMayBeIgnoredSurvive(t *testing.T) {
	const extra = "\x90\x05\x00\x00\x00hello" // kind 0x90, 5 bytes
	cases := map[string]func(t *testing.T, store sd.Store, ids []string) (last string){
		"committed": func(t *testing.T, store sd.Store, ids []string) string {
			require.NoError(t, writing(t, containerA(t, store), 1, ids...).Commit(t.Context()))
			return ids[2]
		},
		"renewed": func(t *testing.T, store sd.Store, ids []string) string {
			c := containerA(t, store)
			tx := writing(t, c, 1, ids...)
			next, err := open(t, c, tx, ids[2]).Renew()
			require.NoError(t, err)
			require.NoError(t, tx.Commit(t.Context()))
			return next
		},
		"renewed, and installed by another": func(t *testing.T, store sd.Store, ids []string) (next string) {
			diesAt(t, store, 5, storetest.DieAfter, func(c *sd.Container) *sd.Txn {
				tx := writing(t, c, 1, ids...)
				var err error
				next, err = open(t, c, tx, ids[2]).Renew()
				require.NoError(t, err)
				return tx
			})
			return next
		},
		"undone": func(t *testing.T, store sd.Store, ids []string) string {
			left(t, store, false, ids...)
			time.Sleep(later)
			return ids[2]
		},
	}
	for what, run := range cases {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New(memstore.Config{})
				c := containerA(t, store)
				ids := ascending(t, 3)
				fill(t, c, 0, ids...)
				for _, id := range ids {
					rewritten(t, store, keyOf(t, "a", id), func(b []byte) []byte {
						return resealed(keyOf(t, "a", id), append(b[:len(b)-4], extra...))
					})
				}
				last := run(t, store, ids)
				for _, id := range []string{ids[0], ids[1], last} {
					set(t, c, id, "q", "w", 1) // settles
					it, err := store.Get(t.Context(), keyOf(t, "a", id))
					require.NoError(t, err)
					require.Equal(t, 1, bytes.Count(it.Value, []byte(extra)))
				}
			})
		})
	}
}
