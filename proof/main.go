// Command proof runs every part of the proof in turn, and prints one line of
// figures for each. It goes on when a part fails, and then ends with status 1.
//
//	go run . -for 15m
//
// The histories and the bank run in this process. The others are targets of the
// Makefile and tests of the repository, of which the last line or the report of
// rapid is taken.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	"github.com/seed-ad7f1900/sessiondata/proof/bank"
	"github.com/seed-ad7f1900/sessiondata/proof/histories"
)

type part struct {
	name string
	// run returns one line of figures, and writes all that is worth reading if
	// it fails.
	run func(ctx context.Context, log io.Writer) (figures string, err error)
}

func main() {
	var (
		root       = flag.String("root", "..", "where the repository is")
		limit      = flag.Duration("for", 15*time.Minute, "the time for all parts together; one that is not done by then fails")
		seed       = flag.Uint64("seed", 0, "of histories and bank; 0 draws one")
		historyFor = flag.Duration("histories", 3*time.Minute, "how long histories are run, and half as long again at most if they are too few")
		operations = flag.Int("operations", 2_000_000, "how many operations the histories must hold at least")
		faults     = flag.Int("faults", 10_000, "how many faults must be injected into them at least")
		bankFor    = flag.Duration("bank", 90*time.Second, "how long the bank runs")
		checks     = flag.Int("checks", 500, "how often each property is checked by rapid")
		fuzzFor    = flag.Duration("fuzz", 6*time.Second, "how long each fuzz target runs")
		only       = flag.String("only", "", "the one part to run")
	)
	flag.Parse()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	dir, err := filepath.Abs(*root)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	parts := []part{
		{"model", target(dir, "model")},
		{"histories", func(ctx context.Context, log io.Writer) (string, error) {
			f, err := histories.Run(ctx, histories.Config{Seed: *seed, For: *historyFor, Operations: *operations, Faults: *faults, Out: log})
			return f.String(), err
		}},
		{"model tests", func(ctx context.Context, log io.Writer) (string, error) { return properties(ctx, log, dir, *checks) }},
		{"fuzz", target(dir, "fuzz", "T="+fuzzFor.String())},
		{"bank", func(ctx context.Context, log io.Writer) (string, error) {
			f, err := bank.Run(ctx, bank.Config{Seed: *seed, For: *bankFor, Out: log})
			return f.String(), err
		}},
		{"mutation", target(dir, "mutate")},
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	if !run(ctx, parts, *only, *seed, os.Stdout, os.Stderr) {
		os.Exit(1)
	}
}

// run runs the parts, and reports whether all went well.
func run(ctx context.Context, parts []part, only string, seed uint64, out, log io.Writer) bool {
	begin := time.Now()
	fmt.Fprintf(out, "seed %d\n", seed)
	ran, failed := 0, 0
	for _, p := range parts {
		if only != "" && p.name != only {
			continue
		}
		ran++
		partBegin := time.Now()
		var kept tail
		figures, err := p.run(ctx, &kept)
		verdict := "ok"
		if err != nil {
			failed++
			verdict = "FAILED"
			fmt.Fprintf(log, "--- %s: %v\n%s", p.name, err, kept.text())
		}
		fmt.Fprintf(out, "%-11s  %-6s  %4.0f s  %s\n", p.name, verdict, time.Since(partBegin).Seconds(), figures)
	}
	fmt.Fprintf(out, "%d of %d parts ok, in %.0f s\n", ran-failed, ran, time.Since(begin).Seconds())
	return ran > 0 && failed == 0
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	all []byte
}

// tailSize is how much is shown of a part that failed.
const tailSize = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, p...)
	if len(t.all) > 2*tailSize {
		t.all = append(t.all[:0], t.all[len(t.all)-tailSize:]...)
	}
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.all[max(0, len(t.all)-tailSize):])
}
