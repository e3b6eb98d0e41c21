package storetest

import (
	"slices"
	"sync"
	"sync/atomic"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// Histories are checked by lists to which every transaction appends a number of
// its own: the final list tells the order of all writes, what was read tells
// after which of them it was, and both together whether the transactions can
// have run one after another.

// event is one transaction of a history.
type event struct {
	id         int
	start, end int64            // moments: a later one is larger
	read       map[string][]int // what it found in each list
	appended   []string         // the lists to which it appended its id
}

// history runs n transactions of each worker, which read and append at will,
// and returns those that committed and the final lists. In each round all
// workers read before any of them commits.
func (e *env) history(c []*sd.Container, workers, n int, lists []string, plan func(worker, round int) (read, appendTo []string)) ([]event, map[string][]int) {
	var clock atomic.Int64
	var mu sync.Mutex
	var events []event
	meeting := newMeetings(workers, n)
	e.all("Update", race(workers, func(w int) error {
		return each(n, func(i int) error {
			ev := event{id: 1 + w*n + i, start: clock.Add(1)}
			read, appendTo := plan(w, i)
			arrive := sync.OnceFunc(func() { meeting.arrive(i) })
			err := c[w%len(c)].Update(e.ctx, "id", func(s *sd.Session) error {
				ev.read, ev.appended = map[string][]int{}, appendTo
				for _, list := range read {
					found, err := sd.GetOr[[]int](s.Pkg("p"), list, nil)
					if err != nil {
						return err
					}
					ev.read[list] = found
				}
				for _, list := range appendTo {
					if err := sd.Modify(s.Pkg("p"), list, func(l *[]int) error { *l = append(*l, ev.id); return nil }); err != nil {
						return err
					}
				}
				arrive()
				return nil
			})
			ev.end = clock.Add(1)
			if err != nil { // nobody is to wait for a worker that gives up
				go arrive()
				meeting.leave(i)
			}
			mu.Lock()
			events = append(events, ev)
			mu.Unlock()
			return err
		})
	}))
	final := map[string][]int{}
	tx, s := e.begin(c[0], "id")
	for _, list := range lists {
		found, err := sd.GetOr[[]int](s.Pkg("p"), list, nil)
		e.want("GetOr", err, nil)
		final[list] = found
	}
	e.want("Rollback", tx.Rollback(), nil)
	return events, final
}

// meetings are the rounds in which all of some workers meet once.
type meetings []sync.WaitGroup

func newMeetings(workers, rounds int) meetings {
	m := make(meetings, rounds)
	for i := range m {
		m[i].Add(workers)
	}
	return m
}

// arrive waits until all workers have arrived in the round, or left.
func (m meetings) arrive(round int) {
	m[round].Done()
	m[round].Wait()
}

// leave lets the others meet without this worker from the next round on.
func (m meetings) leave(round int) {
	for i := round + 1; i < len(m); i++ {
		m[i].Done()
	}
}

// linearizable checks one list: every append is in it once, every read is a
// beginning of it, and what ended before something began is before it.
func (e *env) linearizable() {
	events, final := e.history(e.servers(2, sd.Config{Attempts: 100}), 6, 30, []string{"l"}, func(worker, round int) (read, appendTo []string) {
		if (worker+round)%3 == 0 {
			return []string{"l"}, nil
		}
		return []string{"l"}, []string{"l"}
	})
	list := final["l"]
	at := map[int]int{} // position, from 1
	for i, id := range list {
		if at[id] != 0 {
			e.failf("%d was appended twice", id)
		}
		at[id] = i + 1
	}
	moment := func(ev event) int { // how much of the list was there after it
		if len(ev.appended) > 0 {
			return at[ev.id]
		}
		return len(ev.read["l"])
	}
	for _, ev := range events {
		read := ev.read["l"]
		if len(read) > len(list) || !slices.Equal(read, list[:len(read)]) {
			e.failf("%d read what never was: %v", ev.id, read)
		}
		if len(ev.appended) > 0 && at[ev.id] != len(read)+1 {
			e.failf("%d appended to another list than it read: position %d after %d", ev.id, at[ev.id], len(read))
		}
	}
	for _, a := range events {
		for _, b := range events {
			if a.end < b.start && moment(a) > moment(b) {
				e.failf("%d ended before %d began, which does not know of it", a.id, b.id)
			}
		}
	}
}

// serializable checks transactions that read two of several lists and append to
// one: the graph of what came before what has no cycle.
func (e *env) serializable() {
	lists := []string{"a", "b", "c"}
	events, final := e.history(e.servers(2, sd.Config{Attempts: 100, Conflict: sd.Serializable}), 4, 30, lists, func(worker, round int) (read, appendTo []string) {
		// Each appends to the list that the next one reads: a circle, which
		// nothing but Serializable breaks.
		k := worker + round
		return []string{lists[k%3]}, []string{lists[(k+1)%3]}
	})
	before := map[int]map[int]bool{}
	edge := func(a, b int) {
		if a == b || a == 0 || b == 0 {
			return
		}
		if before[a] == nil {
			before[a] = map[int]bool{}
		}
		before[a][b] = true
	}
	for _, list := range lists {
		l := final[list]
		for i := 1; i < len(l); i++ {
			edge(l[i-1], l[i]) // both wrote
		}
		for _, ev := range events {
			read, ok := ev.read[list]
			if !ok {
				continue
			}
			if len(read) > len(l) || !slices.Equal(read, l[:len(read)]) {
				e.failf("%d read what never was", ev.id)
			}
			if len(read) > 0 {
				edge(read[len(read)-1], ev.id) // it read what that wrote
			}
			if len(read) < len(l) {
				edge(ev.id, l[len(read)]) // that wrote over what it read
			}
		}
	}
	if cycle := findCycle(before); cycle != nil {
		e.failf("no order explains what these read and wrote: %v", cycle)
	}
	n := 0
	for _, list := range lists {
		n += len(final[list])
	}
	if n != len(events) {
		e.failf("%d transactions, %d appended", len(events), n)
	}
}

// findCycle returns a cycle of a graph, or nil.
func findCycle(next map[int]map[int]bool) []int {
	const walking, done = 1, 2
	state := map[int]int{}
	var path []int
	var walk func(n int) []int
	walk = func(n int) []int {
		switch state[n] {
		case done:
			return nil
		case walking:
			return append(slices.Clone(path[slices.Index(path, n):]), n)
		}
		state[n] = walking
		path = append(path, n)
		for m := range next[n] {
			if cycle := walk(m); cycle != nil {
				return cycle
			}
		}
		path = path[:len(path)-1]
		state[n] = done
		return nil
	}
	for n := range next {
		if cycle := walk(n); cycle != nil {
			return cycle
		}
	}
	return nil
}
