package sessiondata_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// A transaction that is decided, installed and cleared between the two questions
// of a reader has not been undone: the item has changed since it was read.
func TestIntents_UndoneOnlyWhereTheItemIsStillAsItWasRead(t *testing.T) {
	for _, commits := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w, c := storeA(t)
			ids := ascending(t, 2)
			fill(t, c, 0, ids...)
			tx := writing(t, c, 1, ids...)
			if !commits {
				require.NoError(t, tx.JoinLast(&member{diary: new(diary), commit: fails(errOne)}))
			}
			other := hold(t, tx)
			reader := &wire{Store: w.Store}
			reader.on = func(call call, pass func() error) error {
				if call.op == "get" && call.n == 2 { // of the primary
					require.Equal(t, keyOf(t, "a", ids[0]), call.key)
					err := other.release()
					require.Equal(t, commits, err == nil)
				}
				return pass()
			}
			want := int64(0)
			if commits {
				want = 1
			}
			require.Equal(t, []any{want}, holding(t, containerA(t, reader), ids[1]))
		})
	}
}

// The same for one who settles.
func TestIntents_SettlingWhatIsSettledMeanwhileDoesNothing(t *testing.T) {
	for at := 2; at <= 3; at++ { // the read of the primary; the write to the item
		synctest.Test(t, func(t *testing.T) {
			w, c := storeA(t)
			ids := ascending(t, 2)
			fill(t, c, 0, ids...)
			left(t, w, true, ids...)
			settler := &wire{Store: w.Store}
			calls := 0
			settler.on = func(call call, pass func() error) error {
				calls++
				if calls == at {
					written(t, c, ids[1])
					written(t, c, ids[0])
				}
				return pass()
			}
			require.NoError(t, containerA(t, settler).Update(t.Context(), ids[1], func(s *sd.Session) error {
				return s.Pkg("r").Set("x", 1)
			}))
			require.Equal(t, []any{int64(1), int64(1)}, holding(t, c, ids...))
			require.Equal(t, map[string]any{"w": int64(7)}, stored(t, c, ids[1])["q"])
			require.Equal(t, map[string]any{"x": int64(1)}, stored(t, c, ids[1])["r"])
		})
	}
}

// A reader whose writes are all refused sees the truth all the same.
func TestIntents_ReaderThatCannotInstallSeesTheNewBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := storeA(t)
		ids := ascending(t, 3)
		fill(t, c, 0, ids...)
		left(t, w, true, ids...)
		w.answer(func(c call, pass func() error) error {
			if c.write() {
				return sd.ErrUnavailable
			}
			return pass()
		})
		require.Equal(t, []any{int64(1), int64(1), int64(1)}, holding(t, c, ids...))
		time.Sleep(later)
		require.Equal(t, []any{int64(1), int64(1), int64(1)}, holding(t, c, ids...))
	})
}
