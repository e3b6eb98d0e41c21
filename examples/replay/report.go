package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/seed-ad7f1900/sessiondata/storeurl"
)

// report is what a replay tells, as -json prints it.
type report struct {
	Log     string `json:"log"`
	Store   string `json:"store"`
	Workers int    `json:"workers"` // visitors in parallel
	Writers int    `json:"writers"` // transactions in parallel on each visitor's session

	Lines    int   `json:"lines"`
	Skipped  int   `json:"skipped"` // lines that could not be parsed
	Requests int64 `json:"requests"`
	Visits   int   `json:"visits"`
	Longest  struct {
		Seconds  float64 `json:"seconds"`
		Requests int64   `json:"requests"`
	} `json:"longestVisit"`
	TopPages []pageCount `json:"topPages"`

	Account  accountReport `json:"account"`
	Restarts int           `json:"restarts"` // of servers of the store that were noticed

	Commits          int64   `json:"commits"`
	Merges           int64   `json:"merges"` // commits merged with another without running again
	Reruns           int64   `json:"reruns"` // runs of a transaction beyond its first
	Seconds          float64 `json:"seconds"`
	CommitsPerSecond float64 `json:"commitsPerSecond"`

	Check  []comparison `json:"check"`
	Passed bool         `json:"passed"`
}

// accountReport says what the requests were answered, and where they are.
type accountReport struct {
	Committed     int64 `json:"committed"`     // answered as stored
	Refused       int64 `json:"refused"`       // answered as certainly not stored
	Unknown       int64 `json:"unknown"`       // answered as stored or not
	UnknownStored int64 `json:"unknownStored"` // of these, found to be stored
	Found         int64 `json:"found"`         // in the sessions
	LostRequests  int64 `json:"lostRequests"`  // committed, and lost with a restarted server
	LostVisits    int   `json:"lostVisits"`    // visits, or parts of visits, that these were
}

// adds reports whether what was committed was found, or lost with a server.
func (a accountReport) adds() bool {
	return a.Committed+a.UnknownStored == a.Found+a.LostRequests
}

// disturbed reports whether the store failed at all.
func (a accountReport) disturbed() bool { return a.Refused+a.Unknown+a.LostRequests > 0 }

type pageCount struct {
	Page  string `json:"page"`
	Views int64  `json:"views"`
}

const topPages = 5

// newReport reports what the sessions held, and how that compares with the log.
func newReport(o options, log accessLog, out outcome) report {
	all := sum(out.Visits)
	r := report{
		Log: o.logName(), Store: storeurl.Redacted(o.store), Workers: o.workers, Writers: o.writers,
		Lines: log.Lines, Skipped: log.Skipped,
		Requests: all.Requests,
		Visits:   len(out.Visits),
		TopPages: top(all.Seen, topPages),
		Commits:  out.Counts.Commits,
		Merges:   out.Counts.Merges,
		Reruns:   out.Counts.Reruns,
		Seconds:  out.Elapsed.Seconds(),
		Check:    check(expectedVisits(out.Kept, limit), out.Visits),
		Account: accountReport{
			Committed: out.Committed, Refused: out.Refused, Unknown: out.Unknown, UnknownStored: out.Settled,
			Found: all.Requests, LostRequests: int64(len(out.Lost)), LostVisits: len(expectedVisits(out.Lost, limit)),
		},
		Restarts: out.Restarts,
	}
	if r.Seconds > 0 {
		r.CommitsPerSecond = float64(r.Commits) / r.Seconds
	}
	if len(out.Visits) > 0 {
		longest := slices.MaxFunc(out.Visits, func(a, b visit) int {
			return cmp.Compare(a.Last.Sub(a.First), b.Last.Sub(b.First))
		})
		r.Longest.Seconds = longest.Last.Sub(longest.First).Seconds()
		r.Longest.Requests = longest.Requests
	}
	r.Passed = passed(r.Check) && r.Account.adds() &&
		out.Committed+out.Refused+out.Unknown == int64(len(log.Requests))
	return r
}

// top returns the n pages that were seen most.
func top(seen map[string]int64, n int) []pageCount {
	pages := make([]pageCount, 0, len(seen))
	for page, views := range maps.All(seen) {
		pages = append(pages, pageCount{page, views})
	}
	slices.SortFunc(pages, func(a, b pageCount) int {
		return cmp.Or(cmp.Compare(b.Views, a.Views), cmp.Compare(a.Page, b.Page))
	})
	return pages[:min(n, len(pages))]
}

func (r report) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

func (r report) writeTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(t, "%s\t"+format+"\n", append([]any{name}, args...)...)
	}
	row("log", "%s, %d lines, %d skipped", r.Log, r.Lines, r.Skipped)
	row("store", "%s, -workers %d, -writers %d", r.Store, r.Workers, r.Writers)
	row("requests", "%d", r.Requests)
	row("visits", "%d", r.Visits)
	longest := time.Duration(r.Longest.Seconds * float64(time.Second))
	row("longest visit", "%s, %d requests", longest, r.Longest.Requests)
	for i, p := range r.TopPages {
		name := "top pages"
		if i > 0 {
			name = ""
		}
		row(name, "%6d  %s", p.Views, printable(p.Page))
	}
	if a := r.Account; a.disturbed() {
		row("failed", "%6d  answered as certainly not stored", a.Refused)
		row("unknown", "%6d  answered as stored or not: %d were", a.Unknown, a.UnknownStored)
		row("lost", "%6d  requests in %d visits, committed before their server was restarted", a.LostRequests, a.LostVisits)
		row("account", "%d committed + %d unknown and stored = %d found + %d lost", a.Committed, a.UnknownStored, a.Found, a.LostRequests)
	}
	row("commits", "%d", r.Commits)
	row("merges", "%d commits merged with another", r.Merges)
	row("conflicts", "%d runs beyond the first", r.Reruns)
	row("time", "%.3f s, %.0f commits per second", r.Seconds, r.CommitsPerSecond)
	expected := "log"
	if r.Account.disturbed() {
		expected = "to be found"
	}
	fmt.Fprintf(t, "\n\t%12s\t%12s\n", expected, "sessions")
	for _, c := range r.Check {
		verdict := "ok"
		if !c.equal() {
			verdict = "DIFFERENT"
		}
		row(c.Name, "%12d\t%12d\t%s", c.Log, c.Sessions, verdict)
	}
	verdict := "check passed: nothing was lost"
	switch {
	case !r.Passed:
		verdict = "CHECK FAILED: " + errCheckFailed.Error()
	case r.Account.disturbed():
		verdict = "check passed: nothing that was committed is missing but what went with a restarted server"
	}
	fmt.Fprintf(t, "\n%s\n", verdict)
	return t.Flush()
}

// printable is s without what could speak to a terminal or upset a table.
func printable(s string) string {
	q := strconv.QuoteToGraphic(s)
	if q == `"`+s+`"` {
		return s
	}
	return q
}
