package memcachestore

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// quietFor is how long a message about a server is held back after it was
// logged.
const quietFor = 30 * time.Second

type event string

// What an operator is told. The texts are documented in docs/operating.md.
const (
	eventDown      event = "memcached server is down"
	eventUp        event = "memcached server is up again"
	eventRestarted event = "memcached server was restarted"
	eventDesync    event = "memcached replies are out of step, connections dropped"
	eventFull      event = "memcached server is full"
	eventCrowded   event = "memcached server refuses more connections"
	eventWarning   event = "memcached server setting or state to look at"
)

// journal logs events of one server, each kind at most once in quietFor, and
// then with the number of those held back.
type journal struct {
	log    *slog.Logger
	server string

	mu   sync.Mutex
	last map[event]entry
}

type entry struct {
	at   time.Time
	held int
}

// note reports whether it logged. detail tells events of one kind apart.
func (j *journal) note(level slog.Level, e event, detail string, args ...any) bool {
	j.mu.Lock()
	id := e + event(detail)
	was, known := j.last[id]
	if known && time.Since(was.at) < quietFor {
		was.held++
		j.last[id] = was
		j.mu.Unlock()
		return false
	}
	if j.last == nil {
		j.last = map[event]entry{}
	}
	j.last[id] = entry{at: time.Now()}
	j.mu.Unlock()
	args = append([]any{"server", j.server}, args...)
	if was.held > 0 {
		args = append(args, "held_back", was.held)
	}
	j.log.Log(context.Background(), level, string(e), args...)
	return true
}
