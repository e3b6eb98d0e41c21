package histories

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Short histories: session 0 and 1 live as 1000 and 1001 unless a case says
// otherwise, and have been there before. Time is the number of the transaction,
// all of which overlap unless after is used.

func k(session int, name string) Key { return Key{session, 1000 + session, name} }

func read(key Key, found ...int) Op { return Op{Key: key, Found: found} }

func add(key Key, n int, found ...int) Op { return Op{Key: key, Append: n, Found: found} }

// txn is a committed transaction that overlaps with all others.
func txn(id int, ops ...Op) Txn { return Txn{ID: id, Start: 10, End: 1000, Ops: ops} }

func (t Txn) said(o Outcome) Txn    { t.Outcome = o; return t }
func (t Txn) at(from, to int64) Txn { t.Start, t.End = from, to; return t }
func (t Txn) visits(v ...Visit) Txn { t.Visits = v; return t }
func (t Txn) excused() Txn          { t.Excused = true; return t }
func lists(life int, lists map[string][]int) State {
	return State{Life: life, Lists: lists}
}

// history adds the makers of the two sessions, long ago.
func history(a, b map[string][]int, txns ...Txn) *History {
	h := &History{Final: []State{lists(1000, a), lists(1001, b)}}
	for i := range 2 {
		life := 1000 + i
		h.Txns = append(h.Txns, Txn{
			ID: life, Start: 1, End: 2, Ops: []Op{{Key: Key{i, life, Mark}, Append: life}},
			Visits: []Visit{{Session: i, Life: life, Made: true}},
		})
		h.Final[i].Lists[Mark] = []int{life}
	}
	h.Txns = append(h.Txns, txns...)
	return h
}

type state = map[string][]int

var (
	x = k(0, "x")
	y = k(1, "y")
	z = k(0, "z")
)

func names(r Report) map[Name]int {
	n := map[Name]int{}
	for _, a := range r.Anomalies {
		n[a.Name]++
	}
	return n
}

// Each anomaly, in the shortest history that shows it, is found under its name at
// the levels that forbid it; and at the others only counted.
func TestTheCheckerFindsEachAnomalyInItsShortestHistory(t *testing.T) {
	takenBack := add(x, 1)
	takenBack.TakenBack = true
	destroyed := Visit{Session: 0, Life: 1000, Destroyed: true}
	saw := Visit{Session: 0, Life: 1000}
	for name, c := range map[string]struct {
		h    *History
		want Name
	}{
		"read of what nobody wrote":   {history(state{}, state{}, txn(1, read(x, 7))), Garbage},
		"read of another list's":      {history(state{"x": {1}}, state{}, txn(1, add(x, 1)), txn(2, read(y, 1))), Garbage},
		"an append applied twice":     {history(state{"x": {1, 1}}, state{}, txn(1, add(x, 1))), Duplicate},
		"own append not seen":         {history(state{"x": {1}}, state{}, txn(1, add(x, 1), read(x))), Internal},
		"not repeatable":              {history(state{"x": {1}}, state{}, txn(1, add(x, 1)), txn(2, read(x), read(x, 1))), Internal},
		"read of an aborted append":   {history(state{}, state{}, txn(1, add(x, 1)).said(Aborted), txn(2, read(x, 1))), G1a},
		"an aborted append is there":  {history(state{"x": {1}}, state{}, txn(1, add(x, 1)).said(Aborted)), G1a},
		"what a savepoint took back":  {history(state{"x": {1}}, state{}, txn(1, takenBack)), G1a},
		"read between two appends":    {history(state{"x": {1, 2}}, state{}, txn(1, add(x, 1), add(x, 2, 1)), txn(2, read(x, 1))), G1b},
		"read before it destroyed":    {history(state{}, state{}, txn(1, add(x, 1)).visits(destroyed).at(10, 40), txn(2, read(x, 1)).visits(saw).at(30, 35)), G1b},
		"two orders":                  {history(state{"x": {1, 2}}, state{}, txn(1, add(x, 1)), txn(2, add(x, 2, 1)), txn(3, read(x, 2))), Incompatible},
		"an append is nowhere":        {history(state{}, state{}, txn(1, add(x, 1))), LostAppend},
		"read, then lost":             {history(state{"x": {2}}, state{}, txn(1, add(x, 1)).said(Unknown), txn(2, read(x, 1)), txn(3, add(x, 2))), LostAppend},
		"two count from the same":     {history(state{"x": {1, 2}}, state{}, txn(1, add(x, 1)), txn(2, add(x, 2))), LostUpdate},
		"a half":                      {history(state{"x": {1}}, state{}, txn(1, add(x, 1), add(y, 2))), Half},
		"a half of unknown outcome":   {history(state{"x": {1}}, state{}, txn(1, add(x, 1), add(y, 2)).said(Unknown)), Half},
		"stale":                       {history(state{"x": {1}}, state{}, txn(1, add(x, 1)).at(10, 20), txn(2, read(x)).at(30, 40)), Stale},
		"seen after its destruction":  {history(state{}, state{}, txn(1).visits(destroyed).at(10, 20), txn(2, read(k(0, Mark), 1000)).visits(saw).at(30, 40)), Resurrection},
		"there after its destruction": {history(state{}, state{}, txn(1).visits(destroyed).at(10, 20)), Resurrection},
		"ww cycle":                    {history(state{"x": {1, 2}}, state{"y": {3, 4}}, txn(1, add(x, 1), add(y, 4, 3)), txn(2, add(x, 2, 1), add(y, 3))), G0},
		"wr cycle":                    {history(state{"x": {1}}, state{"y": {2}}, txn(1, add(x, 1), read(y, 2)), txn(2, add(y, 2), read(x, 1))), G1c},
		"ww and rt":                   {history(state{"x": {2, 1}}, state{}, txn(1, add(x, 1, 2)).at(10, 20), txn(2, add(x, 2)).at(30, 40)), G0 + Realtime},
		"wr and rt":                   {history(state{"x": {2}}, state{}, txn(1, read(x, 2)).at(10, 20), txn(2, add(x, 2)).at(30, 40)), G1c + Realtime},
		"read skew":                   {history(state{"x": {1}}, state{"y": {2}}, txn(1, add(x, 1), add(y, 2)), txn(2, read(x), read(y, 2))), GSingle},
		"read skew in one session":    {history(state{"x": {1}, "z": {2}}, state{}, txn(1, add(x, 1), add(z, 2)), txn(2, read(x), read(z, 2))), GSingleLocal},
		"write skew":                  {history(state{"x": {1}}, state{"y": {2}}, txn(1, add(x, 1), read(y)), txn(2, add(y, 2), read(x))), G2},
		"long fork": {history(state{"x": {1}}, state{"y": {2}},
			txn(1, add(x, 1)), txn(2, add(y, 2)), txn(3, read(x, 1), read(y)), txn(4, read(x), read(y, 2))), G2},
		"destroyed on what was read": {func() *History {
			h := history(state{}, state{}, txn(1, read(x)).visits(destroyed), txn(2, add(x, 2)).visits(saw), txn(3, read(x, 2)).visits(saw))
			h.Final[0] = State{}
			return h
		}(), G2},
		"rw and rt": {history(state{"x": {1}}, state{"y": {2}},
			txn(1, add(x, 1)).at(10, 20), txn(2, add(y, 2)).at(30, 40), txn(3, read(x), read(y, 2)).at(5, 50)), GSingle + Realtime},
		"rw, rw and rt": {history(state{"x": {1}}, state{"y": {2}},
			txn(1, add(x, 1)).at(10, 20), txn(2, read(y)).at(30, 40), txn(3, read(x), add(y, 2)).at(5, 50)), G2 + Realtime},
	} {
		for _, level := range []Level{MergeLevel, SerializableLevel, StrictLevel} {
			r := Check(c.h, level)
			if c.want == GSingleLocal && level != MergeLevel {
				require.Equal(t, map[Name]int{GSingle: 1}, names(r), "%s at %v", name, level)
				continue
			}
			if level.Forbids(c.want) {
				require.Contains(t, names(r), c.want, "%s at %v: %v", name, level, r.Anomalies)
			} else {
				require.Empty(t, r.Anomalies, "%s at %v", name, level)
				require.Contains(t, r.Allowed, c.want, "%s at %v", name, level)
			}
		}
	}
}

// Lives are a matter of their own: 1000 is found, then 2000, then 1000 again.
func TestTheCheckerFindsLivesThatComeBackOrVanish(t *testing.T) {
	found := func(id, life int, from, to int64) Txn {
		return txn(id, read(Key{0, life, Mark}, life)).visits(Visit{Session: 0, Life: life}).at(from, to)
	}
	made := txn(2000, add(Key{0, 2000, Mark}, 2000)).visits(Visit{Session: 0, Life: 2000, Made: true}).at(20, 25)
	destroyed := txn(1).visits(Visit{Session: 0, Life: 1000, Destroyed: true}).said(Unknown).at(10, 15)

	h := history(state{}, state{}, destroyed, made, found(2, 1000, 30, 40))
	h.Final[0] = lists(2000, state{Mark: {2000}})
	require.Equal(t, map[Name]int{Resurrection: 1}, names(Check(h, MergeLevel)))

	h = history(state{}, state{}, destroyed, made, found(2, 1000, 18, 40))
	h.Final[0] = lists(2000, state{Mark: {2000}})
	require.Empty(t, Check(h, StrictLevel).Anomalies, "it began before the other was made")

	h = history(state{}, state{}, made)
	h.Final[0] = lists(2000, state{Mark: {2000}})
	require.Equal(t, map[Name]int{Vanished: 1}, names(Check(h, MergeLevel)), "nobody destroyed it")
	h.Lost = map[int]bool{0: true}
	r := Check(h, MergeLevel)
	require.Empty(t, r.Anomalies, "its server was restarted")
	require.Equal(t, 1, r.Lost)

	h = history(state{}, state{}, made.excused())
	require.Empty(t, Check(h, MergeLevel).Anomalies, "it was not made after all")
	h = history(state{}, state{}, destroyed.said(Committed).excused(), found(2, 1000, 30, 40))
	require.Empty(t, Check(h, MergeLevel).Anomalies, "it was not destroyed after all")
	require.Equal(t, map[Name]int{Resurrection: 1}, names(Check(history(state{}, state{}, destroyed.said(Committed)), MergeLevel)))

	// Read, appended to, lost with its server, and then destroyed on what was read.
	h = history(state{}, state{}, txn(1, read(x)).visits(Visit{Session: 0, Life: 1000, Destroyed: true}), txn(2, add(x, 2)).visits(Visit{Session: 0, Life: 1000}), txn(3, read(x, 2)).visits(Visit{Session: 0, Life: 1000}))
	h.Final[0] = State{}
	require.Equal(t, map[Name]int{G2: 1}, names(Check(h, SerializableLevel)))
	h.Lost = map[int]bool{0: true}
	require.Empty(t, Check(h, SerializableLevel).Anomalies)
}

// What has one explanation is accepted.
func TestTheCheckerAcceptsLegalHistories(t *testing.T) {
	takenBack := add(x, 9, 1)
	takenBack.TakenBack = true
	for name, h := range map[string]*History{
		"nothing":                   history(state{}, state{}),
		"one after another":         history(state{"x": {1, 2}}, state{}, txn(1, add(x, 1)).at(10, 20), txn(2, add(x, 2, 1)).at(30, 40), txn(3, read(x, 1, 2)).at(50, 60)),
		"either order":              history(state{"x": {2, 1}}, state{}, txn(1, add(x, 1, 2)), txn(2, add(x, 2)), txn(3, read(x)), txn(4, read(x, 2))),
		"own appends":               history(state{"x": {1, 2}}, state{}, txn(1, add(x, 1), read(x, 1), takenBack, add(x, 2, 1), read(x, 1, 2))),
		"two sessions":              history(state{"x": {1}}, state{"y": {2}}, txn(1, add(x, 1), add(y, 2)), txn(2, read(x), read(y)), txn(3, read(x, 1), read(y, 2))),
		"aborted":                   history(state{}, state{}, txn(1, add(x, 1)).said(Aborted), txn(2, read(x))),
		"unknown, and happened":     history(state{"x": {1}}, state{"y": {2}}, txn(1, add(x, 1), add(y, 2)).said(Unknown)),
		"unknown, and did not":      history(state{}, state{}, txn(1, add(x, 1), add(y, 2)).said(Unknown)),
		"unknown, and later":        history(state{"x": {1}}, state{}, txn(1, add(x, 1)).said(Unknown).at(10, 20), txn(2, read(x)).at(30, 40)),
		"disjoint":                  history(state{"x": {1}, "z": {2}}, state{}, txn(1, add(x, 1)), txn(2, add(z, 2))),
		"a reader in between":       history(state{"x": {1, 2}}, state{}, txn(1, add(x, 1)), txn(2, read(x, 1)), txn(3, add(x, 2, 1))),
		"lost with another session": history(state{"x": {1}}, state{}, txn(1, add(x, 1), add(y, 2)).excused(), txn(2, read(y, 2))),
	} {
		r := Check(h, StrictLevel)
		require.Empty(t, r.Anomalies, name)
		require.Empty(t, r.Allowed, name)
	}
	h := history(state{"x": {1}}, state{}, txn(1, add(x, 1), add(y, 2)).excused())
	require.Equal(t, 1, Check(h, StrictLevel).Window)
	h = history(state{"x": {1}}, state{}, txn(1, add(x, 1)), txn(2, read(x), read(y)), txn(3, read(x)).said(Aborted))
	require.Equal(t, 3, Check(h, StrictLevel).Operations)
}
