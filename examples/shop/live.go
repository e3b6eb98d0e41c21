package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// live passes events on to the panels that are open. A panel belongs to a
// browser, by a cookie of its own, so that it sees logins, logouts and a stopped
// store from outside the session.
type live struct {
	mu     sync.Mutex
	last   int
	topics map[string]*topic
	recent []string // topics, the one used last at the end
}

// topic is the events of one browser.
type topic struct {
	events    []event // the latest
	listeners map[chan event]bool
}

const (
	maxEvents = 40   // kept for a panel that opens later
	maxTopics = 1000 // browsers remembered
	maxQueue  = 64   // events that a slow panel may lag behind
)

func newLive() *live { return &live{topics: make(map[string]*topic)} }

// topic returns the topic of that name; mu is held.
func (l *live) topic(name string) *topic {
	t := l.topics[name]
	if t == nil {
		for len(l.recent) >= maxTopics {
			delete(l.topics, l.recent[0])
			l.recent = l.recent[1:]
		}
		t = &topic{listeners: make(map[chan event]bool)}
		l.topics[name] = t
		l.recent = append(l.recent, name)
	}
	return t
}

func (l *live) publish(name string, e event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topic(name)
	l.last++
	e.ID = l.last
	t.events = append(t.events, e)
	if len(t.events) > maxEvents {
		t.events = t.events[1:]
	}
	for c := range t.listeners {
		select {
		case c <- e:
		default: // it will be missing in that panel
		}
	}
}

// listen returns the events after the one with that id, and a channel of those to
// come.
func (l *live) listen(name string, after int) (past []event, next chan event, stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topic(name)
	for _, e := range t.events {
		if e.ID > after {
			past = append(past, e)
		}
	}
	next = make(chan event, maxQueue)
	t.listeners[next] = true
	return past, next, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(t.listeners, next)
	}
}

// ServeHTTP streams a browser's events to its panel (server-sent events).
func (l *live) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	after := 0
	_, _ = fmt.Sscan(r.Header.Get("Last-Event-Id"), &after) // else from the beginning
	past, next, stop := l.listen(panelOf(w, r), after)
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	send := func(e event) error {
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", e.ID, data); err != nil {
			return err
		}
		return http.NewResponseController(w).Flush()
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	for _, e := range past {
		if send(e) != nil {
			return
		}
	}
	alive := time.NewTicker(20 * time.Second)
	defer alive.Stop()
	for {
		select {
		case e := <-next:
			if send(e) != nil {
				return
			}
		case <-alive.C:
			if _, err := fmt.Fprint(w, ": still here\n\n"); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

const panelCookie = "panel"

// panelOf returns the name of a browser's panel, and gives it one where it has
// none. It protects nothing: it leads to events without values.
func panelOf(w http.ResponseWriter, r *http.Request) string {
	if c, err := r.Cookie(panelCookie); err == nil && len(c.Value) == 26 {
		return c.Value
	}
	c := &http.Cookie{Name: panelCookie, Value: rand.Text(), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	http.SetCookie(w, c)
	r.AddCookie(c)
	return c.Value
}
