package memstore

import (
	"context"
	"iter"
	"strings"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// Keys lists the keys that begin with prefix, in no particular order, as they
// are when the range begins. It takes time and memory in proportion to the
// number of items, all of it before the first key: the store is not locked
// while the caller works, which may use it freely. Listing is no use of an
// item. If ctx ends meanwhile, an error that matches its cause ends the range.
func (s *Store) Keys(ctx context.Context, prefix string) iter.Seq2[sd.KeyInfo, error] {
	return func(yield func(sd.KeyInfo, error) bool) {
		if err := ended(ctx); err != nil {
			yield(sd.KeyInfo{}, err)
			return
		}
		infos, err := s.snapshot(prefix)
		if err != nil {
			yield(sd.KeyInfo{}, err)
			return
		}
		for _, info := range infos {
			if err := ended(ctx); err != nil {
				yield(sd.KeyInfo{}, err)
				return
			}
			if !yield(info, nil) {
				return
			}
		}
	}
}

// snapshot describes the live items under prefix.
func (s *Store) snapshot(prefix string) ([]sd.KeyInfo, error) {
	today := time.Now
	if s.now != nil {
		today = s.now
	}
	wall := today()
	now := wall.Sub(s.start)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, sd.ErrClosed
	}
	var infos []sd.KeyInfo
	for key, it := range s.items {
		if it.expires <= now || !strings.HasPrefix(key, prefix) {
			continue
		}
		info := sd.KeyInfo{Key: key, Size: len(it.value)}
		if it.expires != never {
			info.Expires = wall.Add(it.expires - now).Round(0)
		}
		infos = append(infos, info)
	}
	return infos, nil
}
