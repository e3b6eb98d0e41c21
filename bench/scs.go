package main

import (
	"context"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/bradfitz/gomemcache/memcache"
)

// scsStore keeps the sessions of alexedwards/scs in memcached, as its own stores
// keep them elsewhere.
type scsStore struct{ client *memcache.Client }

func (s scsStore) Find(token string) ([]byte, bool, error) {
	item, err := s.client.Get(token)
	if err == memcache.ErrCacheMiss {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return item.Value, true, nil
}

func (s scsStore) Commit(token string, b []byte, expiry time.Time) error {
	return s.client.Set(&memcache.Item{Key: token, Value: b, Expiration: int32(expiry.Unix())})
}

func (s scsStore) Delete(token string) error {
	err := s.client.Delete(token)
	if err == memcache.ErrCacheMiss {
		return nil
	}
	return err
}

// scsPeer is alexedwards/scs with its defaults: encoding/gob, and no idle
// timeout, with which it would write at every request.
type scsPeer struct {
	client *memcache.Client
	m      *scs.SessionManager
}

func newSCS(c *memcache.Client) *scsPeer {
	m := scs.New()
	m.Store, m.Lifetime = scsStore{c}, lifetime*time.Second
	m.Cookie.Secure = false // the bench speaks plain HTTP
	return &scsPeer{c, m}
}

func (s *scsPeer) name() string { return nameSCS }

func (s *scsPeer) close() error { return s.client.Close() }

func (s *scsPeer) seed(ctx context.Context, c *content) (string, error) {
	ctx, err := s.m.Load(ctx, "")
	if err != nil {
		return "", err
	}
	for _, v := range c.flat {
		s.m.Put(ctx, v.key, v.value)
	}
	token, _, err := s.m.Commit(ctx)
	return token, err
}

func (s *scsPeer) create(ctx context.Context, c *content) error {
	_, err := s.seed(ctx, c)
	return err
}

func (s *scsPeer) read(ctx context.Context, id string, c *content) error {
	ctx, err := s.m.Load(ctx, id)
	if err == nil && !c.holds(s.m.Get(ctx, c.one[0][0].flat)) {
		return errWrongValue
	}
	return err
}

func (s *scsPeer) with(ctx context.Context, id string, do func(context.Context)) error {
	ctx, err := s.m.Load(ctx, id)
	if err != nil {
		return err
	}
	do(ctx)
	_, _, err = s.m.Commit(ctx)
	return err
}

func (s *scsPeer) change(ctx context.Context, id string, edits []edit) error {
	return s.with(ctx, id, func(ctx context.Context) {
		for _, e := range edits {
			s.m.Put(ctx, e.flat, e.value)
		}
	})
}

func (s *scsPeer) takeBack(ctx context.Context, id string, edits []edit) error {
	return s.with(ctx, id, func(ctx context.Context) {
		s.m.Put(ctx, edits[0].flat, edits[0].value)
		before := make([]any, len(edits))
		for i, e := range edits {
			before[i] = s.m.Get(ctx, e.flat)
		}
		for _, e := range edits[1:] {
			s.m.Put(ctx, e.flat, e.value)
		}
		for i, e := range edits {
			s.m.Put(ctx, e.flat, before[i])
		}
	})
}

func (s *scsPeer) newCounter(ctx context.Context) (string, error) {
	ctx, err := s.m.Load(ctx, "")
	if err != nil {
		return "", err
	}
	s.m.Put(ctx, "n", 0)
	token, _, err := s.m.Commit(ctx)
	return token, err
}

func (s *scsPeer) count(ctx context.Context, id string) error {
	return s.with(ctx, id, func(ctx context.Context) { s.m.Put(ctx, "n", s.m.GetInt(ctx, "n")+1) })
}

func (s *scsPeer) total(ctx context.Context, id string) (int, error) {
	ctx, err := s.m.Load(ctx, id)
	if err != nil {
		return 0, err
	}
	return s.m.GetInt(ctx, "n"), nil
}

func (s *scsPeer) cookie(id string) string { return s.m.Cookie.Name + "=" + id }

func (s *scsPeer) handler(c *content) http.Handler {
	mux := http.NewServeMux()
	at := c.one[0][0].flat
	mux.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		if !c.holds(s.m.Get(r.Context(), at)) {
			answer(w, errWrongValue)
			return
		}
		answer(w, nil)
	})
	mux.HandleFunc("/change", func(w http.ResponseWriter, r *http.Request) {
		e := otherVariant(c.one, s.m.GetString(r.Context(), at))[0]
		s.m.Put(r.Context(), e.flat, e.value)
		answer(w, nil)
	})
	return s.m.LoadAndSave(mux)
}
