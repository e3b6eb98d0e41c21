package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memcachestore"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

// ours is this library over memcachestore, with the defaults of both.
type ours struct {
	store     *memcachestore.Store
	container *sd.Container
	sessions  *sessionhttp.Manager
}

func newOurs(addr string, dial dialer) (*ours, error) {
	store, err := memcachestore.New(memcachestore.Config{
		Servers: []string{addr}, Timeout: timeout, DialTimeout: timeout, MaxConns: maxConns,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dial(ctx, network, address)
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	o := &ours{store: store}
	if o.container, err = sd.NewContainer(store, sd.Config{Timeout: lifetime * time.Second}); err != nil {
		return nil, err
	}
	o.sessions, err = sessionhttp.New(sessionhttp.Config{Container: o.container})
	return o, err
}

func (o *ours) name() string { return nameOurs }

func (o *ours) close() error { return o.store.Close() }

func (o *ours) seed(ctx context.Context, c *content) (string, error) {
	return seedIn(ctx, o.container, c)
}

func seedIn(ctx context.Context, container *sd.Container, c *content) (string, error) {
	tx := sd.Begin()
	defer func() { _ = tx.Rollback() }()
	s, err := container.New(ctx, tx)
	if err != nil {
		return "", err
	}
	for _, p := range c.pkgs {
		to := s.Pkg(p.name)
		for _, v := range p.values {
			if err := to.Set(v.key, v.value); err != nil {
				return "", err
			}
		}
	}
	return s.ID(), tx.Commit(ctx)
}

// kept remembers what was added.
type kept struct {
	*memstore.Store
	value []byte
}

func (k *kept) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	k.value = bytes.Clone(value)
	return k.Store.Add(ctx, key, value, ttl)
}

// storedBytes returns what this library stores for c.
func storedBytes(ctx context.Context, c *content) ([]byte, error) {
	store := &kept{Store: memstore.New(memstore.Config{})}
	container, err := sd.NewContainer(store, sd.Config{})
	if err != nil {
		return nil, err
	}
	_, err = seedIn(ctx, container, c)
	return store.value, err
}

func (o *ours) create(ctx context.Context, c *content) error {
	_, err := o.seed(ctx, c)
	return err
}

func (o *ours) read(ctx context.Context, id string, c *content) error {
	return o.container.View(ctx, id, func(s *sd.Session) error { return lookAt(s, c) })
}

func lookAt(s *sd.Session, c *content) error {
	at := c.one[0][0]
	if c.shape.records {
		return check[record](s, c, at)
	}
	return check[string](s, c, at)
}

func check[T any](s *sd.Session, c *content, at edit) error {
	v, err := sd.Get[T](s.Pkg(at.pkg), at.key)
	if err == nil && !c.holds(v) {
		return errWrongValue
	}
	return err
}

func (o *ours) change(ctx context.Context, id string, edits []edit) error {
	return o.container.Update(ctx, id, func(s *sd.Session) error { return set(s, edits) })
}

func set(s *sd.Session, edits []edit) error {
	for _, e := range edits {
		if err := s.Pkg(e.pkg).Set(e.key, e.value); err != nil {
			return err
		}
	}
	return nil
}

func (o *ours) takeBack(ctx context.Context, id string, edits []edit) error {
	return o.container.Update(ctx, id, func(s *sd.Session) error {
		if err := set(s, edits[:1]); err != nil {
			return err
		}
		mark, err := s.Txn().Savepoint()
		if err != nil {
			return err
		}
		if err := set(s, edits[1:]); err != nil {
			return err
		}
		return mark.Rollback()
	})
}

func (o *ours) newCounter(ctx context.Context) (string, error) {
	tx := sd.Begin()
	defer func() { _ = tx.Rollback() }()
	s, err := o.container.New(ctx, tx)
	if err != nil {
		return "", err
	}
	if err := s.Pkg("counter").Set("n", 0); err != nil {
		return "", err
	}
	return s.ID(), tx.Commit(ctx)
}

func (o *ours) count(ctx context.Context, id string) error {
	return o.container.Update(ctx, id, func(s *sd.Session) error {
		return sd.Modify(s.Pkg("counter"), "n", func(n *int) error {
			*n++
			return nil
		})
	})
}

func (o *ours) total(ctx context.Context, id string) (n int, err error) {
	err = o.container.View(ctx, id, func(s *sd.Session) error {
		n, err = sd.Get[int](s.Pkg("counter"), "n")
		return err
	})
	return n, err
}

func (o *ours) cookie(id string) string { return "__Host-session=" + id }

func (o *ours) handler(c *content) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessionhttp.Session(r)
		if err == nil {
			err = lookAt(s, c)
		}
		answer(w, err)
	})
	mux.HandleFunc("/change", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessionhttp.Session(r)
		if err == nil {
			err = changeOther(s, c)
		}
		answer(w, err)
	})
	return o.sessions.Handler(mux)
}

func changeOther(s *sd.Session, c *content) error {
	at := c.one[0][0]
	was, err := sd.Get[string](s.Pkg(at.pkg), at.key)
	if err != nil {
		return err
	}
	return set(s, otherVariant(c.one, was))
}

func (o *ours) value(ctx context.Context, id string, e edit) (v any, err error) {
	err = o.container.View(ctx, id, func(s *sd.Session) error {
		if _, ok := e.value.(record); ok {
			v, err = sd.Get[record](s.Pkg(e.pkg), e.key)
		} else {
			v, err = sd.Get[string](s.Pkg(e.pkg), e.key)
		}
		return err
	})
	return v, err
}
