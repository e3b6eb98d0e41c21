package sessiondata

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// noStore is a Store whose identity is all that matters.
type noStore struct{ Store }

func TestTraceThatIsNilTouchesNothing(t *testing.T) {
	given := &noStore{}
	c, err := NewContainer(given, Config{Now: func() time.Time { t.Fatal("looked at the clock"); return time.Time{} }})
	require.NoError(t, err)
	require.Same(t, given, c.store, "no request goes through a counter")
	ctx := context.Background()
	u := &unit{tx: Begin()}
	s := u.newSession(c, "v")
	allocs := testing.AllocsPerRun(100, func() {
		u.observe(s)
		if u.began(ctx) != ctx || u.metered(ctx) != ctx {
			t.Fatal("the context was wrapped")
		}
		s.trace.recorded(nil)
		c.tellCorrupt(ctx, SessionRef{}, ErrCorrupt)
	})
	require.Zero(t, allocs)
	require.Nil(t, u.trace)
	require.Nil(t, s.trace)
	require.Empty(t, u.tx.after)
}
