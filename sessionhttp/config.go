package sessionhttp

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

const (
	defaultBuffer        = 64 << 10
	defaultCommitTimeout = 5 * time.Second
	defaultAttempts      = 3
)

// Config configures New. All but Container may be left at the zero value.
type Config struct {
	Container *sd.Container // required
	Cookie    Cookie
	// IDSource adds a place where a request may bear its id beside the cookie.
	IDSource IDSource

	// Commit says by the response's status whether the transaction commits;
	// default: below 500. A response that commits before it is written (Hijack)
	// counts as 101.
	Commit func(status int) bool
	// Error answers a request whose session could not be loaded or committed;
	// nothing of the handler's response has been sent, and its header is taken
	// back. Default: 503 for ErrUnavailable, 409 for ErrConflict and ErrGone, 413
	// for ErrTooLarge, else 500; an outcome that is not known is 500 whatever
	// led to it.
	Error func(w http.ResponseWriter, r *http.Request, err error)
	// Buffer is how many bytes of a response are held back until the commit;
	// default 64 KiB. A longer response, Flush and Hijack commit first; a change
	// to the session after that is an error to the handler, never lost in
	// silence.
	Buffer int
	// CommitTimeout bounds a commit; it runs to its end even if the client has
	// gone. Default 5 s. The writes themselves are bounded by the container's
	// own CommitTimeout.
	CommitTimeout time.Duration
	// Attempts: tries of the whole request on ErrConflict, where Retry allows it
	// and its body fits in Buffer; default 3; 1: a request is run once.
	Attempts int
	// Retry says whether a request may be run again; default: idempotent methods
	// (RFC 9110, section 9.2.2). It may be asked before the handler runs, or
	// after.
	Retry func(r *http.Request) bool
}

// New checks cfg and returns every fault in it as one error that matches
// sessiondata.ErrInvalid.
func New(cfg Config) (*Manager, error) {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if cfg.Container == nil {
		fault("no Container")
	}
	if cfg.Buffer < 0 {
		fault("Buffer is negative")
	}
	if cfg.CommitTimeout < 0 {
		fault("CommitTimeout is negative")
	}
	if cfg.Attempts < 0 {
		fault("Attempts is negative")
	}
	cfg.Cookie.setDefaults()
	cfg.Cookie.check(fault)
	cfg.IDSource.check(fault)
	if len(faults) > 0 {
		return nil, fmt.Errorf("%w: configuration: %s", sd.ErrInvalid, strings.Join(faults, "; "))
	}
	setDefaults(&cfg)
	kept := cfg.Container.Config()
	return &Manager{cfg: cfg, cookie: newCookieText(cfg.Cookie), now: kept.Now, timeout: kept.Timeout}, nil
}

func setDefaults(cfg *Config) {
	if cfg.Commit == nil {
		cfg.Commit = func(status int) bool { return status < http.StatusInternalServerError }
	}
	if cfg.Error == nil {
		cfg.Error = answerError
	}
	if cfg.Buffer == 0 {
		cfg.Buffer = defaultBuffer
	}
	if cfg.CommitTimeout == 0 {
		cfg.CommitTimeout = defaultCommitTimeout
	}
	if cfg.Attempts == 0 {
		cfg.Attempts = defaultAttempts
	}
	if cfg.Retry == nil {
		cfg.Retry = idempotent
	}
}
