package memcachestore

import "hash/fnv"

// route returns the server that holds key: the one whose name scores highest
// together with it (rendezvous hashing, Thaler and Ravishankar 1998). All
// programs that share sessions must agree on this function, in every version of
// this package: it is fixed by a test with constant results.
func (s *Store) route(key string) *server {
	if len(s.servers) == 1 {
		return s.servers[0]
	}
	h := hash(key)
	best := s.servers[0]
	top := score(best.seed, h)
	for _, srv := range s.servers[1:] { // sorted by name, so that a tie is the same everywhere
		if sc := score(srv.seed, h); sc > top {
			best, top = srv, sc
		}
	}
	return best
}

func hash(text string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(text))
	return h.Sum64()
}

// score mixes both hashes (the finalizer of SplitMix64) so that every bit of
// either changes half of the result's.
func score(seed, h uint64) uint64 {
	x := seed ^ h
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
