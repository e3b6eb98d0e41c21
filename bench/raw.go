package main

import (
	"context"
	"crypto/rand"
	"net/http"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/vmihailenco/msgpack/v5"
)

// raw is what is written by hand: the whole session as one MessagePack map, read
// with Get and written back with Set.
type raw struct{ client *memcache.Client }

func newRaw(c *memcache.Client) *raw { return &raw{c} }

type rawSession map[string]map[string]any

func (r *raw) name() string { return nameRaw }

func (r *raw) close() error { return r.client.Close() }

func (r *raw) load(id string) (rawSession, error) {
	item, err := r.client.Get(id)
	if err != nil {
		return nil, err
	}
	var s rawSession
	return s, msgpack.Unmarshal(item.Value, &s)
}

func (r *raw) save(id string, s rawSession) error {
	value, err := msgpack.Marshal(s)
	if err != nil {
		return err
	}
	return r.client.Set(&memcache.Item{Key: id, Value: value, Expiration: lifetime})
}

func (r *raw) seed(_ context.Context, c *content) (string, error) {
	id := rand.Text()
	return id, r.save(id, asMap(c))
}

func (r *raw) create(ctx context.Context, c *content) error {
	_, err := r.seed(ctx, c)
	return err
}

func (r *raw) value(id string, e edit) (any, error) {
	s, err := r.load(id)
	return s[e.pkg][e.key], err
}

func (r *raw) read(_ context.Context, id string, c *content) error {
	v, err := r.value(id, c.one[0][0])
	if err == nil && !c.holds(v) {
		return errWrongValue
	}
	return err
}

func (s rawSession) set(edits []edit) {
	for _, e := range edits {
		s[e.pkg][e.key] = e.value
	}
}

func (r *raw) change(_ context.Context, id string, edits []edit) error {
	s, err := r.load(id)
	if err != nil {
		return err
	}
	s.set(edits)
	return r.save(id, s)
}

func (r *raw) takeBack(_ context.Context, id string, edits []edit) error {
	s, err := r.load(id)
	if err != nil {
		return err
	}
	s.set(edits[:1])
	before := make([]any, len(edits))
	for i, e := range edits {
		before[i] = s[e.pkg][e.key]
	}
	s.set(edits[1:])
	for i, e := range edits {
		s[e.pkg][e.key] = before[i]
	}
	return r.save(id, s)
}

func (r *raw) newCounter(context.Context) (string, error) {
	id := rand.Text()
	return id, r.save(id, rawSession{"counter": {"n": 0}})
}

func (r *raw) count(_ context.Context, id string) error {
	s, err := r.load(id)
	if err != nil {
		return err
	}
	n, err := number(s["counter"]["n"])
	if err != nil {
		return err
	}
	s["counter"]["n"] = n + 1
	return r.save(id, s)
}

func (r *raw) total(_ context.Context, id string) (int, error) {
	s, err := r.load(id)
	if err != nil {
		return 0, err
	}
	return number(s["counter"]["n"])
}

// number is an integer of whichever size the decoder has chosen.
func number(v any) (int, error) {
	switch v := v.(type) {
	case int8:
		return int(v), nil
	case int16:
		return int(v), nil
	case int32:
		return int(v), nil
	case int64:
		return int(v), nil
	case int:
		return v, nil
	case uint16:
		return int(v), nil
	case uint8:
		return int(v), nil
	}
	return 0, errWrongValue
}

func (r *raw) cookie(id string) string { return "id=" + id }

func (r *raw) handler(c *content) http.Handler {
	return byID(func(ctx context.Context, id string) error { return r.read(ctx, id, c) },
		func(_ context.Context, id string) error {
			s, err := r.load(id)
			if err != nil {
				return err
			}
			e := c.one[0][0]
			was, _ := s[e.pkg][e.key].(string)
			s.set(otherVariant(c.one, was))
			return r.save(id, s)
		})
}
