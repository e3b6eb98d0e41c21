package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed-ad7f1900/sessiondata"
)

// The packages of a visitor's session. Each is the business of another part of
// the site: nav of the one that shows "recently seen", stats of the accounting.
const (
	pkgNav   = "nav"   // "last": place; "seen /a/page": int64, how often
	pkgStats = "stats" // "requests", "bytes", "errors": int64
)

const seen = "seen " // begins the nav key of a page's counter

// place is where a visitor was last. Line orders the requests of one second.
type place struct {
	Page     string
	Referrer string
	Time     time.Time
	Line     int
}

// before reports whether p was left before r asked for its page.
func (p place) before(r request) bool {
	if !p.Time.Equal(r.Time) {
		return p.Time.Before(r.Time)
	}
	return p.Line < r.Line
}

var errFailed = errors.New("the request failed")

// serve is what the site does with a request, in the transaction that the
// request has on its visitor's session. The step of the workflow runs as the
// request is served; when it turns out that the request failed, the savepoint
// takes back what the step did, and the accounting stays.
func serve(s *sessiondata.Session, r request) error {
	stats := s.Pkg(pkgStats)
	if err := errors.Join(add(stats, "requests", 1), add(stats, "bytes", r.Bytes)); err != nil {
		return err
	}
	err := s.Txn().Atomic(func() error { return visitPage(s.Pkg(pkgNav), r) })
	if errors.Is(err, errFailed) {
		return add(stats, "errors", 1)
	}
	return err
}

// visitPage is the step: it moves the visitor to the page before the outcome of
// the request is known.
func visitPage(nav *sessiondata.PkgData, r request) error {
	if err := add(nav, seen+r.Page, 1); err != nil {
		return err
	}
	err := sessiondata.Modify(nav, "last", func(last *place) error {
		// Requests of one visitor are served in parallel: an earlier one may
		// commit later, and must not take the visitor back.
		if last.before(r) {
			*last = place{Page: r.Page, Referrer: r.Referrer, Time: r.Time, Line: r.Line}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if r.failed() {
		return errFailed
	}
	return nil
}

// add counts in a package: an absent counter is 0.
func add(p *sessiondata.PkgData, key string, n int64) error {
	return sessiondata.Modify(p, key, func(counter *int64) error {
		*counter += n
		return nil
	})
}

// mergeCounters settles what two requests of one visitor changed differently.
// Two increments of a counter are added. Where the visitor is now cannot be
// settled without looking at the request: that transaction runs again.
func mergeCounters(c *sessiondata.Collision) error {
	if c.Pkg != pkgStats && !strings.HasPrefix(c.Key, seen) {
		return sessiondata.ErrConflict
	}
	var base, theirs, mine int64
	for _, v := range []struct {
		stored sessiondata.Value
		n      *int64
	}{{c.Base, &base}, {c.Theirs, &theirs}, {c.Mine, &mine}} {
		if v.stored.IsZero() {
			continue // no counter yet: 0
		}
		if err := v.stored.Decode(v.n); err != nil {
			return err
		}
	}
	return c.Keep(theirs + mine - base)
}

// visit is what a session held when it ended.
type visit struct {
	Visitor     string
	First, Last time.Time
	Requests    int64
	Bytes       int64
	Errors      int64
	Seen        map[string]int64 // page: how often
	LastPlace   place
}

// readVisit reads a visitor's session from the store. It is nil where there is
// none.
func readVisit(ctx context.Context, c *sessiondata.Container, visitor string) (*visit, error) {
	var v *visit
	err := c.View(ctx, visitor, func(s *sessiondata.Session) error {
		if s.IsNew() {
			return nil
		}
		stats, nav := s.Pkg(pkgStats), s.Pkg(pkgNav)
		v = &visit{
			Visitor: visitor,
			First:   s.Created(),
			Last:    s.LastAccess(),
			Seen:    make(map[string]int64),
		}
		var err error
		read := func(p *sessiondata.PkgData, key string) int64 {
			n, e := sessiondata.GetOr(p, key, int64(0))
			err = errors.Join(err, e)
			return n
		}
		v.Requests, v.Bytes, v.Errors = read(stats, "requests"), read(stats, "bytes"), read(stats, "errors")
		for _, key := range nav.Keys() {
			if page, ok := strings.CutPrefix(key, seen); ok {
				v.Seen[page] = read(nav, key)
			}
		}
		last, e := sessiondata.GetOr(nav, "last", place{})
		v.LastPlace = last
		return errors.Join(err, e)
	})
	if err != nil {
		return nil, fmt.Errorf("reading a visit: %w", err)
	}
	return v, nil
}
