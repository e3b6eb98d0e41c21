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

	Commits          int64   `json:"commits"`
	Merges           int64   `json:"merges"` // commits merged with another without running again
	Reruns           int64   `json:"reruns"` // runs of a transaction beyond its first
	Seconds          float64 `json:"seconds"`
	CommitsPerSecond float64 `json:"commitsPerSecond"`

	Check  []comparison `json:"check"`
	Passed bool         `json:"passed"`
}

type pageCount struct {
	Page  string `json:"page"`
	Views int64  `json:"views"`
}

const topPages = 5

// newReport reports what the sessions held, and how that compares with the log.
func newReport(o options, log accessLog, out outcome) report {
	all := sum(out.Visits)
	r := report{
		Log: o.logName(), Store: redacted(o.store), Workers: o.workers, Writers: o.writers,
		Lines: log.Lines, Skipped: log.Skipped,
		Requests: all.Requests,
		Visits:   len(out.Visits),
		TopPages: top(all.Seen, topPages),
		Commits:  out.Counts.Commits,
		Merges:   out.Counts.Merges,
		Reruns:   out.Counts.Reruns,
		Seconds:  out.Elapsed.Seconds(),
		Check:    check(expectedVisits(log.Requests, timeout+resolution), out.Visits),
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
	r.Passed = passed(r.Check)
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
	row("commits", "%d", r.Commits)
	row("merges", "%d commits merged with another", r.Merges)
	row("conflicts", "%d runs beyond the first", r.Reruns)
	row("time", "%.3f s, %.0f commits per second", r.Seconds, r.CommitsPerSecond)
	fmt.Fprintf(t, "\n\t%12s\t%12s\n", "log", "sessions")
	for _, c := range r.Check {
		verdict := "ok"
		if !c.equal() {
			verdict = "DIFFERENT"
		}
		row(c.Name, "%12d\t%12d\t%s", c.Log, c.Sessions, verdict)
	}
	verdict := "check passed: nothing was lost"
	if !r.Passed {
		verdict = "CHECK FAILED: the sessions did not hold what the log says"
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
