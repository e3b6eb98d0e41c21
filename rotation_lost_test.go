package sessiondata_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// The forward of a renewal was written, its reply lost, and looking for it needs
// more than one read: it is our own all the same, and not followed as another's.
// (Found by proof/commit.pml, RENEWGRACE.)
func TestLostReply_OfARenewsForward_IsFoundWhateverTheReadsAnswer(t *testing.T) {
	for name, on := range map[string]func(apply func(), reads int) error{
		"the first read fails": func(_ func(), reads int) error {
			if reads == 1 {
				return fmt.Errorf("%w: just then", sd.ErrUnavailable)
			}
			return nil
		},
		"two reads fail": func(_ func(), reads int) error {
			if reads <= 2 {
				return fmt.Errorf("%w: just then", sd.ErrUnavailable)
			}
			return nil
		},
		"it arrives after the first read": func(apply func(), reads int) error {
			if reads == 2 {
				apply()
			}
			return nil
		},
	} {
		var next string
		var err error
		late := name == "it arrives after the first read"
		arrive, lost, reads := func() {}, false, 0
		_, others, _, commitErr := commitOver(t, func(s *sd.Session) {
			setMine(s)
			next, err = s.RenewAfter(time.Minute)
			require.NoError(t, err)
		}, func(_ *sd.Container, c call, pass func() error) error {
			switch {
			case c.op == "swap" && !lost:
				lost = true
				if late {
					arrive = func() { _ = pass() }
				} else {
					require.NoError(t, pass())
				}
				return errNoReply
			case c.op == "get" && lost:
				reads++
				if err := on(arrive, reads); err != nil {
					return err
				}
			}
			return pass()
		})
		require.NoError(t, commitErr, name)
		require.Equal(t, both, stored(t, others, next), "%s: the new id", name)
		require.Equal(t, both, stored(t, others, "id"), "%s: the old id leads there", name)
	}
}

// The forward of a renewal was lost, and the session has moved by another: what
// it bears under the other id is no version of the item under the old one.
func TestLostReply_OfARenewsForward_AnotherRenewalWasFirst(t *testing.T) {
	w := newWire()
	w.Store = newItemVersions()
	others := container(t, w.Store)
	set(t, others, "id", "p", "k", 1)

	tx, s := begin(t, container(t, w), "id")
	setMine(s)
	mine, err := s.RenewAfter(time.Minute)
	require.NoError(t, err)
	var theirs string
	w.answer(func(c call, pass func() error) error {
		if c.op != "swap" || theirs != "" {
			return pass()
		}
		require.NoError(t, others.Update(t.Context(), "id", func(s *sd.Session) error {
			require.NoError(t, s.Pkg("p").Set("theirs", 1))
			theirs, err = s.RenewAfter(time.Minute)
			return err
		}))
		return errNoReply
	})
	require.NoError(t, tx.Commit(t.Context()))
	w.answer(nil)
	want := pkg("p", map[string]any{"k": int64(1), "mine": int64(1), "theirs": int64(1)})
	for _, id := range []string{"id", theirs, mine} {
		require.Equal(t, want, stored(t, others, id))
	}
}
