package memcachestore

import (
	"math"
	"time"
)

const (
	// relativeMax: memcached takes more seconds than these (REALTIME_MAXDELTA,
	// 30 days) as a Unix time, and so as a date in 1970.
	relativeMax = 30 * 24 * 60 * 60
	// expireNow as the expiry of a cas makes it a compare-and-delete.
	expireNow = -1
)

// expiration returns what to send so that an item lives at least ttl on a server
// whose clock says now, and at most two seconds longer. ttl is not negative; 0
// never expires.
//
// An item sent with n seconds lives n-1 to n, as the server's clock ticks in
// whole seconds: hence one more. The protocol's dates end with an int32, on
// 2038-01-19; what would end later gets the last expiry that can be said: that
// date, or 30 days where that is later.
func expiration(ttl time.Duration, now time.Time) int32 {
	if ttl == 0 {
		return 0
	}
	if n := ceilSeconds(ttl) + 1; n <= relativeMax {
		return int32(n)
	}
	// now may be a tick behind: again one second more.
	date := now.Add(time.Second)
	end := date.Unix() + int64(ttl/time.Second)
	if rest := time.Duration(date.Nanosecond()) + ttl%time.Second; rest > 0 {
		end += ceilSeconds(rest)
	}
	if end <= math.MaxInt32 {
		return int32(end)
	}
	if math.MaxInt32-now.Unix() < relativeMax {
		return relativeMax
	}
	return math.MaxInt32
}

func ceilSeconds(d time.Duration) int64 {
	n := int64(d / time.Second)
	if d%time.Second > 0 {
		n++
	}
	return n
}
