package sessiondata_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// sample stores a session that has some of everything, and returns its key and
// its bytes.
func sample(t testing.TB, store sd.Store) (c *sd.Container, key string, raw []byte) {
	t.Helper()
	w := &wire{Store: store}
	c = container(t, w)
	for i := range 3 {
		update(t, c, "id", func(s *sd.Session) {
			require.NoError(t, s.Pkg("p").Set("k", i))
			require.NoError(t, s.Pkg("p").Set("list", []any{"a", map[string]int{"x": i}}))
			require.NoError(t, s.Pkg("q").Set("text", strings.Repeat("x", 20)))
			require.NoError(t, s.SetTimeout(2*time.Hour))
		})
	}
	last := w.writes()[len(w.writes())-1]
	return container(t, store), last.key, last.value
}

// put places raw under key, whatever is there.
func put(t testing.TB, store sd.Store, key string, raw []byte) {
	t.Helper()
	it, err := store.Get(t.Context(), key)
	if err == nil {
		require.NoError(t, store.CompareAndSwap(t.Context(), key, raw, 0, it.Version))
	} else {
		require.NoError(t, store.Add(t.Context(), key, raw, 0))
	}
}

// sealed gives bytes that were forged their checksum.
func sealed(key string, raw []byte) []byte {
	raw = bytes.Clone(raw)
	body := raw[:len(raw)-4]
	sum := crc32.Update(crc32.Checksum([]byte(key), crc32.MakeTable(crc32.Castagnoli)), crc32.MakeTable(crc32.Castagnoli), body)
	binary.LittleEndian.PutUint32(raw[len(body):], sum)
	return raw
}

// requireRefused checks that a session with these bytes cannot be had, and that
// the bytes stay as they are.
func requireRefused(t *testing.T, c *sd.Container, store sd.Store, key string, raw []byte) {
	t.Helper()
	put(t, store, key, raw)
	before, err := store.Get(t.Context(), key)
	require.NoError(t, err)
	_, err = c.Session(t.Context(), sd.Begin(), "id")
	requireUnreadable(t, err)
	_, err = c.Existing(t.Context(), sd.Begin(), "id")
	requireUnreadable(t, err)
	requireUnreadable(t, c.Update(t.Context(), "id", func(*sd.Session) error { panic("called") }))
	requireUnreadable(t, c.View(t.Context(), "id", func(*sd.Session) error { panic("called") }))
	after, err := store.Get(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func requireUnreadable(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("damaged bytes were accepted")
	}
	corrupt, unsupported := strings.HasPrefix(err.Error(), sd.ErrCorrupt.Error()), strings.HasPrefix(err.Error(), sd.ErrUnsupportedVersion.Error())
	require.True(t, corrupt || unsupported, "%v", err)
}

func TestRule23_EveryFlippedBitIsFound(t *testing.T) {
	store := memstore.New(memstore.Config{})
	c, key, raw := sample(t, store)
	for i := range raw {
		for bit := range 8 {
			bad := bytes.Clone(raw)
			bad[i] ^= 1 << bit
			put(t, store, key, bad)
			_, err := c.Session(t.Context(), sd.Begin(), "id")
			requireUnreadable(t, err)
		}
		if i%16 == 0 {
			bad := bytes.Clone(raw)
			bad[i] ^= 0xff
			requireRefused(t, c, store, key, bad)
		}
	}
}

func TestRule23_EveryTruncationIsFound(t *testing.T) {
	store := memstore.New(memstore.Config{})
	c, key, raw := sample(t, store)
	for n := range raw {
		requireRefused(t, c, store, key, raw[:n])
		requireRefused(t, c, store, key, raw[n+1:])
	}
}

func TestRule23_TrailingBytesAreFound(t *testing.T) {
	store := memstore.New(memstore.Config{})
	c, key, raw := sample(t, store)
	for _, more := range []string{"\x00", "\xff", "\r\n", "END\r\n", string(raw), string(make([]byte, 1000))} {
		requireRefused(t, c, store, key, append(bytes.Clone(raw), more...))
	}
}

func TestRule23_BytesOfAnotherKeyAreFound(t *testing.T) {
	store := memstore.New(memstore.Config{})
	c, key, raw := sample(t, store)
	w := &wire{Store: store}
	set(t, container(t, w), "another", "p", "k", 1)
	other := w.writes()[0]
	requireRefused(t, c, store, key, other.value)
	put(t, store, key, raw)
	require.Equal(t, int64(2), stored(t, c, "id")["p"]["k"])
}

func TestRule23_BytesThatAreNoSessionAreFound(t *testing.T) {
	store := memstore.New(memstore.Config{})
	c, key, raw := sample(t, store)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 4, 64, 65, 73, 74, 75, 200, 5000} {
		noise := make([]byte, size)
		for i := range noise {
			noise[i] = byte(rng.Uint32())
		}
		requireRefused(t, c, store, key, noise)
		if size >= 75 {
			copy(noise, raw[:8])
			requireRefused(t, c, store, key, noise)
		}
	}
}

func TestRule23_ANewerVersionIsErrUnsupportedVersion(t *testing.T) {
	store := memstore.New(memstore.Config{})
	c, key, raw := sample(t, store)
	newer := bytes.Clone(raw)
	newer[4], newer[5] = 2, 2
	for _, bytes := range [][]byte{newer, sealed(key, newer)} {
		put(t, store, key, bytes)
		_, err := c.Session(t.Context(), sd.Begin(), "id")
		require.ErrorIs(t, err, sd.ErrUnsupportedVersion)
	}
	compatible := bytes.Clone(raw)
	compatible[4] = 9
	put(t, store, key, sealed(key, compatible))
	require.Equal(t, int64(2), stored(t, c, "id")["p"]["k"], "a later version that this one may read")

	foreign := bytes.Clone(raw)
	foreign[6] = 77
	put(t, store, key, sealed(key, foreign))
	_, err := c.Session(t.Context(), sd.Begin(), "id")
	require.ErrorIs(t, err, sd.ErrUnsupportedVersion, "a codec that is not there")
}

// section appends a section of the envelope.
func section(raw []byte, kind byte, body string) []byte {
	out := append(bytes.Clone(raw[:len(raw)-4]), kind)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(body)))
	return append(append(out, body...), raw[len(raw)-4:]...)
}

func TestRule23_SectionsOfALaterVersion(t *testing.T) {
	store := memstore.New(memstore.Config{})
	c, key, raw := sample(t, store)
	put(t, store, key, sealed(key, section(raw, 0x7f, "must be known")))
	_, err := c.Session(t.Context(), sd.Begin(), "id")
	require.ErrorIs(t, err, sd.ErrUnsupportedVersion)

	put(t, store, key, sealed(key, section(section(raw, 0x80, "may be ignored"), 0xff, "")))
	set(t, c, "id", "p", "k", "rewritten")
	require.Equal(t, "rewritten", stored(t, c, "id")["p"]["k"])
	it, err := store.Get(t.Context(), key)
	require.NoError(t, err)
	require.Contains(t, string(it.Value), "\x80\x0e\x00\x00\x00may be ignored\xff\x00\x00\x00\x00", "it survives a rewrite")

	for name, bad := range map[string][]byte{
		"half a head":          append(bytes.Clone(raw[:len(raw)-4]), 0x80, 1, 0, 0, 0, 0, 0, 0)[:len(raw)-4+4+4],
		"longer than the rest": sealed(key, section(raw, 0x80, ""))[:len(raw)+5],
	} {
		if name == "longer than the rest" {
			bad = bytes.Clone(bad)
			binary.LittleEndian.PutUint32(bad[len(raw)-4+1:], 1<<31)
		}
		requireRefused(t, c, store, key, sealed(key, bad))
	}
}

func TestRule23_ForgedHeadsAreFound(t *testing.T) {
	store := memstore.New(memstore.Config{})
	c, key, raw := sample(t, store)
	for name, forge := range map[string]func(b []byte){
		"unknown flag":            func(b []byte) { b[7] = 0x80 },
		"timeout below NoTimeout": func(b []byte) { binary.LittleEndian.PutUint64(b[48:], 1<<63) },
		"17 ancestors":            func(b []byte) { b[64] = 17 },
		"255 ancestors":           func(b []byte) { b[64] = 255 },
		"table of 2^32-1":         func(b []byte) { binary.LittleEndian.PutUint32(b[65+16:], 1<<32-1) },
		"table of width 3":        func(b []byte) { b[65+16+4] = 3 },
		"end beyond the names":    func(b []byte) { b[65+16+5] = 200 },
		"ends that go back":       func(b []byte) { b[65+16+5] = 2; b[65+16+7] = 1 },
	} {
		bad := bytes.Clone(raw)
		forge(bad)
		require.NotEqual(t, raw, bad, name)
		requireRefused(t, c, store, key, sealed(key, bad))
	}
}

// A package that is broken within intact bytes can only have been forged, or
// written by a faulty program.
func TestRule23_ABrokenPackageIsErrCorruptAndTheOthersAreThere(t *testing.T) {
	store := memstore.New(memstore.Config{})
	_, key, raw := sample(t, store)
	at := bytes.Index(raw, []byte("klist")) // the names of p
	require.Positive(t, at)
	bad := bytes.Clone(raw)
	bad[at] = 'z' // no longer ascending
	bad = sealed(key, bad)
	put(t, store, key, bad)

	w := &wire{Store: store}
	c := container(t, w)
	tx, s := begin(t, c, "id")
	require.Equal(t, strings.Repeat("x", 20), first(sd.Get[string](s.Pkg("q"), "text")))
	p := s.Pkg("p")
	for name, err := range map[string]error{
		"Get": p.Get("k", new(int)), "Set": p.Set("k", 1), "Delete": p.Delete("k"), "Clear": p.Clear(), "DeletePkg": s.DeletePkg("p"),
		"Modify": sd.Modify(p, "k", func(*int) error { return nil }), "Pop": second(sd.Pop[int](p, "k")),
		"GetOr": second(sd.GetOr(p, "k", 1)), "SetDefault": second(sd.SetDefault(p, "k", 1)),
	} {
		require.ErrorIs(t, err, sd.ErrCorrupt, name)
	}
	require.False(t, p.Has("k"))
	require.Zero(t, p.Len())
	require.Empty(t, p.Keys())
	for range p.All() {
		t.Fatal("a value")
	}
	require.NoError(t, s.Pkg("q").Set("text", "changed"))
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrCorrupt)
	require.Empty(t, w.writes(), "the stored bytes stay")

	require.ErrorIs(t, c.View(t.Context(), "id", func(s *sd.Session) error { s.Pkg("p").Has("k"); return nil }), sd.ErrCorrupt)
	set(t, c, "id", "q", "text", "changed")
	it, err := store.Get(t.Context(), key)
	require.NoError(t, err)
	require.Contains(t, string(it.Value), "zlist", "who does not touch the package copies it")
	require.NoError(t, c.Update(t.Context(), "id", (*sd.Session).Destroy))
	require.Nil(t, stored(t, c, "id"))
}

func TestRule23_ABrokenPackageInWhatAnotherCommittedIsErrCorrupt(t *testing.T) {
	store := memstore.New(memstore.Config{})
	c, key, raw := sample(t, store)
	tx, s := begin(t, c, "id")
	require.NoError(t, s.Pkg("p").Set("mine", 1))
	bad := bytes.Clone(raw)
	bad[bytes.Index(raw, []byte("klist"))] = 'z'
	put(t, store, key, sealed(key, bad))
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrCorrupt)
	it, err := store.Get(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, sealed(key, bad), it.Value)
}

func TestRule23_ForgedValuesAreErrValueNamingTheKey(t *testing.T) {
	store := memstore.New(memstore.Config{})
	c, key, raw := sample(t, store)
	at := bytes.LastIndex(raw, []byte("\xb4xxxx")) // a string of 20 bytes
	for name, code := range map[string]byte{"too long": 0xbf, "no code": 0xc1, "array of 2^32": 0xdd, "map of 2^32": 0xdf, "too short": 0xa1} {
		bad := bytes.Clone(raw)
		bad[at] = code
		put(t, store, key, sealed(key, bad))
		_, s := begin(t, c, "id")
		for _, err := range []error{
			s.Pkg("q").Get("text", new(any)), s.Pkg("q").Get("text", new(string)), s.Pkg("q").Get("text", new([]string)),
			s.Pkg("q").Get("text", new(map[string]any)), s.Pkg("q").Get("text", new(person)),
		} {
			require.ErrorIs(t, err, sd.ErrValue, name)
			require.Contains(t, err.Error(), `"q" key "text"`)
		}
	}
}

func TestRule22_NothingOfAnIDReachesTheStoreOrAnError(t *testing.T) {
	const secret = "secret-session-id-0123456789"
	w := newWire()
	c := container(t, w, sd.Config{MaxSize: 300})
	collide := func() error {
		tx, s := begin(t, c, secret)
		setting("k", "mine")(s)
		set(t, c, secret, "p", "k", fmt.Sprint(len(w.calls)))
		return tx.Commit(t.Context())
	}
	errs := []error{
		collide(),
		c.Update(t.Context(), secret, func(s *sd.Session) error { return s.Pkg("p").Set("k", make([]byte, 500)) }),
		second(c.Existing(t.Context(), sd.Begin(), secret+"absent")),
		second(c.Session(t.Context(), sd.Begin(), strings.Repeat(secret, 100))),
	}
	update(t, c, secret, func(s *sd.Session) {
		errs = append(errs, s.Pkg("p").Set("k", make(chan int)), s.Pkg("p").Get("k", new(int)))
		_ = s.Destroy()
		errs = append(errs, s.Pkg("p").Set("k", 1))
	})
	for _, call := range w.calls {
		require.NotContains(t, call.key, "secret")
		require.NotContains(t, string(call.value), "secret")
		require.Regexp(t, `^session:[A-Za-z0-9_-]{43}$`, call.key)
	}
	for _, err := range errs {
		require.Error(t, err)
		require.NotContains(t, err.Error(), "secret")
		for _, call := range w.calls {
			require.NotContains(t, err.Error(), call.key)
		}
	}
}
