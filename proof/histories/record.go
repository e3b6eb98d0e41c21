package histories

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// outcome tells what an error of Commit says.
func outcome(err error) Outcome {
	switch {
	case err == nil:
		return Committed
	case errors.Is(err, sd.ErrOutcomeUnknown):
		return Unknown
	}
	return Aborted
}

// errFail is why a transaction aborts that was planned to.
var errFail = errors.New("it was to fail")

// retry is how the transactions are run again on a conflict.
var retry = sd.Retry{Attempts: 30, Base: 200 * time.Microsecond, Max: 5 * time.Millisecond}

// place is where one history takes place.
type place struct {
	ctx     context.Context
	clients []*client
	clean   [2]*sd.Container // over the store as it is, with no faults in between
	arrive  func()           // lets all that is delayed reach the store; may be nil
	id      func(session int) string
	close   func() // ends what belongs to this place alone; may be nil
	// restarts are those of the servers, and server is that of a session that is
	// stored; nil where there are none.
	restarts func() (begun, done []int)
	server   func(session int) (int, error)
	// may are the errors with which transactions may end here.
	may []error
	// rest is how long at most a client pauses after ErrUnavailable: whatever is
	// down is left alone for a while.
	rest time.Duration
}

func (p *place) restAfter(err error) {
	if p.rest > 0 && errors.Is(err, sd.ErrUnavailable) {
		time.Sleep(rand.N(p.rest))
	}
}

// expected reports whether a transaction may end with err.
func (p *place) expected(err error) bool {
	return err == nil || slices.ContainsFunc(p.may, func(is error) bool { return errors.Is(err, is) })
}

// client is one that runs transactions, through a store with faults of its own.
type client struct {
	containers [2]*sd.Container
	// revive is called between transactions: a client that has died is replaced;
	// may be nil.
	revive func(*client) error
}

func (cl *client) alive() error {
	if cl.revive == nil {
		return nil
	}
	return cl.revive(cl)
}

// recorder records the history of one place.
type recorder struct {
	*place
	shape  Shape
	clock  atomic.Int64
	number atomic.Int64

	mu         sync.Mutex
	txns       []Txn
	unexpected []error
	restarted  map[int][]int // by transaction: the restarts of each server that were over when it began
}

// run runs the program and returns what was recorded.
func (p *place) run(shape Shape, seed uint64, n int) (*History, error) {
	r := &recorder{place: p, shape: shape, restarted: map[int][]int{}}
	var before []int
	if p.restarts != nil {
		_, before = p.restarts()
	}
	var all sync.WaitGroup
	for i, cl := range p.clients {
		all.Go(func() {
			for _, pl := range shape.draw(seed, n, i) {
				if err := cl.alive(); err != nil {
					r.fail(err)
					return
				}
				r.transact(cl, pl)
			}
		})
	}
	all.Wait()
	h := &History{Txns: r.txns, Lost: map[int]bool{}}
	for s := range shape.Sessions {
		state, err := r.last(s)
		if err != nil {
			return nil, err
		}
		h.Final = append(h.Final, state)
	}
	if p.restarts != nil {
		if err := r.excuse(h, before); err != nil {
			return nil, err
		}
	}
	return h, errors.Join(r.unexpected...)
}

func (r *recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unexpected = append(r.unexpected, err)
}

// transact runs one transaction and records each of its attempts.
func (r *recorder) transact(cl *client, p plan) {
	var attempt *Txn
	over := func(o Outcome) {
		if attempt == nil {
			return
		}
		attempt.Outcome, attempt.End = o, r.clock.Add(1)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.txns = append(r.txns, *attempt)
	}
	begin := func() *Txn {
		over(Aborted) // the one before was refused
		attempt = &Txn{ID: int(r.number.Add(1)), Start: r.clock.Add(1)}
		r.note(attempt.ID)
		return attempt
	}
	var err error
	if p.readOnly() {
		s := p.steps[0].session
		t := begin() // View loads the session before it calls
		err = cl.containers[s%2].View(r.ctx, r.id(s), func(session *sd.Session) error {
			u := &user{r: r, t: t, sessions: map[int]*sd.Session{s: session}}
			return u.do(p)
		})
	} else {
		err = retry.Run(r.ctx, func(tx *sd.Txn) error {
			u := &user{r: r, t: begin(), tx: tx, cl: cl, sessions: map[int]*sd.Session{}}
			return u.do(p)
		})
	}
	if !r.expected(err) {
		r.fail(fmt.Errorf("a transaction that ended in no way it may: %w", err))
	}
	over(outcome(err))
	r.restAfter(err)
}

// note remembers which restarts were over when a transaction began.
func (r *recorder) note(id int) {
	if r.restarts == nil {
		return
	}
	_, done := r.restarts()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.restarted[id] = done
}

// excuse marks what a restart may explain.
func (r *recorder) excuse(h *History, before []int) error {
	on := make([]int, len(h.Final))
	for s := range on {
		var err error
		if on[s], err = r.server(s); err != nil {
			return err
		}
	}
	begun, _ := r.restarts()
	for s := range on {
		h.Lost[s] = begun[on[s]] > before[on[s]]
	}
	for i := range h.Txns {
		t := &h.Txns[i]
		wrote, restarted := map[int]bool{}, false
		for _, v := range t.Visits {
			if v.Made || v.Destroyed {
				wrote[v.Session] = true
			}
		}
		for _, op := range t.Ops {
			if op.Append != 0 && !op.TakenBack {
				wrote[op.Key.Session] = true
			}
		}
		for s := range wrote {
			restarted = restarted || begun[on[s]] > r.restarted[t.ID][on[s]]
		}
		t.Excused = restarted && len(wrote) > 1
	}
	return nil
}

// patiently calls f again while it fails as a transaction may here, a thousand
// times at most.
func (p *place) patiently(f func() error) (err error) {
	for range 1000 {
		if err = f(); err == nil || !p.expected(err) {
			return err
		}
		select {
		case <-p.ctx.Done():
			return p.ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return fmt.Errorf("it was given up: %w", err)
}

// last writes to a session, so that no write can come to it any more that was
// under way, and then reads it.
func (r *recorder) last(s int) (State, error) {
	c, id := r.clean[s%2], r.id(s)
	err := r.patiently(func() error {
		return c.Update(r.ctx, id, func(session *sd.Session) error { return session.Pkg("seal").Set("seal", r.clock.Add(1)) })
	})
	if err != nil {
		return State{}, fmt.Errorf("the last write to a session: %w", err)
	}
	if r.arrive != nil {
		r.arrive()
	}
	var state State
	err = r.patiently(func() error {
		return c.View(r.ctx, id, func(session *sd.Session) (err error) {
			state = State{Lists: map[string][]int{}}
			p := session.Pkg("lists")
			for _, name := range p.Keys() {
				if state.Lists[name], err = sd.Get[[]int](p, name); err != nil {
					return err
				}
			}
			if mark := state.Lists[Mark]; len(mark) > 0 {
				state.Life = mark[0]
			}
			return nil
		})
	})
	if err != nil {
		return State{}, fmt.Errorf("the last reading of a session: %w", err)
	}
	return state, nil
}

// user runs one attempt and notes what it finds.
type user struct {
	r        *recorder
	t        *Txn
	tx       *sd.Txn
	cl       *client
	sessions map[int]*sd.Session
	lives    map[int]int
}

// open returns a session; one that is not there is made, if it is to be.
func (u *user) open(s int, make bool) (*sd.Session, int, error) {
	session := u.sessions[s]
	if session == nil {
		var err error
		if session, err = u.cl.containers[s%2].Session(u.r.ctx, u.tx, u.r.id(s)); err != nil {
			return nil, 0, err
		}
		u.sessions[s] = session
	}
	life, visited := u.lives[s]
	if visited && (life != 0 || !make) {
		return session, life, nil
	}
	p := session.Pkg("lists")
	mark, err := sd.GetOr[[]int](p, Mark, nil)
	if err != nil {
		return nil, 0, err
	}
	switch {
	case len(mark) > 0:
		life = mark[0]
		u.t.Ops = append(u.t.Ops, Op{Key: Key{s, life, Mark}, Found: mark})
		u.t.Visits = append(u.t.Visits, Visit{Session: s, Life: life})
	case make:
		life = int(u.r.number.Add(1))
		if err := p.Set(Mark, []int{life}); err != nil {
			return nil, 0, err
		}
		u.t.Ops = append(u.t.Ops, Op{Key: Key{s, life, Mark}, Append: life})
		u.t.Visits = append(u.t.Visits, Visit{Session: s, Life: life, Made: true})
	}
	if u.lives == nil {
		u.lives = map[int]int{}
	}
	u.lives[s] = life
	return session, life, nil
}

func (u *user) do(p plan) error {
	for _, st := range p.steps {
		if err := u.step(st); err != nil {
			return err
		}
	}
	if p.destroy >= 0 {
		session, life, err := u.open(p.destroy, false)
		if err != nil {
			return err
		}
		if life != 0 && !u.made(p.destroy) {
			if err := session.Destroy(); err != nil {
				return err
			}
			u.t.Visits = append(u.t.Visits, Visit{Session: p.destroy, Life: life, Destroyed: true})
		}
	}
	if p.fail {
		return errFail
	}
	return nil
}

// made reports whether this transaction has made the session.
func (u *user) made(s int) bool {
	for _, v := range u.t.Visits {
		if v.Session == s && v.Made {
			return true
		}
	}
	return false
}

// step reads a list, or appends to it.
func (u *user) step(st step) error {
	session, life, err := u.open(st.session, st.add)
	if err != nil || life == 0 {
		return err
	}
	p, key := session.Pkg("lists"), Key{st.session, life, st.key}
	if !st.add {
		found, err := sd.GetOr[[]int](p, st.key, nil)
		if err != nil {
			return err
		}
		u.t.Ops = append(u.t.Ops, Op{Key: key, Found: found})
		return nil
	}
	op := Op{Key: key, Append: int(u.r.number.Add(1)), TakenBack: st.takenBack}
	add := func() error {
		return sd.Modify(p, st.key, func(list *[]int) error {
			op.Found = append([]int(nil), *list...)
			*list = append(*list, op.Append)
			return nil
		})
	}
	if !st.takenBack {
		err = add()
	} else if err = session.Txn().Atomic(func() error { return errors.Join(add(), errFail) }); errors.Is(err, errFail) {
		err = nil
	}
	if err != nil {
		return err
	}
	u.t.Ops = append(u.t.Ops, op)
	return nil
}
