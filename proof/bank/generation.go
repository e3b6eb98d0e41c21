package bank

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// generation is sessions that are used together for a while.
type generation struct {
	b      *bank
	n      int
	on     []int // the server of each session
	opened []int // restarts of each server that were over before

	mu        sync.Mutex
	transfers map[string]transfer
}

func (g *generation) id(session int) string {
	return fmt.Sprintf("%x-%d-%d", g.b.cfg.Seed, g.n, session)
}

// generation opens sessions, uses them, and closes the account.
func (b *bank) generation(ctx context.Context, n int) error {
	g := &generation{b: b, n: n, on: make([]int, sessions), transfers: map[string]transfer{}}
	_, g.opened = b.c.Boots()
	for s := range sessions {
		if err := g.open(ctx, s); err != nil {
			return fmt.Errorf("opening a session: %w", err)
		}
	}
	use, done := context.WithTimeout(ctx, lifetime)
	defer done()
	var all sync.WaitGroup
	errs := make([]error, workers+1)
	for w := range workers {
		all.Go(func() { errs[w] = g.work(ctx, use, w) })
	}
	all.Go(func() { errs[workers] = g.audits(ctx, use) })
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return g.close(ctx)
}

// patiently calls f until it is not refused by what the storm can do.
func patiently(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil || !expected(err) || !wait(ctx, 5*time.Millisecond) {
			return err
		}
	}
}

// expected reports whether a transaction in the storm may end with this error.
func expected(err error) bool {
	return slices.ContainsFunc([]error{sd.ErrConflict, sd.ErrUnavailable, sd.ErrOutcomeUnknown, sd.ErrGone}, func(is error) bool { return errors.Is(err, is) })
}

// open pays the opening into a session and finds out where it lies. If its server
// is killed meanwhile it is opened again: nobody else uses it yet.
func (g *generation) open(ctx context.Context, s int) error {
	pay := func(session *sd.Session) error { return session.Pkg("bank").Set("money", opening) }
	return patiently(ctx, func() error {
		if err := g.b.fleet.Clean[s%2].Update(ctx, g.id(s), pay); err != nil {
			return err
		}
		var ok bool
		if g.on[s], ok = g.b.fleet.Where(ctx, s%2, g.id(s)); ok {
			return nil
		}
		return fmt.Errorf("%w: lost again", sd.ErrUnavailable)
	})
}

// work makes transfers through one app server.
func (g *generation) work(ctx, use context.Context, w int) error {
	rng := rand.New(rand.NewPCG(g.b.cfg.Seed, uint64(g.n)<<16|uint64(w)))
	retry := sd.Retry{Attempts: 20, Max: 50 * time.Millisecond}
	for i := 0; wait(use, time.Duration(rng.Int64N(int64(40*time.Millisecond)))); i++ {
		name, e := fmt.Sprintf("%d.%d", w, i), draw(rng)
		_, done := g.b.c.Boots()
		g.note(name, transfer{entry: e, done: done})
		err := retry.Run(ctx, func(tx *sd.Txn) error { return g.transfer(ctx, tx, w, name, e) })
		if err != nil && !expected(err) && !errors.Is(err, errClosed) {
			return fmt.Errorf("a transfer ended in no way it may: %w", err)
		}
		g.note(name, transfer{entry: e, done: done, over: true, err: err})
	}
	return nil
}

func (g *generation) note(name string, t transfer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.transfers[name] = t
}

// draw draws a transfer between two sessions or three.
func draw(rng *rand.Rand) entry {
	e := entry{Sessions: rng.Perm(sessions)[:2+rng.IntN(2)]}
	sum := 0
	for range e.Sessions[1:] {
		amount := 1 + rng.IntN(20)
		e.Amounts = append(e.Amounts, amount)
		sum += amount
	}
	e.Amounts = append([]int{-sum}, e.Amounts...)
	return e
}

// errClosed is why a transfer is not made: a session of it was lost.
var errClosed = errors.New("a session of the transfer is not there")

func (g *generation) transfer(ctx context.Context, tx *sd.Txn, w int, name string, e entry) error {
	for at, i := range e.Sessions {
		s, err := g.b.fleet.Apps[w%apps][i%2].Session(ctx, tx, g.id(i))
		if err != nil {
			return err
		}
		if s.IsNew() {
			return errClosed
		}
		if err := sd.Modify(s.Pkg("bank"), "money", func(money *int) error { *money += e.Amounts[at]; return nil }); err != nil {
			return err
		}
		if err := s.Pkg("log").Set(name, e); err != nil {
			return err
		}
	}
	return nil
}

// audits looks at all sessions in one transaction, again and again.
func (g *generation) audits(ctx, use context.Context) error {
	for app := 0; wait(use, 20*time.Millisecond); app = (app + 1) % apps {
		// Few tries: an audit that is refused in a partition is made through the
		// other app server.
		a, err := g.audit(ctx, g.b.fleet.Apps[app], sd.Retry{Attempts: 10, Max: 20 * time.Millisecond})
		if err == nil {
			g.report(a, nil)
		} else if !expected(err) {
			return fmt.Errorf("an audit ended in no way it may: %w", err)
		}
	}
	return nil
}

// audit reads all sessions at one moment: it is Serializable.
func (g *generation) audit(ctx context.Context, cs [2]*sd.Container, retry sd.Retry) (*audit, error) {
	a := &audit{on: g.on, opened: g.opened}
	err := retry.Run(ctx, func(tx *sd.Txn) error {
		a.accounts = make([]account, sessions)
		for i := range a.accounts {
			s, err := cs[i%2].Session(ctx, tx, g.id(i))
			if err != nil {
				return err
			}
			if a.accounts[i], err = readAccount(s); err != nil {
				return err
			}
		}
		return nil
	})
	a.begun, _ = g.b.c.Boots()
	g.mu.Lock()
	defer g.mu.Unlock()
	a.transfers = maps.Clone(g.transfers)
	return a, err
}

// close writes to every session that is there, so that no write can come to it
// any more that was under way, and makes the last audit.
func (g *generation) close(ctx context.Context) error {
	for s := range sessions {
		err := patiently(ctx, func() error {
			return g.b.fleet.Clean[s%2].Update(ctx, g.id(s), func(session *sd.Session) error {
				if session.IsNew() {
					return nil
				}
				return session.Pkg("bank").Set("closed", true)
			})
		})
		if err != nil {
			return fmt.Errorf("closing a session: %w", err)
		}
	}
	var a *audit
	err := patiently(ctx, func() (err error) {
		a, err = g.audit(ctx, g.b.fleet.Clean, sd.Retry{})
		return err
	})
	if err != nil {
		return fmt.Errorf("the last audit: %w", err)
	}
	a.closed = true
	g.report(a, func(f *Figures, r result) {
		f.Generations++
		f.Lost += r.lost
		f.Missing += r.money
		f.Window += r.window
		for _, t := range a.transfers {
			switch {
			case t.err == nil:
				f.Transfers++
			case errors.Is(t.err, sd.ErrOutcomeUnknown):
				f.Unknown++
			case errors.Is(t.err, errClosed):
				f.Closed++
			default:
				f.Refused++
			}
		}
	})
	return nil
}

// report counts an audit and tells its faults.
func (g *generation) report(a *audit, count func(*Figures, result)) {
	r := a.check()
	g.b.mu.Lock()
	defer g.b.mu.Unlock()
	f := &g.b.figures
	f.Audits++
	f.Faults += len(r.faults)
	for _, fault := range r.faults {
		fmt.Fprintf(g.b.cfg.Out, "bank, seed %d, generation %d: %v\n", g.b.cfg.Seed, g.n, fault)
	}
	if count != nil {
		count(f, r)
	}
}
