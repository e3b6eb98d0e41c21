package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
)

// samples is how many lines each benchmark has for benchstat: enough for its
// tests, each the median of the rounds that it stands for.
const samples = 10

// writeResults writes what was measured in the format of go test -bench
// (golang.org/design/14313-benchmark-format).
func writeResults(w io.Writer, r *report) error {
	_, err := fmt.Fprintf(w, "goos: %s\ngoarch: %s\npkg: github.com/seed-ad7f1900/sessiondata/bench\ncpu: %s\ncommit: %s\n",
		runtime.GOOS, runtime.GOARCH, r.machine.processor, r.machine.commit)
	for i := range r.results {
		res := &r.results[i]
		for _, c := range res.cells {
			lines := min(samples, len(c.nanos))
			for k := range lines {
				part := c.nanos[k*len(c.nanos)/lines : (k+1)*len(c.nanos)/lines]
				line := fmt.Sprintf("Benchmark%s/store=%s \t%8d\t%12.0f ns/op", res.key(), c.peer, c.ops*len(part), spreadOf(part).median)
				if !math.IsNaN(c.allocs) {
					line += fmt.Sprintf("\t%8.0f B/op\t%6.0f allocs/op\t%8.0f sent-B/op\t%8.0f received-B/op\t%5.1f trips/op",
						c.bytes, c.allocs, c.wire.sent, c.wire.received, c.wire.trips)
				}
				if _, werr := fmt.Fprintln(w, line); err == nil {
					err = werr
				}
			}
		}
	}
	return err
}
