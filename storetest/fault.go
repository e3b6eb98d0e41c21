package storetest

import (
	"errors"
	"fmt"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// Fault is a kind of failure that [Faulty] injects.
type Fault int

const (
	// None: the call goes through.
	None Fault = iota
	// Refuse: a write fails before it is applied. ErrUnavailable.
	Refuse
	// LoseRequest: a write never arrives. ErrOutcomeUnknown; not applied.
	LoseRequest
	// LoseReply: the answer to a write is lost. ErrOutcomeUnknown; the store
	// has dealt with it, and applied it if its condition held.
	LoseReply
	// Delay: a write is on its way for long. ErrOutcomeUnknown at once; the
	// store deals with it some calls later.
	Delay
	// FailRead: Get, Ping or Keys fails. ErrUnavailable.
	FailRead
	// Evict: an item that this Faulty has seen is dropped before the call, as
	// a store that is short of memory does.
	Evict
	// DieBefore: the client dies before this write has been sent. The write is
	// ErrOutcomeUnknown and not applied, every later call ErrUnavailable.
	DieBefore
	// DieAfter: the client dies after this write has been sent. The write is
	// ErrOutcomeUnknown and the store has dealt with it, every later call is
	// ErrUnavailable.
	DieAfter

	faults int = iota
)

var faultNames = [faults]string{
	"None", "Refuse", "LoseRequest", "LoseReply", "Delay", "FailRead", "Evict", "DieBefore", "DieAfter",
}

func (f Fault) String() string {
	if f < 0 || int(f) >= faults {
		return fmt.Sprintf("Fault(%d)", int(f))
	}
	return faultNames[f]
}

// FaultConfig is the schedule of a [Faulty]. The zero FaultConfig injects
// nothing. It prints as a Go literal by %#v, for the log of a failed test.
type FaultConfig struct {
	// Seed determines all that is random: the same calls, made by one
	// goroutine, meet the same faults.
	Seed uint64

	// The chance, from 0 to 1, that a write meets the fault. A write meets one
	// at most, so that these sum up to at most 1.
	Refuse, LoseRequest, LoseReply, Delay float64

	// FailRead is the chance, from 0 to 1, that Get, Ping or Keys fails. A
	// listing that fails may yield some keys before.
	FailRead float64

	// Evict is the chance, from 0 to 1, that a call drops an item first.
	Evict float64

	// MaxDelay bounds the further calls after which a delayed write reaches
	// the store: 1 to MaxDelay of them. Default 16.
	MaxDelay int

	// NoDelayedAdd lets an Add pass that would be delayed. An Add that arrives
	// after its item came and went cannot be told from a new one, whereas a
	// write that compares Versions is harmless however late it is.
	NoDelayedAdd bool

	// Plan gives single writes their fault, by number: 1 is the first write
	// that this Faulty is asked for. It may hold all kinds but FailRead and
	// Evict; None lets a write pass whatever the chances. To try the death of
	// a client at each of its writes, and both fates of that write, run the
	// same work with {k: DieBefore} and {k: DieAfter} for k from 1 until
	// Faulty.Died stays false.
	Plan map[int]Fault

	// Shared leaves the wrapped store open on Close: other clients use it.
	Shared bool
}

// check returns every fault of the configuration as one error.
func (c FaultConfig) check() error {
	var errs []error
	chance := func(kind Fault, p float64) {
		if !(p >= 0 && p <= 1) { // also refuses NaN
			errs = append(errs, fmt.Errorf("FaultConfig.%v is %v, want 0 to 1", kind, p))
		}
	}
	chance(Refuse, c.Refuse)
	chance(LoseRequest, c.LoseRequest)
	chance(LoseReply, c.LoseReply)
	chance(Delay, c.Delay)
	chance(FailRead, c.FailRead)
	chance(Evict, c.Evict)
	const rounding = 1e-9
	if sum := c.Refuse + c.LoseRequest + c.LoseReply + c.Delay; sum > 1+rounding {
		errs = append(errs, fmt.Errorf("FaultConfig.Refuse, LoseRequest, LoseReply and Delay sum up to %v, want at most 1", sum))
	}
	if c.MaxDelay < 0 {
		errs = append(errs, fmt.Errorf("FaultConfig.MaxDelay is %d", c.MaxDelay))
	}
	for n, kind := range c.Plan {
		if n < 1 {
			errs = append(errs, fmt.Errorf("FaultConfig.Plan has a write %d, the first is 1", n))
		}
		switch kind {
		case None, Refuse, LoseRequest, LoseReply, Delay, DieBefore, DieAfter:
		default:
			errs = append(errs, fmt.Errorf("FaultConfig.Plan gives write %d the fault %v", n, kind))
		}
	}
	if errs == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", sd.ErrInvalid, errors.Join(errs...))
}

// The errors of injected faults. That they are injected stands in the text, so
// that a log is not mistaken for that of a real outage.
var (
	errRefused = fmt.Errorf("%w: injected: write refused", sd.ErrUnavailable)
	errLost    = fmt.Errorf("%w: injected: no reply", sd.ErrOutcomeUnknown)
	errRead    = fmt.Errorf("%w: injected: read failed", sd.ErrUnavailable)
	errDead    = fmt.Errorf("%w: injected: this client is dead", sd.ErrUnavailable)
	errDying   = fmt.Errorf("%w: injected: this client died during the write", sd.ErrOutcomeUnknown)
)
