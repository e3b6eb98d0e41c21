package sessiondata_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
	"github.com/seed-ad7f1900/sessiondata/storetest"
)

// A load that uses all that there is, over memcached: of its ids, subjects,
// labels, packages, keys and values no eight bytes are found, at any offset, raw,
// in hexadecimal or in base64, neither in the items and their keys nor, on Linux,
// anywhere in the memory of the process, which holds what was overwritten as
// well. Clients die at each of the writes of transactions, so that there are
// intents and notes.
func TestSealedSessionsShowNothingInADumpOfMemcached(t *testing.T) {
	start := func() *memcachedtest.Server { return memcachedtest.Start(t, "-m", "8", "-t", "1") }
	server, hidden := start(), newSecrets()
	k1, k2 := key(1), key(2)
	runLoad(t, server, hidden, []sd.Key{k1}, []sd.Key{k2, k1})
	items := rawDump(t, server)
	t.Logf("%d windows of secrets; %d items, %d bytes, of which %d bear an intent, %d a note, %d a forward, %d are indexes",
		len(hidden.windows), items.n, len(items.bytes), items.intents, items.notes, items.forwards, items.indexes)
	for _, n := range []int{items.intents, items.notes, items.forwards, items.indexes} {
		require.Positive(t, n, "the load has left none of a kind")
	}
	require.Empty(t, hidden.in(items.bytes))
	if runtime.GOOS == "linux" {
		memory := memoryOf(t, server.PID())
		t.Logf("%d bytes of memory", len(memory))
		require.Contains(t, string(memory), items.key, "the control: the memory holds the items")
		require.Empty(t, hidden.in(memory))
	}

	// The control: without keys the same search finds all that is stored in
	// clear, and neither ids nor subjects.
	bare, shown := start(), newSecrets()
	runLoad(t, bare, shown, nil, nil)
	require.Equal(t, []string{"binary value", "field", "key", "label", "large value", "number", "package", "passing value", "value"},
		shown.in(rawDump(t, bare).bytes))
	for name, form := range map[string]func([]byte) string{
		"hexadecimal": hex.EncodeToString, "base64": base64.StdEncoding.EncodeToString, "base64 for URLs": base64.RawURLEncoding.EncodeToString,
	} {
		for before := range 4 {
			require.Equal(t, []string{"sample"}, shown.in([]byte(form([]byte("xxxx"[:before]+shown.sample)))), name)
		}
	}
}

// secrets is what a dump must not show.
type secrets struct {
	windows map[uint64][]window // by their first eight bytes
	start   [1 << 16]bool       // whether one begins with these two bytes
	sample  string
}

// window is eight bytes of a secret, which take more in an encoding.
type window struct{ what, rest string }

func newSecrets() *secrets {
	s := &secrets{windows: map[uint64][]window{}}
	s.sample = s.text("sample")
	return s
}

// text returns a new secret of 26 characters.
func (s *secrets) text(what string) string { return s.add(what, rand.Text()) }

// add makes every eight bytes of a text a secret, as they are and as they would
// be found in an encoding of it, wherever that begins.
func (s *secrets) add(what, text string) string {
	hide := func(form string, size int) {
		for ; len(form) >= size; form = form[1:] {
			first := binary.LittleEndian.Uint64([]byte(form))
			s.windows[first] = append(s.windows[first], window{what, form[8:size]})
			s.start[uint16(first)] = true
		}
	}
	hide(text, 8)
	hide(hex.EncodeToString([]byte(text)), 16)
	hide(strings.ToUpper(hex.EncodeToString([]byte(text))), 16)
	for from := range 3 {
		whole := []byte(text[from : from+(len(text)-from)/3*3])
		hide(base64.StdEncoding.EncodeToString(whole), 11)
		hide(base64.URLEncoding.EncodeToString(whole), 11)
	}
	return text
}

// number returns a new secret number, of eight bytes in MessagePack, and in
// decimal.
func (s *secrets) number(what string) int64 {
	b := []byte(s.text("unused"))
	n := int64(binary.BigEndian.Uint64(b) >> 1)
	s.add(what, string(binary.BigEndian.AppendUint64(nil, uint64(n))))
	s.add(what, fmt.Sprint(n))
	return n
}

// in returns of what there is something in a dump.
func (s *secrets) in(dump []byte) []string {
	found := map[string]bool{}
	for ; len(dump) >= 8; dump = dump[1:] {
		if first := binary.LittleEndian.Uint64(dump); s.start[uint16(first)] {
			for _, w := range s.windows[first] {
				if bytes.HasPrefix(dump[8:], []byte(w.rest)) {
					found[w.what] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// runLoad has two app servers use sessions of three containers in all ways, at
// first with one ring, then with another.
func runLoad(t *testing.T, server *memcachedtest.Server, secret *secrets, first, second []sd.Key) {
	store := appServer(t, server)
	audience, alice := secret.text("audience"), secret.text("subject")
	configs := []sd.Config{
		{Name: "a", MaxSessions: 3, AtMaxSessions: sd.EndOldest},
		{Name: "b", Codec: sd.JSON(), RenewEvery: time.Hour, Lifetime: 100 * time.Hour},
		{Name: "c", Timeout: sd.NoTimeout},
	}
	open := func(store sd.Store, ring []sd.Key, commitTimeout time.Duration) (cs []*sd.Container) {
		for _, cfg := range configs {
			cfg.Keys, cfg.CommitTimeout = ring, commitTimeout
			cs = append(cs, container(t, store, cfg))
		}
		return cs
	}
	fill := func(s *sd.Session) {
		p := s.Pkg(secret.text("package"))
		for _, v := range []any{
			secret.text("value"), []byte(secret.text("binary value")), secret.number("number"),
			map[string]any{secret.text("field"): 1},
			strings.Repeat(secret.text("large value"), 400),
		} {
			require.NoError(t, p.Set(secret.text("key"), v))
		}
		require.NoError(t, p.SetFor(secret.text("key"), secret.text("passing value"), time.Minute))
	}
	login := func(c *sd.Container) string {
		id := secret.text("id")
		update(t, c, id, func(s *sd.Session) {
			fill(s)
			require.NoError(t, s.SetSubject(audience, alice))
			require.NoError(t, s.SetLabel(secret.text("label")))
		})
		return id
	}
	renew := func(s *sd.Session, grace time.Duration) {
		id, err := s.RenewAfter(grace)
		require.NoError(t, err)
		secret.add("id", id)
	}
	var ids [3][]string
	for when, ring := range [][]sd.Key{first, second} {
		cs := open(store, ring, 20*time.Second)
		for i, c := range cs {
			for range 4 { // of the first container one ends the oldest
				ids[i] = append(ids[i], login(c))
			}
			last := ids[i][len(ids[i])-1]
			update(t, c, last, fill)
			update(t, c, last, func(s *sd.Session) { renew(s, time.Hour) })
			update(t, c, last, func(s *sd.Session) { renew(s, time.Hour) }) // by the old id
			infos, err := c.Sessions(t.Context(), audience, alice)
			require.NoError(t, err)
			require.NoError(t, c.RevokeOne(t.Context(), audience, alice, infos[len(infos)-1].Ref))
		}
		require.NoError(t, cs[2].Revoke(t.Context(), audience, alice, cs[2].Ref(ids[2][len(ids[2])-1])))
		login(cs[2])
		// A session of each container in one transaction, of a client that dies
		// after its first write, its second, and so on.
		for n, died := 1, when == 1; died; n++ {
			faulty := storetest.NewFaulty(store, storetest.FaultConfig{Shared: true, Plan: map[int]storetest.Fault{n: storetest.DieAfter}})
			_ = sd.Run(t.Context(), func(tx *sd.Txn) error {
				for i, c := range open(faulty, ring, 100*time.Millisecond) {
					id := secret.text("id")
					if i < 2 { // the third is a new one
						update(t, cs[i], id, func(s *sd.Session) { require.NoError(t, s.Pkg(secret.text("package")).Set(secret.text("key"), 1)) })
					}
					s, err := c.Session(t.Context(), tx, id)
					require.NoError(t, err)
					require.NoError(t, s.Pkg(secret.text("package")).Set(secret.text("key"), secret.text("value")))
					require.NoError(t, s.SetLabel(secret.text("label")))
					if i == 1 {
						renew(s, time.Hour)
					}
				}
				return nil
			})
			died = faulty.Died()
		}
	}
}

// dumped is all that a memcached tells of what it holds.
type dumped struct {
	bytes                                []byte // keys and values
	key                                  string // of one item
	n, intents, notes, forwards, indexes int
}

// rawDump asks a memcached for its items by a connection of its own.
func rawDump(t *testing.T, server *memcachedtest.Server) (d dumped) {
	t.Helper()
	conn, err := net.Dial("tcp", server.Addr())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	r := bufio.NewReader(conn)
	line := func() string {
		s, err := r.ReadString('\n')
		require.NoError(t, err)
		return strings.TrimSuffix(s, "\r\n")
	}
	_, err = fmt.Fprint(conn, "lru_crawler metadump all\r\n")
	require.NoError(t, err)
	var keys []string
	for l := line(); l != "END"; l = line() {
		key, ok := strings.CutPrefix(strings.Fields(l)[0], "key=")
		require.True(t, ok, l)
		key, err := url.PathUnescape(key)
		require.NoError(t, err)
		keys = append(keys, key)
	}
	for _, key := range keys {
		_, err := fmt.Fprintf(conn, "get %s\r\n", key)
		require.NoError(t, err)
		var flags, size int
		_, err = fmt.Sscanf(line(), "VALUE "+key+" %d %d", &flags, &size)
		require.NoError(t, err)
		value := make([]byte, size)
		_, err = io.ReadFull(r, value)
		require.NoError(t, err)
		require.Equal(t, []string{"", "END"}, []string{line(), line()})
		d.n, d.key = d.n+1, key
		d.bytes = append(append(append(d.bytes, key...), '\n'), value...)
		intent, note, forward, err := sd.SectionsOf(value, key)
		require.NoError(t, err)
		for n, is := range map[*int]bool{&d.intents: intent, &d.notes: note, &d.forwards: forward, &d.indexes: isIndex(key)} {
			if is {
				*n++
			}
		}
	}
	return d
}

// memoryOf returns what of the memory of a child process it may write to, without
// pages that are empty.
func memoryOf(t *testing.T, pid int) (all []byte) {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	require.NoError(t, err)
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	require.NoError(t, err)
	defer mem.Close()
	page, empty := make([]byte, os.Getpagesize()), make([]byte, os.Getpagesize())
	for l := range strings.Lines(string(maps)) {
		var from, to uint64
		var mode string
		_, err := fmt.Sscanf(l, "%x-%x %s", &from, &to, &mode)
		require.NoError(t, err)
		if !strings.HasPrefix(mode, "rw") {
			continue
		}
		for ; from < to; from += uint64(len(page)) {
			if _, err := mem.ReadAt(page, int64(from)); err == nil && !bytes.Equal(page, empty) {
				all = append(all, page...)
			}
		}
	}
	return all
}
