package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// writes is how often the transaction of a [death] writes its five items: an
// intent each, the decision, what it decided in the other four, and the last
// clearing.
const writes = 11

// severalRules are about transactions over several sessions.
var severalRules = []rule{
	{"Rule13_AClientThatDiesAtAnyWriteLeavesAllOrNone", func(e *env) {
		e.all("a story", race(2*(writes+1), func(i int) error {
			d := death{e: newEnv(e.store, newFakeClock()), name: fmt.Sprint("story ", i), write: 1 + i/2, fate: DieBefore}
			if i%2 == 1 {
				d.fate = DieAfter
			}
			return rule{check: func(*env) { d.tell() }}.try(d.e)
		}))
	}},
	{"Rule14_TransfersBetweenManySessionsKeepTheirSum", bank},
}

// death is the story of a client that dies at one of the writes of a transaction
// over sessions of two containers: one is changed, one destroyed, one made, and
// one renewed.
type death struct {
	e     *env
	name  string // of the sessions
	write int
	fate  Fault
}

func (d *death) tell() {
	e := d.e
	before := map[string]int{"changed": 100, "destroyed": 30, "renewed": 5}
	after := map[string]int{"changed": 90, "made": 40, "moved": 6}
	a, _ := e.container(sd.Config{Name: "a"})
	b, _ := e.container(sd.Config{Name: "b"})
	at := map[string]*sd.Container{"changed": a, "destroyed": b, "made": a, "renewed": b, "moved": b}
	ids := map[string]string{}
	for what := range at {
		ids[what] = d.name + what
	}
	for what, v := range before {
		e.set(at[what], ids[what], "v", v)
	}

	faulty := NewFaulty(e.store, FaultConfig{Shared: true, Plan: map[int]Fault{d.write: d.fate}})
	said := d.commit(faulty, ids)
	e.clock.Sleep(time.Minute) // past the deadline of whatever it left behind

	found := map[string]int{}
	for what, c := range at {
		if vals := e.values(c, ids[what]); vals != nil {
			v, _ := vals["v"].(int64)
			found[what] = int(v)
		}
	}
	if d.write <= writes && said == nil && !faulty.Died() {
		e.failf("write %d of %d never came", d.write, writes)
	}
	happened := fmt.Sprint(found) == fmt.Sprint(after)
	what := fmt.Sprintf("write %d is %v: Commit said %v, found %v", d.write, d.fate, said, found)
	switch {
	case !happened && fmt.Sprint(found) != fmt.Sprint(before):
		e.failf("%s: a half", what)
	case said == nil && !happened:
		e.failf("%s: lost", what)
	case said != nil && !errors.Is(said, sd.ErrOutcomeUnknown) && happened:
		e.failf("%s: and yet it happened", what)
	}
	for name, c := range at { // nothing stands in the way of the next
		e.set(c, ids[name], "v", 1000)
		e.is(c, ids[name], map[string]any{"v": int64(1000)})
	}
}

// commit is what the client does that dies. It adds the new id to ids.
func (d *death) commit(store sd.Store, ids map[string]string) error {
	e := d.e
	// A dead client does not wait for long to hear what became of its write.
	cfg := sd.Config{Now: e.clock.Now, CommitTimeout: 300 * time.Millisecond}
	open := func(tx *sd.Txn, name, id string) *sd.Session {
		cfg.Name = name
		c, err := sd.NewContainer(store, cfg)
		e.want("NewContainer", err, nil)
		s, err := c.Session(e.ctx, tx, id)
		e.want("Session", err, nil)
		return s
	}
	tx := sd.Begin()
	e.want("Set", open(tx, "a", ids["changed"]).Pkg("p").Set("v", 90), nil)
	e.want("Destroy", open(tx, "b", ids["destroyed"]).Destroy(), nil)
	e.want("Set", open(tx, "a", ids["made"]).Pkg("p").Set("v", 40), nil)
	renewed := open(tx, "b", ids["renewed"])
	e.want("Set", renewed.Pkg("p").Set("v", 6), nil)
	moved, err := renewed.Renew()
	e.want("Renew", err, nil)
	ids["moved"] = moved
	return tx.Commit(e.ctx)
}

// bank moves money between sessions of two containers, by several workers, while
// an auditor adds all of it up in one transaction.
func bank(e *env) {
	const accounts, workers, transfers, audits, deposit = 8, 6, 15, 5, 100
	seed := uint64(time.Now().UnixNano())
	cfg := sd.Config{Conflict: sd.Serializable, Now: e.clock.Now}
	open := func(tx *sd.Txn, c []*sd.Container, account int) (*sd.PkgData, error) {
		s, err := c[account%2].Session(e.ctx, tx, fmt.Sprint("account ", account))
		if err != nil {
			return nil, err
		}
		return s.Pkg("p"), nil
	}
	// Each worker has containers of its own, as an app server has.
	branch := func() []*sd.Container {
		all := make([]*sd.Container, 2)
		for i := range all {
			cfg.Name = fmt.Sprint("bank", i)
			c, err := sd.NewContainer(e.store, cfg) // sessions of one transaction have one store
			e.want("NewContainer", err, nil)
			all[i] = c
		}
		return all
	}
	branches := make([][]*sd.Container, workers+1)
	for i := range branches {
		branches[i] = branch()
	}
	patient := sd.Retry{Attempts: 200}
	sum := func(c []*sd.Container) (total int, err error) {
		err = patient.Run(e.ctx, func(tx *sd.Txn) error {
			total = 0
			for account := range accounts {
				p, err := open(tx, c, account)
				if err != nil {
					return err
				}
				n, err := sd.Get[int](p, "money")
				if err != nil {
					return err
				}
				total += n
			}
			return nil
		})
		return total, err
	}
	for account := range accounts {
		e.set(branches[0][account%2], fmt.Sprint("account ", account), "money", deposit)
	}
	audit := func(c []*sd.Container) error {
		total, err := sum(c)
		if err == nil && total != accounts*deposit {
			return fmt.Errorf("%d in all, want %d", total, accounts*deposit)
		}
		return err
	}
	errs := race(workers+1, func(w int) error {
		rng := rand.New(rand.NewPCG(seed, uint64(w)))
		if w == workers {
			return each(audits, func(int) error { return audit(branches[w]) })
		}
		return each(transfers, func(int) error {
			pair := rng.Perm(accounts)[:2]
			amount := 1 + rng.IntN(20)
			return patient.Run(e.ctx, func(tx *sd.Txn) error {
				for i, account := range pair {
					p, err := open(tx, branches[w], account)
					if err != nil {
						return err
					}
					change := amount * (1 - 2*i)
					if err := sd.Modify(p, "money", func(n *int) error { *n += change; return nil }); err != nil {
						return err
					}
				}
				return nil
			})
		})
	})
	e.all(fmt.Sprintf("seed %d: a worker", seed), append(errs, audit(branches[0])))
}
