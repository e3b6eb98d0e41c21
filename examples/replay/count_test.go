package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func durationOf(seconds int) time.Duration { return time.Duration(seconds) * time.Second }

// at is a good request of visitor "v" at some seconds after noon.
func at(second int) request {
	return request{Visitor: "v", Time: noon.Add(durationOf(second)), Page: "/", Status: 200, Bytes: 10}
}

func TestAVisitEndsWhenNothingIsAskedForLongerThanTheLimit(t *testing.T) {
	const limit = 1801 // seconds: timeout and resolution
	for name, c := range map[string]struct {
		seconds []int
		want    []int64 // requests of each visit
	}{
		"one request":                  {[]int{0}, []int64{1}},
		"the same second":              {[]int{0, 0, 0}, []int64{3}},
		"exactly the limit":            {[]int{0, limit}, []int64{2}},
		"a second more":                {[]int{0, limit + 1}, []int64{1, 1}},
		"each request prolongs":        {[]int{0, 1800, 3600, 5400}, []int64{4}},
		"again after the end":          {[]int{0, 10, 5000, 5010, 5020, 10000}, []int64{2, 3, 1}},
		"the log is not in order":      {[]int{5000, 0, 5010, 10}, []int64{2, 2}},
		"a late line closes the gap":   {[]int{0, 2000, 1000}, []int64{3}},
		"a late line opens no new gap": {[]int{0, 2000, 100}, []int64{2, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var requests []request
			for _, s := range c.seconds {
				requests = append(requests, at(s))
			}
			var got []int64
			for _, v := range expectedVisits(requests, durationOf(limit)) {
				got = append(got, v.Requests)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestExpectedVisitsAddUpWhatTheLogSays(t *testing.T) {
	requests := []request{
		{Line: 1, Visitor: "b", Time: noon, Page: "/x", Status: 200, Bytes: 5},
		{Line: 2, Visitor: "a", Time: noon.Add(2 * time.Second), Page: "/y", Status: 200, Bytes: 7, Referrer: "r"},
		{Line: 3, Visitor: "a", Time: noon, Page: "/x", Status: 200, Bytes: 11},
		{Line: 4, Visitor: "a", Time: noon.Add(3 * time.Second), Page: "/gone", Status: 404, Bytes: 13},
		{Line: 5, Visitor: "a", Time: noon.Add(2 * time.Second), Page: "/x", Status: 304},
	}
	want := []visit{
		{
			Visitor: "a", First: noon, Last: noon.Add(3 * time.Second), Requests: 4, Bytes: 31, Errors: 1,
			Seen:      map[string]int64{"/x": 2, "/y": 1},
			LastPlace: place{Page: "/x", Time: noon.Add(2 * time.Second), Line: 5},
		},
		{
			Visitor: "b", First: noon, Last: noon, Requests: 1, Bytes: 5,
			Seen:      map[string]int64{"/x": 1},
			LastPlace: place{Page: "/x", Time: noon, Line: 1},
		},
	}
	if diff := cmp.Diff(want, expectedVisits(requests, time.Minute)); diff != "" {
		t.Error(diff)
	}
}
