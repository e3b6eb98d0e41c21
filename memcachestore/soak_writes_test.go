package memcachestore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// attempt is one write and what its caller was told.
type attempt struct {
	text     string // the value, which no other write uses
	previous string // the value that it was to replace; "" for an add
	outcome  outcome
	boot     int // how often its server had been started when it began
}

type outcome int

const (
	done         outcome = iota // nil
	refusedWrite                // certainly not written
	unknown
)

// ledger is what a worker did to one key, in order. No one else writes it.
type ledger struct {
	key      string
	server   int
	attempts []attempt
}

// TestSoakOfWrites writes to three servers that are killed, stopped, and whose requests
// and replies are lost, doubled and delayed. Then for every key: what is there
// was written by a write that was answered nil or with ErrOutcomeUnknown; the
// last write that was answered nil is there, or one of unknown outcome that came
// on top of it, or its server was restarted.
func TestSoakOfWrites(t *testing.T) {
	seed := seedOfSoak(t)
	const workers, keys = 12, 4
	st := newStorm(t, seed)
	s := st.open(t)
	var all sync.WaitGroup
	books := make([]*ledger, 0, workers*keys)
	for w := range workers {
		mine := make([]*ledger, keys)
		for k := range mine {
			key := fmt.Sprintf("w%dk%d", w, k)
			mine[k] = &ledger{key: key, server: st.serverOf(s, key)}
		}
		books = append(books, mine...)
		rng := rand.New(rand.NewPCG(seed, uint64(w)))
		all.Go(func() {
			for i := 0; !st.over(); i++ {
				l := mine[rng.IntN(keys)]
				l.attempts = append(l.attempts, l.write(t, s, fmt.Sprintf("%s-%d", l.key, i), st.boot(l.server)))
				if l.attempts[len(l.attempts)-1].outcome != done {
					time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
				}
			}
		})
	}
	all.Go(st.rage)
	all.Wait()
	st.calm(t, func() error {
		for _, l := range books {
			if _, err := s.Get(t.Context(), l.key); err != nil && !errors.Is(err, sd.ErrNotFound) {
				return err
			}
		}
		return nil
	})
	var count [3]int
	for _, l := range books {
		item, err := s.Get(t.Context(), l.key)
		if err != nil {
			require.ErrorIs(t, err, sd.ErrNotFound)
		}
		l.check(t, string(item.Value), st.boot(l.server))
		for _, a := range l.attempts {
			count[a.outcome]++
		}
	}
	t.Logf("%d writes done, %d certainly not, %d of unknown outcome; restarts %v", count[done], count[refusedWrite], count[unknown], st.done)
	require.Greater(t, count[done], 100)
	require.NotZero(t, count[unknown])
}

// write does one write on top of what is there.
func (l *ledger) write(t *testing.T, s *Store, text string, boot int) attempt {
	a := attempt{text: text, boot: boot}
	item, err := s.Get(t.Context(), l.key)
	switch {
	case errors.Is(err, sd.ErrNotFound):
		err = s.Add(t.Context(), l.key, []byte(text), time.Hour)
	case err != nil:
		a.outcome = refusedWrite
		return a
	default:
		a.previous = string(item.Value)
		if !strings.HasPrefix(a.previous, l.key+"-") {
			t.Errorf("another key's value under %s: %q", l.key, a.previous)
		}
		err = s.CompareAndSwap(t.Context(), l.key, []byte(text), time.Hour, item.Version)
	}
	switch {
	case err == nil:
		a.outcome = done
	case errors.Is(err, sd.ErrOutcomeUnknown):
		a.outcome = unknown
	default:
		a.outcome = refusedWrite
	}
	return a
}

// check compares what is there in the end with what was answered.
func (l *ledger) check(t *testing.T, found string, boot int) {
	t.Helper()
	at := -1
	for i, a := range l.attempts {
		if a.text == found {
			at = i
		}
		// A value that was read, or found, was written.
		if a.outcome == refusedWrite && (a.text == found || l.wasRead(a.text)) {
			t.Errorf("%s: %q is there, but was answered as certainly not written", l.key, a.text)
		}
	}
	if found != "" && at < 0 {
		t.Errorf("%s: %q was never written", l.key, found)
	}
	last := -1
	for i, a := range l.attempts {
		if a.outcome == done {
			last = i
		}
	}
	if last < 0 || last == at || l.attempts[last].boot < boot {
		return
	}
	// Not the last that was done: then one of unknown outcome took its place, by
	// a chain of them from it.
	for i := at; i > last; {
		if l.attempts[i].outcome != unknown {
			break
		}
		if l.attempts[i].previous == l.attempts[last].text {
			return
		}
		i = l.find(l.attempts[i].previous)
	}
	t.Errorf("%s: %q was answered nil, its server (boot %d) was not restarted, and %q is there", l.key, l.attempts[last].text, boot, found)
}

func (l *ledger) find(text string) int {
	for i, a := range l.attempts {
		if a.text == text {
			return i
		}
	}
	return -1
}

func (l *ledger) wasRead(text string) bool {
	for _, a := range l.attempts {
		if a.previous == text {
			return true
		}
	}
	return false
}
