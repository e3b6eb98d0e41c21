package main

import "maps"

// comparison sets one figure of the log beside the same of the sessions.
type comparison struct {
	Name     string `json:"name"`
	Log      int64  `json:"log"`
	Sessions int64  `json:"sessions"`
}

func (c comparison) equal() bool { return c.Log == c.Sessions }

// check compares what the log says with what the sessions held: the sums, and
// then each visit with its twin, so that two faults cannot cancel out.
func check(expected, found []visit) []comparison {
	want, got := sum(expected), sum(found)
	return []comparison{
		{"visits", int64(len(expected)), int64(len(found))},
		{"requests", want.Requests, got.Requests},
		{"bytes", want.Bytes, got.Bytes},
		{"errors", want.Errors, got.Errors},
		{"page views", total(want.Seen), total(got.Seen)},
		{"identical visits", int64(len(expected)), alike(expected, found)},
	}
}

func passed(comparisons []comparison) bool {
	for _, c := range comparisons {
		if !c.equal() {
			return false
		}
	}
	return true
}

// sum adds up visits.
func sum(visits []visit) visit {
	all := visit{Seen: make(map[string]int64)}
	for _, v := range visits {
		all.Requests += v.Requests
		all.Bytes += v.Bytes
		all.Errors += v.Errors
		for page, n := range v.Seen {
			all.Seen[page] += n
		}
	}
	return all
}

func total(counts map[string]int64) (n int64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// alike counts the expected visits that were found, equal in everything.
func alike(expected, found []visit) (n int64) {
	type began struct {
		visitor string
		at      int64
	}
	twins := make(map[began]visit, len(found))
	for _, v := range found {
		twins[began{v.Visitor, v.First.Unix()}] = v
	}
	for _, v := range expected {
		if twin, ok := twins[began{v.Visitor, v.First.Unix()}]; ok && v.equal(twin) {
			n++
		}
	}
	return n
}

func (v visit) equal(o visit) bool {
	return v.Visitor == o.Visitor && v.First.Equal(o.First) && v.Last.Equal(o.Last) &&
		v.Requests == o.Requests && v.Bytes == o.Bytes && v.Errors == o.Errors &&
		maps.Equal(v.Seen, o.Seen) && v.LastPlace.equal(o.LastPlace)
}

func (p place) equal(o place) bool {
	return p.Page == o.Page && p.Referrer == o.Referrer && p.Time.Equal(o.Time) && p.Line == o.Line
}
