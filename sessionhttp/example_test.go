package sessionhttp_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

// visit serves one visitor, who keeps cookies, with each of the paths, and prints
// the answers.
func visit(h http.Handler, paths ...string) {
	server := httptest.NewTLSServer(h)
	defer server.Close()
	client := server.Client()
	client.Jar, _ = cookiejar.New(nil)
	for _, path := range paths {
		res, err := client.PostForm(server.URL+path, url.Values{})
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			log.Fatal(err)
		}
		res.Body.Close()
		fmt.Printf("%s: %d %s\n", path, res.StatusCode, body)
	}
}

func newManager(cfg sessionhttp.Config) *sessionhttp.Manager {
	container, err := sd.NewContainer(memstore.New(memstore.Config{MaxBytes: 64 << 20}), sd.Config{Timeout: 30 * time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	cfg.Container = container
	manager, err := sessionhttp.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	return manager
}

func Example() {
	manager := newManager(sessionhttp.Config{})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessionhttp.Session(r)
		if err != nil {
			return // nothing written: the middleware answers
		}
		var n int
		err = sd.Modify(s.Pkg("cart"), "books", func(books *int) error {
			*books++
			n = *books
			return nil
		})
		if err != nil {
			http.Error(w, "cannot add the book", http.StatusInternalServerError) // rolls back
			return
		}
		fmt.Fprintf(w, "%d in the cart", n) // sent when it is stored
	})
	visit(manager.Handler(mux), "/add", "/add")
	// Output:
	// /add: 200 1 in the cart
	// /add: 200 2 in the cart
}

// A login takes a new id, so that one that was planted before it is worthless,
// and keeps the visitor signed in for a month where that is asked for.
func ExampleRenew() {
	manager := newManager(sessionhttp.Config{})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessionhttp.Session(r)
		if err != nil {
			return
		}
		// ... the password was right ...
		if err := s.Pkg("user").Set("name", "ada"); err != nil {
			http.Error(w, "cannot sign in", http.StatusInternalServerError)
			return
		}
		if err := sessionhttp.Renew(r); err != nil {
			http.Error(w, "cannot sign in", http.StatusInternalServerError)
			return
		}
		if r.FormValue("remember") != "" {
			if err := sessionhttp.Remember(r, 30*24*time.Hour); err != nil {
				http.Error(w, "cannot sign in", http.StatusInternalServerError)
				return
			}
		}
		http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		if err := sessionhttp.Destroy(r); err != nil {
			return
		}
		fmt.Fprint(w, "bye")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessionhttp.Session(r)
		if err != nil {
			return
		}
		name, err := sd.GetOr(s.Pkg("user"), "name", "stranger")
		if err != nil {
			http.Error(w, "cannot greet", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "hello %s", name)
	})
	visit(manager.Handler(mux), "/", "/login?remember=1", "/", "/logout", "/")
	// Output:
	// /: 200 hello stranger
	// /login?remember=1: 200 hello ada
	// /: 200 hello ada
	// /logout: 200 bye
	// /: 200 hello stranger
}

// A step of a workflow that fails is taken back alone; what the other steps did
// is stored with the response.
func ExampleTxn() {
	manager := newManager(sessionhttp.Config{})
	handler := func(w http.ResponseWriter, r *http.Request) {
		s, err := sessionhttp.Session(r)
		if err != nil {
			return
		}
		tx, _ := sessionhttp.Txn(r)
		order := s.Pkg("order")
		if err := order.Set("state", "reserved"); err != nil {
			http.Error(w, "cannot order", http.StatusInternalServerError)
			return
		}
		err = tx.Atomic(func() error {
			if err := order.Set("state", "paid"); err != nil {
				return err
			}
			return fmt.Errorf("card declined")
		})
		state, _ := sd.Get[string](order, "state")
		fmt.Fprintf(w, "%v, the order is %s", err, state)
	}
	visit(manager.Handler(http.HandlerFunc(handler)), "/order")
	// Output:
	// /order: 200 card declined, the order is reserved
}

// Error decides what visitors see when their session cannot be loaded or stored.
func ExampleConfig() {
	manager := newManager(sessionhttp.Config{
		Cookie: sessionhttp.Cookie{Name: "__Host-id", SameSite: http.SameSiteStrictMode},
		Error: func(w http.ResponseWriter, r *http.Request, err error) {
			w.Header().Set("Retry-After", "5")
			http.Error(w, "We cannot reach your cart just now. It is safe.", http.StatusServiceUnavailable)
		},
	})
	handler := func(w http.ResponseWriter, r *http.Request) {
		tx, _ := sessionhttp.Txn(r)
		tx.Doom() // as if the store had failed
		fmt.Fprint(w, "never seen")
	}
	visit(manager.Handler(http.HandlerFunc(handler)), "/")
	// Output:
	// /: 503 We cannot reach your cart just now. It is safe.
}
