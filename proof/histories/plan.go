package histories

import (
	"math/rand/v2"
	"strconv"
)

// Shape says what a program is like.
type Shape struct {
	Level    Level
	Clients  int
	Each     int // transactions of each client
	Sessions int
	Keys     int  // lists in each session
	Destroys bool // sessions are destroyed, and made anew
}

// step is one operation of a transaction.
type step struct {
	session   int
	key       string
	add       bool
	takenBack bool // by a savepoint
}

// plan is one transaction.
type plan struct {
	steps   []step
	destroy int // a session that it destroys after its steps; -1: none
	fail    bool
}

// readOnly reports whether it can be run by View: it reads one session.
func (p plan) readOnly() bool {
	for _, s := range p.steps {
		if s.add || s.session != p.steps[0].session {
			return false
		}
	}
	return p.destroy < 0 && !p.fail
}

// draw returns the program of one client. It depends on the seed, the number of
// the history and the client alone.
func (s Shape) draw(seed uint64, history, client int) []plan {
	rng := rand.New(rand.NewPCG(seed, uint64(history)<<16|uint64(client)))
	plans := make([]plan, s.Each)
	for i := range plans {
		plans[i] = s.transaction(rng)
	}
	return plans
}

func (s Shape) transaction(rng *rand.Rand) plan {
	p := plan{destroy: -1}
	in := rng.Perm(s.Sessions)
	if s.Level == StrictLevel {
		in = in[:1]
	}
	in = in[:1+rng.IntN(len(in))]
	adds := rng.IntN(4) != 0
	for range 1 + rng.IntN(6) {
		st := step{session: in[rng.IntN(len(in))], key: strconv.Itoa(rng.IntN(s.Keys))}
		st.add = adds && rng.IntN(2) == 0
		st.takenBack = st.add && rng.IntN(10) == 0
		p.steps = append(p.steps, st)
		if st.add && rng.IntN(6) == 0 {
			p.steps = append(p.steps, st) // the same list twice: the first is not to be seen
		}
	}
	p.fail = rng.IntN(12) == 0
	if s.Destroys && rng.IntN(8) == 0 {
		p.destroy = in[rng.IntN(len(in))]
		if rng.IntN(2) == 0 { // it opens the session, and looks at none of its lists
			p.steps = nil
		}
	}
	return p
}

// registers returns the program of one client on registers.
func registers(seed uint64, history, client, each int) []RegisterOp {
	rng := rand.New(rand.NewPCG(seed, uint64(history)<<16|1<<15|uint64(client)))
	ops := make([]RegisterOp, each)
	for i := range ops {
		ops[i] = RegisterOp{
			Key:    []string{"a", "b", "c"}[rng.IntN(3)],
			Kind:   []string{"get", "get", "set", "count", "count", "pop", "delete"}[rng.IntN(7)],
			N:      spread * (1 + client*each + i),
			Beside: rng.IntN(4) == 0,
		}
	}
	return ops
}
