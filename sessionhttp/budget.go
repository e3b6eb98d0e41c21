package sessionhttp

import (
	"context"
	"sync"
	"time"
)

// budget is the context of a commit: it has the values of the request's context,
// and does not end with it, but after Config.CommitTimeout. It does what
// context.WithTimeout(context.WithoutCancel(ctx), d) does, in a quarter of the
// time: every request commits, and hardly ever does anybody wait for the end, so
// the timer is started only for who does.
type budget struct {
	context.Context // without cancel
	deadline        time.Time

	mu    sync.Mutex
	done  chan struct{}
	timer *time.Timer
	err   error
}

func (b *budget) start(ctx context.Context, d time.Duration) {
	b.Context, b.deadline = context.WithoutCancel(ctx), time.Now().Add(d)
}

// Deadline implements context.Context.
func (b *budget) Deadline() (time.Time, bool) { return b.deadline, true }

// Done implements context.Context.
func (b *budget) Done() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done == nil {
		b.done = make(chan struct{})
		if b.err != nil {
			close(b.done)
		} else {
			b.timer = time.AfterFunc(time.Until(b.deadline), func() { b.end(context.DeadlineExceeded) })
		}
	}
	return b.done
}

// Err implements context.Context.
func (b *budget) Err() error {
	b.mu.Lock()
	err := b.err
	b.mu.Unlock()
	if err == nil && !time.Now().Before(b.deadline) {
		b.end(context.DeadlineExceeded)
		return b.Err()
	}
	return err
}

// end ends the context, at the latest when the commit is over.
func (b *budget) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return
	}
	b.err = err
	if b.timer != nil {
		b.timer.Stop()
	}
	if b.done != nil {
		close(b.done)
	}
}
