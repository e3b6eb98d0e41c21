package sessiondata_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// look reads the session in a transaction of its own, and reports whether it
// was there.
func look(t *testing.T, c *sd.Container, id string) (there bool) {
	t.Helper()
	require.NoError(t, c.View(t.Context(), id, func(s *sd.Session) error {
		there = !s.IsNew()
		return nil
	}))
	return there
}

func TestRule02_AccessIsRecordedAtMostOncePerResolution(t *testing.T) {
	clock := newClock()
	w := newWire()
	c := container(t, w, sd.Config{Timeout: time.Hour, Resolution: 10 * time.Minute, Now: clock.Now})
	set(t, c, "id", "p", "k", 1)
	start := clock.Now()
	for minute := range 60 {
		w.forget()
		due := minute > 0 && minute%11 == 0
		tx, s := begin(t, c, "id")
		require.Equal(t, due, s.AccessDue(), "minute %d", minute)
		recorded := start.Add(time.Duration(minute-1) / 11 * 11 * time.Minute)
		if minute == 0 {
			recorded = start
		}
		require.True(t, recorded.Equal(s.LastAccess()), "minute %d: %v", minute, s.LastAccess())
		require.Equal(t, sd.Unmodified, s.Status())
		require.NoError(t, tx.Commit(t.Context()))
		if due {
			require.Equal(t, []string{"get", "swap"}, w.ops(), "minute %d", minute)
		} else {
			require.Equal(t, []string{"get"}, w.ops(), "minute %d", minute)
		}
		clock.move(time.Minute)
	}
}

func TestRule02_AnAccessThatCannotBeRecordedIsNoError(t *testing.T) {
	clock := newClock()
	w := newWire()
	c := container(t, w, sd.Config{Now: clock.Now})
	set(t, c, "id", "p", "k", 1)
	clock.move(30 * time.Minute)
	for _, err := range []error{sd.ErrConflict, sd.ErrNotFound, sd.ErrUnavailable, errNoReply, errOne} {
		w.answer(func(c call, pass func() error) error {
			if c.write() {
				return err
			}
			return pass()
		})
		require.True(t, look(t, c, "id"))
		require.Equal(t, []string{"get", "swap"}, w.ops(), "it is tried once")
	}
	w.answer(nil)
	require.NoError(t, c.View(t.Context(), "id", func(s *sd.Session) error {
		require.True(t, s.AccessDue(), "the next one records it")
		return nil
	}))
	require.Equal(t, []string{"get", "swap"}, w.ops())
}

func TestRule02_AccessesOfAllSessionsThatAreDueAreRecorded(t *testing.T) {
	clock := newClock()
	w := newWire()
	c, other := container(t, w, sd.Config{Now: clock.Now}), container(t, w, sd.Config{Now: clock.Now, Name: "other"})
	for _, id := range []string{"a", "b", "c"} {
		set(t, c, id, "p", "k", 1)
	}
	set(t, other, "a", "p", "k", 1)
	clock.move(30 * time.Minute)
	w.forget()
	tx := sd.Begin()
	for _, id := range []string{"a", "b", "c"} {
		open(t, c, tx, id)
	}
	open(t, other, tx, "a")
	require.NoError(t, open(t, c, tx, "c").Destroy())
	require.NoError(t, tx.Commit(t.Context()))
	require.Len(t, w.writes(), 4)
	for _, id := range []string{"a", "b"} {
		_, s := begin(t, c, id)
		require.True(t, clock.Now().Equal(s.LastAccess()))
	}
}

func TestRule02_AnEndedContextRecordsNoAccess(t *testing.T) {
	clock := newClock()
	w := newWire()
	c := container(t, w, sd.Config{Now: clock.Now})
	set(t, c, "id", "p", "k", 1)
	clock.move(30 * time.Minute)
	tx, _ := begin(t, c, "id")
	w.forget()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, tx.Commit(ctx), "nothing was to be written")
	require.Empty(t, w.ops())
}

func TestRule20_ASessionEndsAfterTimeoutAndResolutionAndNotBefore(t *testing.T) {
	clock := newClock()
	c := container(t, newWire(), sd.Config{Timeout: time.Hour, Resolution: time.Minute, Now: clock.Now})
	set(t, c, "id", "p", "k", 1)
	_, s := begin(t, c, "id")
	require.True(t, clock.Now().Add(61*time.Minute).Equal(s.Deadline()))
	clock.move(61 * time.Minute)
	tx, s := begin(t, c, "id")
	require.False(t, s.IsNew())
	require.True(t, s.AccessDue())
	require.NoError(t, tx.Rollback(), "an access that is rolled back is none")
	clock.move(1)
	_, s = begin(t, c, "id")
	require.True(t, s.IsNew())
	require.Empty(t, contents(t, s))
	require.Zero(t, s.LastAccess())
	_, err := c.Existing(t.Context(), sd.Begin(), "id")
	require.ErrorIs(t, err, sd.ErrNotFound)
}

func TestRule20_AnExpiredSessionIsReplacedByAnotherOne(t *testing.T) {
	clock := newClock()
	w := newWire()
	c := container(t, w, sd.Config{Now: clock.Now})
	set(t, c, "id", "p", "old", 1)
	slow, s := begin(t, c, "id")
	require.NoError(t, s.Pkg("p").Set("slow", 1))
	clock.move(2 * time.Hour)
	w.forget()
	set(t, c, "id", "p", "new", 1)
	require.Equal(t, []string{"get", "swap"}, w.ops(), "it lies there until the store drops it")
	require.Equal(t, pkg("p", map[string]any{"new": int64(1)}), stored(t, c, "id"))
	_, now := begin(t, c, "id")
	require.True(t, clock.Now().Equal(now.Created()))
	require.ErrorIs(t, slow.Commit(t.Context()), sd.ErrGone)
	require.Equal(t, pkg("p", map[string]any{"new": int64(1)}), stored(t, c, "id"))
}

func TestRule20_TwoThatReplaceAnExpiredSessionKeepBothTheirChanges(t *testing.T) {
	clock := newClock()
	c := container(t, newWire(), sd.Config{Now: clock.Now})
	set(t, c, "id", "p", "old", 1)
	clock.move(2 * time.Hour)
	tx, s := begin(t, c, "id")
	require.NoError(t, s.Pkg("p").Set("a", 1))
	set(t, c, "id", "p", "b", 2)
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, pkg("p", map[string]any{"a": int64(1), "b": int64(2)}), stored(t, c, "id"))
}

func TestRule20_ASessionThatExpiresWhileItIsUsedIsKeptByItsCommit(t *testing.T) {
	clock := newClock()
	c := container(t, newWire(), sd.Config{Now: clock.Now})
	set(t, c, "id", "p", "k", 1)
	tx, s := begin(t, c, "id")
	require.NoError(t, s.Pkg("p").Set("k2", 2))
	clock.move(10 * time.Hour) // a very long request
	require.NoError(t, tx.Commit(t.Context()))
	require.Len(t, stored(t, c, "id")["p"], 2)
}

func TestRule20_ClocksThatGoBackwards(t *testing.T) {
	clock := newClock()
	w := newWire()
	c := container(t, w, sd.Config{Now: clock.Now})
	set(t, c, "id", "p", "k", 1)
	at := clock.Now()
	for _, back := range []time.Duration{time.Second, 100 * time.Hour, 100 * 365 * 24 * time.Hour} {
		clock.move(-back)
		w.forget()
		tx, s := begin(t, c, "id")
		require.False(t, s.IsNew())
		require.False(t, s.AccessDue())
		require.NoError(t, tx.Commit(t.Context()))
		require.Empty(t, w.writes())
		set(t, c, "id", "p", "k", back.String())
		_, s = begin(t, c, "id")
		require.True(t, at.Equal(s.LastAccess()), "the later one counts")
		require.True(t, at.Equal(s.Created()))
		clock.move(back)
	}
}

func TestRule20_TimeoutsOverThirtyDays(t *testing.T) {
	const day = 24 * time.Hour
	clock := newClock()
	w := newWire()
	c := container(t, w, sd.Config{Timeout: 400 * day, Resolution: day, Now: clock.Now})
	set(t, c, "id", "p", "k", 1)
	require.Equal(t, 402*day, w.writes()[0].ttl)
	clock.move(401 * day)
	require.True(t, look(t, c, "id"))
	clock.move(401*day + 1)
	require.False(t, look(t, c, "id"))
}

func TestRule20_NoTimeoutLivesForEverOrForItsLifetime(t *testing.T) {
	const year = 365 * 24 * time.Hour
	clock := newClock()
	w := newWire()
	c := container(t, w, sd.Config{Timeout: sd.NoTimeout, Now: clock.Now})
	set(t, c, "id", "p", "k", 1)
	require.Zero(t, w.writes()[0].ttl)
	clock.move(100 * year)
	w.forget()
	require.True(t, look(t, c, "id"))
	require.Equal(t, []string{"get"}, w.ops(), "an access alone is not recorded")

	c = container(t, w, sd.Config{Name: "life", Timeout: sd.NoTimeout, Lifetime: year, Now: clock.Now})
	set(t, c, "id", "p", "k", 1)
	require.Equal(t, year, w.writes()[0].ttl)
	clock.move(year - 1)
	require.True(t, look(t, c, "id"))
	clock.move(1)
	require.False(t, look(t, c, "id"))
}

func TestRule20_ALifetimeEndsASessionHoweverMuchItIsUsed(t *testing.T) {
	clock := newClock()
	w := newWire()
	cfg := sd.Config{Timeout: time.Hour, Lifetime: 150 * time.Minute, Now: clock.Now}
	c := container(t, w, cfg)
	set(t, c, "id", "p", "k", 1)
	end := clock.Now().Add(150 * time.Minute)
	for range 4 {
		clock.move(30 * time.Minute)
		require.True(t, look(t, c, "id"))
	}
	_, s := begin(t, c, "id")
	require.True(t, end.Equal(s.Deadline()))
	w.forget()
	set(t, c, "id", "p", "k", 2)
	require.Equal(t, 30*time.Minute, w.writes()[0].ttl)

	cfg.Lifetime = 1000 * time.Hour
	_, s = begin(t, container(t, w, cfg), "id")
	require.True(t, end.Equal(s.Deadline()), "it keeps the lifetime that it was created with")
	clock.move(30 * time.Minute)
	require.False(t, look(t, c, "id"))
}

func TestRule20_SetTimeoutSurvivesAReloadAndIsKeptToTheSecond(t *testing.T) {
	for _, d := range []time.Duration{time.Second, 10 * time.Minute, 45 * 24 * time.Hour, sd.NoTimeout} {
		clock := newClock()
		w := newWire()
		c := container(t, w, sd.Config{Timeout: time.Hour, Resolution: time.Minute, Now: clock.Now})
		set(t, c, "id", "p", "k", 1)
		update(t, c, "id", func(s *sd.Session) { require.NoError(t, s.SetTimeout(d)) })
		set(t, c, "id", "p", "k", 2)
		_, s := begin(t, c, "id")
		require.Equal(t, d, s.Timeout())
		writes := w.writes()
		if last := writes[len(writes)-1].ttl; d == sd.NoTimeout {
			require.Zero(t, last)
			require.True(t, s.Deadline().IsZero())
			clock.move(10000 * time.Hour)
			require.True(t, look(t, c, "id"))
		} else {
			require.Equal(t, d+2*time.Minute, last)
			clock.move(d + time.Minute)
			require.True(t, look(t, c, "id"))
			clock.move(d + time.Minute + 1)
			require.False(t, look(t, c, "id"))
		}
	}
}

func TestRule20_SetTimeoutZeroIsTheContainersAgain(t *testing.T) {
	w := newWire()
	c := container(t, w)
	update(t, c, "id", func(s *sd.Session) {
		require.NoError(t, s.SetTimeout(2*time.Hour))
		require.ErrorIs(t, s.SetTimeout(-2), sd.ErrInvalid)
		require.Equal(t, 2*time.Hour, s.Timeout())
	})
	update(t, c, "id", func(s *sd.Session) { require.NoError(t, s.SetTimeout(0)) })
	_, s := begin(t, container(t, w, sd.Config{Timeout: 7 * time.Hour}), "id")
	require.Equal(t, 7*time.Hour, s.Timeout())
}

func TestRule20_DeadlineIsWhatTheCommitWillRecord(t *testing.T) {
	clock := newClock()
	c := container(t, newWire(), sd.Config{Timeout: time.Hour, Resolution: 10 * time.Minute, Now: clock.Now})
	set(t, c, "id", "p", "k", 1)
	at := clock.Now()
	for minutes, recorded := range map[int]bool{5: false, 10: false, 11: true} {
		clock.move(time.Duration(minutes) * time.Minute)
		_, s := begin(t, c, "id")
		want := at
		if recorded {
			want = clock.Now()
		}
		require.True(t, want.Add(70*time.Minute).Equal(s.Deadline()), "after %d minutes", minutes)
		require.NoError(t, s.Pkg("p").Set("k", 2))
		require.True(t, clock.Now().Add(70*time.Minute).Equal(s.Deadline()), "a change is an access")
		require.NoError(t, s.SetTimeout(2*time.Hour))
		require.True(t, clock.Now().Add(130*time.Minute).Equal(s.Deadline()))
		require.NoError(t, s.SetTimeout(sd.NoTimeout))
		require.True(t, s.Deadline().IsZero())
		clock.move(-time.Duration(minutes) * time.Minute)
	}
}

// The embedded store's own expiry, and the sessions', by one clock.
func TestRule21_TheStoreDropsWhatHasEndedAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		c := container(t, w, sd.Config{Timeout: time.Hour, Resolution: time.Minute})
		set(t, c, "used", "p", "k", 1)
		set(t, c, "idle", "p", "k", 1)
		for range 50 {
			time.Sleep(59 * time.Minute)
			require.True(t, look(t, c, "used"))
		}
		require.False(t, look(t, c, "idle"))
		require.Len(t, keys(t, w.Store), 1)
		time.Sleep(61*time.Minute + 1)
		require.Len(t, keys(t, w.Store), 1, "the session has ended before the item")
		require.False(t, look(t, c, "used"))
		time.Sleep(time.Minute)
		require.Empty(t, keys(t, w.Store))
	})
}

func TestRule21_EveryWriteOfEveryKindHasATTL(t *testing.T) {
	clock := newClock()
	w := newWire()
	c := container(t, w, sd.Config{Now: clock.Now})
	want := time.Hour + 10*time.Minute
	set(t, c, "id", "p", "k", 1)
	set(t, c, "id", "p", "k", 2)
	clock.move(30 * time.Minute)
	require.True(t, look(t, c, "id"))
	var renewed string
	update(t, c, "id", func(s *sd.Session) { renewed, _ = s.Renew() })
	tx, s := begin(t, c, renewed)
	_, err := s.Renew()
	require.NoError(t, err)
	set(t, c, renewed, "p", "k", 3)
	require.NoError(t, tx.Commit(t.Context()))
	n := 0
	for _, write := range w.writes() {
		if write.op != "delete" {
			n++
			require.Equal(t, want, write.ttl, write.op)
		}
	}
	require.Equal(t, 7, n)
}
