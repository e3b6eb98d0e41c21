package sessionhttp

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

func TestTheIDsOfAContainerAreWellFormed(t *testing.T) {
	c, err := sd.NewContainer(memstore.New(memstore.Config{}), sd.Config{})
	require.NoError(t, err)
	for range 100 {
		tx := sd.Begin()
		s, err := c.New(t.Context(), tx)
		require.NoError(t, err)
		require.True(t, wellFormed(s.ID()))
		id, err := s.Renew()
		require.NoError(t, err)
		require.True(t, wellFormed(id))
		require.NoError(t, tx.Rollback())
	}
}

func TestFindingTheIDAllocatesNothing(t *testing.T) {
	h := http.Header{"Cookie": {"a=b; " + strings.Repeat("x=y; ", 50) + "session=" + strings.Repeat("a", idLength)}}
	require.Zero(t, testing.AllocsPerRun(100, func() { inCookies(h, "session") }))
}

// FuzzCookies holds the parser to net/http's: the ids that are found are those of
// the cookies that net/http finds, whatever the client sends.
func FuzzCookies(f *testing.F) {
	id, other := strings.Repeat("a", idLength), strings.Repeat("B-_9", 11)[:idLength]
	for _, lines := range []string{
		"", "session=" + id, "a=b; session=" + id + ";c=d", "session=x; session=" + other, "session=\"" + id + "\"",
		" \tsession\t = " + id, "session=" + id + "\nsession=" + other, ";;=;session;session=;", "Session=" + id,
		"session=" + id + "=", "session= " + id, "\x00=\xff; session=" + id + "\x00", "session=\"", "a b=c; session=" + id,
		strings.Repeat("session="+id+";", 5) + "session=" + other,
	} {
		f.Add(lines, "session")
	}
	f.Add("__Host-session="+id, "__Host-session")
	f.Fuzz(func(t *testing.T, lines, name string) {
		if (&http.Cookie{Name: name}).Valid() != nil {
			return // refused by New
		}
		h := http.Header{"Cookie": strings.Split(lines, "\n")}
		got := inCookies(h, name)
		if got.n > maxCandidates {
			t.Fatalf("%d candidates", got.n)
		}
		var want []string
		for _, c := range (&http.Request{Header: h}).CookiesNamed(name) {
			if wellFormed(c.Value) && !slices.Contains(want, c.Value) && len(want) < maxCandidates {
				want = append(want, c.Value)
			}
		}
		if !slices.Equal(got.list(), want) {
			t.Fatalf("found %q, net/http finds %q", got.list(), want)
		}
		if got.n > 0 && !got.named {
			t.Fatal("found without a name")
		}
	})
}
