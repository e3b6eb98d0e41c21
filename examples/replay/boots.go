package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memcachestore"
)

// boots knows which runs of its servers a store has: what was stored on one that
// has ended may be gone without anybody's fault. It is nil for a store that
// cannot be restarted while the program runs.
type boots struct {
	store    reporter
	patience time.Duration

	mu    sync.Mutex
	alive map[uint64]bool
	ended map[uint64]time.Time // when it was noticed
}

// reporter is a store over servers that may be restarted. The Epoch of a
// [sessiondata.Version] is the Boot of the server that gave it.
type reporter interface {
	Report(ctx context.Context) ([]memcachestore.ServerReport, error)
}

// newBoots asks the servers for the first time. All of them must answer.
func newBoots(ctx context.Context, store sessiondata.Store, patience time.Duration) (*boots, error) {
	r, ok := store.(reporter)
	if !ok {
		return nil, nil
	}
	b := &boots{store: r, patience: patience, ended: make(map[uint64]time.Time)}
	reports, err := r.Report(ctx)
	b.note(reports)
	return b, err
}

func (b *boots) note(reports []memcachestore.ServerReport) {
	b.mu.Lock()
	defer b.mu.Unlock()
	alive := make(map[uint64]bool)
	for _, r := range reports {
		alive[r.Boot] = true
	}
	for boot := range b.alive {
		if !alive[boot] {
			b.ended[boot] = time.Now()
		}
	}
	b.alive = alive
}

// look asks the servers until all of them answer, so that none is taken for
// ended that is only slow.
func (b *boots) look(ctx context.Context) error {
	return await(ctx, b.patience, func() error {
		reports, err := b.store.Report(ctx)
		if err == nil {
			b.note(reports)
		}
		return err
	})
}

// hasEnded reports whether a boot was not among those of the last look.
func (b *boots) hasEnded(boot uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.alive[boot]
}

// someEndedAfter reports whether a boot was found to have ended after t.
func (b *boots) someEndedAfter(t time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, at := range b.ended {
		if at.After(t) {
			return true
		}
	}
	return false
}

// restarts is how many boots have ended, as far as the account had to know.
func (b *boots) restarts() int {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.ended)
}

// askAgain is the pause between two questions to a store that does not answer.
const askAgain = 20 * time.Millisecond

// await calls fn until the store answers, or has not for as long as patience.
func await(ctx context.Context, patience time.Duration, fn func() error) error {
	for start := time.Now(); ; {
		err := fn()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil || !errors.Is(err, sessiondata.ErrUnavailable) {
			return err
		}
		if time.Since(start) >= patience {
			return fmt.Errorf("the store did not answer for %v: %w", patience, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(askAgain):
		}
	}
}
