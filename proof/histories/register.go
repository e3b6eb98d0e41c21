package histories

import (
	"errors"
	"fmt"
	"math"
	"runtime"
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

// Answer is what it said; also the state of a register.
type Answer struct {
	There  bool
	N      int
	Unsure bool // nobody knows whether it happened, or what it would have said
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
	Init: func() any { return Answer{} },
	Step: func(state, input, output any) (bool, any) {
		was, op, said := state.(Answer), input.(RegisterOp), output.(Answer)
		next, says := was, was
		switch op.Kind {
		case "set":
			next, says = Answer{There: true, N: op.N}, Answer{}
		case "delete":
			next, says = Answer{}, Answer{}
		case "count":
			next = Answer{There: true, N: was.N + 1}
			says = next
		case "pop":
			next = Answer{}
		}
		return said.Unsure || says == said, next
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

// CheckRegisters looks for an order of the operations that explains what they
// said. A search that does not end in time is an error too.
func CheckRegisters(history []porcupine.Operation) error {
	checking <- struct{}{}
	defer func() { <-checking }()
	for _, part := range registerModel.Partition(history) {
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
