package sessionhttp_test

import (
	"fmt"
	"maps"
	"net/http"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// The model of the sequential browser: what a page does to the sessions of both
// Managers.

// record is a stored session.
type record map[string]int

// part is one Manager's part in one request, in the model.
type part struct {
	named   bool   // the request bears a cookie of that name
	known   string // the id that leads to a session; "": none
	stored  record // what that holds
	orphan  bool   // it is known to nobody outside of this request yet
	used    bool
	over    bool // no transaction any more
	skipped bool
	put     bool // the cookie is held back: Defer

	open      bool // a session is open in the current transaction
	done      bool // the transaction was committed by the handler
	now       record
	isNew     bool
	destroyed bool
	renewed   bool

	news string // "", "new", "none"
	// committed: something was stored, which a panic does not take back.
	committed bool
}

// session opens one, as Manager.Session does.
func (v *part) session() string {
	v.used = true
	if v.over {
		return kind(sd.ErrTxnDone)
	}
	if !v.open {
		v.open, v.done = true, false
		v.isNew, v.destroyed, v.renewed = v.stored == nil, false, false
		if v.now = maps.Clone(v.stored); v.now == nil {
			v.now = record{}
		}
	}
	return "<nil>"
}

func (v *part) change(do func()) string {
	if said := v.session(); said != "<nil>" {
		return said
	}
	if v.destroyed {
		return kind(sd.ErrGone)
	}
	do()
	return "<nil>"
}

// commit ends the transaction; b is all that is stored under this Manager.
func (v *part) commit(b *book) {
	open := v.open
	v.open, v.done = false, true
	if !open {
		return
	}
	changed := v.renewed && !v.isNew || !maps.Equal(v.now, v.stored) && (!v.isNew || len(v.now) > 0)
	switch {
	case v.destroyed:
		b.drop(v)
		if v.named || v.news != "" {
			v.news = "none"
		}
		v.committed = true
	case changed && (v.isNew || v.renewed):
		b.drop(v)
		v.stored, v.orphan = v.now, true
		b.orphans++
		v.news, v.committed = "new", true
	case changed:
		v.stored, v.committed = v.now, true
		if !v.orphan {
			b.records[v.known] = v.now
		}
	}
}

// book is what one Manager's container holds, by what is known of it.
type book struct {
	name    string
	records map[string]record // by the ids that browsers have
	orphans int               // stored under ids that no browser has
}

func (b *book) drop(v *part) {
	if v.stored != nil {
		if v.orphan {
			b.orphans--
		} else {
			delete(b.records, v.known)
		}
	}
	v.stored, v.known, v.orphan = nil, "", false
}

// expect runs a page in the model. It returns what the page notes, and the parts
// to both Managers.
func expect(p drawnPage, vs [2]*part, books [2]*book) (log []string, status int) {
	say := func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) }
	sent, written := false, 0
	// release ends both transactions, the inner one first, and sends the header.
	release := func(with int) {
		if sent {
			return
		}
		sent, status = true, with
		for _, i := range []int{1, 0} {
			v := vs[i]
			v.over = true
			if v.open && !v.skipped && with < 500 {
				v.commit(books[i])
			}
			v.open = false
		}
	}
	for _, d := range p.Deeds {
		i := 0
		if d.Inside {
			i = 1
		}
		v := vs[i]
		switch d.Do {
		case "get":
			said := v.session()
			if said == "<nil>" {
				n, ok := v.now[d.Key]
				if ok = ok && !v.destroyed; !ok {
					n, said = 0, kind(sd.ErrKeyNotFound)
				}
				say("%d", n)
			}
			say("get %s", said)
		case "set":
			say("set %s", v.change(func() { v.now[d.Key] = d.N }))
		case "delete":
			say("delete %s", v.change(func() { delete(v.now, d.Key) }))
		case "destroy":
			said := v.session()
			if said == "<nil>" {
				v.destroyed = true
			}
			say("destroy %s", said)
		case "renew":
			say("renew %s", v.change(func() { v.renewed = true }))
		case "skip":
			v.skipped = v.skipped || !v.over
		case "defer":
			v.put = v.put || !v.over
		case "commit":
			said := "<nil>"
			switch {
			case v.over || v.done && !v.open:
				said = kind(sd.ErrTxnDone)
				if v.skipped && !v.over {
					said = kind(sd.ErrInvalid)
				}
			case v.skipped:
				said = kind(sd.ErrInvalid)
			default:
				v.commit(books[i])
			}
			say("commit %s", said)
		case "write", "write much":
			if written++; d.Do == "write much" {
				written += buffered
			}
			if written > buffered {
				release(200)
			}
			say("write <nil>")
		case "flush":
			release(200)
			say("flush <nil>")
		}
	}
	switch {
	case p.Status == -1:
		if !sent {
			status = http.StatusTeapot
			for _, v := range vs {
				v.over, v.open = true, false
			}
		}
	case p.Status == 0 || written > 0:
		release(200)
	default:
		release(p.Status)
	}
	return log, status
}
