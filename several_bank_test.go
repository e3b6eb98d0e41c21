package sessiondata_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// ledger is a last participant: what a database would be.
type ledger struct {
	rng  *rand.Rand
	rows *atomic.Int64
}

func (*ledger) Prepare(context.Context) error  { return nil }
func (*ledger) Rollback(context.Context) error { return nil }

var errLedger = errors.New("the ledger is closed")

// Commit takes its time, and fails now and then.
func (l *ledger) Commit(context.Context) error {
	time.Sleep(time.Duration(l.rng.Int64N(int64(5 * time.Millisecond))))
	if l.rng.IntN(10) == 0 {
		return errLedger
	}
	l.rows.Add(1)
	return nil
}

// Rule 14: 12 sessions in two containers, 8 workers, 10 000 transfers between
// random pairs, a part of them with a last participant: the sum holds at the end
// and in every transaction that reads them all.
func TestRule14_Bank(t *testing.T) {
	const sessions, workers, transfers, money = 12, 8, 10_000, 100
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed=%d", s)
	synctest.Test(t, func(t *testing.T) {
		store := slowed{memstore.New(memstore.Config{})}
		var cs []*sd.Container
		for _, name := range []string{"a", "b"} {
			cs = append(cs, container(t, store, sd.Config{Name: name, Conflict: sd.Serializable}))
		}
		for i := range sessions {
			set(t, cs[i%2], id(i), "bank", "money", money)
		}
		balance := func(tx *sd.Txn, i int) (*sd.PkgData, int, error) {
			s, err := cs[i%2].Session(t.Context(), tx, id(i))
			if err != nil {
				return nil, 0, err
			}
			have, err := sd.GetOr(s.Pkg("bank"), "money", 0)
			return s.Pkg("bank"), have, err
		}
		patient := sd.Retry{Attempts: 1000, Max: 50 * time.Millisecond}
		var left, done, refused, rows, booked, audits atomic.Int64
		left.Store(transfers)
		var wg sync.WaitGroup
		for worker := range workers {
			rng := rand.New(rand.NewPCG(s, uint64(worker)))
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					time.Sleep(time.Duration(rng.Int64N(int64(400 * time.Millisecond)))) // so that audits get through
					from, to := rng.IntN(sessions), rng.IntN(sessions-1)
					if to >= from {
						to++
					}
					last := rng.IntN(5) == 0
					err := patient.Run(t.Context(), func(tx *sd.Txn) error {
						p, have, err := balance(tx, from)
						if err != nil {
							return err
						}
						q, has, err := balance(tx, to)
						if err != nil {
							return err
						}
						amount := rng.IntN(have + 1)
						if last {
							if err := tx.JoinLast(&ledger{rng, &rows}); err != nil {
								return err
							}
						}
						return errors.Join(p.Set("money", have-amount), q.Set("money", has+amount))
					})
					switch {
					case err == nil && last:
						booked.Add(1)
						fallthrough
					case err == nil:
						done.Add(1)
					case errors.Is(err, errLedger):
						refused.Add(1)
					default:
						t.Errorf("a transfer: %v", err)
					}
				}
			})
		}
		wg.Go(func() {
			for left.Load() > 0 {
				var sum int
				err := patient.Run(t.Context(), func(tx *sd.Txn) error {
					sum = 0
					for i := range sessions {
						_, have, err := balance(tx, i)
						if err != nil {
							return err
						}
						sum += have
					}
					return nil
				})
				if err != nil || sum != sessions*money {
					t.Errorf("the sum was %d: %v", sum, err)
				}
				audits.Add(1)
				time.Sleep(100 * time.Millisecond)
			}
		})
		wg.Wait()
		sum := 0
		require.NoError(t, sd.Run(t.Context(), func(tx *sd.Txn) error {
			for i := range sessions {
				_, have, err := balance(tx, i)
				if err != nil {
					return err
				}
				sum += have
			}
			return nil
		}))
		require.Equal(t, sessions*money, sum)
		require.EqualValues(t, transfers, done.Load()+refused.Load())
		require.Equal(t, booked.Load(), rows.Load())
		t.Logf("%d transfers, %d of them booked, %d refused; %d audits", done.Load(), booked.Load(), refused.Load(), audits.Load())
		require.Greater(t, audits.Load(), int64(100))
	})
}
