package sessiondata_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// largest returns the largest value that write sends.
func (w *wire) largest() (size int) {
	for _, c := range w.writes() {
		size = max(size, len(c.value))
	}
	return size
}

// The whole item, with its intent, obeys MaxSize, whatever is near the limit:
// the limit is exact, what is over it is refused before the decision, and
// nothing stays.
func TestIntents_MaxSizeHoldsForTheItemWithItsIntent(t *testing.T) {
	for what, work := range map[string]func(t *testing.T, c *sd.Container, ids []string) *sd.Txn{
		"changed": func(t *testing.T, c *sd.Container, ids []string) *sd.Txn {
			return writing(t, c, string(make([]byte, 2000)), ids...)
		},
		"new": func(t *testing.T, c *sd.Container, ids []string) *sd.Txn {
			return writing(t, c, string(make([]byte, 2000)), ids[0], ids[1], "new 1", "new 2")
		},
		"destroyed": func(t *testing.T, c *sd.Container, ids []string) *sd.Txn {
			tx := sd.Begin()
			for _, id := range ids {
				require.NoError(t, open(t, c, tx, id).Destroy())
			}
			return tx
		},
		"renewed": func(t *testing.T, c *sd.Container, ids []string) *sd.Txn {
			tx := writing(t, c, string(make([]byte, 2000)), ids...)
			_, err := open(t, c, tx, ids[0]).Renew()
			require.NoError(t, err)
			return tx
		},
	} {
		t.Run(what, func(t *testing.T) {
			ids := ascending(t, 12)
			try := func(limit int) (*wire, error) {
				w, c := storeA(t)
				fill(t, c, 0, ids...)
				w.forget()
				tx := work(t, containerA(t, w, sd.Config{MaxSize: limit}), ids)
				d := new(diary)
				require.NoError(t, tx.JoinLast(&member{name: "last", diary: d}))
				err := tx.Commit(t.Context())
				if err != nil {
					require.ErrorIs(t, err, sd.ErrTooLarge)
					require.NotContains(t, d.lines, "last commit", "refused when it is too late")
					require.LessOrEqual(t, w.largest(), limit)
					for _, v := range holding(t, c, ids...) {
						require.EqualValues(t, 0, v)
					}
				}
				return w, err
			}
			w, err := try(1 << 20)
			require.NoError(t, err)
			most := w.largest()
			_, err = try(most)
			require.NoError(t, err)
			_, err = try(most - 1)
			require.ErrorIs(t, err, sd.ErrTooLarge)
		})
	}
}
