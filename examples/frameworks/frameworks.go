// Package frameworks serves the same handlers under net/http's ServeMux, chi, gin
// and echo, each within the sessions of package sessionhttp.
//
// In all of them the Manager stands around the whole router:
//
//	http.ListenAndServe(addr, manager.Handler(router))
//
// so that it sees what the framework answers in the end: gin and echo write the
// answer to an error, and to a panic that they recover from, after the handlers
// and their middlewares have returned. A Manager among those middlewares would
// have committed by then.
package frameworks

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/labstack/echo/v5"
	echomiddleware "github.com/labstack/echo/v5/middleware"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

// errSoldOut is an error that a handler finds after it has changed the session.
var errSoldOut = errors.New("sold out")

// add adds one to the cart and returns how many are there. It is all that the
// handlers below have in common, and knows no framework.
func add(r *http.Request, item string) (n int, err error) {
	s, err := sessionhttp.Session(r)
	if err != nil {
		return 0, err
	}
	err = sd.Modify(s.Pkg("cart"), item, func(quantity *int) error {
		*quantity++
		n = *quantity
		return nil
	})
	switch {
	case err != nil:
		return 0, err
	case item == "unicorn":
		return 0, errSoldOut
	case item == "bomb":
		panic("boom")
	}
	return n, nil
}

// signIn takes a new id, as every change of privilege should.
func signIn(r *http.Request) error {
	s, err := sessionhttp.Session(r)
	if err != nil {
		return err
	}
	return errors.Join(s.Pkg("user").Set("name", "ada"), sessionhttp.Renew(r))
}

// ServeMux is net/http's own router.
func ServeMux(m *sessionhttp.Manager) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /cart/{item}", func(w http.ResponseWriter, r *http.Request) {
		n, err := add(r, r.PathValue("item"))
		if err != nil {
			http.Error(w, "cannot add it", http.StatusInternalServerError) // rolls back
			return
		}
		fmt.Fprint(w, n)
	})
	mux.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		if err := signIn(r); err != nil {
			http.Error(w, "cannot sign in", http.StatusInternalServerError)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		if _, err := add(r, "stream"); err != nil {
			return // nothing written: the Manager answers
		}
		fmt.Fprint(w, "one ")
		if http.NewResponseController(w).Flush() != nil { // commits
			return
		}
		fmt.Fprint(w, "two")
	})
	return m.Handler(mux)
}

// Chi is github.com/go-chi/chi. Its middlewares are plain net/http, and so are
// its handlers.
func Chi(m *sessionhttp.Manager) http.Handler {
	router := chi.NewRouter()
	router.Use(chimiddleware.Recoverer)
	router.Post("/cart/{item}", func(w http.ResponseWriter, r *http.Request) {
		n, err := add(r, chi.URLParam(r, "item"))
		if err != nil {
			http.Error(w, "cannot add it", http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, n)
	})
	router.Post("/sign-in", func(w http.ResponseWriter, r *http.Request) {
		if err := signIn(r); err != nil {
			http.Error(w, "cannot sign in", http.StatusInternalServerError)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	router.Get("/stream", func(w http.ResponseWriter, r *http.Request) {
		if _, err := add(r, "stream"); err != nil {
			return
		}
		fmt.Fprint(w, "one ")
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		fmt.Fprint(w, "two")
	})
	return m.Handler(router)
}

// Gin is github.com/gin-gonic/gin. The request in its Context is the one that
// the session belongs to.
func Gin(m *sessionhttp.Manager) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.Use(gin.CustomRecoveryWithWriter(nil, func(c *gin.Context, _ any) { c.AbortWithStatus(http.StatusInternalServerError) }))
	router.POST("/cart/:item", func(c *gin.Context) {
		n, err := add(c.Request, c.Param("item"))
		if err != nil {
			_ = c.AbortWithError(http.StatusInternalServerError, err)
			return
		}
		c.String(http.StatusOK, "%d", n)
	})
	router.POST("/sign-in", func(c *gin.Context) {
		if err := signIn(c.Request); err != nil {
			_ = c.AbortWithError(http.StatusInternalServerError, err)
			return
		}
		c.Redirect(http.StatusSeeOther, "/")
	})
	router.GET("/stream", func(c *gin.Context) {
		if _, err := add(c.Request, "stream"); err != nil {
			return
		}
		_, _ = c.Writer.WriteString("one ")
		c.Writer.Flush()
		_, _ = c.Writer.WriteString("two")
	})
	return m.Handler(router)
}

// Echo is github.com/labstack/echo. A handler may return its error: echo answers
// it, and the Manager, which stands around echo, sees the status.
func Echo(m *sessionhttp.Manager) http.Handler {
	router := echo.New()
	router.Use(echomiddleware.Recover())
	router.POST("/cart/:item", func(c *echo.Context) error {
		n, err := add(c.Request(), c.Param("item"))
		if err != nil {
			return err
		}
		return c.String(http.StatusOK, fmt.Sprint(n))
	})
	router.POST("/sign-in", func(c *echo.Context) error {
		if err := signIn(c.Request()); err != nil {
			return err
		}
		return c.Redirect(http.StatusSeeOther, "/")
	})
	router.GET("/stream", func(c *echo.Context) error {
		if _, err := add(c.Request(), "stream"); err != nil {
			return err
		}
		if err := c.String(http.StatusOK, "one "); err != nil {
			return err
		}
		if err := http.NewResponseController(c.Response()).Flush(); err != nil {
			return err
		}
		_, err := fmt.Fprint(c.Response(), "two")
		return err
	})
	return m.Handler(router)
}
