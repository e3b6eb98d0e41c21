package sessiondata_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// together runs fn in n goroutines at once.
func together(n int, fn func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	wg.Wait()
}

func TestRule05_GoroutinesOfOneRequestMayUseTheSession(t *testing.T) {
	c := container(t, newWire())
	tx := sd.Begin()
	together(8, func(i int) {
		for n := range 20 {
			s, err := c.Session(context.Background(), tx, fmt.Sprint("id", n%2))
			if err != nil {
				t.Error(err)
				return
			}
			p := s.Pkg(fmt.Sprint("p", n%3))
			key := fmt.Sprint("k", i)
			_ = p.Set(key, n)
			_ = p.Get(key, new(int))
			_ = p.Has("k0")
			_, _, _ = p.Len(), p.Keys(), s.Packages()
			for _, v := range p.All() {
				_, _ = v.Any()
			}
			_, _, _, _, _ = s.Status(), s.IsNew(), s.ID(), s.Deadline(), s.AccessDue()
			_, _, _ = s.Created(), s.LastAccess(), s.Timeout()
			_ = s.SetTimeout(time.Duration(n+1) * time.Hour)
			_ = p.Delete(key)
			_ = p.Clear()
			_ = s.DeletePkg("p1")
			if sp, err := tx.Savepoint(); err == nil {
				_, _ = s.Renew()
				_ = sp.Rollback()
				_ = sp.Release()
			}
			_ = tx.State()
			_ = tx.Err()
			_ = tx.BeforeCommit(func(context.Context) error { return nil })
			_ = tx.AfterEnd(func(error) {})
		}
	})
	require.NoError(t, tx.Rollback())
}

func TestRule05_ModifySetDefaultAndPopAreAtomicAmongGoroutines(t *testing.T) {
	c := container(t, newWire())
	tx, s := begin(t, c, "id")
	p := s.Pkg("p")
	for i := range 100 {
		require.NoError(t, p.Set(fmt.Sprint("job", i), i))
	}
	var mu sync.Mutex
	delivered, defaults := map[int]int{}, map[int]bool{}
	together(8, func(worker int) {
		for i := range 100 {
			if err := sd.Modify(p, "counter", func(n *int) error { *n++; return nil }); err != nil {
				t.Error(err)
			}
			v, err := sd.SetDefault(p, "default", worker+1)
			if err != nil {
				t.Error(err)
			}
			got, err := sd.Pop[int](p, fmt.Sprint("job", i))
			mu.Lock()
			defaults[v] = true
			if err == nil {
				delivered[got]++
			}
			mu.Unlock()
		}
	})
	require.Len(t, delivered, 100)
	for i, n := range delivered {
		require.Equal(t, 1, n, "job %d", i)
	}
	require.Len(t, defaults, 1)
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, int64(800), stored(t, c, "id")["p"]["counter"])
}

// Reading is noted, so goroutines that only read write all the same.
func TestRule05_GoroutinesMayReadOnePackage(t *testing.T) {
	c := container(t, newWire())
	set(t, c, "id", "p", "k", 1)
	_, s := begin(t, c, "id")
	together(4, func(worker int) {
		for i := range 200 {
			if err := s.Pkg("p").Get("k", new(int)); err != nil || s.Pkg("p").Has(fmt.Sprint(worker, i)) {
				t.Error(err)
			}
		}
	})
}

func TestRule05_ModifyMayUseTheSession(t *testing.T) {
	c := container(t, newWire())
	update(t, c, "id", func(s *sd.Session) {
		p := s.Pkg("p")
		runs := 0
		require.NoError(t, sd.Modify(p, "k", func(n *int) error {
			if runs++; runs == 1 {
				require.NoError(t, p.Set("k", 10)) // as another goroutine might
			}
			*n++
			return p.Set("other", *n)
		}))
		require.Equal(t, 2, runs)
	})
	require.Equal(t, pkg("p", map[string]any{"k": int64(11), "other": int64(11)}), stored(t, c, "id"))
}

// A goroutine that a request forgot goes on while the request commits: it must
// get ErrTxnDone, and not disturb the commit.
func TestRule05_GoroutinesThatOutliveTheCommitGetErrTxnDone(t *testing.T) {
	w := newWire()
	c := container(t, w)
	for round := range 20 {
		id := fmt.Sprint("id", round)
		tx, s := begin(t, c, id)
		require.NoError(t, s.Pkg("p").Set("k", 1))
		sp := savepoint(t, tx)
		started := make(chan struct{}, 4)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for n := 0; ; n++ {
					if n == 3 {
						started <- struct{}{}
					}
					p := s.Pkg(fmt.Sprint("late", i, n))
					err := p.Set("k", 1)
					_, _ = s.ID(), s.Status()
					_ = s.Pkg("p").Has("k")
					_, _ = c.Session(context.Background(), tx, fmt.Sprint(id, "other", i))
					if err != nil {
						if tx.Err() == nil {
							t.Error(err)
						}
						return
					}
					if err := p.Delete("k"); err != nil {
						return
					}
				}
			})
		}
		for range 4 {
			<-started
		}
		require.NoError(t, sp.Release())
		_ = tx.Commit(t.Context())
		wg.Wait()
		require.Equal(t, sd.Committed, tx.State())
		require.Contains(t, stored(t, c, id), "p")
	}
}

// What takes back work runs without the lock of the transaction; if the commit
// begins meanwhile it must not change what is being written.
func TestRule05_RollbackToASavepointDoesNotReachIntoACommit(t *testing.T) {
	w := newWire()
	c := container(t, w)
	tx, s := begin(t, c, "id")
	entered, leave := make(chan struct{}), make(chan struct{})
	late := &saver{member: member{name: "late", diary: new(diary)}, restore: func() error {
		close(entered)
		<-leave
		return nil
	}}
	require.NoError(t, tx.Join(late))
	sp := savepoint(t, tx)
	done := make(chan error)
	go func() { done <- sp.Rollback() }()
	<-entered
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 100 {
			_ = s.Pkg("p").Set("k", 1)
		}
	})
	_ = tx.Rollback()
	wg.Wait()
	close(leave)
	require.Error(t, <-done, "the transaction ended under it")
}

// The id may change while the commit runs: a renewal is dropped, or the session
// is found under another id. Who asks meanwhile must not see half of that.
func TestRule05_TheIDMayBeAskedForWhileTheCommitRuns(t *testing.T) {
	clock := newClock()
	c := container(t, newWire(), sd.Config{RenewEvery: time.Minute, Now: clock.Now})
	for round := range 20 {
		a, b := fmt.Sprint("a", round), fmt.Sprint("b", round)
		set(t, c, a, "p", "k", 1)
		set(t, c, b, "p", "k", 1)
		clock.move(2 * time.Minute)
		tx, s := begin(t, c, a)
		other := open(t, c, tx, b)
		require.NoError(t, s.Pkg("p").Set("k", 2))
		require.NoError(t, other.Pkg("p").Set("k", 2))
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						_, _ = s.ID(), other.ID()
					}
				}
			})
		}
		require.NoError(t, tx.Commit(t.Context()))
		close(stop)
		wg.Wait()
		require.Equal(t, pkg("p", map[string]any{"k": int64(2)}), stored(t, c, s.ID()))
	}
}
