package sessiondata_test

import (
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// timedModel is when a session ends, by the formulas alone: idle timeout,
// recorded accesses, absolute lifetime. Times are seen through the public methods
// of sessions, and the TTL as it goes to the store, whose own clock stands still.
type timedModel struct {
	t     *rapid.T
	cfg   sd.Config
	clock *clock
	wire  *wire
	c     *sd.Container

	id              string
	there           bool
	created, access time.Time
	own             time.Duration // 0: the container's
}

const ns = time.Nanosecond

// idle returns the timeout in force for an own one; false: none.
func (m *timedModel) idle(own time.Duration) (time.Duration, bool) {
	if own == 0 {
		own = m.cfg.Timeout
	}
	return own, own != sd.NoTimeout
}

// deadline is the moment until which the session lives, as the formulas have it:
// at an idle deadline it is still there, at the end of its lifetime no more.
func (m *timedModel) deadline(created, access time.Time, own time.Duration) (at time.Time, byLife, ok bool) {
	if d, idles := m.idle(own); idles {
		at, ok = access.Add(d+m.cfg.Resolution), true
	}
	if m.cfg.Lifetime > 0 {
		if end := created.Add(m.cfg.Lifetime); !ok || end.Before(at) {
			return end, true, true
		}
	}
	return at, false, ok
}

func (m *timedModel) expired(now time.Time) bool {
	if m.cfg.Lifetime > 0 && !m.created.Add(m.cfg.Lifetime).After(now) {
		return true
	}
	d, idles := m.idle(m.own)
	return idles && m.access.Add(d+m.cfg.Resolution).Before(now)
}

func (m *timedModel) due(now time.Time) bool {
	_, idles := m.idle(m.own)
	return idles && m.access.Add(m.cfg.Resolution).Before(now)
}

// ttl is min(timeout + 2*resolution, end of lifetime - now), in whole seconds,
// rounded up, and at least one.
func (m *timedModel) ttl(now, created time.Time, own time.Duration) time.Duration {
	d, idles := m.idle(own)
	var left *big.Int
	if idles {
		left = new(big.Int).Add(big.NewInt(int64(d)), big.NewInt(2*int64(m.cfg.Resolution)))
	}
	if m.cfg.Lifetime > 0 {
		if end := big.NewInt(int64(created.Add(m.cfg.Lifetime).Sub(now))); left == nil || end.Cmp(left) < 0 {
			left = end
		}
	}
	if left == nil {
		return 0
	}
	seconds := new(big.Int).Add(left, big.NewInt(int64(time.Second-1)))
	seconds.Div(seconds, big.NewInt(int64(time.Second)))
	return time.Duration(max(seconds.Int64(), 1)) * time.Second
}

// edges are the moments at which something changes.
func (m *timedModel) edges() []time.Time {
	all := []time.Time{m.access.Add(m.cfg.Resolution), m.created.Add(m.cfg.Lifetime), m.created, m.access}
	if d, _, ok := m.deadline(m.created, m.access, m.own); ok {
		all = append(all, d)
	}
	if d, idles := m.idle(m.own); idles {
		all = append(all, m.access.Add(d))
	}
	return all
}

var nudges = rapid.SampledFrom([]time.Duration{0, 0, ns, -ns, time.Second, -time.Second, time.Second - ns})

// move sets the clock: near an edge, on by some time, or back.
func (m *timedModel) move() {
	now := m.clock.Now()
	switch rapid.IntRange(0, 3).Draw(m.t, "how the clock moves") {
	case 0, 1:
		if m.there {
			now = rapid.SampledFrom(m.edges()).Draw(m.t, "edge").Add(nudges.Draw(m.t, "nudge"))
		}
	case 2:
		now = now.Add(time.Duration(rapid.Int64Range(0, int64(40*24*time.Hour)).Draw(m.t, "on")))
	case 3:
		now = now.Add(-time.Duration(rapid.Int64Range(0, int64(3*time.Hour)).Draw(m.t, "back")))
	}
	m.clock.move(now.Sub(m.clock.Now()))
}

// use opens the session, changes it or not, and commits; the clock may move
// meanwhile.
func (m *timedModel) use() {
	t := m.t
	loaded := m.clock.Now()
	isNew := !m.there || m.expired(loaded)
	before := *m
	stored := false
	defer func() {
		if !stored { // what has expired stays as it was
			m.created, m.access, m.own = before.created, before.access, before.own
		}
	}()
	if isNew {
		m.created, m.access, m.own = loaded, loaded, 0
	}
	due := !isNew && m.due(loaded)
	how := rapid.SampledFrom([]string{"view", "view", "read", "set", "timeout", "renew"}).Draw(t, "use")
	value := rapid.IntRange(0, 1<<30).Draw(t, "value")
	own := m.own
	if how == "timeout" {
		own = rapid.SampledFrom([]time.Duration{0, sd.NoTimeout, m.cfg.Timeout, time.Second, m.cfg.Resolution, 90 * time.Minute, 31 * 24 * time.Hour}).Draw(t, "own")
	}
	changed := how == "set" || own != m.own || how == "renew" && !isNew
	during := rapid.IntRange(0, 2).Draw(t, "moves meanwhile") == 0
	moved := false

	m.wire.forget()
	id := m.id
	use := m.c.Update
	if how == "view" {
		use = m.c.View
	}
	require.NoError(t, use(t.Context(), m.id, func(s *sd.Session) (err error) {
		require.False(t, moved, "it is run once")
		moved = true
		require.Equal(t, isNew, s.IsNew())
		require.True(t, m.created.Equal(s.Created()))
		if isNew {
			require.Zero(t, s.LastAccess())
		} else {
			require.True(t, m.access.Equal(s.LastAccess()))
		}
		require.Equal(t, due, s.AccessDue())
		in, _ := m.idle(m.own)
		require.Equal(t, in, s.Timeout())
		switch how {
		case "set":
			err = s.Pkg("p").Set("k", value)
			changed = s.Status() == sd.Modified // another value than before
		case "timeout":
			err = s.SetTimeout(own)
		case "renew":
			id, err = s.Renew()
		}
		require.NoError(t, err)
		in, _ = m.idle(own)
		require.Equal(t, in, s.Timeout())
		require.Equal(t, changed, s.Status() == sd.Modified)
		if during {
			m.move()
		}
		access := m.access
		if due || changed {
			access = latest(access, m.clock.Now())
		}
		want, _, ok := m.deadline(m.created, access, own)
		if ok {
			require.True(t, want.Equal(s.Deadline()), "%v, want %v", s.Deadline(), want)
		} else {
			require.Zero(t, s.Deadline())
		}
		return nil
	}))

	now := m.clock.Now()
	writes := m.wire.writes()
	if !changed && !due {
		require.Empty(t, writes)
		return
	}
	require.NotEmpty(t, writes)
	stored = true
	m.there, m.own, m.access = true, own, latest(m.access, now)
	if how == "renew" {
		m.id = id
	}
	require.Equal(t, m.ttl(now, m.created, own), writes[0].ttl, "%s, new: %v", how, isNew)
	require.Equal(t, !changed || how != "renew" || isNew, len(writes) == 1)
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// A session that is opened, viewed, changed and given timeouts of its own by a
// clock that goes on, stands at the edges to the nanosecond, and goes back.
func TestModel_Rule20_SessionsEndByTheFormulasWhateverTheClockDoes(t *testing.T) {
	ended := 0
	rapid.Check(t, func(t *rapid.T) {
		m := &timedModel{t: t, clock: newClock(), wire: newWire(), id: "id"}
		m.cfg = sd.Config{
			Timeout:  rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, 2*time.Hour + ns, 45 * 24 * time.Hour, sd.NoTimeout}).Draw(t, "timeout"),
			Lifetime: rapid.SampledFrom([]time.Duration{0, 0, 30 * time.Minute, 12 * time.Hour, 60 * 24 * time.Hour}).Draw(t, "lifetime"),
			Now:      m.clock.Now,
		}
		if m.cfg.Timeout > 0 && rapid.Bool().Draw(t, "own resolution") {
			m.cfg.Resolution = time.Duration(rapid.Int64Range(1, int64(m.cfg.Timeout)-1).Draw(t, "resolution"))
		}
		var err error
		m.c, err = sd.NewContainer(m.wire, m.cfg)
		require.NoError(t, err)
		m.cfg = m.c.Config()
		// The store forgets nothing by itself: when it may is the TTL's matter.
		m.wire.Store = memstore.New(memstore.Config{Now: newClock().Now})
		for range rapid.SampledFrom([]int{1, 5, 15, 30}).Draw(t, "uses") {
			m.move()
			if m.there && m.expired(m.clock.Now()) {
				ended++
			}
			m.use()
		}
	})
	require.NotZero(t, ended)
}
