package main

import (
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/sessionhttp"
)

// password is everybody's.
const password = "demo"

// maxUserName is the longest name, in bytes.
const maxUserName = 40

// login is one place where a user is logged in.
type login struct {
	Short string // of the id
	Where string // the host by which the browser reached the shop
	Since string
}

// accounts remembers who has logged in where, to show it.
type accounts struct {
	mu     sync.Mutex
	logins map[string][]login
}

// Bounds of what is remembered.
const (
	maxAccounts = 1000
	maxLogins   = 5
)

func newAccounts() *accounts { return &accounts{logins: make(map[string][]login)} }

func (a *accounts) add(name string, l login) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.logins) >= maxAccounts {
		clear(a.logins)
	}
	all := append(a.logins[name], l)
	a.logins[name] = all[max(0, len(all)-maxLogins):]
}

func (a *accounts) remove(name, short string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var left []login
	for _, l := range a.logins[name] {
		if l.Short != short {
			left = append(left, l)
		}
	}
	a.logins[name] = left
}

func (a *accounts) of(name string) []login {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]login(nil), a.logins[name]...)
}

func userName(s *sd.Session) (string, error) { return sd.GetOr(s.Pkg(userPkg), "name", "") }

func (s *shop) showLogin(v *visit) error {
	if v.failure != nil {
		return v.failure
	}
	name, err := userName(v.session)
	if err != nil {
		return err
	}
	return s.render(v, "login", struct {
		Name, Password, Short string
		Logins                []login
		Elsewhere             string
	}{name, password, shortID(v.session.ID()), s.accounts.of(name), elsewhere(v.r)})
}

// elsewhere is this shop by the other name of this machine: to a browser another
// site, with cookies of its own. Empty where there is none.
func elsewhere(r *http.Request) string {
	if rest, ok := strings.CutPrefix(r.Host, "127.0.0.1"); ok {
		return "http://localhost" + rest + "/login"
	}
	if rest, ok := strings.CutPrefix(r.Host, "localhost"); ok {
		return "http://127.0.0.1" + rest + "/login"
	}
	return ""
}

// logIn changes what the session may do, so it takes a new id: one that was
// planted before is worthless now.
func (s *shop) logIn(v *visit) error {
	if v.failure != nil {
		return v.failure
	}
	name := strings.TrimSpace(v.r.FormValue("name"))
	if name == "" || len(name) > maxUserName || strings.ContainsFunc(name, unicode.IsControl) || v.r.FormValue("password") != password {
		return s.badRequest(v, "Any name will do, and the password "+password+".")
	}
	before := v.session.ID()
	if err := v.set(userPkg, "name", name); err != nil {
		return err
	}
	if err := sessionhttp.Renew(v.r); err != nil {
		return err
	}
	if v.r.FormValue("remember") != "" {
		if err := sessionhttp.Remember(v.r, 30*24*time.Hour); err != nil {
			return err
		}
		v.trace.note("change", "sessionhttp/remember = true, timeout 30 days")
	}
	if err := v.say("Hello " + name + ". The session has a new id."); err != nil {
		return err
	}
	after := shortID(v.session.ID())
	v.trace.note("id", "new id: #%s, was #%s", after, shortID(before))
	entry := login{Short: after, Where: v.r.Host, Since: time.Now().Format(time.TimeOnly)}
	err := v.session.Txn().AfterEnd(func(err error) {
		if err == nil {
			s.accounts.remove(name, shortID(before))
			s.accounts.add(name, entry)
		}
	})
	if err != nil {
		return err
	}
	return v.seeOther("/login")
}

// logOut ends the session. A slow request of the visitor cannot bring it back.
func (s *shop) logOut(v *visit) error {
	if v.failure != nil {
		return v.failure
	}
	name, err := userName(v.session)
	if err != nil {
		return err
	}
	id := shortID(v.session.ID())
	if err := sessionhttp.Destroy(v.r); err != nil {
		return err
	}
	v.trace.note("id", "#%s destroyed, cookie cleared", id)
	err = v.session.Txn().AfterEnd(func(err error) {
		if err == nil {
			s.accounts.remove(name, id)
		}
	})
	if err != nil {
		return err
	}
	return v.seeOther("/login")
}
