package sessionhttp

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// Pauses between the runs of a request, with full jitter.
const (
	rerunBase = time.Millisecond
	rerunMax  = 100 * time.Millisecond
)

// serve runs the handler for one request, again after a conflict, and answers in
// its place where that fails.
func (m *Manager) serve(w http.ResponseWriter, r *http.Request, next http.Handler, in *scope) {
	request := pristine{r: r, header: keep(w.Header())}
	if r.URL != nil {
		request.url = *r.URL
	}
	if r.Body != nil && r.Body != http.NoBody && m.cfg.Attempts > 1 && r.ContentLength <= int64(m.cfg.Buffer) && m.cfg.Retry(r) {
		request.body = &recording{src: r.Body, room: m.cfg.Buffer}
	}
	for try := 1; ; try++ {
		ex := m.begin(w, &request, in, try)
		err := ex.run(next)
		if err == nil {
			return
		}
		if try >= m.cfg.Attempts || !ex.mayRunAgain(&request, err) || !pause(r.Context(), try) {
			ex.answer(noteTries(err, try))
			return
		}
		ex.w.drop()
		restore(w.Header(), request.header)
	}
}

// pristine is a request as it came, and what the response's header held then.
type pristine struct {
	r      *http.Request
	url    url.URL // handlers are known to change the one that they get
	header http.Header
	body   *recording // nil: there is none, or it is not kept
}

// begin makes the exchange of one run.
func (m *Manager) begin(w http.ResponseWriter, request *pristine, in *scope, try int) *exchange {
	ex := &exchange{m: m, tx: sd.Begin()}
	ex.scope = scope{ex: ex, outer: in}
	ctx := sd.NewContext(context.WithValue(request.r.Context(), scopeKey{}, &ex.scope), ex.tx)
	ex.r = request.r.WithContext(ctx)
	if try > 1 {
		u := request.url
		ex.r.URL = &u
	}
	if request.body != nil {
		ex.r.Body = request.body.play()
	}
	ex.w = response{ex: ex, under: w, before: request.header, length: -1}
	return ex
}

// run runs the handler, ends the transaction and sends the response. After an
// error nothing of the response has been sent.
func (ex *exchange) run(next http.Handler) error {
	returned := false
	defer func() {
		if !returned { // a panic, http.ErrAbortHandler too, or runtime.Goexit, of the handler or a hook: it goes on
			ex.abandon()
			ex.takeBack()
		}
	}()
	next.ServeHTTP(ex.w.shaped(), ex.r)
	err := ex.finish()
	ex.w.fault = err // whoever still writes is told
	returned = true
	return err
}

func (ex *exchange) finish() error {
	w := &ex.w
	switch {
	case w.fault != nil:
		return w.fault
	case w.sent:
		return nil
	}
	ex.mu.Lock()
	fault := ex.fault
	ex.mu.Unlock()
	if fault != nil && w.status == 0 {
		ex.abandon()
		return fault
	}
	if err := ex.end(w.statusOr(http.StatusOK)); err != nil {
		return err
	}
	w.send()
	return nil
}

// mayRunAgain reports whether the request can be run again after err, and
// whether that can help.
func (ex *exchange) mayRunAgain(request *pristine, err error) bool {
	if !errors.Is(err, sd.ErrConflict) || errors.Is(err, sd.ErrOutcomeUnknown) || request.r.Context().Err() != nil {
		return false
	}
	ex.mu.Lock()
	stored := ex.stored
	ex.mu.Unlock()
	switch {
	case stored:
		return false
	case request.body != nil:
		return request.body.complete()
	case request.r.Body != nil && request.r.Body != http.NoBody:
		return false
	}
	return ex.m.cfg.Retry(request.r)
}

// takeBack drops the response, unless it is on its way, but for what the visitor
// has to know of what was committed.
func (ex *exchange) takeBack() {
	if ex.w.drop(); !ex.w.sent {
		h := ex.w.under.Header()
		restore(h, ex.w.before)
		ex.tellAll(h)
	}
}

// answer has Config.Error answer for a run that failed.
func (ex *exchange) answer(err error) {
	ex.takeBack()
	ex.m.cfg.Error(ex.w.under, ex.r, err)
}

// answerError is the default of Config.Error.
func answerError(w http.ResponseWriter, _ *http.Request, err error) {
	status := statusOf(err)
	http.Error(w, http.StatusText(status), status)
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, sd.ErrOutcomeUnknown):
	case errors.Is(err, sd.ErrUnavailable):
		return http.StatusServiceUnavailable
	case errors.Is(err, sd.ErrConflict), errors.Is(err, sd.ErrGone):
		return http.StatusConflict
	case errors.Is(err, sd.ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusInternalServerError
}

// idempotent is the default of Config.Retry: the methods of RFC 9110, section
// 9.2.2.
func idempotent(r *http.Request) bool {
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// noteTries notes in a ConflictError how often the request was run.
func noteTries(err error, n int) error {
	conflict, ok := err.(*sd.ConflictError) // and nothing wrapped around it
	if !ok || n == 1 {
		return err
	}
	noted := *conflict
	noted.Attempts = n
	return &noted
}

// pause waits before the next run. It reports false if ctx ended meanwhile.
func pause(ctx context.Context, try int) bool {
	t := time.NewTimer(rand.N(min(rerunMax, rerunBase<<min(try, 10)) + 1))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
