package main

import (
	"cmp"
	"slices"
	"time"
)

// This file knows nothing of the library. It says from the log alone what the
// sessions must have held; only where a server was restarted, the account tells
// where a visit was cut.

// expectedVisits splits the requests into visits: one ends where its visitor
// asks for nothing for longer than limit, or with the boot that held it.
func expectedVisits(requests []request, limit time.Duration) []visit {
	sorted := slices.Clone(requests)
	slices.SortStableFunc(sorted, func(a, b request) int { return a.Time.Compare(b.Time) })
	var visits []visit
	type holder struct {
		visitor string
		boot    uint64
	}
	current := make(map[holder]int) // index in visits
	for _, r := range sorted {
		at := holder{r.Visitor, r.Boot}
		i, known := current[at]
		if !known || r.Time.Sub(visits[i].Last) > limit {
			i = len(visits)
			current[at] = i
			visits = append(visits, visit{Visitor: r.Visitor, First: r.Time, Seen: make(map[string]int64)})
		}
		v := &visits[i]
		if r.Began {
			v.First = r.Time
		}
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
