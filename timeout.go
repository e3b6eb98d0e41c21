package sessiondata

import (
	"math"
	"time"
)

// NoTimeout as a timeout: the session does not end by not being used.
const NoTimeout time.Duration = -1

// The functions of this file are pure: they are given the time and never ask
// for it. Times are nanoseconds since 1970 in UTC, clamped to what an int64
// holds (1677-09-21 to 2262-04-11); durations are nanoseconds. Sums are
// clamped as well, so that a huge timeout is long instead of negative.

// lease holds what decides when a session ends.
type lease struct {
	access     int64         // last recorded access
	timeout    time.Duration // in force for this session; NoTimeout: never
	resolution time.Duration
	end        int64 // absolute end, from creation plus lifetime; 0: none
}

// expired reports whether the session has ended:
// access + timeout + resolution < now, or end <= now. A session that was used
// within its timeout has not: the recorded access may be as much as one
// resolution older than the true one.
func (l lease) expired(now int64) bool {
	if l.end != 0 && l.end <= now {
		return true
	}
	return l.timeout != NoTimeout && addTime(addTime(l.access, l.timeout), l.resolution) < now
}

// due reports whether an access at now is to be recorded:
// access + resolution < now. A session that never ends by idleness needs none.
func (l lease) due(now int64) bool {
	return l.timeout != NoTimeout && addTime(l.access, l.resolution) < now
}

// deadline is the last moment at which the session has not expired if it is not
// used again, and false where there is none.
func (l lease) deadline() (int64, bool) {
	if l.timeout == NoTimeout {
		return l.end, l.end != 0
	}
	d := addTime(addTime(l.access, l.timeout), l.resolution)
	if l.end != 0 && l.end < d {
		d = l.end
	}
	return d, true
}

// ttl is the time that the store is to keep the session for, counted from now:
// min(timeout + 2*resolution, end - now), in whole seconds, rounded up, at
// least one. 0 means for ever and is the answer only under NoTimeout without a
// lifetime. The second resolution pays for an access that is recorded late.
func (l lease) ttl(now int64) time.Duration {
	left := int64(math.MaxInt64)
	if l.timeout != NoTimeout {
		left = addTime(addTime(int64(l.timeout), l.resolution), l.resolution)
	}
	if l.end != 0 {
		left = min(left, addTime(l.end, time.Duration(-clampNeg(now))))
	} else if l.timeout == NoTimeout {
		return 0
	}
	const longest = math.MaxInt64 / int64(time.Second)
	secs := left / int64(time.Second)
	if left%int64(time.Second) > 0 && secs < longest {
		secs++
	}
	return time.Duration(max(secs, 1)) * time.Second
}

// clampNeg keeps -t from overflowing.
func clampNeg(t int64) int64 { return max(t, -math.MaxInt64) }

// addTime returns t+d, clamped.
func addTime(t int64, d time.Duration) int64 {
	s := t + int64(d)
	switch {
	case d > 0 && s < t:
		return math.MaxInt64
	case d < 0 && s > t:
		return math.MinInt64
	}
	return s
}

// nanos is t.UnixNano, clamped where that is undefined.
func nanos(t time.Time) int64 {
	const secs = math.MaxInt64 / int64(time.Second)
	switch s := t.Unix(); {
	case s >= secs:
		return math.MaxInt64
	case s <= -secs:
		return math.MinInt64
	}
	return t.UnixNano()
}

// absoluteEnd is the end of a session created at created; 0: none. An end that
// would fall on the moment 0, which stands for none, is a nanosecond later.
func absoluteEnd(created int64, lifetime time.Duration) int64 {
	if lifetime == 0 {
		return 0
	}
	if end := addTime(created, lifetime); end != 0 {
		return end
	}
	return 1
}
