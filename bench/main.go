// Command bench measures this library over memcached beside the bare client and
// the session libraries that Go users have. make bench runs it; see
// docs/benchmarks.md for what it has measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

var errBars = errors.New("a bar is missed by more than 15 %")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := command(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := flags.Bool("short", false, "everything in less than 20 s, for figures that say little; writes nothing unless told where")
	check := flags.Bool("check", false, "measure what the bars are about, and fail where one is missed by more than 15 %")
	docs := flags.String("docs", "", "write benchmarks.md and the charts into this directory")
	results := flags.String("results", "", "write the samples, for benchstat, into this directory")
	profiles := flags.String("profile", "", "write processor profiles into this directory, and nothing else")
	match := flags.String("run", "", "measure only what matches this expression, such as 'read/shape=(S|L)/.*=1/pinned=true', and print it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected arguments: %q", flags.Args())
	}
	p := fullPlan()
	switch {
	case *profiles != "":
		return profile(ctx, *profiles, 2*time.Second)
	case *check:
		p = checkPlan()
	case *quick:
		p = shortPlan()
	}
	if *match != "" {
		return only(ctx, p, *match)
	}
	r, err := run(ctx, p, os.Stderr)
	if err != nil {
		return err
	}
	r.command = "make bench"
	if *check {
		return checkBars(r)
	}
	text := r.markdown()
	fmt.Print(text)
	if *docs != "" {
		if err := os.WriteFile(filepath.Join(*docs, "benchmarks.md"), []byte(text), 0o644); err != nil {
			return err
		}
		if err := drawCharts(r, *docs); err != nil {
			return err
		}
	}
	if *results != "" {
		f, err := os.Create(filepath.Join(*results, "bench.txt"))
		if err != nil {
			return err
		}
		return errors.Join(writeResults(f, r), f.Close())
	}
	return nil
}

// only measures a part of the plan, for whoever works on that part.
func only(ctx context.Context, p plan, match string) error {
	re, err := regexp.Compile(match)
	if err != nil {
		return err
	}
	other := func(sc scenario) bool { return !re.MatchString(sc.key()) }
	p.pinned, p.unpinned = slices.DeleteFunc(p.pinned, other), slices.DeleteFunc(p.unpinned, other)
	r, err := run(ctx, p, io.Discard)
	if err != nil {
		return err
	}
	for _, res := range r.results {
		for _, c := range res.cells {
			fmt.Printf("%-50s %-12s %8s us  %-24s processor time %-24s %5.0f allocations %8.0f bytes\n", res.key(), c.peer,
				short(spreadOf(c.nanos).median/1e3), res.ratio(c.peer, nameBare), res.usedRatio(c.peer, nameBare), c.allocs, c.bytes)
		}
	}
	return nil
}

// checkBars prints every bar and fails where one is missed beyond its tolerance.
func checkBars(r *report) error {
	missed := 0
	for _, b := range bars() {
		v := b.value(r)
		verdict := "ok"
		switch {
		case !b.within(v, b.tolerance):
			verdict = "MISSED"
			missed++
		case !b.met(v):
			verdict = "missed, within 15 %"
		}
		fmt.Printf("%-75s %8s %8s  %s\n", b.what, short(b.limit), short(v), verdict)
	}
	if missed > 0 {
		return fmt.Errorf("%w: %d of %d (load average %s)", errBars, missed, len(bars()), r.machine.loadAfter)
	}
	return nil
}
