package storetest

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

func TestSuitePassesStoresThatKeepTheContract(t *testing.T) {
	t.Run("toy", func(t *testing.T) {
		RunWithClock(t, func(_ *testing.T, now func() time.Time) sd.Store { return newToy(now, "") })
	})
	t.Run("toy in real time", func(t *testing.T) {
		Run(t, func(*testing.T) sd.Store { return newToy(time.Now, "") })
	})
	t.Run("a store that cannot list", func(t *testing.T) {
		RunWithClock(t, func(_ *testing.T, now func() time.Time) sd.Store {
			return struct{ sd.Store }{newToy(now, "")}
		})
	})
	t.Run("a store that counts in seconds", func(t *testing.T) {
		RunWithClock(t, func(_ *testing.T, now func() time.Time) sd.Store {
			return inSeconds{newToy(func() time.Time { return now().Truncate(time.Second) }, "")}
		})
	})
	t.Run("a Faulty without faults", func(t *testing.T) {
		RunWithClock(t, func(_ *testing.T, now func() time.Time) sd.Store {
			return NewFaulty(memstore.New(memstore.Config{Now: now}), FaultConfig{})
		})
	})
	t.Run("a shared Faulty over a store that cannot list", func(t *testing.T) {
		RunWithClock(t, func(_ *testing.T, now func() time.Time) sd.Store {
			inner := memstore.New(memstore.Config{Now: now})
			return NewFaulty(struct{ sd.Store }{inner}, FaultConfig{Shared: true})
		})
	})
}

// inSeconds is a store whose clock and ttl are whole seconds, as memcached's
// are: it rounds up, and adds the second that may have begun.
type inSeconds struct{ *toy }

func (s inSeconds) ttl(d time.Duration) time.Duration {
	switch {
	case d <= 0:
		return d
	case d > math.MaxInt64-2*time.Second:
		return 0
	}
	return (d + time.Second - 1).Truncate(time.Second) + time.Second
}

func (s inSeconds) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.toy.Add(ctx, key, value, s.ttl(ttl))
}

func (s inSeconds) CompareAndSwap(ctx context.Context, key string, value []byte, ttl time.Duration, v sd.Version) error {
	return s.toy.CompareAndSwap(ctx, key, value, s.ttl(ttl), v)
}

// flaws names, for each way to break the contract, the rules that must find it.
var flaws = map[string][]string{
	"answers an empty item where nothing is": {"Get/what is absent is ErrNotFound"},
	"folds the case of keys": {
		"Get/what is absent is ErrNotFound", "Arguments/key of every printable character is a key of its own",
	},
	"has one item":                 {"Get/returns what was stored under the key"},
	"forgets an Add":               {"Add/stores where the key holds nothing"},
	"overwrites by Add":            {"Add/is ErrExists where the key is taken and changes nothing"},
	"lets nothing be stored again": {"Add/stores again after a delete"},
	"forgets a CompareAndSwap":     {"CompareAndSwap/replaces what was read"},
	"compares no Versions": {
		"CompareAndSwap/is ErrConflict after another write and changes nothing",
		"CompareAndDelete/is ErrConflict after another write and changes nothing",
	},
	"makes the Version from the value": {
		"CompareAndSwap/is ErrConflict after another wrote equal bytes",
		"CompareAndSwap/is ErrConflict after the bytes went and came back",
		"Version/does not match after a delete and an Add of equal bytes",
	},
	"stores what is absent by CompareAndSwap": {
		"CompareAndSwap/is ErrNotFound where nothing is and stores nothing",
		"CompareAndSwap/is ErrNotFound after a delete and stores nothing",
	},
	"forgets a CompareAndDelete":   {"CompareAndDelete/removes what was read"},
	"deletes what is absent":       {"CompareAndDelete/is ErrNotFound where nothing is"},
	"makes a Version for each Get": {"Version/stays the same while nothing is written"},
	"counts the Versions of each item from 1": {
		"Version/is another after each write", "Version/of another key does not match",
		"Version/does not match after a delete and an Add of equal bytes",
		"Expiry/leaves the key free and the old Version stale",
	},
	"has one Version for all": {
		"Version/stays the same while nothing is written", "Concurrency/writers of different keys do not meet",
	},
	"lets the zero Version match":            {"Version/of zero matches nothing"},
	"ignores the Epoch":                      {"Version/with another Epoch does not match"},
	"makes a Version for a write it refuses": {"Version/survives a write that was refused"},

	"ends a value at NUL":                    {"Value/of any bytes comes back as it was"},
	"takes an empty value for none":          {"Value/may be empty"},
	"cuts values at 64 KiB":                  {"Value/may have 1 byte or 100 kB"},
	"drops the old value with one too large": {"Value/over the limit is ErrTooLarge and what was stored stays"},
	"keeps the caller's slice":               {"Value/is the caller's again after a write"},
	"writes behind the caller's slice":       {"Value/is not altered by a write"},
	"hands out its own slice":                {"Value/belongs to the caller of Get"},
	"hands out a slice that it writes to":    {"Value/read earlier is not altered by later writes"},
	"unescapes keys":                         {"Arguments/key of every printable character is a key of its own"},
	"cuts keys at 199 bytes":                 {"Arguments/key of 200 bytes is a key of its own"},
	"takes any key":                          {"Arguments/key that is not printable, or empty, or too long is ErrInvalid"},
	"takes a ttl below zero":                 {"Arguments/ttl below zero is ErrInvalid and nothing is written"},
	"answers ctx.Err instead of the cause":   {"Context/that was cancelled is its cause and nothing is written"},
	"drops an item with its context":         {"Context/may end after the call"},
	"ignores contexts": {
		"Context/that was cancelled is its cause and nothing is written",
		"Context/whose deadline has passed is its cause and nothing is written",
		"Keys/of a context that has ended are its cause alone",
	},
	"writes under an ended context": {
		"Context/that was cancelled is its cause and nothing is written",
		"Context/whose deadline has passed is its cause and nothing is written",
	},

	"adds in two steps": {"Concurrency/of many Adds of one key one wins"},
	"swaps in two steps": {
		"Concurrency/of many CompareAndSwaps of one Version one wins",
		"Concurrency/of a CompareAndSwap and a CompareAndDelete of one Version one wins",
		"Concurrency/a counter raised by CompareAndSwap loses nothing",
		"Concurrency/a counter that is also removed and added anew loses nothing",
	},
	"deletes in two steps": {
		"Concurrency/of many CompareAndDeletes of one Version one wins",
		"Concurrency/of a CompareAndSwap and a CompareAndDelete of one Version one wins",
		"Concurrency/a counter that is also removed and added anew loses nothing",
	},
	"writes in two halves": {"Concurrency/readers see whole values only"},

	"cuts a ttl to seconds": {"Expiry/never comes before the ttl", "Expiry/comes within two seconds after the ttl"},
	"never expires": {
		"Expiry/comes within two seconds after the ttl", "Expiry/hides the key from a listing",
	},
	"puts expiry off when read":          {"Expiry/is not put off by reading"},
	"takes a ttl of 0 for the shortest":  {"Expiry/never comes to a ttl of 0"},
	"keeps the ttl of the first write":   {"Expiry/follows the ttl of the latest write", "Keys/tell when the item expires"},
	"sets the ttl of a write it refuses": {"Expiry/is not changed by a write that was refused"},
	"keeps the keys of expired items":    {"Expiry/leaves the key free and the old Version stale"},
	"takes a long ttl for a date":        {"Expiry/is far away where the ttl is long"},
	"lists what has expired":             {"Expiry/hides the key from a listing"},

	"lists a key of its own":             {"Keys/of an empty store are none"},
	"lists 100 keys at most":             {"Keys/are each there once"},
	"lists what was swapped twice":       {"Keys/are each there once"},
	"ignores the prefix":                 {"Keys/are those with the prefix"},
	"finds the prefix anywhere":          {"Keys/are those with the prefix"},
	"lists keys escaped":                 {"Keys/of every printable character are listed as they are"},
	"lists what was removed":             {"Keys/that were removed are not listed"},
	"tells no size":                      {"Keys/tell the size of the value, or of the item"},
	"tells no expiry":                    {"Keys/tell when the item expires"},
	"lists on after the caller stops":    {"Keys/end where the caller stops"},
	"is locked while it lists":           {"Keys/may be worked on while they are listed"},
	"lists by position":                  {"Keys/may be worked on while they are listed", "Keys/that nobody touches are there whatever others do"},
	"lists nothing where it should fail": {"Keys/of a context that has ended are its cause alone", "Keys/of a closed store are ErrClosed alone"},
	"lists on after an error":            {"Keys/of a context that has ended are its cause alone", "Keys/of a closed store are ErrClosed alone"},

	"is never reached by Ping": {"Ping/of an open store is nil"},
	"goes on after Close":      {"Close/makes later calls ErrClosed", "Keys/of a closed store are ErrClosed alone"},
	"answers EOF after Close":  {"Close/makes later calls ErrClosed", "Close/amid other calls lets them end"},
	"closes once":              {"Close/a second time is nil", "Close/by several at once is nil for each"},
}

// rulesByName returns all rules under the names of their subtests.
func rulesByName() map[string]rule {
	rules := make(map[string]rule)
	for _, g := range groups {
		for _, r := range g.rules {
			rules[g.name+"/"+r.name] = r
		}
	}
	return rules
}

func TestSuiteFindsEachFlaw(t *testing.T) {
	rules := rulesByName()
	for flaw, names := range flaws {
		t.Run(flaw, func(t *testing.T) {
			for _, name := range names {
				err := rules[name].try(flawed(flaw, 500*time.Millisecond))
				require.Error(t, err, "%s does not find that a store %s", name, flaw)
				t.Logf("%s: %v", name, err)
				// Only the flaw may be what the rule has found.
				require.NoError(t, rules[name].try(flawed("", patience)))
			}
		})
	}
}

func TestEachRuleFindsSomeFlaw(t *testing.T) {
	unproven := rulesByName()
	known := len(unproven)
	for flaw, names := range flaws {
		for _, name := range names {
			require.Contains(t, rulesByName(), name, "for the flaw %q", flaw)
			delete(unproven, name)
		}
	}
	require.Empty(t, unproven, "rules that no flaw shows to be checkable")
	t.Logf("%d flaws for %d rules", len(flaws), known)
}

// flawed returns a fresh toy to try a rule on. It is not closed: a flaw may
// leave it locked.
func flawed(flaw string, patience time.Duration) *env {
	clock := newFakeClock()
	e := newEnv(newToy(clock.Now, flaw), clock)
	e.patience = patience
	return e
}
