package sessionhttp

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

type key struct{}

func TestTheBudgetIsAContextThatEndsByItself(t *testing.T) {
	for name, wait := range map[string]func(*budget){
		"asked for its error": func(b *budget) { time.Sleep(time.Second) },
		"waited for":          func(b *budget) { <-b.Done() },
		"through a child": func(b *budget) {
			child, cancel := context.WithTimeout(b, time.Hour)
			defer cancel()
			<-child.Done()
			require.ErrorIs(t, child.Err(), context.DeadlineExceeded)
			require.ErrorIs(t, context.Cause(child), context.DeadlineExceeded)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				parent, cancel := context.WithCancelCause(context.WithValue(context.Background(), key{}, "value"))
				cancel(context.Canceled)
				began := time.Now()
				var b budget
				b.start(parent, time.Second)
				require.NoError(t, b.Err(), "the request's end is not its own")
				require.Equal(t, "value", b.Value(key{}))
				deadline, ok := b.Deadline()
				require.True(t, ok)
				require.Equal(t, began.Add(time.Second), deadline)
				wait(&b)
				require.Equal(t, time.Second, time.Since(began))
				require.ErrorIs(t, b.Err(), context.DeadlineExceeded)
				require.ErrorIs(t, context.Cause(&b), context.DeadlineExceeded)
				<-b.Done()
				b.end(context.Canceled)
				require.ErrorIs(t, b.Err(), context.DeadlineExceeded)
			})
		})
	}
}

func TestTheBudgetEndsWithTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b budget
		b.start(t.Context(), time.Hour)
		done := b.Done()
		b.end(context.Canceled)
		<-done
		require.ErrorIs(t, b.Err(), context.Canceled)
	})
}
