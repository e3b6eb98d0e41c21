package storetest

import (
	"context"
	"iter"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

func (s *toy) Keys(ctx context.Context, prefix string) iter.Seq2[sd.KeyInfo, error] {
	return func(yield func(sd.KeyInfo, error) bool) {
		s.mu.Lock()
		err := s.enter(ctx, "k")
		infos := s.listing(prefix)
		if s.is("is locked while it lists") {
			defer s.mu.Unlock()
		} else {
			s.mu.Unlock()
		}
		switch {
		case err != nil && s.is("lists nothing where it should fail"):
			return
		case err != nil && s.is("lists on after an error"):
			for range 2 {
				yield(sd.KeyInfo{}, err)
			}
			return
		case err != nil:
			yield(sd.KeyInfo{}, err)
			return
		case s.is("lists by position"):
			s.listByPosition(prefix, yield)
			return
		}
		for _, info := range infos {
			if !yield(info, nil) && !s.is("lists on after the caller stops") {
				return
			}
		}
	}
}

// listing describes what is stored under prefix, sorted.
func (s *toy) listing(prefix string) []sd.KeyInfo {
	var infos []sd.KeyInfo
	for _, key := range slices.Sorted(maps.Keys(s.items)) {
		it := s.items[key]
		switch {
		case s.expired(it) && !s.is("lists what has expired"):
			continue
		case s.is("ignores the prefix"):
		case s.is("finds the prefix anywhere") && strings.Contains(key, prefix):
		case !strings.HasPrefix(key, prefix):
			continue
		}
		info := sd.KeyInfo{Key: key, Size: len(it.value), Expires: it.expires}
		switch s.flaw {
		case "lists keys escaped":
			info.Key = url.QueryEscape(key)
		case "tells no size":
			info.Size = 0
		case "tells no expiry":
			info.Expires = time.Time{}
		case "lists what was swapped twice":
			if it.written > 1 {
				infos = append(infos, info)
			}
		}
		infos = append(infos, info)
	}
	switch s.flaw {
	case "lists a key of its own":
		infos = append(infos, sd.KeyInfo{Key: prefix + "meta"})
	case "lists what was removed":
		for key := range s.removed {
			infos = append(infos, sd.KeyInfo{Key: key})
		}
	case "lists 100 keys at most":
		infos = infos[:min(len(infos), 100)]
	}
	return infos
}

// listByPosition asks for one key after the other by its number, as a listing
// in pages does, and so misses some where others come and go.
func (s *toy) listByPosition(prefix string, yield func(sd.KeyInfo, error) bool) {
	for i := 0; ; i++ {
		s.mu.Lock()
		infos := s.listing(prefix)
		s.mu.Unlock()
		if i >= len(infos) || !yield(infos[i], nil) {
			return
		}
	}
}
