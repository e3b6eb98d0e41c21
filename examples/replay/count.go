package main

import (
	"cmp"
	"slices"
	"time"
)

// This file knows nothing of the library. It says from the log alone what the
// sessions must have held.

// expectedVisits splits the requests into visits: one ends where its visitor
// asks for nothing for longer than limit.
func expectedVisits(requests []request, limit time.Duration) []visit {
	sorted := slices.Clone(requests)
	slices.SortStableFunc(sorted, func(a, b request) int { return a.Time.Compare(b.Time) })
	var visits []visit
	current := make(map[string]int) // visitor: index in visits
	for _, r := range sorted {
		i, known := current[r.Visitor]
		if !known || r.Time.Sub(visits[i].Last) > limit {
			i = len(visits)
			current[r.Visitor] = i
			visits = append(visits, visit{Visitor: r.Visitor, First: r.Time, Seen: make(map[string]int64)})
		}
		v := &visits[i]
		v.Last = r.Time
		v.Requests++
		v.Bytes += r.Bytes
		if r.Status >= 400 {
			v.Errors++
			continue
		}
		v.Seen[r.Page]++
		v.LastPlace = place{Page: r.Page, Referrer: r.Referrer, Time: r.Time, Line: r.Line}
	}
	sortVisits(visits)
	return visits
}

// sortVisits orders visits by visitor and time.
func sortVisits(visits []visit) {
	slices.SortFunc(visits, func(a, b visit) int {
		return cmp.Or(cmp.Compare(a.Visitor, b.Visitor), a.First.Compare(b.First))
	})
}
