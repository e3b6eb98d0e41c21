package main

import (
	"context"
	"crypto/rand"
	"net/http"
	"strconv"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/vmihailenco/msgpack/v5"
)

// bare is the client alone: it moves bytes of the same size and knows nothing of
// what they mean. It is what the others are measured against.
type bare struct{ client *memcache.Client }

func newBare(c *memcache.Client) *bare { return &bare{c} }

func (b *bare) name() string { return nameBare }

func (b *bare) close() error { return b.client.Close() }

func (b *bare) seed(_ context.Context, c *content) (string, error) {
	return b.add(c.opaque)
}

func (b *bare) add(value []byte) (string, error) {
	id := rand.Text()
	return id, b.client.Add(&memcache.Item{Key: id, Value: value, Expiration: lifetime})
}

func (b *bare) create(_ context.Context, c *content) error {
	value, err := msgpack.Marshal(asMap(c))
	if err != nil {
		return err
	}
	_, err = b.add(value)
	return err
}

// asMap is the whole content as Go has it: built once for each session, as an
// application that creates one builds it.
func asMap(c *content) map[string]map[string]any {
	all := make(map[string]map[string]any, len(c.pkgs))
	for _, p := range c.pkgs {
		values := make(map[string]any, len(p.values))
		for _, v := range p.values {
			values[v.key] = v.value
		}
		all[p.name] = values
	}
	return all
}

func (b *bare) read(_ context.Context, id string, c *content) error {
	item, err := b.client.Get(id)
	if err == nil && len(item.Value) != len(c.opaque) {
		return errWrongValue
	}
	return err
}

func (b *bare) change(_ context.Context, id string, _ []edit) error {
	item, err := b.client.Get(id)
	if err != nil {
		return err
	}
	item.Expiration = lifetime
	return b.client.CompareAndSwap(item)
}

func (b *bare) takeBack(ctx context.Context, id string, edits []edit) error {
	return b.change(ctx, id, edits)
}

func (b *bare) newCounter(context.Context) (string, error) { return b.add([]byte("0")) }

// count is the loop that whoever uses the client alone has to write.
func (b *bare) count(_ context.Context, id string) error {
	for {
		item, err := b.client.Get(id)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(item.Value))
		if err != nil {
			return err
		}
		item.Value, item.Expiration = strconv.AppendInt(nil, int64(n+1), 10), lifetime
		if err = b.client.CompareAndSwap(item); err != memcache.ErrCASConflict {
			return err
		}
	}
}

func (b *bare) total(_ context.Context, id string) (int, error) {
	item, err := b.client.Get(id)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(item.Value))
}

func (b *bare) cookie(id string) string { return "id=" + id }

func (b *bare) handler(c *content) http.Handler {
	return byID(func(ctx context.Context, id string) error { return b.read(ctx, id, c) },
		func(ctx context.Context, id string) error { return b.change(ctx, id, nil) })
}

// byID serves /read and /change for peers that come without middleware.
func byID(read, change func(ctx context.Context, id string) error) http.Handler {
	mux := http.NewServeMux()
	serve := func(do func(ctx context.Context, id string) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			cookie, err := r.Cookie("id")
			if err == nil {
				err = do(r.Context(), cookie.Value)
			}
			answer(w, err)
		}
	}
	mux.HandleFunc("/read", serve(read))
	mux.HandleFunc("/change", serve(change))
	return mux
}

var page = []byte("<!doctype html><title>page</title>")

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(page)
}
