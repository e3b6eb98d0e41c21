package sessiondata

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBudget_GoesOnWithoutTheContextThatItWasMadeOf(t *testing.T) {
	type key struct{}
	why := errors.New("the visitor has gone")
	for _, waited := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
			b := newBudget(ctx, time.Second)
			if waited {
				b.Done()
			}
			cancel(why)
			require.NoError(t, b.Err())
			require.Equal(t, "value", b.Value(key{}))
			child, stop := context.WithCancel(b)
			defer stop()
			require.NoError(t, child.Err())
			end, ok := b.Deadline()
			require.True(t, ok)
			require.Equal(t, time.Now().Add(time.Second), end)

			time.Sleep(time.Second - time.Nanosecond)
			require.NoError(t, b.Err())
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			require.Equal(t, context.DeadlineExceeded, b.Err())
			require.Equal(t, context.DeadlineExceeded, context.Cause(b))
			require.Equal(t, context.DeadlineExceeded, child.Err())
			select {
			case <-b.Done():
			default:
				t.Error("it has ended, and Done is open")
			}
		})
	}
}

func TestBudget_ThatIsReleasedEndsWhatHangsOnIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		used, unused := newBudget(t.Context(), time.Hour), newBudget(t.Context(), time.Hour)
		child, stop := context.WithCancel(used)
		defer stop()
		used.release()
		unused.release()
		synctest.Wait()
		require.Equal(t, context.Canceled, child.Err())
		for _, b := range []*budget{used, unused} {
			require.Equal(t, context.Canceled, b.Err())
			<-b.Done()
		}
	}) // which fails if a timer or a goroutine is left
}

func TestBudget_ThatHasPassedUnseenHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t.Context(), time.Second)
		time.Sleep(2 * time.Second)
		require.Equal(t, context.DeadlineExceeded, b.Err())
		require.Equal(t, context.DeadlineExceeded, context.Cause(b))
		<-b.Done()
	})
}
