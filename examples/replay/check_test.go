package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// twoVisits are made anew at each call.
func twoVisits() []visit {
	requests := []request{at(0), at(5), at(5000)}
	requests[1].Page = "/other"
	return expectedVisits(requests, time.Hour/2)
}

func TestTheCheckPassesOnEqualVisits(t *testing.T) {
	require.True(t, passed(check(twoVisits(), twoVisits())))
}

func TestTheCheckSeesEveryDifference(t *testing.T) {
	for name, change := range map[string]func(found []visit) []visit{
		"a visit too few":          func(v []visit) []visit { return v[:1] },
		"a visit too many":         func(v []visit) []visit { return append(v, visit{Visitor: "w", First: noon}) },
		"one visit twice":          func(v []visit) []visit { return []visit{v[0], v[0]} },
		"a request lost":           func(v []visit) []visit { v[0].Requests--; return v },
		"bytes lost":               func(v []visit) []visit { v[0].Bytes--; return v },
		"an error too many":        func(v []visit) []visit { v[0].Errors++; return v },
		"a page view lost":         func(v []visit) []visit { delete(v[0].Seen, "/other"); return v },
		"a page taken for another": func(v []visit) []visit { delete(v[0].Seen, "/other"); v[0].Seen["/"]++; return v },
		"another last page":        func(v []visit) []visit { v[0].LastPlace.Page = "/"; return v },
		"another visitor's":        func(v []visit) []visit { v[0].Visitor = "w"; return v },
		"began at another time":    func(v []visit) []visit { v[0].First = v[0].First.Add(time.Second); return v },
		"ended at another time":    func(v []visit) []visit { v[0].Last = v[0].Last.Add(time.Second); return v },
		"a request in another visit": func(v []visit) []visit {
			v[0].Requests--
			v[1].Requests++
			return v
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.False(t, passed(check(twoVisits(), change(twoVisits()))))
		})
	}
}
