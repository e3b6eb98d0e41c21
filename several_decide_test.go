package sessiondata_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// at lets on answer the n-th swap, and all others pass.
func at(n int, on func(c call, pass func() error) error) func(call, func() error) error {
	return func(c call, pass func() error) error {
		if c.op == "swap" && c.n == n {
			return on(c, pass)
		}
		return pass()
	}
}

// Every fault at the deciding write, and what others do meanwhile. k sessions
// that are changed: the decision is swap number k+1.
func TestIntents_OutcomeOfADecision(t *testing.T) {
	const k, decision = 3, 4
	type story struct {
		on     func(t *testing.T, inner sd.Store, ids []string) func(call, func() error) error
		said   error
		writes bool // happened
	}
	others := func(t *testing.T, inner sd.Store, n int, ids []string) {
		for i := range n {
			set(t, containerA(t, inner, sd.Config{Now: ahead(time.Minute)}), ids[0], "q", "w", i)
		}
	}
	stories := map[string]story{
		"refused: somebody has undone it": {func(t *testing.T, inner sd.Store, ids []string) func(call, func() error) error {
			return at(decision, func(_ call, pass func() error) error {
				others(t, inner, 1, ids)
				return pass()
			})
		}, sd.ErrConflict, false},
		"not found": {func(t *testing.T, inner sd.Store, ids []string) func(call, func() error) error {
			return at(decision, func(c call, pass func() error) error {
				require.NoError(t, inner.CompareAndDelete(t.Context(), c.key, c.version))
				return pass()
			})
		}, sd.ErrConflict, false},
		"certainly not sent": {func(*testing.T, sd.Store, []string) func(call, func() error) error {
			return at(decision, func(call, func() error) error { return sd.ErrUnavailable })
		}, sd.ErrUnavailable, false},
		"reply lost, applied": {func(*testing.T, sd.Store, []string) func(call, func() error) error {
			return at(decision, func(_ call, pass func() error) error { return errors.Join(errNoReply, pass()) })
		}, nil, true},
		"request lost": {func(*testing.T, sd.Store, []string) func(call, func() error) error {
			return at(decision, func(call, func() error) error { return errNoReply })
		}, nil, true},
		"reply lost, applied, and others went on": {func(t *testing.T, inner sd.Store, ids []string) func(call, func() error) error {
			return at(decision, func(_ call, pass func() error) error {
				_ = pass()
				others(t, inner, 16, ids)
				return errNoReply
			})
		}, nil, true},
		"reply lost, applied, and others went on for longer than ancestors are kept": {func(t *testing.T, inner sd.Store, ids []string) func(call, func() error) error {
			return at(decision, func(_ call, pass func() error) error {
				_ = pass()
				others(t, inner, 18, ids)
				return errNoReply
			})
		}, sd.ErrOutcomeUnknown, true},
		"request lost, and undone by another": {func(t *testing.T, inner sd.Store, ids []string) func(call, func() error) error {
			return at(decision, func(call, func() error) error {
				others(t, inner, 1, ids)
				return errNoReply
			})
		}, sd.ErrConflict, false},
		"refused after a lost request": {func(t *testing.T, inner sd.Store, ids []string) func(call, func() error) error {
			return func(c call, pass func() error) error {
				switch {
				case c.op == "swap" && c.n == decision:
					return errNoReply
				case c.op == "swap" && c.n == decision+1:
					others(t, inner, 1, ids)
				}
				return pass()
			}
		}, sd.ErrConflict, false},
		"the echo of our own write": {func(*testing.T, sd.Store, []string) func(call, func() error) error {
			var late func() error
			return func(c call, pass func() error) error {
				switch {
				case c.op == "swap" && c.n == decision:
					late = pass // arrives before it is sent again
					return errNoReply
				case c.op == "swap" && c.n == decision+1:
					_ = late()
				}
				return pass()
			}
		}, nil, true},
		"absent after a lost reply": {func(t *testing.T, inner sd.Store, ids []string) func(call, func() error) error {
			return at(decision, func(c call, pass func() error) error {
				require.NoError(t, inner.CompareAndDelete(t.Context(), c.key, c.version))
				return errNoReply
			})
		}, sd.ErrOutcomeUnknown, false},
		"no answer any more": {func(t *testing.T, _ sd.Store, _ []string) func(call, func() error) error {
			var down atomic.Bool
			return func(c call, pass func() error) error {
				if c.op == "swap" && c.n == decision {
					down.Store(true)
				}
				switch {
				case down.Load() && c.write():
					return errNoReply
				case down.Load():
					return sd.ErrUnavailable
				}
				return pass()
			}
		}, sd.ErrOutcomeUnknown, false},
	}
	for what, s := range stories {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, c := storeA(t)
				ids := ascending(t, k)
				fill(t, c, 0, ids...)
				tx := writing(t, c, 1, ids...)
				w.answer(s.on(t, w.Store, ids))
				err := tx.Commit(t.Context())
				require.ErrorIs(t, err, s.said)
				want, state := int64(0), sd.RolledBack
				if s.writes {
					want = 1
				}
				switch {
				case s.said == nil:
					state = sd.Committed
				case errors.Is(err, sd.ErrOutcomeUnknown):
					state = sd.Unknown
				}
				require.Equal(t, state, tx.State())
				w.answer(nil)
				if state != sd.Unknown {
					require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
				}
				got := holding(t, containerA(t, w, sd.Config{Now: ahead(2 * time.Minute)}), ids[1:]...)
				require.Equal(t, []any{want, want}, got)
				time.Sleep(later)
				written(t, c, ids[2])
				require.Equal(t, []any{want, want}, holding(t, c, ids[1:]...))
			})
		})
	}
}

// What fails after the decision is no error: who meets it installs it.
func TestIntents_FailedInstallIsNoErrorOfCommit(t *testing.T) {
	for _, fails := range []error{sd.ErrUnavailable, errNoReply} {
		for from := range 4 { // two installs, the clearing; of the second transaction
			synctest.Test(t, func(t *testing.T) {
				w, c := storeA(t)
				ids := ascending(t, 3)
				fill(t, c, 0, ids...)
				w.answer(func(c call, pass func() error) error {
					if c.op == "swap" && c.n > 4+from {
						return fails
					}
					return pass()
				})
				require.NoError(t, writing(t, c, 1, ids...).Commit(t.Context()))
				require.Equal(t, []any{int64(1), int64(1), int64(1)}, holding(t, c, ids...), "nothing can be written now")
				w.answer(nil)
				fill(t, c, 2, ids...)
				require.Equal(t, []any{int64(2), int64(2), int64(2)}, holding(t, c, ids...))
			})
		}
	}
}

// single are the faults that one call of a transaction can meet.
var single = []storetest.Fault{storetest.Refuse, storetest.LoseRequest, storetest.LoseReply, storetest.Delay}

// Rule 13: one write of a transaction meets a fault, and its client lives on;
// then the write after it as well. All or none, and what Commit said is true.
func TestRule13_AnyWriteMeetsAFault(t *testing.T) {
	for name, legs := range shapes {
		t.Run(name, func(t *testing.T) {
			for _, first := range single {
				for _, second := range append([]storetest.Fault{storetest.None}, single...) {
					reached := true
					for k := 1; reached; k++ {
						synctest.Test(t, func(t *testing.T) {
							inner := memstore.New(memstore.Config{})
							w := &world{t: t, legs: legs}
							w.setUp(inner)
							faulty := storetest.NewFaulty(inner, storetest.FaultConfig{
								Shared: true, MaxDelay: 3,
								Plan: map[int]storetest.Fault{k: first, k + 1: second},
							})
							said := w.run(faulty)
							what := fmt.Sprintf("write %d meets %v, the next %v; Commit said %v", k, first, second, said)
							time.Sleep(later)
							w.holdsTo(inner, -1, said, what)
							if second == storetest.None {
								require.NotErrorIs(t, said, sd.ErrOutcomeUnknown, what) // asking can tell
							}
							faulty.Flush()
							w.holdsTo(inner, -1, said, what)
							w.writeAll(inner, what)
							reached = faulty.Writes() >= k
						})
					}
				}
			}
		})
	}
}

// Rule 13: one read of a transaction fails.
func TestRule13_AnyReadFails(t *testing.T) {
	for name, legs := range shapes {
		t.Run(name, func(t *testing.T) {
			reads := 1
			for k := 1; k <= reads; k++ {
				synctest.Test(t, func(t *testing.T) {
					w := &world{t: t, legs: legs}
					inner := newWire()
					w.setUp(inner)
					inner.answer(func(c call, pass func() error) error {
						if c.op == "get" && c.n == k+len(legs) { // behind the loading
							return sd.ErrUnavailable
						}
						return pass()
					})
					said := w.run(inner)
					for _, c := range inner.calls {
						if c.op == "get" {
							reads = max(reads, c.n-len(legs))
						}
					}
					inner.answer(nil)
					w.holdsTo(inner, -1, said, fmt.Sprintf("read %d fails; Commit said %v", k, said))
					w.writeAll(inner, "")
				})
			}
			require.Greater(t, reads, len(legs))
		})
	}
}

// The primary of a session that was renewed with a grace period tells by the
// forward, when the note has gone.
func TestIntents_LostDecisionOfARenewedPrimary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := storeA(t)
		ids := ascending(t, 2)
		fill(t, c, 0, ids...)
		tx := writing(t, c, 1, ids...)
		_, err := open(t, c, tx, ids[0]).RenewAfter(time.Minute)
		require.NoError(t, err)
		inFlight, s := begin(t, containerA(t, w.Store), ids[0]) // settles the note, and follows the forward
		require.NoError(t, s.Pkg("q").Set("w", 1))
		w.answer(at(3, func(_ call, pass func() error) error {
			_ = pass()
			require.NoError(t, inFlight.Commit(t.Context()))
			return errNoReply
		}))
		require.NoError(t, tx.Commit(t.Context()))
		require.Equal(t, []any{int64(1), int64(1)}, holding(t, c, ids...))
	})
}

// That of a session that was destroyed tells by the note.
func TestIntents_LostDecisionOfADestroyedPrimary(t *testing.T) {
	w, c := storeA(t)
	ids := ascending(t, 2)
	fill(t, c, 0, ids...)
	tx := writing(t, c, 1, ids[1])
	require.NoError(t, open(t, c, tx, ids[0]).Destroy())
	w.answer(at(3, func(_ call, pass func() error) error {
		_ = pass()
		return errNoReply
	}))
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []any{nil, int64(1)}, holding(t, c, ids...))
}

// An item that is no longer the one with the intent, when all are read back, is
// not written over: the store has lost it, and somebody has made another one.
func TestIntents_OneThatIsUndoneBeforeItIsReadBack(t *testing.T) {
	w, c := storeA(t)
	ids := ascending(t, 3)
	fill(t, c, 0, ids...)
	tx := writing(t, c, 1, ids...)
	w.answer(func(call call, pass func() error) error {
		if call.op == "get" && call.key == keyOf(t, "a", ids[1]) && call.n <= 3 {
			it, err := w.Store.Get(t.Context(), call.key)
			require.NoError(t, err)
			require.NoError(t, w.Store.CompareAndDelete(t.Context(), call.key, it.Version))
			fill(t, containerA(t, w.Store), 7, ids[1])
		}
		return pass()
	})
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrConflict)
	w.answer(nil)
	require.Equal(t, []any{int64(0), int64(7), int64(0)}, holding(t, c, ids...))
}
