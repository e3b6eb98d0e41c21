package sessiondata

import (
	"context"
	"sync"
	"time"
)

// budget is the context of a commit's writes: it goes on when the context that it
// was made of ends, but has a deadline of its own, in real time. The timer is
// made when somebody waits for it, which in most commits nobody does.
type budget struct {
	context.Context // for its values alone
	deadline        time.Time

	mu       sync.Mutex
	timed    context.Context // nil: there is no timer yet
	cancel   context.CancelFunc
	released bool
}

func newBudget(ctx context.Context, d time.Duration) *budget {
	return &budget{Context: ctx, deadline: time.Now().Add(d)}
}

// Deadline implements context.Context.
func (b *budget) Deadline() (time.Time, bool) { return b.deadline, true }

// Done implements context.Context.
func (b *budget) Done() <-chan struct{} { return b.start().Done() }

// Err implements context.Context.
func (b *budget) Err() error {
	b.mu.Lock()
	idle := b.timed == nil && !b.released
	b.mu.Unlock()
	if idle && time.Now().Before(b.deadline) {
		return nil
	}
	return b.start().Err()
}

// Value implements context.Context.
func (b *budget) Value(key any) any {
	// The timer's context first: package context finds by a value of it that it
	// may hang derived contexts there, without a goroutine for each.
	b.mu.Lock()
	timed := b.timed
	b.mu.Unlock()
	if timed != nil {
		return timed.Value(key)
	}
	return b.Context.Value(key)
}

func (b *budget) start() context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timed == nil {
		b.timed, b.cancel = context.WithDeadline(context.WithoutCancel(b.Context), b.deadline)
		if b.released {
			b.cancel()
		}
	}
	return b.timed
}

// release frees the timer, and ends what is still under way with this budget.
func (b *budget) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.released = true
	if b.cancel != nil {
		b.cancel()
	}
}
