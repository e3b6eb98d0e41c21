// Package storeurl opens the store that a URL names, so that where sessions are
// kept is a matter of configuration and no application changes with it.
//
//	memory:                                   the memory of this process
//	memory:?maxbytes=64MiB                    bounded: the least recently used go first
//	memcache://localhost:11211                one memcached
//	memcache://10.0.0.1,10.0.0.2:11212        two; the port is 11211 unless it is given
//	memcache://10.0.0.1,10.0.0.2?name=a,b     two, with names that outlive their addresses
//	memcache+tls://user:password@cache.example.com?ca=/etc/ssl/cache.pem
//	memcache+unix:///run/memcached/memcached.sock
//
// Parameters of memcache URLs, each at most once; any other is an error:
//
//	name          stable names, in the order of the hosts and as many
//	timeout       memcachestore.Config.Timeout, as in 250ms
//	dial_timeout  DialTimeout
//	idle_timeout  IdleTimeout; never for no bound
//	retry_after   RetryAfter
//	list_timeout  ListTimeout
//	max_conns     MaxConns
//	ca            file with the authorities to trust, PEM (memcache+tls only)
//	cert, key     files with the client's certificate and key, PEM (memcache+tls only)
//	server_name   the name that the servers' certificates must have (memcache+tls only)
//
// User and password stand in front of the hosts, percent-encoded where they hold
// one of the characters :/?#@%. A certificate is always verified. No error holds
// the password.
package storeurl

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memcachestore"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// schemes are those that Open knows.
var schemes = []string{"memory", "memcache", "memcache+tls", "memcache+unix"}

// Open returns the store that rawURL names; the caller closes it. A URL that
// cannot be meant is an error that matches [sd.ErrInvalid] and names the part. No
// server is contacted: see [sd.Store.Ping]. Every store that Open returns
// implements [sd.Lister] too.
func Open(ctx context.Context, rawURL string) (sd.Store, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("sessiondata: opening a store: %w", context.Cause(ctx))
	}
	u, err := parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("%w: store URL: %w", sd.ErrInvalid, err)
	}
	if u.scheme == "memory" {
		return openMemory(u)
	}
	cfg, err := u.memcache()
	if err != nil {
		return nil, fmt.Errorf("%w: store URL: %w", sd.ErrInvalid, err)
	}
	s, err := memcachestore.New(cfg)
	if err != nil {
		return nil, err // not s, which would be a Store that holds nil
	}
	return s, nil
}

// Redacted is rawURL as it may be shown: with xxxxx for what stands before the
// last @ of a URL, user and password. It takes any text, and shows nothing of one
// that has no scheme of Open's.
func Redacted(rawURL string) string {
	scheme, rest, ok := strings.Cut(rawURL, ":")
	if !ok || !slices.Contains(schemes, scheme) {
		return "(no store URL)"
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = "//xxxxx" + rest[i:]
	}
	return scheme + ":" + rest
}

func openMemory(u parts) (sd.Store, error) {
	q := query{values: u.query}
	size := q.take("maxbytes")
	q.rest("maxbytes")
	var cfg memstore.Config
	if size != "" {
		n, err := parseSize(size)
		q.fault(err)
		cfg.MaxBytes = n
	}
	if u.user != nil || u.hosts != "" || u.path != "" {
		q.fault(errors.New("memory: takes no host and no path"))
	}
	if err := q.err(); err != nil {
		return nil, fmt.Errorf("%w: store URL: %w", sd.ErrInvalid, err)
	}
	return memstore.New(cfg), nil
}

// parts are those of a store URL. net/url takes no list of hosts, and its errors
// hold the whole URL, with the password.
type parts struct {
	scheme string
	user   *url.Userinfo
	hosts  string
	path   string
	query  url.Values
}

func parse(raw string) (parts, error) {
	var u parts
	scheme, rest, ok := strings.Cut(raw, ":")
	if !ok || !slices.Contains(schemes, scheme) {
		if !ok || strings.ContainsAny(scheme, "@/?# ") || len(scheme) > 20 {
			scheme = "..." // whatever it is, it may be a secret
		}
		return u, fmt.Errorf("scheme %q, want one of %s", scheme, strings.Join(schemes, ", "))
	}
	u.scheme = scheme
	if strings.Contains(rest, "#") {
		return u, errors.New("a # stands in it (as part of a password it is written %23)")
	}
	rest, query, _ := strings.Cut(rest, "?")
	var err error
	if u.query, err = url.ParseQuery(query); err != nil {
		return u, errors.New("the parameters after the ? are not well-formed")
	}
	authority, hasAuthority := strings.CutPrefix(rest, "//")
	if !hasAuthority {
		if scheme != "memory" {
			return u, fmt.Errorf("want %s://", scheme)
		}
		u.path = rest
		return u, nil
	}
	if i := strings.IndexByte(authority, '/'); i >= 0 {
		authority, u.path = authority[:i], authority[i:]
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		if u.user, err = parseUser(authority[:i]); err != nil {
			return u, err
		}
		authority = authority[i+1:]
	}
	if u.user == nil && scheme != "memcache+unix" && strings.Contains(rest+query, "@") {
		return u, errors.New("an @ stands after the hosts (in a user or a password / and ? are written %2F and %3F)")
	}
	if scheme == "memory" {
		return u, errors.New("want memory: without //")
	}
	u.hosts = authority
	if u.path, err = url.PathUnescape(u.path); err != nil {
		return u, errors.New("the path is not well-formed")
	}
	return u, nil
}

func parseUser(text string) (*url.Userinfo, error) {
	name, password, ok := strings.Cut(text, ":")
	if !ok || strings.ContainsAny(password, ":@") {
		return nil, errors.New("in front of the @ must stand user:password, with : and @ in them percent-encoded")
	}
	name, err1 := url.PathUnescape(name)
	password, err2 := url.PathUnescape(password)
	if err1 != nil || err2 != nil {
		return nil, errors.New("user and password are not well-formed percent-encoding")
	}
	return url.UserPassword(name, password), nil
}

// parseSize reads a number of bytes with an optional unit.
func parseSize(text string) (int64, error) {
	number, shift := text, 0
	for unit, s := range map[string]int{"KiB": 10, "MiB": 20, "GiB": 30} {
		if n, ok := strings.CutSuffix(text, unit); ok {
			number, shift = n, s
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > (1<<62)>>shift {
		return 0, fmt.Errorf("maxbytes=%q, want a number of bytes as in 67108864, 65536KiB, 64MiB or 1GiB", text)
	}
	return n << shift, nil
}
