package histories

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// RegisterOp is one transaction on a register.
type RegisterOp struct {
	Key    string
	Kind   string // "get", "set", "count", "pop", "delete"
	N      int    // to be set
	Beside bool   // it changes another session as well, and so goes by intents
}

// Answer is what it said.
type Answer struct {
	There  bool
	N      int
	Unsure bool // nobody knows whether it happened, or what it would have said
	Nth    int  // set by simplify: the how manieth of its kind, if Unsure
}

// register is the state of one: what it holds, and how many operations that are
// unsure have taken it away, and counted it.
type register struct {
	there            bool
	n                int
	cleared, counted int
}

// registerModel is one key of a session: absent, or a number.
var registerModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			key := op.Input.(RegisterOp).Key
			byKey[key] = append(byKey[key], op)
		}
		var parts [][]porcupine.Operation
		for _, key := range sortedKeys(byKey) {
			parts = append(parts, byKey[key])
		}
		return parts
	},
	Init: func() any { return register{} },
	Step: func(state, input, output any) (bool, any) {
		was, op, said := state.(register), input.(RegisterOp), output.(Answer)
		next, says := was, Answer{There: was.there, N: was.n}
		switch op.Kind {
		case "set":
			next.there, next.n, says = true, op.N, Answer{}
		case "delete":
			next.there, next.n, says = false, 0, Answer{}
		case "count":
			next.there, next.n = true, was.n+1
			says = Answer{There: true, N: next.n}
		case "pop":
			next.there, next.n = false, 0
		}
		if !said.Unsure {
			return says == said, next
		}
		switch op.Kind {
		case "delete", "pop":
			next.cleared++
			return said.Nth == next.cleared, next
		case "count":
			next.counted++
			return said.Nth == next.counted, next
		}
		return true, next
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
}

// checkTime bounds the search for an order, which is exponential in the number
// of operations that overlap; a transaction of unknown outcome overlaps with all
// that follow.
const checkTime = time.Minute

// checking lets no more searches run at once than there are processors: they
// would use up each other's time.
var checking = make(chan struct{}, runtime.GOMAXPROCS(0))

var errUnchecked = errors.New("not checked")

// spread is how far the numbers lie apart that are set: further than any of them
// is counted.
const spread = 1000

// simplify takes freedom from the search that makes no difference, of operations
// on one key. What is unsure may come at any later time, so each multiplies it.
//
// A get that is unsure says nothing and does nothing. A set that is unsure and
// whose number nobody has seen may as well never have happened: what follows it, up
// to what overwrites it, has said nothing. Of deletes and pops that are unsure,
// and of counts, which all do the same, the one that began first may as well
// come first: Nth has them in order.
func simplify(part []porcupine.Operation) []porcupine.Operation {
	seen := map[int]bool{}
	for _, op := range part {
		if said := op.Output.(Answer); said.There {
			seen[said.N/spread] = true
		}
	}
	part = slices.DeleteFunc(slices.Clone(part), func(o porcupine.Operation) bool {
		op := o.Input.(RegisterOp)
		return o.Output.(Answer).Unsure && (op.Kind == "get" || op.Kind == "set" && !seen[op.N/spread])
	})
	slices.SortStableFunc(part, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	cleared, counted := 0, 0
	for i, o := range part {
		said := o.Output.(Answer)
		if !said.Unsure {
			continue
		}
		switch o.Input.(RegisterOp).Kind {
		case "delete", "pop":
			cleared++
			said.Nth = cleared
		case "count":
			counted++
			said.Nth = counted
		}
		part[i].Output = said
	}
	return part
}

// CheckRegisters looks for an order of the operations that explains what they
// said. A search that does not end in time is an error too.
func CheckRegisters(history []porcupine.Operation) error {
	checking <- struct{}{}
	defer func() { <-checking }()
	for _, part := range registerModel.Partition(history) {
		part = simplify(part)
		switch porcupine.CheckOperationsTimeout(registerModel, part, checkTime) {
		case porcupine.Ok:
		case porcupine.Unknown:
			return fmt.Errorf("%w: no order of %d operations on one key was found or excluded within %v", errUnchecked, len(part), checkTime)
		default:
			text := "not linearizable: no order explains"
			for _, op := range part {
				text += fmt.Sprintf("\n  [%d, %d] client %d %+v: %+v", op.Call, op.Return, op.ClientId, op.Input, op.Output)
			}
			return errors.New(text)
		}
	}
	return nil
}

// operation records what op said between two moments; ok: it may have happened.
func (op RegisterOp) operation(client int, from, to int64, said Answer, err error) (_ porcupine.Operation, ok bool) {
	switch outcome(err) {
	case Aborted:
		return porcupine.Operation{}, false
	case Unknown:
		said, to = Answer{Unsure: true}, math.MaxInt64
	}
	return porcupine.Operation{ClientId: client, Input: op, Call: from, Output: said, Return: to}, true
}

// do runs op on the key of a session.
func (op RegisterOp) do(p *sd.PkgData) (said Answer, err error) {
	switch op.Kind {
	case "set":
		return Answer{}, p.Set(op.Key, op.N)
	case "delete":
		return Answer{}, p.Delete(op.Key)
	case "count":
		said.There = true
		err = sd.Modify(p, op.Key, func(n *int) error { *n++; said.N = *n; return nil })
		return said, err
	case "pop":
		said.N, err = sd.Pop[int](p, op.Key)
	default:
		said.N, err = sd.Get[int](p, op.Key)
	}
	said.There = err == nil
	if errors.Is(err, sd.ErrKeyNotFound) {
		err = nil
	}
	return said, err
}

// runRegisters runs a program on the registers of session 0.
func (p *place) runRegisters(seed uint64, n, each int) ([]porcupine.Operation, error) {
	var (
		clock   atomic.Int64
		mu      sync.Mutex
		history []porcupine.Operation
		errs    []error
		all     sync.WaitGroup
	)
	for i, cl := range p.clients {
		all.Go(func() {
			for _, op := range registers(seed, n, i, each) {
				err := cl.alive()
				if err == nil {
					from := clock.Add(1)
					var said Answer
					said, err = p.registerOp(cl, i, op)
					to := clock.Add(1)
					o, ok := op.operation(i, from, to, said, err)
					mu.Lock()
					if ok {
						history = append(history, o)
					}
					mu.Unlock()
					p.restAfter(err)
				}
				if !p.expected(err) {
					mu.Lock()
					errs = append(errs, fmt.Errorf("a transaction that ended in no way it may: %w", err))
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return history, errors.Join(errs...)
}

func (p *place) registerOp(cl *client, worker int, op RegisterOp) (said Answer, err error) {
	do := func(s *sd.Session) error {
		said, err = op.do(s.Pkg("p"))
		return err
	}
	if op.Kind == "get" && !op.Beside {
		return said, cl.containers[0].View(p.ctx, p.id(0), do)
	}
	err = retry.Run(p.ctx, func(tx *sd.Txn) error {
		s, err := cl.containers[0].Session(p.ctx, tx, p.id(0))
		if err != nil {
			return err
		}
		if op.Beside {
			other, err := cl.containers[1].Session(p.ctx, tx, p.id(1))
			if err != nil {
				return err
			}
			if err := other.Pkg("p").Set(strconv.Itoa(worker), op.N); err != nil {
				return err
			}
		}
		return do(s)
	})
	return said, err
}
