package histories

import (
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

func said(t *testing.T, from, to int64, kind string, n int, a Answer, err error) porcupine.Operation {
	t.Helper()
	op, ok := RegisterOp{Key: "a", Kind: kind, N: n}.operation(int(from), from, to, a, err)
	require.True(t, ok)
	return op
}

// Many operations of unknown outcome would make the search hopeless, were each
// free to come at any time.
func TestManyRegistersOfUnknownOutcomeAreDecided(t *testing.T) {
	var h []porcupine.Operation
	for i := range int64(60) {
		kind := []string{"set", "count", "pop", "delete", "get"}[i%5]
		h = append(h, said(t, 2*i, 2*i+1, kind, int(i+1)*spread, Answer{}, sd.ErrOutcomeUnknown))
	}
	ok := append(h, said(t, 200, 201, "get", 0, Answer{There: true, N: 6*spread + 12}, nil))
	require.NoError(t, CheckRegisters(ok), "set by the sixth, and counted by all")
	tooOften := append(h, said(t, 200, 201, "get", 0, Answer{There: true, N: 6*spread + 13}, nil))
	require.ErrorContains(t, CheckRegisters(tooOften), "not linearizable")
}

func TestRegistersThatNoOrderExplainsAreFound(t *testing.T) {
	one := Answer{There: true, N: 1}
	for name, h := range map[string][]porcupine.Operation{
		"two counts, one number": {said(t, 1, 10, "count", 0, one, nil), said(t, 2, 10, "count", 0, one, nil)},
		"popped twice":           {said(t, 1, 2, "set", 1, Answer{}, nil), said(t, 3, 10, "pop", 0, one, nil), said(t, 4, 10, "pop", 0, one, nil)},
		"stale":                  {said(t, 1, 2, "set", 1, Answer{}, nil), said(t, 3, 4, "get", 0, Answer{}, nil)},
		"before it was set":      {said(t, 1, 2, "get", 0, one, nil), said(t, 3, 4, "set", 1, Answer{}, nil)},
		"deleted and back":       {said(t, 1, 2, "set", 1, Answer{}, nil), said(t, 3, 4, "delete", 0, Answer{}, nil), said(t, 5, 6, "get", 0, one, nil)},
	} {
		require.ErrorContains(t, CheckRegisters(h), "not linearizable", name)
	}
}

func TestRegistersThatAnOrderExplainsAreAccepted(t *testing.T) {
	one := Answer{There: true, N: 1}
	for name, h := range map[string][]porcupine.Operation{
		"two counts":         {said(t, 1, 10, "count", 0, Answer{There: true, N: 2}, nil), said(t, 2, 10, "count", 0, one, nil)},
		"unknown, and later": {said(t, 1, 2, "set", 1, Answer{}, sd.ErrOutcomeUnknown), said(t, 3, 4, "get", 0, Answer{}, nil), said(t, 5, 6, "get", 0, one, nil)},
		"unknown, and never": {said(t, 1, 2, "set", 1, Answer{}, sd.ErrOutcomeUnknown), said(t, 3, 4, "get", 0, Answer{}, nil)},
	} {
		require.NoError(t, CheckRegisters(h), name)
	}
	_, ok := RegisterOp{Kind: "set"}.operation(0, 1, 2, Answer{}, sd.ErrUnavailable)
	require.False(t, ok, "it had no effect")
}
