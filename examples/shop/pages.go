package main

import (
	"bytes"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"net/http"

	sd "github.com/seed-ad7f1900/sessiondata"
)

//go:embed templates
var templateFiles embed.FS

//go:embed static
var staticEmbedded embed.FS

func staticFiles() http.Handler {
	files, err := fs.Sub(staticEmbedded, "static")
	if err != nil {
		panic(err) // embedded: cannot be
	}
	return http.StripPrefix("/static/", http.FileServerFS(files))
}

// pages are the templates, one for each page, each within the layout.
type pages struct {
	byName map[string]*template.Template
}

func parsePages() (*pages, error) {
	p := &pages{byName: make(map[string]*template.Template)}
	layout, err := template.New("layout.html").Funcs(template.FuncMap{"euros": euros}).ParseFS(templateFiles, "templates/layout.html")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"catalogue", "cart", "checkout", "order", "login", "sorry"} {
		page, err := layout.Clone()
		if err != nil {
			return nil, err
		}
		if p.byName[name], err = page.ParseFS(templateFiles, "templates/"+name+".html"); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// frame is what every page shows around its own part.
type frame struct {
	Page    string
	Path    string
	Note    string
	User    string
	Count   int
	Known   bool // the session was read: User and Count are true
	Short   string
	Stopped bool
	Data    any
}

// render writes a page. One that does without the session is shown even where it
// cannot be loaded.
func (s *shop) render(v *visit, name string, data any) error {
	f := frame{Page: name, Path: v.r.URL.Path, Stopped: s.store.stopped.Load(), Data: data}
	if v.failure == nil {
		c, err := readCart(v.session)
		if err != nil {
			return err
		}
		if f.User, err = userName(v.session); err != nil {
			return err
		}
		if f.Note, err = sd.Pop[string](v.session.Pkg(notePkg), "text"); err != nil && !errors.Is(err, sd.ErrKeyNotFound) {
			return err
		}
		f.Known, f.Count = true, c.Count
		if !v.session.IsNew() {
			f.Short = shortID(v.session.ID())
		}
	}
	return s.pages.write(v.w, http.StatusOK, f)
}

func (p *pages) write(w http.ResponseWriter, status int, f frame) error {
	var page bytes.Buffer
	if err := p.byName[f.Page].Execute(&page, f); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, err := page.WriteTo(w)
	return err
}

// apology is what the page of an error says.
type apology struct {
	Title, Text string
	Again       bool // trying again may help
}

// sorry answers a request that failed. Nothing of it was stored, and no cookie
// was changed.
func (s *shop) sorry(w http.ResponseWriter, r *http.Request, err error) {
	a := apology{"Something went wrong", "Nothing of your last step was stored. Please go back and look.", false}
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, sd.ErrOutcomeUnknown):
		a.Title, a.Text = "We cannot tell", "The connection to our store broke off. Please look before you do it again."
	case errors.Is(err, sd.ErrUnavailable):
		status = http.StatusServiceUnavailable
		a = apology{"We cannot reach your cart just now", "The store does not answer. Nothing is lost: you stay logged in, and your cart is as you left it.", true}
	case errors.Is(err, sd.ErrConflict):
		status = http.StatusConflict
		a = apology{"That was changed meanwhile", "Another tab of yours was quicker. Please look, and try again.", true}
	case errors.Is(err, sd.ErrGone):
		status = http.StatusConflict
		a = apology{"You have logged out meanwhile", "The session ended in another tab.", false}
	}
	s.apologise(w, r, status, a)
}

func (s *shop) apologise(w http.ResponseWriter, r *http.Request, status int, a apology) {
	f := frame{Page: "sorry", Path: r.URL.Path, Stopped: s.store.stopped.Load(), Data: a}
	if err := s.pages.write(w, status, f); err != nil {
		http.Error(w, a.Title, status)
	}
}

func (s *shop) badRequest(v *visit, text string) error {
	s.apologise(v.w, v.r, http.StatusBadRequest, apology{Title: "That cannot be", Text: text})
	return nil
}

func (s *shop) notFound(w http.ResponseWriter, r *http.Request) {
	s.apologise(w, r, http.StatusNotFound, apology{Title: "There is no such page", Text: "It may have been once."})
}
