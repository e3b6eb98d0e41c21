package sessiondata_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// A new session.

func addOver(t *testing.T, on func(others *sd.Container, c call, pass func() error) error) (w *wire, others *sd.Container, tx *sd.Txn, err error) {
	t.Helper()
	w = newWire()
	others = container(t, w.Store)
	tx, s := begin(t, container(t, w), "id")
	setMine(s)
	w.answer(func(c call, pass func() error) error {
		if c.op == "add" && c.n > 1 {
			t.Error("an Add was sent twice")
		}
		return on(others, c, pass)
	})
	err = tx.Commit(t.Context())
	return w, others, tx, err
}

var fresh = pkg("p", map[string]any{"mine": int64(1)})

func TestLostReply_OfAnAdd_MyIDIsThere_Done(t *testing.T) {
	for later := range 17 {
		_, others, _, err := addOver(t, func(others *sd.Container, c call, pass func() error) error {
			if c.op == "add" {
				require.NoError(t, pass())
				for i := range later {
					set(t, others, "id", "theirs", "n", i)
				}
				return errNoReply
			}
			return pass()
		})
		require.NoError(t, err)
		require.Equal(t, fresh["p"], stored(t, others, "id")["p"])
	}
}

func TestLostReply_OfAnAdd_Absent_UnknownAndNotSentTwice(t *testing.T) {
	w, _, tx, err := addOver(t, func(_ *sd.Container, c call, pass func() error) error {
		if c.op == "add" {
			return errNoReply
		}
		return pass()
	})
	require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
	require.Equal(t, sd.Unknown, tx.State())
	require.Equal(t, []string{"add", "get"}, w.ops())
}

func TestLostReply_OfAnAdd_AnotherIsThere_Unknown(t *testing.T) {
	_, others, _, err := addOver(t, func(others *sd.Container, c call, pass func() error) error {
		if c.op == "add" {
			set(t, others, "id", "p", "theirs", 1)
			return errNoReply
		}
		return pass()
	})
	require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
	require.Equal(t, pkg("p", map[string]any{"theirs": int64(1)}), stored(t, others, "id"))
}

// A session that is destroyed.

func destroyIt(s *sd.Session) { _ = s.Destroy() }

func TestLostReply_OfADestroy(t *testing.T) {
	for name, c := range map[string]struct {
		on   func(others *sd.Container, pass func() error)
		then map[string]map[string]any
	}{
		"it was applied":                 {func(_ *sd.Container, pass func() error) { _ = pass() }, nil},
		"it was not":                     {func(*sd.Container, func() error) {}, nil},
		"it was not, and another commit": {func(others *sd.Container, _ func() error) { set(t, others, "id", "p", "k", 2) }, nil},
		"it was, and made anew": {func(others *sd.Container, pass func() error) {
			_ = pass()
			set(t, others, "id", "p", "anew", 1)
		}, pkg("p", map[string]any{"anew": int64(1)})},
	} {
		_, others, tx, err := commitOver(t, destroyIt, func(others *sd.Container, call call, pass func() error) error {
			if call.op == "delete" && call.n == 1 {
				c.on(others, pass)
				return errNoReply
			}
			return pass()
		})
		require.NoError(t, err, name)
		require.Equal(t, sd.Committed, tx.State(), name)
		require.Equal(t, c.then, stored(t, others, "id"), name)
	}
}

func TestLostReply_OfADestroyThenUnavailable_Unknown(t *testing.T) {
	_, _, tx, err := commitOver(t, destroyIt, func(_ *sd.Container, c call, pass func() error) error {
		switch {
		case c.op == "delete" && c.n == 1:
			return errNoReply
		case c.op == "delete":
			return sd.ErrUnavailable
		}
		return pass()
	})
	require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
	require.ErrorIs(t, err, sd.ErrUnavailable)
	require.Equal(t, sd.Unknown, tx.State())
}
