package sessiondata_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// keyOp is one transaction on one key, and keyAnswer what it said.
type keyOp struct {
	key  string
	kind string // "get", "set", "count", "pop", "delete"
	n    int    // to be set
}

type keyAnswer struct {
	there  bool
	n      int
	unsure bool // nobody knows whether it was applied, and what it would have said
}

// keyModel is one key: absent, or a number.
var keyModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			key := op.Input.(keyOp).key
			byKey[key] = append(byKey[key], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return keyAnswer{} },
	Step: func(state, input, output any) (bool, any) {
		was, op, said := state.(keyAnswer), input.(keyOp), output.(keyAnswer)
		next, says := was, was
		switch op.kind {
		case "set":
			next, says = keyAnswer{there: true, n: op.n}, keyAnswer{}
		case "delete":
			next, says = keyAnswer{}, keyAnswer{}
		case "count":
			next = keyAnswer{there: true, n: was.n + 1}
			says = next
		case "pop":
			next = keyAnswer{}
		}
		return said.unsure || says == said, next
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
}

func (op keyOp) run(t *testing.T, c *sd.Container) (said keyAnswer, err error) {
	fn := func(s *sd.Session) (err error) {
		p := s.Pkg("p")
		said = keyAnswer{}
		switch op.kind {
		case "set":
			return p.Set(op.key, op.n)
		case "delete":
			return p.Delete(op.key)
		case "count":
			return sd.Modify(p, op.key, func(n *int) error {
				*n++
				said = keyAnswer{there: true, n: *n}
				return nil
			})
		case "pop":
			said.n, err = sd.Pop[int](p, op.key)
		default:
			said.n, err = sd.Get[int](p, op.key)
		}
		said.there = err == nil
		if errors.Is(err, sd.ErrKeyNotFound) {
			return nil
		}
		return err
	}
	if op.kind == "get" {
		return said, c.View(t.Context(), "id", fn)
	}
	err = c.Update(t.Context(), "id", fn)
	return said, err
}

// record lets each container's worker run n transactions at random, and checks
// that there is an order of them, for each key, that explains all answers.
func record(t *testing.T, seed uint64, cs []*sd.Container, n int) (unsettled int) {
	t.Helper()
	t.Logf("seed %d", seed)
	var clock atomic.Int64
	var mu sync.Mutex
	var history []porcupine.Operation
	together(len(cs), func(worker int) {
		rng := rand.New(rand.NewPCG(seed, uint64(worker)))
		for i := range n {
			op := keyOp{
				key:  []string{"a", "b", "c"}[rng.IntN(3)],
				kind: []string{"get", "get", "set", "count", "count", "pop", "delete"}[rng.IntN(7)],
				n:    1000*(worker+1) + i,
			}
			from := clock.Add(1)
			said, err := op.run(t, cs[worker])
			to := clock.Add(1)
			switch outcomeOf(err) {
			case undone:
				if errors.Is(err, sd.ErrConflict) || errors.Is(err, sd.ErrUnavailable) {
					continue // it had no effect, and says nothing of any
				}
				t.Errorf("%+v: %v", op, err)
			case unsure:
				said, to = keyAnswer{unsure: true}, math.MaxInt64
			}
			mu.Lock()
			if said.unsure {
				unsettled++
			}
			history = append(history, porcupine.Operation{ClientId: worker, Input: op, Call: from, Output: said, Return: to})
			mu.Unlock()
		}
	})
	result, info := porcupine.CheckOperationsVerbose(keyModel, history, time.Minute)
	if result != porcupine.Ok {
		path := t.TempDir() + "/history.html"
		t.Errorf("%v: no order of %d transactions explains what they said; see %s: %v", result, len(history), path, porcupine.VisualizePath(keyModel, info, path))
	}
	return unsettled
}

func TestRule19_AHistoryIsLinearizablePerKey(t *testing.T) {
	for _, cfg := range []sd.Config{{}, {Conflict: sd.Serializable}, {Codec: sd.JSON()}} {
		w := newWire()
		cfg.Attempts = 50
		var cs []*sd.Container
		for range 5 {
			cs = append(cs, container(t, w, cfg))
		}
		require.Zero(t, record(t, rand.Uint64(), cs, 60))
	}
}

func TestRule19_AHistoryOverAnUnreliableStoreIsLinearizablePerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unsure := 0
		for range 10 {
			u := newUnreliable(t, 4, storetest.FaultConfig{LoseRequest: 0.04, LoseReply: 0.08, Delay: 0.08, Refuse: 0.02, FailRead: 0.02})
			var cs []*sd.Container
			for _, client := range u.clients {
				cs = append(cs, container(t, client, sd.Config{Attempts: 50}))
			}
			unsure += record(t, rand.Uint64(), cs, 40)
		}
		t.Logf("%d unsure", unsure)
	})
}

// The checker must be able to say no: under Overwrite a counter loses.
func TestRule19_TheCheckerFindsWhatOverwriteLoses(t *testing.T) {
	c := container(t, newWire(), sd.Config{Conflict: sd.Overwrite})
	var txs []*sd.Txn
	var history []porcupine.Operation
	for i := range 2 {
		tx, s := begin(t, c, "id")
		said := keyAnswer{there: true}
		require.NoError(t, sd.Modify(s.Pkg("p"), "a", func(n *int) error { *n++; said.n = *n; return nil }))
		txs = append(txs, tx)
		history = append(history, porcupine.Operation{ClientId: i, Input: keyOp{key: "a", kind: "count"}, Call: int64(i), Output: said, Return: 10})
	}
	for _, tx := range txs {
		require.NoError(t, tx.Commit(t.Context()))
	}
	require.False(t, porcupine.CheckOperations(keyModel, history))
}
