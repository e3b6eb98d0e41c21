package main

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// beneath is the session as the panel shows it.
type beneath struct {
	ID       string        `json:"id"` // short
	New      bool          `json:"new"`
	Deadline string        `json:"deadline"`
	Packages []packageView `json:"packages"`
	Stopped  bool          `json:"stopped"`
}

type packageView struct {
	Name string    `json:"name"`
	Keys []keyView `json:"keys"`
}

type keyView struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// showSession answers with the packages and keys of the session.
func (s *shop) showSession(v *visit) error {
	out := beneath{Stopped: s.store.stopped.Load()}
	if v.failure == nil {
		out.ID, out.New = shortID(v.session.ID()), v.session.IsNew()
		if !out.New {
			out.Deadline = v.session.Deadline().Local().Format("15:04:05")
		}
		for _, name := range v.session.Packages() {
			pkg := packageView{Name: name}
			for key, value := range v.session.Pkg(name).All() {
				shown, err := value.Any()
				if err != nil {
					return err
				}
				pkg.Keys = append(pkg.Keys, keyView{key, cut(fmt.Sprint(shown), 60)})
			}
			out.Packages = append(out.Packages, pkg)
		}
	}
	data, err := json.Marshal(out)
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "application/json")
	_, err = v.w.Write(data)
	return err
}

// cut shortens a text to n runes.
func cut(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return text
}

// switchStore stops the store, or starts it again, for all visitors.
func (s *shop) switchStore(w http.ResponseWriter, r *http.Request) {
	s.store.stopped.Store(r.FormValue("to") == "stopped")
	back := r.FormValue("back")
	if len(back) == 0 || back[0] != '/' || len(back) > 1 && (back[1] == '/' || back[1] == '\\') {
		back = "/" // never to another site
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
}
