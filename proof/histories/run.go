package histories

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how much is run.
type Config struct {
	Seed uint64        // the same seed gives the same programs; the schedules differ
	For  time.Duration // in all
	// Operations and Faults are how many are to be reached: the last part goes on
	// until they are, for at most half of For.
	Operations, Faults int
	// Parallel is how many histories are run at once, which is a matter of how long
	// they wait for what was lost; fewer where nothing is. Default 256.
	Parallel int
	Out      io.Writer // a line for each part, and every anomaly
}

// Figures are what was checked and found.
type Figures struct {
	Histories    int
	Transactions int // attempts included
	Operations   int // see the package comment
	Registers    int // of Operations, those checked by porcupine
	Memcached    int // of Operations, those over memcached
	Unknown      int // transactions on lists of unknown outcome
	Faults       int // injected, kills and deaths included
	Kills        int // of servers
	Deaths       int // of clients
	Lost         int // lives of sessions that ended with their server
	Window       int // transactions that lost a part with a server, as documented
	Anomalies    int
	Unchecked    int          // histories that porcupine could not decide in time: no less a failure
	Allowed      map[Name]int // at levels that allow them
}

func (f *Figures) add(g Figures) {
	f.Histories += g.Histories
	f.Transactions += g.Transactions
	f.Operations += g.Operations
	f.Registers += g.Registers
	f.Memcached += g.Memcached
	f.Unknown += g.Unknown
	f.Faults += g.Faults
	f.Kills += g.Kills
	f.Deaths += g.Deaths
	f.Lost += g.Lost
	f.Window += g.Window
	f.Anomalies += g.Anomalies
	f.Unchecked += g.Unchecked
	for n, k := range g.Allowed {
		if f.Allowed == nil {
			f.Allowed = map[Name]int{}
		}
		f.Allowed[n] += k
	}
}

func (f Figures) String() string {
	return fmt.Sprintf("%d histories, %d operations (%d reads of and appends to lists in transactions that committed or may have, %d transactions on registers; %d over memcached), %d faults injected (%d kills of servers and %d deaths of clients among them), %d unknown outcomes, %d sessions lost with their server, %d histories not decided in time, %d anomalies",
		f.Histories, f.Operations, f.Operations-f.Registers, f.Registers, f.Memcached, f.Faults, f.Kills, f.Deaths, f.Unknown, f.Lost, f.Unchecked, f.Anomalies)
}

// programs are run in turn.
var programs = []struct {
	Shape
	registers bool
}{
	{Shape: Shape{Level: MergeLevel, Clients: 4, Each: 20, Sessions: 3, Keys: 2}},
	{Shape: Shape{Level: SerializableLevel, Clients: 4, Each: 20, Sessions: 3, Keys: 2}},
	{Shape: Shape{Level: StrictLevel, Clients: 4, Each: 25, Sessions: 2, Keys: 3}},
	{Shape: Shape{Level: MergeLevel, Clients: 4, Each: 15, Sessions: 2, Keys: 2, Destroys: true}},
	{Shape: Shape{Level: SerializableLevel, Clients: 4, Each: 15, Sessions: 2, Keys: 2, Destroys: true}},
	{Shape: Shape{Level: MergeLevel, Clients: 4, Each: 20, Sessions: 2}, registers: true},
	{Shape: Shape{Level: SerializableLevel, Clients: 4, Each: 20, Sessions: 2}, registers: true},
}

// opener opens places.
type opener interface {
	open(ctx context.Context, shape Shape, seed uint64, n int) (*place, error)
}

// suite runs programs at one kind of place.
type suite struct {
	cfg      Config
	from     opener
	parallel int  // histories at once
	lists    bool // no registers: sessions may be lost

	next *atomic.Int64 // number of the next history

	mu      sync.Mutex
	figures Figures
	errs    []error
}

// run runs histories until the time is over and enough says so.
func (s *suite) run(ctx context.Context, d time.Duration, enough func(Figures) bool) (Figures, error) {
	begin := time.Now()
	var all sync.WaitGroup
	for range s.parallel {
		all.Go(func() {
			for ctx.Err() == nil {
				s.mu.Lock()
				over := time.Since(begin) > d && enough(s.figures) || len(s.errs) > 0 || time.Since(begin) > d+s.cfg.For/2
				s.mu.Unlock()
				if over {
					return
				}
				if err := s.one(ctx, int(s.next.Add(1))); err != nil && ctx.Err() == nil {
					s.mu.Lock()
					s.errs = append(s.errs, err)
					s.mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return s.figures, errors.Join(append(s.errs, ctx.Err())...)
}

// one runs and checks history n.
func (s *suite) one(ctx context.Context, n int) error {
	program := programs[n%len(programs)]
	if program.registers && s.lists {
		return nil
	}
	p, err := s.from.open(ctx, program.Shape, s.cfg.Seed, n)
	if err != nil {
		return err
	}
	if p.close != nil {
		defer p.close()
	}
	fail := func(err error) error {
		return fmt.Errorf("seed %d, history %d, %v: %w", s.cfg.Seed, n, program.Level, err)
	}
	f := Figures{Histories: 1, Allowed: map[Name]int{}}
	if program.registers {
		history, err := p.runRegisters(s.cfg.Seed, n, program.Each)
		if err != nil {
			return fail(err)
		}
		f.Operations, f.Registers, f.Transactions = len(history), len(history), len(history)
		if err := CheckRegisters(history); err != nil {
			if errors.Is(err, errUnchecked) {
				f.Unchecked++
			} else {
				f.Anomalies++
			}
			s.tell(fail(err).Error())
		}
	} else {
		h, err := p.run(program.Shape, s.cfg.Seed, n)
		if err != nil {
			return fail(err)
		}
		r := Check(h, program.Level)
		f.Operations, f.Lost, f.Window, f.Transactions = r.Operations, r.Lost, r.Window, len(h.Txns)
		f.Anomalies = len(r.Anomalies)
		for _, a := range r.Anomalies {
			s.tell(fail(errors.New(a.String())).Error())
		}
		for name, k := range r.Allowed {
			f.Allowed[Name(fmt.Sprintf("%s under %v", name, program.Level))] += k
		}
		for _, t := range h.Txns {
			if t.Outcome == Unknown {
				f.Unknown++
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.figures.add(f)
	return nil
}

func (s *suite) tell(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(s.cfg.Out, text)
}

// Run runs programs over memory, memcached in a storm of faults, the same with
// servers that are killed, and stores that lose and delay with clients that die;
// and checks every history.
//
// It is an error as well if no history under Merge shows write skew, which is
// allowed there: then the programs could not have shown it elsewhere.
func Run(ctx context.Context, cfg Config) (Figures, error) {
	if cfg.Parallel == 0 {
		cfg.Parallel = 256
	}
	var all Figures
	var errs []error
	var next atomic.Int64
	part := func(name string, f Figures, err error) {
		all.add(f)
		fmt.Fprintf(cfg.Out, "histories, %s: %v\n", name, f)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	suiteOf := func(from opener, parallel int, lists bool) *suite {
		return &suite{cfg: cfg, from: from, parallel: parallel, lists: lists, next: &next}
	}
	timely := func(Figures) bool { return true }

	f, err := suiteOf(&memory{}, cfg.Parallel/4, false).run(ctx, cfg.For*10/100, timely)
	part("memory", f, err)

	for _, kills := range []bool{false, true} {
		name := map[bool]string{false: "memcached", true: "memcached with restarts"}[kills]
		m, err := startMemcached(ctx, cfg.Seed, kills)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		f, err := suiteOf(m, min(12, cfg.Parallel/2), kills).run(ctx, cfg.For*20/100, timely)
		faults, stormErr := m.close()
		f.Faults, f.Kills, f.Memcached = faults, int(m.killed.Load()), f.Operations
		part(name, f, errors.Join(err, stormErr))
	}

	m := &memory{unreliable: true}
	f, err = suiteOf(m, cfg.Parallel, false).run(ctx, cfg.For*50/100, func(f Figures) bool {
		return all.Operations+f.Operations >= cfg.Operations && all.Faults+int(m.faults.Load()) >= cfg.Faults
	})
	f.Faults, f.Deaths = int(m.faults.Load()), int(m.deaths.Load())
	part("unreliable store", f, err)

	skew := Name(fmt.Sprintf("%s under %v", G2, MergeLevel))
	switch {
	case all.Anomalies+all.Unchecked > 0:
		errs = append(errs, fmt.Errorf("%d anomalies, %d histories not decided", all.Anomalies, all.Unchecked))
	case all.Allowed[skew] == 0:
		errs = append(errs, errors.New("no history under Merge shows write skew: these programs prove nothing"))
	}
	if all.Operations < cfg.Operations || all.Faults < cfg.Faults {
		errs = append(errs, fmt.Errorf("%d operations and %d faults, want %d and %d", all.Operations, all.Faults, cfg.Operations, cfg.Faults))
	}
	for _, name := range sortedKeys(all.Allowed) {
		fmt.Fprintf(cfg.Out, "histories, allowed and seen: %s, in %d places\n", name, all.Allowed[name])
	}
	return all, errors.Join(errs...)
}
