// Package model checks the model of the commit protocol, proof/commit.pml, with
// spin: every configuration to the last state, every window that is documented
// by a history that shows it, and every mutant of the model by a property that
// it breaks.
package model

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Figures says what was checked.
type Figures struct {
	Configurations int              // without a violation
	States         int64            // that they stored
	Properties     int              // that mutants or windows were seen to break
	Mutants        int              // that were run
	Caught         int              // of them, by the property that is named
	Windows        int              // that were opened
	Shown          int              // of them, by a history
	Moments        map[string]int64 // how often each interesting moment was passed, in all configurations
}

// String is the summary in one line.
func (f Figures) String() string {
	return fmt.Sprintf("model: %d states of %d configurations without a violation, %d properties, %d of %d mutants caught, %d of %d windows shown",
		f.States, f.Configurations, f.Properties, f.Caught, f.Mutants, f.Shown, f.Windows)
}

// run is one call of pan.
type run struct {
	config, window, mutant string
	want                   string // the property that must break; empty: none may
	moments                []string
}

func (r run) name() string {
	name := r.config
	if r.window != "" {
		name += " window " + r.window
	}
	if r.mutant != "" {
		name += " mutant " + r.mutant
	}
	return name
}

// Run checks all of it, or with short the part that takes seconds, and writes a
// line for each run and the summary to out. An error says which run did not come
// out as it must; the figures are then those of the runs that did.
func Run(ctx context.Context, short bool, out io.Writer) (Figures, error) {
	p, err := build(ctx)
	if err != nil {
		return Figures{}, err
	}
	defer p.remove()
	runs := full()
	if short {
		runs = slices.DeleteFunc(runs, func(r run) bool { return !brief[r.name()] })
	}

	fig := Figures{Moments: map[string]int64{}}
	broken := map[string]bool{}
	var failed []string
	var mu sync.Mutex
	var all sync.WaitGroup
	places := make(chan struct{}, 2) // pan's memory bounds how many go at once
	for _, r := range runs {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			o, err := p.run(ctx, r)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				err = o.judge(r)
			}
			if r.window != "" {
				fig.Windows++
			}
			if r.mutant != "" {
				fig.Mutants++
			}
			if err != nil {
				failed = append(failed, fmt.Sprintf("%s: %v", r.name(), err))
				fmt.Fprintf(out, "FAIL %s: %v\n", r.name(), err)
				return
			}
			fmt.Fprintf(out, "%s: %s\n", r.name(), o)
			switch {
			case r.window != "":
				fig.Shown++
				broken[r.want] = true
				for i, step := range o.history {
					fmt.Fprintf(out, "    %2d. %s\n", i+1, step)
				}
			case r.mutant != "":
				fig.Caught++
				broken[r.want] = true
			default:
				fig.Configurations++
				fig.States += o.states
				for name, n := range o.moments {
					fig.Moments[name] += n
				}
			}
		})
	}
	all.Wait()
	fig.Properties = len(broken)
	if !short {
		for _, name := range slices.Sorted(maps.Keys(fig.Moments)) {
			fmt.Fprintf(out, "passed %s %d times\n", name, fig.Moments[name])
		}
	}
	fmt.Fprintln(out, fig)
	if len(failed) > 0 {
		slices.Sort(failed)
		return fig, fmt.Errorf("sessiondata: the model: %s", strings.Join(failed, "; "))
	}
	return fig, nil
}
