package sessionhttp

import (
	"context"
	"fmt"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// Where a remembered session is marked as such. The timeout alone would not
// tell: an application may set one for reasons of its own.
const (
	ownPkg      = "sessionhttp"
	rememberKey = "remember"
)

func (ex *exchange) remember(ctx context.Context, d time.Duration) error {
	s, err := ex.session(ctx)
	if err != nil {
		return err
	}
	if d == 0 {
		was, err := ex.remembered(s)
		if err != nil || !was {
			return err
		}
		if err := s.SetTimeout(0); err != nil {
			return err
		}
		ex.mu.Lock()
		ex.forgot = true
		ex.mu.Unlock()
		return s.Pkg(ownPkg).Delete(rememberKey)
	}
	if ex.m.timeout == sd.NoTimeout || d <= ex.m.timeout && d != sd.NoTimeout {
		return fmt.Errorf("%w: sessionhttp: Remember needs a timeout longer than the container's %s", sd.ErrInvalid, timeoutText(ex.m.timeout))
	}
	if err := s.SetTimeout(d); err != nil {
		return err
	}
	return s.Pkg(ownPkg).Set(rememberKey, true)
}

func timeoutText(d time.Duration) string {
	if d == sd.NoTimeout {
		return "NoTimeout"
	}
	return d.String()
}

// remembered reports whether Remember is in force. Only a session with a timeout
// of its own can be remembered; all others are spared the look.
func (ex *exchange) remembered(s *sd.Session) (bool, error) {
	if s.Timeout() == ex.m.timeout {
		return false, nil
	}
	return sd.GetOr(s.Pkg(ownPkg), rememberKey, false)
}
