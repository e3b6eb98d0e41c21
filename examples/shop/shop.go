package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

// The packages of a session. Each part of the shop has one to itself.
const (
	cartPkg  = "cart"  // product -> quantity
	orderPkg = "order" // number, items, total, state
	stepPkg  = "steps" // step of the checkout -> its outcome
	cardPkg  = "card"  // what was charged
	userPkg  = "user"  // name
	notePkg  = "note"  // what the next page is to say
)

// shop is the shop.
type shop struct {
	store    *watchedStore
	sessions *sd.Container
	manager  *sessionhttp.Manager
	pages    *pages
	live     *live
	accounts *accounts
	naive    *lastWriteWins
}

func newShop(store sd.Store) (*shop, error) {
	s := &shop{store: &watchedStore{Store: store}, live: newLive(), accounts: newAccounts(), naive: newLastWriteWins()}
	var err error
	if s.pages, err = parsePages(); err != nil {
		return nil, err
	}
	s.sessions, err = sd.NewContainer(s.store, sd.Config{Name: "shop", Timeout: 30 * time.Minute})
	if err != nil {
		return nil, err
	}
	s.manager, err = sessionhttp.New(sessionhttp.Config{
		Container: s.sessions,
		Cookie:    sessionhttp.Cookie{Insecure: true}, // plain HTTP on one machine
		Error:     s.sorry,
		Attempts:  30,
		// All that the shop does is in the session, so that it can be taken back
		// and done again. A charge cannot.
		Retry: func(r *http.Request) bool { return r.URL.Path != "/checkout" },
	})
	return s, err
}

// handler returns the routes. What needs no session is outside the middleware.
func (s *shop) handler() http.Handler {
	within := http.NewServeMux()
	page := func(pattern string, h func(*visit) error) { within.Handle(pattern, s.visited(h)) }
	page("GET /{$}", s.showCatalogue)
	page("GET /cart", s.showCart)
	page("POST /cart/add", s.addToCart)
	page("POST /cart/set", s.setInCart)
	page("GET /checkout", s.showCheckout)
	page("POST /checkout", s.checkOut)
	page("GET /order", s.showOrder)
	page("GET /login", s.showLogin)
	page("POST /login", s.logIn)
	page("POST /logout", s.logOut)
	within.HandleFunc("/", s.notFound)

	quiet := http.NewServeMux() // with a session, but not shown in the panel
	quiet.Handle("GET /beneath/session", s.visited(s.showSession))

	mux := http.NewServeMux()
	mux.Handle("GET /static/", staticFiles())
	mux.Handle("GET /beneath/live", s.live)
	mux.Handle("GET /beneath/session", s.manager.Handler(quiet))
	mux.HandleFunc("POST /beneath/store", s.switchStore)
	mux.HandleFunc("POST /naive/add", s.addNaively)
	mux.HandleFunc("GET /naive/cart", s.showNaiveCart)
	mux.Handle("/", s.watched(s.manager.Handler(within)))
	return secured(http.NewCrossOriginProtection().Handler(mux))
}

// secured sets the headers that keep pages to themselves (OWASP Secure Headers).
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// visit is one run of a request: its session, and what the panel is to show.
type visit struct {
	w       http.ResponseWriter
	r       *http.Request
	session *sd.Session // nil: it could not be loaded
	failure error       // why
	trace   *trace
}

// visited loads the session and serves. A handler that returns an error has
// written nothing, and nothing is stored.
func (s *shop) visited(h func(*visit) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{w: w, r: r, trace: traceOf(r.Context())}
		v.trace.run()
		v.session, v.failure = sessionhttp.Session(r)
		err := h(v)
		switch {
		case err == nil:
		case errors.Is(err, v.failure): // nothing written: the middleware answers
		default:
			s.sorry(w, r, err)
		}
	})
}

// set changes a value and notes it for the panel.
func (v *visit) set(pkg, key string, value any) error {
	v.trace.note("change", "%s/%s = %v", pkg, key, value)
	return v.session.Pkg(pkg).Set(key, value)
}

// drop deletes a package and notes it for the panel.
func (v *visit) drop(pkg string) error {
	v.trace.note("change", "%s: deleted", pkg)
	return v.session.DeletePkg(pkg)
}

// step runs fn under a savepoint: an error takes back what fn has changed, and
// nothing else.
func (v *visit) step(name string, fn func() error) error {
	v.trace.note("savepoint", "savepoint: %s", name)
	err := v.session.Txn().Atomic(fn)
	if err != nil {
		v.trace.note("back", "%s: taken back to the savepoint", name)
	}
	return err
}

// seeOther answers with a redirect. The page that follows sees what is stored:
// the redirect is sent after the commit.
func (v *visit) seeOther(path string) error {
	http.Redirect(v.w, v.r, path, http.StatusSeeOther)
	return nil
}

// say leaves a note for the next page.
func (v *visit) say(text string) error { return v.session.Pkg(notePkg).Set("text", text) }

// shortID is what may be shown of an id: a part of a hash, which leads nowhere.
func shortID(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:3])
}
