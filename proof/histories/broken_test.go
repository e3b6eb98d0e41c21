package histories

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// careless is a store that swaps whatever is there, whoever wrote it.
type careless struct{ sd.Store }

func (s careless) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	if item, err := s.Get(ctx, key); err == nil {
		v = item.Version
	}
	return s.Store.CompareAndSwap(ctx, key, value, ttl, v)
}

// forgetful is a store that loses a write now and then, and says that it is done.
type forgetful struct{ sd.Store }

func (s forgetful) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	if rand.IntN(50) == 0 {
		return nil
	}
	return s.Store.CompareAndSwap(ctx, key, value, ttl, v)
}

// lying is a store that answers now and then that it was not reached, although
// the write is done.
type lying struct{ sd.Store }

func (s lying) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	err := s.Store.CompareAndSwap(ctx, key, value, ttl, v)
	if err == nil && rand.IntN(50) == 0 {
		return sd.ErrUnavailable
	}
	return err
}

// undead is a store in which nothing is deleted now and then, although it says so.
type undead struct{ sd.Store }

func (s undead) CompareAndDelete(ctx context.Context, key string, v sd.Version) error {
	if rand.IntN(2) == 0 {
		return nil
	}
	return s.Store.CompareAndDelete(ctx, key, v)
}

// What breaks the isolation is found by the programs, and not only in histories
// that are made up.
func TestTheProgramsFindWhatABrokenStoreOrPolicyDoes(t *testing.T) {
	several := Shape{Level: MergeLevel, Clients: 4, Each: 20, Sessions: 3, Keys: 2}
	destroying := Shape{Level: MergeLevel, Clients: 4, Each: 20, Sessions: 2, Keys: 2, Destroys: true}
	for name, c := range map[string]struct {
		shape  Shape
		policy sd.ConflictPolicy
		store  func(sd.Store) sd.Store
		level  Level
		want   []Name // any of them
	}{
		"overwrite":        {several, sd.Overwrite, func(s sd.Store) sd.Store { return s }, MergeLevel, []Name{LostUpdate, LostAppend, Half}},
		"merge":            {several, sd.Merge, func(s sd.Store) sd.Store { return s }, SerializableLevel, []Name{G2}},
		"no comparison":    {several, sd.Merge, func(s sd.Store) sd.Store { return careless{s} }, MergeLevel, []Name{LostAppend, Half}},
		"a write is lost":  {several, sd.Merge, func(s sd.Store) sd.Store { return forgetful{s} }, MergeLevel, []Name{LostAppend, Half}},
		"a false answer":   {several, sd.Merge, func(s sd.Store) sd.Store { return lying{s} }, MergeLevel, []Name{G1a}},
		"deletion is lost": {destroying, sd.Merge, func(s sd.Store) sd.Store { return undead{s} }, MergeLevel, []Name{Resurrection}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			seen := map[Name]int{}
			for n := range 60 {
				store := memstore.New(memstore.Config{})
				p := &place{
					ctx: t.Context(), id: func(s int) string { return fmt.Sprint(s) },
					may: []error{errFail, sd.ErrConflict, sd.ErrGone, sd.ErrUnavailable, sd.ErrOutcomeUnknown},
				}
				var err error
				p.clean, err = containers(store, c.policy, 150*time.Millisecond)
				require.NoError(t, err)
				for range c.shape.Clients {
					cs, err := containers(distant{c.store(store)}, c.policy, 150*time.Millisecond)
					require.NoError(t, err)
					p.clients = append(p.clients, &client{containers: cs})
				}
				h, err := p.run(c.shape, seed, n)
				require.NoError(t, err)
				for _, a := range Check(h, c.level).Anomalies {
					seen[a.Name]++
				}
				for _, name := range c.want {
					if seen[name] > 0 {
						return
					}
				}
			}
			t.Errorf("60 histories show none of %v, but %v", c.want, seen)
		})
	}
}
