package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/gob"
	"net/http"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
)

// gorillaStore keeps the sessions of gorilla/sessions in memcached, as the known
// stores for other servers do: the values with encoding/gob, the id in a signed
// cookie.
type gorillaStore struct {
	client *memcache.Client
	codecs []securecookie.Codec
}

func (s *gorillaStore) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(s, name)
}

func (s *gorillaStore) New(r *http.Request, name string) (*sessions.Session, error) {
	session := sessions.NewSession(s, name)
	session.Options, session.IsNew = &sessions.Options{Path: "/", MaxAge: lifetime}, true
	cookie, err := r.Cookie(name)
	if err != nil {
		return session, nil
	}
	if err := securecookie.DecodeMulti(name, cookie.Value, &session.ID, s.codecs...); err != nil {
		return session, err
	}
	item, err := s.client.Get(session.ID)
	if err == memcache.ErrCacheMiss {
		return session, nil
	}
	if err != nil {
		return session, err
	}
	session.IsNew = false
	return session, gob.NewDecoder(bytes.NewReader(item.Value)).Decode(&session.Values)
}

func (s *gorillaStore) Save(_ *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	if session.ID == "" {
		session.ID = rand.Text()
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(session.Values); err != nil {
		return err
	}
	if err := s.client.Set(&memcache.Item{Key: session.ID, Value: b.Bytes(), Expiration: lifetime}); err != nil {
		return err
	}
	cookie, err := securecookie.EncodeMulti(session.Name(), session.ID, s.codecs...)
	if err != nil {
		return err
	}
	http.SetCookie(w, sessions.NewCookie(session.Name(), cookie, session.Options))
	return nil
}

// gorillaPeer is gorilla/sessions. It knows no session without a request: one is
// made for each piece of work, as net/http makes one.
type gorillaPeer struct{ store *gorillaStore }

const gorillaCookie = "session"

// What scs and gorilla/sessions keep must be known to encoding/gob.
func init() { gob.Register(record{}) }

func newGorilla(c *memcache.Client) (*gorillaPeer, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	return &gorillaPeer{&gorillaStore{c, securecookie.CodecsFromPairs(key)}}, nil
}

func (g *gorillaPeer) name() string { return nameGorilla }

func (g *gorillaPeer) close() error { return g.store.client.Close() }

// headerOnly takes the cookie.
type headerOnly struct{ h http.Header }

func (w headerOnly) Header() http.Header         { return w.h }
func (w headerOnly) Write(p []byte) (int, error) { return len(p), nil }
func (w headerOnly) WriteHeader(int)             {}

// open returns the session that a cookie leads to; "" a new one.
func (g *gorillaPeer) open(ctx context.Context, cookie string) (*http.Request, *sessions.Session, error) {
	r := (&http.Request{Header: http.Header{}}).WithContext(ctx)
	if cookie != "" {
		r.Header.Set("Cookie", g.cookie(cookie))
	}
	s, err := g.store.Get(r, gorillaCookie)
	return r, s, err
}

// with opens a session, works on it and saves it; the id of gorilla's sessions is
// the value of the cookie.
func (g *gorillaPeer) with(ctx context.Context, cookie string, do func(map[any]any)) (string, error) {
	r, s, err := g.open(ctx, cookie)
	if err != nil {
		return "", err
	}
	do(s.Values)
	w := headerOnly{http.Header{}}
	if err := s.Save(r, w); err != nil {
		return "", err
	}
	set, err := http.ParseSetCookie(w.h.Get("Set-Cookie"))
	if err != nil {
		return "", err
	}
	return set.Value, nil
}

func (g *gorillaPeer) seed(ctx context.Context, c *content) (string, error) {
	return g.with(ctx, "", func(values map[any]any) {
		for _, v := range c.flat {
			values[v.key] = v.value
		}
	})
}

func (g *gorillaPeer) create(ctx context.Context, c *content) error {
	_, err := g.seed(ctx, c)
	return err
}

func (g *gorillaPeer) read(ctx context.Context, id string, c *content) error {
	_, s, err := g.open(ctx, id)
	if err != nil {
		return err
	}
	if !c.holds(s.Values[c.one[0][0].flat]) {
		return errWrongValue
	}
	return nil
}

func (g *gorillaPeer) change(ctx context.Context, id string, edits []edit) error {
	_, err := g.with(ctx, id, func(values map[any]any) {
		for _, e := range edits {
			values[e.flat] = e.value
		}
	})
	return err
}

func (g *gorillaPeer) takeBack(ctx context.Context, id string, edits []edit) error {
	_, err := g.with(ctx, id, func(values map[any]any) {
		values[edits[0].flat] = edits[0].value
		before := make([]any, len(edits))
		for i, e := range edits {
			before[i] = values[e.flat]
		}
		for _, e := range edits[1:] {
			values[e.flat] = e.value
		}
		for i, e := range edits {
			values[e.flat] = before[i]
		}
	})
	return err
}

func (g *gorillaPeer) newCounter(ctx context.Context) (string, error) {
	return g.with(ctx, "", func(values map[any]any) { values["n"] = 0 })
}

func (g *gorillaPeer) count(ctx context.Context, id string) error {
	_, err := g.with(ctx, id, func(values map[any]any) { values["n"] = values["n"].(int) + 1 })
	return err
}

func (g *gorillaPeer) total(ctx context.Context, id string) (int, error) {
	_, s, err := g.open(ctx, id)
	if err != nil {
		return 0, err
	}
	return s.Values["n"].(int), nil
}

func (g *gorillaPeer) cookie(id string) string { return gorillaCookie + "=" + id }

func (g *gorillaPeer) handler(c *content) http.Handler {
	mux := http.NewServeMux()
	at := c.one[0][0].flat
	mux.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		s, err := g.store.Get(r, gorillaCookie)
		if err == nil && !c.holds(s.Values[at]) {
			err = errWrongValue
		}
		answer(w, err)
	})
	mux.HandleFunc("/change", func(w http.ResponseWriter, r *http.Request) {
		s, err := g.store.Get(r, gorillaCookie)
		if err == nil {
			was, _ := s.Values[at].(string)
			e := otherVariant(c.one, was)[0]
			s.Values[e.flat] = e.value
			err = s.Save(r, w)
		}
		answer(w, err)
	})
	return mux
}
