package sessiondata_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// itemVersions is a store that counts the writes of each item by itself, so that
// the items of two sessions bear the same version. The contract forbids it (in
// storetest, a Version "of another key does not match"); sessions lose nothing by
// it all the same, as they compare versions of one key alone.
type itemVersions struct {
	sd.Store
	mu   sync.Mutex
	read map[string][]sd.Version // by key: those of the store beneath, for 1, 2, ...
}

func newItemVersions() *itemVersions {
	return &itemVersions{Store: memstore.New(memstore.Config{}), read: map[string][]sd.Version{}}
}

func (s *itemVersions) Get(ctx context.Context, key string) (sd.Item, error) {
	item, err := s.Store.Get(ctx, key)
	if err != nil {
		return item, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.read[key], item.Version) {
		s.read[key] = append(s.read[key], item.Version)
	}
	item.Version = sd.Version{ID: uint64(slices.Index(s.read[key], item.Version)) + 1}
	return item, nil
}

// beneath is what the store beneath calls v: the zero Version for one that was
// not given out.
func (s *itemVersions) beneath(key string, v sd.Version) sd.Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.Epoch != 0 || v.ID == 0 || v.ID > uint64(len(s.read[key])) {
		return sd.Version{}
	}
	return s.read[key][v.ID-1]
}

func (s *itemVersions) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	return s.Store.CompareAndSwap(ctx, key, value, ttl, s.beneath(key, v))
}

func (s *itemVersions) CompareAndDelete(ctx context.Context, key string, v sd.Version) error {
	return s.Store.CompareAndDelete(ctx, key, s.beneath(key, v))
}

func TestSessionsOverAStoreThatCountsTheVersionsOfEachItem(t *testing.T) {
	storetest.RunSessions(t, func(*testing.T) sd.Store { return newItemVersions() })
}
