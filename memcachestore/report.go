package memcachestore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// ServerReport tells how one server does.
type ServerReport struct {
	Name    string // as in Config.Servers
	Address string
	// Err says why the server cannot be used; nil where it can. The fields
	// below are zero where it does not answer.
	Err error

	Version string
	// Boot names this run of the server process: it is the Epoch of every
	// [sessiondata.Version] that is read from it, and no other run has it.
	Boot        uint64
	Started     time.Time // of the server process; kept over a warm restart
	Connections int64     // of all clients
	MaxConns    int64     // memcached -c
	Items       int64
	Bytes       int64 // in use by items
	MaxBytes    int64 // memcached -m
	MaxItemSize int64 // memcached -I: key, value and header
	CASEnabled  bool  // false with memcached -C
	// EvictsWhenFull is false with memcached -M: a full server then refuses
	// writes instead of dropping sessions.
	EvictsWhenFull bool
	// EvictedUnexpired counts the items that were dropped for want of memory
	// although they had not expired, since the server started.
	EvictedUnexpired int64
	// RefusedForMemory counts writes refused for want of memory.
	RefusedForMemory int64

	// Warnings are what an operator should look at, in plain text. They are
	// logged as well.
	Warnings []string
}

// Ping asks every server, all at the same time, and returns an error that
// matches ErrUnavailable and names those that cannot be used. It asks also where
// callers are being answered without asking, and logs the warnings of Report. It
// costs a connection and two round trips per server.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.Report(ctx)
	return err
}

// Report asks every server how it does. The reports are in the order of the
// names and complete also where the error, which is that of Ping, is not nil,
// unless the store is closed or ctx has ended.
func (s *Store) Report(ctx context.Context) ([]ServerReport, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.end()
	reports := make([]ServerReport, len(s.servers))
	var all sync.WaitGroup
	for i, srv := range s.servers {
		all.Go(func() { reports[i] = s.report(ctx, srv) })
	}
	all.Wait()
	var failures []error
	var texts []string
	for _, r := range reports {
		if r.Err != nil {
			failures = append(failures, r.Err)
			texts = append(texts, fmt.Sprintf("server %q: %v", r.Name, r.Err))
		}
	}
	if failures == nil {
		return reports, nil
	}
	return reports, &pingError{text: strings.Join(texts, "; "), causes: append(failures, sd.ErrUnavailable)}
}

// pingError joins the errors of several servers on one line.
type pingError struct {
	text   string
	causes []error
}

func (e *pingError) Error() string   { return sd.ErrUnavailable.Error() + ": " + e.text }
func (e *pingError) Unwrap() []error { return e.causes }

func (s *Store) report(ctx context.Context, srv *server) ServerReport {
	r := ServerReport{Name: srv.name, Address: srv.address}
	ctx, cancel := s.bound(ctx, s.cfg.DialTimeout+s.cfg.Timeout)
	defer cancel()
	select {
	case srv.reporting <- struct{}{}:
		defer func() { <-srv.reporting }()
	case <-ctx.Done():
		r.Err = causeOf(ctx)
		return r
	}
	c, err := srv.aside(ctx, true)
	if err == nil {
		defer c.close()
		err = r.fill(c, time.Now().Add(s.cfg.Timeout))
	}
	if err != nil {
		if over(ctx) {
			err = fmt.Errorf("%w: %w", causeOf(ctx), err)
		}
		r.Err = err
		return r
	}
	if !r.CASEnabled {
		r.Err = fmt.Errorf("%w: %w", sd.ErrNotSupported, errNoCAS)
	}
	r.warn(srv, c.boot.settings)
	return r
}

func (r *ServerReport) fill(c *conn, deadline time.Time) error {
	if err := c.nc.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := io.WriteString(c.nc, "stats items\r\n"); err != nil {
		return err
	}
	items, err := readStats(bufio.NewReader(c.nc))
	if err != nil {
		return err
	}
	var broken []error
	num := func(m map[string]string, key string) int64 {
		if m[key] == "" {
			return 0 // not every server tells everything
		}
		n, err := strconv.ParseInt(m[key], 10, 64)
		if err != nil {
			broken = append(broken, fmt.Errorf("the server tells a %s that is no number", key))
		}
		return n
	}
	stats, settings := c.boot.stats, c.boot.settings
	r.Version = stats["version"]
	r.Boot = c.boot.epoch
	r.Started = time.Unix(num(stats, "time")-num(stats, "uptime"), 0)
	r.Connections = num(stats, "curr_connections")
	r.MaxConns = num(settings, "maxconns")
	r.Items = num(stats, "curr_items")
	r.Bytes = num(stats, "bytes")
	r.MaxBytes = num(stats, "limit_maxbytes")
	r.MaxItemSize = num(settings, "item_size_max")
	r.CASEnabled = settings["cas_enabled"] != "no"
	r.EvictsWhenFull = settings["evictions"] != "off"
	r.RefusedForMemory = num(stats, "store_no_memory")
	for key := range items {
		if strings.HasSuffix(key, ":evicted_nonzero") {
			r.EvictedUnexpired += num(items, key)
		}
	}
	return errors.Join(broken...)
}

// warn fills in the warnings and logs them.
func (r *ServerReport) warn(srv *server, settings map[string]string) {
	say := func(level slog.Level, id, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		r.Warnings = append(r.Warnings, text)
		srv.journal.note(level, eventWarning, id, "warning", text)
	}
	if !r.CASEnabled {
		say(slog.LevelError, "cas", "compare-and-swap is disabled (-C): the server cannot hold sessions")
	}
	if r.EvictsWhenFull {
		say(slog.LevelInfo, "evictions", "the server evicts when it is full (no -M): it drops the sessions used least recently, before they expire")
	} else {
		say(slog.LevelInfo, "evictions", "the server does not evict (-M): when it is full, new and growing sessions are refused")
	}
	if r.EvictedUnexpired > 0 {
		say(slog.LevelWarn, "evicted", "%d items were evicted before they expired: give the server more memory (-m, now %d MiB)", r.EvictedUnexpired, r.MaxBytes>>20)
	}
	if r.RefusedForMemory > 0 {
		say(slog.LevelWarn, "refused", "%d writes were refused for want of memory: give the server more (-m, now %d MiB)", r.RefusedForMemory, r.MaxBytes>>20)
	}
	if srv.cfg.Username != "" && settings["auth_enabled_ascii"] == "no" {
		say(slog.LevelWarn, "auth", "the server does not ask for a password (-Y), although one is configured")
	}
}
