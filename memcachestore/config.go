package memcachestore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// Config configures a [Store]. The zero Config is one server on
// localhost:11211.
type Config struct {
	// Servers lists "host:port", "unix:/path", or either with a name in front,
	// as in "name=host:port". The name (by default the address as it is written
	// here) decides which sessions a server holds: giving a new address the old
	// name moves none. The order means nothing; a name or an address that stands
	// twice is an error. Default "localhost:11211".
	Servers []string

	// DialTimeout bounds making a connection: dial, TLS, authentication, and the
	// one question every connection starts with. Default 250 ms.
	DialTimeout time.Duration
	// Timeout bounds one request, from its first byte sent to the last byte of
	// its reply, and the wait for a free connection before it. A call takes at
	// most 2*Timeout + DialTimeout. Default 250 ms.
	Timeout time.Duration
	// MaxConns bounds the connections to each server, in use and idle; more
	// callers wait for one, within their context and Timeout. Ping, Report and
	// Keys use connections of their own, at most two per server beside these.
	// Default 64.
	MaxConns int
	// IdleTimeout closes connections that were idle for so long. Default 90 s;
	// -1 never.
	IdleTimeout time.Duration
	// RetryAfter is how long a server that failed is left alone before it is
	// tried again, in the background; callers get ErrUnavailable at once
	// meanwhile. A server that let a request time out is tried once more right
	// away, in case the reply alone was lost. Default 1 s.
	RetryAfter time.Duration
	// ListTimeout bounds reading the keys of one server for Keys. Default 10 s.
	ListTimeout time.Duration

	// TLS makes every connection a TLS one; nil means plain. ServerName is
	// taken from the address where it is empty. It is not changed, and must not
	// be afterwards.
	TLS *tls.Config
	// Username and Password are sent on each new connection (memcached -Y).
	Username string
	Password string

	// Logger gets what an operator must know: a server that is down, up again,
	// restarted, full, or out of step with its replies. It gets no session id
	// and no key, and repeated messages are held back. Default slog.Default().
	Logger *slog.Logger
	// Dial replaces the dialler (a tunnel, a test); network is "tcp" or "unix".
	// A connection that is no syscall.Conn is looked at before each request by a
	// read of up to one millisecond. Default a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

const (
	defaultServer  = "localhost:11211"
	defaultTimeout = 250 * time.Millisecond
	maxNameLen     = 255
)

// endpoint is one entry of Config.Servers, taken apart.
type endpoint struct{ name, network, address string }

// check returns cfg with its defaults and its servers taken apart, or one error
// that tells every fault.
func (cfg Config) check() (Config, []endpoint, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	if len(cfg.Servers) == 0 {
		cfg.Servers = []string{defaultServer}
	}
	ends := make([]endpoint, 0, len(cfg.Servers))
	names, addresses := map[string]bool{}, map[string]bool{}
	for _, spec := range cfg.Servers {
		e, err := parseServer(spec)
		if err != nil {
			fault("Servers: %w", err)
			continue
		}
		if names[e.name] {
			fault("Servers: name %q stands twice", e.name)
		} else if address := e.network + ":" + strings.ToLower(e.address); addresses[address] {
			fault("Servers: address %q stands twice", e.address)
		} else {
			addresses[address] = true
		}
		names[e.name] = true
		if cfg.TLS != nil && e.network == "unix" && cfg.TLS.ServerName == "" && !cfg.TLS.InsecureSkipVerify {
			fault("TLS: %q is a unix socket, so ServerName must be set", e.name)
		}
		ends = append(ends, e)
	}
	durations := []struct {
		name     string
		value    *time.Duration
		standard time.Duration
	}{
		{"DialTimeout", &cfg.DialTimeout, defaultTimeout},
		{"Timeout", &cfg.Timeout, defaultTimeout},
		{"IdleTimeout", &cfg.IdleTimeout, 90 * time.Second},
		{"RetryAfter", &cfg.RetryAfter, time.Second},
		{"ListTimeout", &cfg.ListTimeout, 10 * time.Second},
	}
	for _, d := range durations {
		switch {
		case *d.value == 0:
			*d.value = d.standard
		case *d.value < 0 && (d.name != "IdleTimeout" || *d.value != -1):
			fault("%s: %v is negative", d.name, *d.value)
		}
	}
	switch {
	case cfg.MaxConns == 0:
		cfg.MaxConns = 64
	case cfg.MaxConns < 0:
		fault("MaxConns: %d is negative", cfg.MaxConns)
	}
	switch {
	case cfg.Username == "" && cfg.Password != "":
		fault("Password: there is no Username")
	case cfg.Username != "" && cfg.Password == "":
		fault("Username: there is no Password")
	}
	// The server takes both as two words of one line.
	if strings.ContainsFunc(cfg.Username, notPrintable) {
		fault("Username: holds a space or a control character")
	}
	if strings.ContainsFunc(cfg.Password, notPrintable) {
		fault("Password: holds a space or a control character")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	if len(faults) > 0 {
		texts := make([]string, len(faults))
		for i, err := range faults {
			texts[i] = err.Error()
		}
		return cfg, nil, fmt.Errorf("%w: memcachestore: %s", sd.ErrInvalid, strings.Join(texts, "; "))
	}
	slices.SortFunc(ends, func(a, b endpoint) int { return strings.Compare(a.name, b.name) })
	return cfg, ends, nil
}

func notPrintable(r rune) bool { return r <= ' ' || r == 0x7f }

func parseServer(spec string) (endpoint, error) {
	name, address, named := strings.Cut(spec, "=")
	if !named {
		name, address = spec, spec
	}
	bad := func(format string, args ...any) (endpoint, error) {
		return endpoint{}, fmt.Errorf("%q: %s", spec, fmt.Sprintf(format, args...))
	}
	switch {
	case spec == "":
		return bad("is empty")
	case name == "":
		return bad("the name before the = is empty")
	case len(name) > maxNameLen:
		return bad("the name is longer than %d bytes", maxNameLen)
	case strings.ContainsFunc(spec, notPrintable):
		return bad("holds a space or a control character")
	case strings.Contains(spec, ","):
		return bad("holds a comma: each server is an entry of its own")
	case strings.Contains(address, "@"):
		// The entry is not quoted: it may hold a password.
		return endpoint{}, errors.New("an address with an @: a user goes into Username and Password")
	}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return bad("the path of a unix socket begins with a /")
		}
		return endpoint{name, "unix", path}, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		if strings.Contains(address, "/") {
			return bad("want host:port or unix:/path")
		}
		return bad("%s, want host:port", strings.TrimPrefix(err.Error(), "address "+address+": "))
	}
	if host == "" {
		return bad("the host is empty")
	}
	if strings.ContainsAny(host, "/=?#") {
		return bad("%q is not a host", host)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return bad("port %q is not a number from 1 to 65535", port)
	}
	return endpoint{name, "tcp", address}, nil
}

// tlsConfig returns the TLS configuration for one server, or nil.
func (cfg *Config) tlsConfig(e endpoint) *tls.Config {
	if cfg.TLS == nil {
		return nil
	}
	c := cfg.TLS.Clone()
	if c.ServerName == "" && e.network == "tcp" {
		c.ServerName, _, _ = net.SplitHostPort(e.address)
	}
	return c
}
