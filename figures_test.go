package sessiondata_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

func TestRule15_EightWorkersCountOneCounterFromNothing(t *testing.T) {
	w := newWire()
	servers := []*sd.Container{container(t, w), container(t, w)}
	together(8, func(worker int) {
		for range 40 {
			if err := servers[worker%2].Update(t.Context(), "id", func(s *sd.Session) error {
				return sd.Modify(s.Pkg("p"), "counter", func(n *int) error { *n++; return nil })
			}); err != nil {
				t.Error(err)
			}
		}
	})
	require.Equal(t, pkg("p", map[string]any{"counter": int64(320)}), stored(t, servers[0], "id"))
}

func TestRule15_WorkersThatAddTheirOwnKeysLoseNothing(t *testing.T) {
	w := newWire()
	servers := []*sd.Container{container(t, w), container(t, w)}
	together(8, func(worker int) {
		for i := range 40 {
			if err := servers[worker%2].Update(t.Context(), "id", func(s *sd.Session) error {
				return s.Pkg(fmt.Sprint("p", worker%3)).Set(fmt.Sprint(worker, ".", i), i)
			}); err != nil {
				t.Error(err)
			}
		}
	})
	n := 0
	for _, vals := range stored(t, servers[1], "id") {
		n += len(vals)
	}
	require.Equal(t, 320, n)
}

func TestRule16_SixWorkersPopAHundredValuesEachIsDeliveredOnce(t *testing.T) {
	c := container(t, newWire())
	update(t, c, "id", func(s *sd.Session) {
		for i := range 100 {
			require.NoError(t, s.Pkg("queue").Set(fmt.Sprintf("%03d", i), i))
		}
	})
	var mu sync.Mutex
	var got []int
	together(6, func(int) {
		for {
			var popped int
			err := c.Update(t.Context(), "id", func(s *sd.Session) (err error) {
				keys := s.Pkg("queue").Keys()
				if len(keys) == 0 {
					return sd.ErrKeyNotFound
				}
				popped, err = sd.Pop[int](s.Pkg("queue"), keys[0])
				return err
			})
			if errors.Is(err, sd.ErrKeyNotFound) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			got = append(got, popped)
			mu.Unlock()
		}
	})
	slices.Sort(got)
	require.Len(t, got, 100)
	require.Len(t, slices.Compact(got), 100)
	require.Empty(t, stored(t, c, "id"))
}

func TestRule18_ASessionDestroyedAndMadeAnewIsNeverMergedWithItsPredecessor(t *testing.T) {
	c := container(t, newWire())
	together(4, func(worker int) {
		for i := range 50 {
			err := c.Update(t.Context(), "id", func(s *sd.Session) error {
				if worker == 0 {
					return s.Destroy()
				}
				// The generation and each key in it belong together.
				generation, err := sd.SetDefault(s.Pkg("p"), "generation", fmt.Sprint(worker, ".", i))
				if err != nil {
					return err
				}
				return s.Pkg("keys").Set(fmt.Sprint(worker, ".", i), generation)
			})
			if err != nil && !errors.Is(err, sd.ErrGone) {
				t.Error(err)
			}
			is := stored(t, c, "id")
			for key, generation := range is["keys"] {
				if now := is["p"]["generation"]; generation != now {
					t.Errorf("%s of generation %v in generation %v", key, generation, now)
				}
			}
		}
	})
}
