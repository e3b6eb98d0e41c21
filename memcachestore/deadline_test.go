package memcachestore

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// tardy is a context whose deadline has passed, and whose timer has not run yet.
type tardy struct{ context.Context }

func (tardy) Deadline() (time.Time, bool) { return time.Now().Add(-time.Nanosecond), true }

func TestADialThatACallersDeadlineEndedIsNotTheServersFault(t *testing.T) {
	p := newPeer(echo)
	s := open(t, []string{"one=" + p.listen(t, nil)}, func(cfg *Config) {
		cfg.RetryAfter = time.Hour
		cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
				return nil, &net.OpError{Op: "dial", Net: network, Err: os.ErrDeadlineExceeded}
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	})
	ctx := tardy{t.Context()}
	_, err := s.Get(ctx, "k")
	errs := map[string]error{"read": err, "write": s.Add(ctx, "k", nil, 0), "ping": s.Ping(ctx)}
	for _, err := range s.Keys(ctx, "") {
		errs["listing"] = err
	}
	require.Len(t, errs, 4)
	for what, err := range errs {
		require.ErrorIs(t, err, sd.ErrUnavailable, what)
		require.ErrorIs(t, err, context.DeadlineExceeded, what)
		require.NotErrorIs(t, err, sd.ErrOutcomeUnknown, what)
	}
	_, err = s.Get(t.Context(), "k")
	require.NoError(t, err, "it is still in use")
}

// expiring is a context whose timer runs while it is looked at.
type expiring struct {
	context.Context
	looks int
}

func (e *expiring) Err() error {
	if e.looks++; e.looks == 1 {
		return nil
	}
	return context.DeadlineExceeded
}

func TestTheCauseOfACallThatEndsWhileItIsToldIsItsDeadline(t *testing.T) {
	require.Equal(t, context.DeadlineExceeded, causeOf(&expiring{Context: context.Background()}))
}
