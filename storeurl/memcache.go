package storeurl

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-ad7f1900/sessiondata/memcachestore"
)

// parameters of memcache URLs, in the order of their faults.
var parameters = []string{
	"name", "timeout", "dial_timeout", "idle_timeout", "retry_after", "list_timeout", "max_conns",
	"ca", "cert", "key", "server_name",
}

// memcache turns a URL into a configuration. Its faults are all told at once;
// those of the addresses are found by memcachestore.New.
func (u parts) memcache() (memcachestore.Config, error) {
	var cfg memcachestore.Config
	q := query{values: u.query}
	q.rest(parameters...)

	cfg.Servers = u.servers(&q)
	if u.user != nil {
		cfg.Username = u.user.Username()
		cfg.Password, _ = u.user.Password()
		if cfg.Username == "" || cfg.Password == "" {
			q.fault(errors.New("user or password is empty"))
		}
	}
	for name, d := range map[string]*time.Duration{
		"timeout": &cfg.Timeout, "dial_timeout": &cfg.DialTimeout, "idle_timeout": &cfg.IdleTimeout,
		"retry_after": &cfg.RetryAfter, "list_timeout": &cfg.ListTimeout,
	} {
		text := q.take(name)
		if text == "" {
			continue
		}
		if name == "idle_timeout" && text == "never" {
			*d = -1
			continue
		}
		v, err := time.ParseDuration(text)
		if err != nil || v <= 0 {
			q.fault(fmt.Errorf("%s=%q, want a duration as in 250ms or 2s", name, text))
		}
		*d = v
	}
	if text := q.take("max_conns"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n <= 0 {
			q.fault(fmt.Errorf("max_conns=%q, want a number from 1", text))
		}
		cfg.MaxConns = n
	}
	ca, cert, key, serverName := q.take("ca"), q.take("cert"), q.take("key"), q.take("server_name")
	if u.scheme == "memcache+tls" {
		var err error
		cfg.TLS, err = tlsConfig(ca, cert, key, serverName)
		q.fault(err)
	} else if ca != "" || cert != "" || key != "" || serverName != "" {
		q.fault(errors.New("ca, cert, key and server_name are for memcache+tls"))
	}
	return cfg, q.err()
}

func (u parts) servers(q *query) []string {
	var servers []string
	if u.scheme == "memcache+unix" {
		if u.hosts != "" || u.path == "" || u.path == "/" {
			q.fault(errors.New("want memcache+unix:///path/of/the/socket"))
		}
		servers = []string{"unix:" + u.path}
	} else {
		if strings.Trim(u.path, "/") != "" {
			q.fault(fmt.Errorf("path %q: a server has none", u.path))
		}
		if u.hosts == "" {
			q.fault(fmt.Errorf("no host, want %s://host:port", u.scheme))
			return nil
		}
		for host := range strings.SplitSeq(u.hosts, ",") {
			switch {
			case host == "":
				q.fault(fmt.Errorf("hosts %q: one is empty", u.hosts))
			case strings.Contains(host, "="):
				q.fault(fmt.Errorf("host %q: names are given by name=, in the order of the hosts", host))
			case host[0] == '[' && strings.HasSuffix(host, "]"), host[0] != '[' && !strings.Contains(host, ":"):
				host += ":11211"
			}
			servers = append(servers, host)
		}
	}
	if list := q.take("name"); list != "" {
		names := strings.Split(list, ",")
		if len(names) != len(servers) {
			q.fault(fmt.Errorf("name=%q: %d names for %d hosts", list, len(names), len(servers)))
			return servers
		}
		for i, name := range names {
			if strings.Contains(name, "=") {
				q.fault(fmt.Errorf("name=%q: a name holds a =", list))
			}
			servers[i] = name + "=" + servers[i]
		}
	}
	return servers
}

func tlsConfig(ca, cert, key, serverName string) (*tls.Config, error) {
	c := &tls.Config{ServerName: serverName, MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return c, fmt.Errorf("ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return c, fmt.Errorf("ca=%q holds no certificate in PEM", ca)
		}
	}
	if (cert == "") != (key == "") {
		return c, errors.New("cert and key go together")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return c, fmt.Errorf("cert and key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// query collects the faults of parameters.
type query struct {
	values url.Values
	faults []string
}

func (q *query) fault(err error) {
	if err != nil {
		q.faults = append(q.faults, err.Error())
	}
}

// take returns a parameter that may stand once.
func (q *query) take(name string) string {
	v := q.values[name]
	switch {
	case len(v) == 0:
		return ""
	case len(v) > 1:
		q.fault(fmt.Errorf("parameter %q stands %d times", name, len(v)))
	case v[0] == "":
		q.fault(fmt.Errorf("parameter %q is empty", name))
	}
	return v[0]
}

// rest finds the parameters that are none.
func (q *query) rest(known ...string) {
	for name := range q.values {
		if !slices.Contains(known, name) {
			q.fault(fmt.Errorf("unknown parameter %q, want one of %s", name, strings.Join(known, ", ")))
		}
	}
}

// err joins the faults on one line, in an order that does not change.
func (q *query) err() error {
	if len(q.faults) == 0 {
		return nil
	}
	slices.Sort(q.faults)
	return errors.New(strings.Join(q.faults, "; "))
}
