package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// trace is what happened beneath one request. A nil trace, of a request that
// nobody watches, notes nothing.
type trace struct {
	began time.Time

	mu sync.Mutex
	event
	refusedNow int // of the current run
}

// event is a trace as the panel shows it.
type event struct {
	ID        int    `json:"id"`
	Method    string `json:"method"`
	Path      string `json:"path"`
	Status    int    `json:"status"`
	Runs      int    `json:"runs"`
	Conflicts int    `json:"conflicts"` // runs that were taken back and made again
	Merges    int    `json:"merges"`    // commits of others that this one was merged with
	Trips     int    `json:"trips"`     // round trips to the store
	Sent      int    `json:"sent"`      // bytes
	Received  int    `json:"received"`  // bytes
	StoreTime int64  `json:"storeTime"` // microseconds
	Time      int64  `json:"time"`      // microseconds
	Steps     []step `json:"steps"`
}

// step is one thing that the handler did.
type step struct {
	Kind string `json:"kind"` // change, savepoint, back, again, id
	Text string `json:"text"`
}

type traceKey struct{}

func traceOf(ctx context.Context) *trace {
	t, _ := ctx.Value(traceKey{}).(*trace)
	return t
}

func (t *trace) roundTrip(sent, received int, took time.Duration, refused bool) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Trips++
	t.Sent += sent
	t.Received += received
	t.StoreTime += took.Microseconds()
	if refused {
		t.refusedNow++
	}
}

// run notes that the handler is about to run.
func (t *trace) run() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Runs++; t.Runs > 1 {
		t.Conflicts++
		t.Steps = append(t.Steps, step{"again", "conflict: taken back, and run again on fresh data"})
	}
	t.refusedNow = 0
}

func (t *trace) note(kind, format string, args ...any) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Steps = append(t.Steps, step{kind, fmt.Sprintf(format, args...)})
}

// end returns what is to be shown.
func (t *trace) end(status int) event {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Status = status
	t.Time = time.Since(t.began).Microseconds()
	if status < http.StatusConflict {
		t.Merges = t.refusedNow // the last run was refused, and yet came through
	}
	return t.event
}

// watched serves each request with a trace, which the panel of that browser shows.
func (s *shop) watched(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := &trace{began: time.Now()}
		t.Method, t.Path = r.Method, r.URL.Path
		topic := panelOf(w, r)
		out := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(out, r.WithContext(context.WithValue(r.Context(), traceKey{}, t)))
		s.live.publish(topic, t.end(out.status))
	})
}

// statusWriter notes the status of a response.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
