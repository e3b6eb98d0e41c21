package sessiondata_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

type codecWithID struct {
	sd.Codec
	id uint8
}

func (c codecWithID) ID() uint8 { return c.id }

// valueStore is a Store whose values cannot be compared.
type valueStore struct {
	sd.Store
	_ []int
}

// hollowStore is a Store whose type can be compared, and whose value cannot.
type hollowStore struct {
	sd.Store
	v any
}

func TestRule25_AConfigurationWithSeveralFaultsIsOneErrorThatNamesThemAll(t *testing.T) {
	_, err := sd.NewContainer(nil, sd.Config{
		Name: "a b", Timeout: -2, Resolution: -1, Lifetime: -1, Codec: codecWithID{sd.JSON(), 3},
		Conflict: 3, Attempts: -1, CommitTimeout: -1, MaxSize: -1,
	})
	require.ErrorIs(t, err, sd.ErrInvalid)
	for _, field := range []string{"store", "Name", "Timeout", "Resolution", "Lifetime", "Codec", "Conflict", "Attempts", "CommitTimeout", "MaxSize"} {
		require.Contains(t, err.Error(), field)
	}
	require.Equal(t, 10, strings.Count(err.Error(), ";")+1, "%v", err)
	require.True(t, strings.HasPrefix(err.Error(), sd.ErrInvalid.Error()))
}

func TestRule25_EachFaultIsFound(t *testing.T) {
	for name, cfg := range map[string]sd.Config{
		"space in Name":                   {Name: "a b"},
		"colon in Name":                   {Name: "a:b"},
		"newline in Name":                 {Name: "a\n"},
		"unicode in Name":                 {Name: "\u00e9"},
		"bytes in Name":                   {Name: "\xff"},
		"long Name":                       {Name: strings.Repeat("x", 65)},
		"negative Timeout":                {Timeout: -2},
		"Resolution as long as Timeout":   {Timeout: time.Minute, Resolution: time.Minute},
		"Resolution longer than default":  {Resolution: 2 * time.Hour},
		"unknown policy":                  {Conflict: 3},
		"negative policy":                 {Conflict: -1},
		"codec 0":                         {Codec: codecWithID{sd.JSON(), 0}},
		"codec that poses as MessagePack": {Codec: codecWithID{sd.JSON(), 1}},
		"codec that poses as JSON":        {Codec: codecWithID{sd.JSON(), 2}},
		"reserved codec":                  {Codec: codecWithID{sd.JSON(), 127}},
		"huge MaxSize":                    {MaxSize: math.MaxInt32 + 1},
		"negative RenewEvery":             {RenewEvery: -1},
		"negative RenewGrace":             {RenewGrace: -1},
		"more renewals than are followed": {RenewEvery: time.Second, RenewGrace: 256*time.Second + 1},
		"unknown List":                    {List: sd.ListEmpty + 1},
		"negative List":                   {List: -1},
	} {
		_, err := sd.NewContainer(newWire(), cfg)
		require.ErrorIs(t, err, sd.ErrInvalid, name)
	}
	for _, store := range []sd.Store{valueStore{}, hollowStore{v: []int{}}} {
		_, err := sd.NewContainer(store, sd.Config{})
		require.ErrorIs(t, err, sd.ErrInvalid)
		require.Contains(t, err.Error(), "pointer")
	}
}

func TestRule25_WhatIsAllowedIsAccepted(t *testing.T) {
	for name, cfg := range map[string]sd.Config{
		"zero":                   {},
		"every kind of rune":     {Name: "aZ09._-"},
		"longest Name":           {Name: strings.Repeat("x", 64)},
		"no timeout":             {Timeout: sd.NoTimeout},
		"resolution, no timeout": {Timeout: sd.NoTimeout, Resolution: 1000 * time.Hour},
		"tiny timeout":           {Timeout: 1},
		"huge times":             {Timeout: math.MaxInt64, Resolution: math.MaxInt64 - 1, Lifetime: math.MaxInt64},
		"user's codec":           {Codec: codecWithID{sd.JSON(), 128}},
		"last codec":             {Codec: codecWithID{sd.JSON(), 255}},
		"all that is followed":   {RenewEvery: time.Second, RenewGrace: 256 * time.Second},
		"rare renewals":          {RenewEvery: math.MaxInt64, RenewGrace: math.MaxInt64},
		"largest":                {MaxSize: math.MaxInt32, CommitTimeout: math.MaxInt64, Attempts: math.MaxInt},
	} {
		if name == "tiny timeout" {
			cfg.Now = newClock().Now
		}
		c, err := sd.NewContainer(newWire(), cfg)
		require.NoError(t, err, name)
		set(t, c, "id", "p", "k", 1)
		require.NotNil(t, stored(t, c, "id"), name)
	}
}

func TestRule25_DefaultsAreAsDocumented(t *testing.T) {
	clock := newClock()
	w := newWire()
	c := container(t, w, sd.Config{Now: clock.Now})
	_, s := begin(t, c, "id")
	require.Equal(t, time.Hour, s.Timeout())
	require.Equal(t, clock.Now().Add(time.Hour+5*time.Minute), s.Deadline(), "timeout and resolution, a twelfth of it")
	set(t, c, "id", "p", "k", 1)
	require.Regexp(t, `^session:[A-Za-z0-9_-]{43}$`, w.writes()[0].key)
	require.Equal(t, byte(1), w.writes()[0].value[6], "MessagePack")

	for size, fits := range map[int]bool{1<<20 - 2<<10 - 1024: true, 1<<20 - 2<<10: false} {
		err := c.Update(t.Context(), "big", func(s *sd.Session) error { return s.Pkg("p").Set("k", make([]byte, size)) })
		if fits {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, sd.ErrTooLarge)
		}
	}

	require.Equal(t, 30*time.Second, c.Config().RenewGrace)
	often := container(t, newWire(), sd.Config{RenewEvery: time.Millisecond})
	require.Equal(t, 256*time.Millisecond, often.Config().RenewGrace, "as many renewals as are followed")

	none := container(t, newWire(), sd.Config{Timeout: sd.NoTimeout, Now: clock.Now})
	_, s = begin(t, none, "id")
	require.Equal(t, sd.NoTimeout, s.Timeout())
	require.True(t, s.Deadline().IsZero())
}

func TestErrTooLarge_IsFoundBeforeAnythingIsSentAndWhatIsStoredStays(t *testing.T) {
	w := newWire()
	c := container(t, w, sd.Config{MaxSize: 500})
	set(t, c, "id", "p", "k", 1)
	w.forget()
	for name, fn := range map[string]func(s *sd.Session){
		"set":   func(s *sd.Session) {},
		"renew": func(s *sd.Session) { _, _ = s.Renew() },
	} {
		err := c.Update(t.Context(), "id", func(s *sd.Session) error {
			fn(s)
			return s.Pkg("p").Set("big", make([]byte, 500))
		})
		require.ErrorIs(t, err, sd.ErrTooLarge, name)
		require.Empty(t, w.writes(), name)
	}
	require.Equal(t, pkg("p", map[string]any{"k": int64(1)}), stored(t, c, "id"))

	// Each alone fits, both together do not.
	tx, s := begin(t, c, "id")
	require.NoError(t, s.Pkg("mine").Set("k", make([]byte, 250)))
	set(t, c, "id", "theirs", "k", make([]byte, 150))
	w.forget()
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrTooLarge)
	require.Len(t, w.writes(), 1, "the one that was refused")
	require.Len(t, stored(t, c, "id"), 2)
}

func TestMaxSize_IsExact(t *testing.T) {
	w := newWire()
	set(t, container(t, w), "id", "p", "k", "value")
	size := len(w.writes()[0].value)
	for limit, want := range map[int]error{size: nil, size - 1: sd.ErrTooLarge} {
		c := container(t, newWire(), sd.Config{MaxSize: limit})
		require.ErrorIs(t, c.Update(t.Context(), "id", func(s *sd.Session) error { return s.Pkg("p").Set("k", "value") }), want)
	}
}
