package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// Eight goroutines add one to the same number, 200 times each.
const (
	counters   = 8
	countsEach = 200
)

// lostUpdates is what became of them.
type lostUpdates struct {
	peer    string
	lost    int           // reported as done, and not there
	refused int           // reported as failed, and done again
	took    time.Duration // of all
}

func countTogether(ctx context.Context, p peer) (lostUpdates, error) {
	out := lostUpdates{peer: p.name()}
	id, err := p.newCounter(ctx)
	if err != nil {
		return out, fmt.Errorf("%s: %w", p.name(), err)
	}
	var refused atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, counters)
	start := time.Now()
	for w := range counters {
		all.Go(func() {
			for range countsEach {
				err := p.count(ctx, id)
				for errors.Is(err, sd.ErrConflict) && !errors.Is(err, sd.ErrOutcomeUnknown) {
					refused.Add(1)
					err = p.count(ctx, id)
				}
				if err != nil {
					errs[w] = fmt.Errorf("%s: %w", p.name(), err)
					return
				}
			}
		})
	}
	all.Wait()
	out.took, out.refused = time.Since(start), int(refused.Load())
	if err := errors.Join(errs...); err != nil {
		return out, err
	}
	n, err := p.total(ctx, id)
	out.lost = counters*countsEach - n
	return out, err
}
