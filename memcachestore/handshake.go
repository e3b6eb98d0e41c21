package memcachestore

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// tooManyConns is what a full server (memcached -c) says before it hangs up, in
// plain text also where TLS is spoken.
const tooManyConns = "ERROR Too many open connections"

var (
	errTooMany  = errors.New("the server has too many open connections (memcached -c)")
	errAuth     = errors.New("the server refused the user or the password")
	errNeedAuth = errors.New("the server wants a user and a password (memcached -Y)")
	errNoCAS    = errors.New("compare-and-swap is disabled (memcached -C)")
)

// boot is what a connection knows of the server process at its other end. The
// connection dies with the process: while it answers, all of this holds.
type boot struct {
	epoch    uint64 // names the boot; never 0
	clock    int64  // the server's Unix time
	at       time.Time
	itemMax  int // item_size_max; 0: not told
	warm     bool
	stats    map[string]string // of "stats"; nil but in the reports
	settings map[string]string // of "stats settings"; nil but in the reports
}

// now is the time by the server's clock, up to one second late.
func (b *boot) now() time.Time {
	return time.Unix(b.clock, 0).Add(time.Since(b.at))
}

// overhead is what an item costs beside key and value at most: header, CAS id,
// flags, and the ends of key and value.
const overhead = 63

// maxValue is the largest value that certainly fits under a key of keyLen bytes.
func (b *boot) maxValue(keyLen int) int {
	if b.itemMax == 0 {
		return math.MaxInt32
	}
	return b.itemMax - overhead - keyLen
}

// handshake authenticates and asks the server what it is. rw must be a
// connection that nothing was sent over, with a deadline.
func handshake(rw io.ReadWriter, name, user, password string) (boot, error) {
	br := bufio.NewReaderSize(rw, 8<<10)
	if user != "" {
		if err := authenticate(rw, br, user, password); err != nil {
			return boot{}, err
		}
	}
	// A server with too many connections answers and hangs up before it is
	// asked: its answer is read although the write may have failed.
	_, werr := io.WriteString(rw, "stats\r\nstats settings\r\n")
	stats, err := readStats(br)
	if err != nil {
		return boot{}, firstOf(err, werr)
	}
	settings, err := readStats(br)
	if err != nil {
		return boot{}, err
	}
	if br.Buffered() > 0 {
		return boot{}, errSurplus
	}
	return identify(name, stats, settings)
}

// firstOf prefers what the server said, then why nothing could be sent.
func firstOf(rerr, werr error) error {
	var said *refusal
	if werr == nil || errors.Is(rerr, errTooMany) || errors.Is(rerr, errNeedAuth) || errors.As(rerr, &said) {
		return rerr
	}
	return werr
}

func authenticate(w io.Writer, br *bufio.Reader, user, password string) error {
	// The server looks at the data alone (protocol.txt, "Authentication"). One
	// that does not ask for a password takes this as a plain set: the expiry
	// makes it keep nothing.
	_, werr := fmt.Fprintf(w, "set auth 0 -1 %d\r\n%s %s\r\n", len(user)+1+len(password), user, password)
	line, err := readLine(br)
	var said *refusal
	switch {
	case errors.Is(err, errNeedAuth), errors.As(err, &said) && strings.HasPrefix(said.text, "CLIENT_ERROR"):
		return errAuth
	case err != nil:
		return firstOf(err, werr)
	case line != "STORED":
		return errForeign
	}
	return nil
}

func identify(name string, stats, settings map[string]string) (boot, error) {
	b := boot{at: time.Now(), warm: warm(settings), stats: stats, settings: settings}
	num := func(key string) (int64, bool) {
		n, err := strconv.ParseInt(stats[key], 10, 64)
		return n, err == nil
	}
	pid, ok1 := num("pid")
	clock, ok2 := num("time")
	uptime, ok3 := num("uptime")
	if !ok1 || !ok2 || !ok3 {
		return boot{}, errors.New("the server does not tell pid, time and uptime (stats), so a restart could not be noticed")
	}
	b.clock = clock
	// time-uptime is the start of the process as it keeps it, so it is the same
	// on every connection. Two servers may share pid and start, in containers
	// that started together: hence the name. Two boots of one container that
	// began within one second cannot be told apart; no session is older than
	// that second then.
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", pid, clock-uptime, name))
	b.epoch = max(binary.BigEndian.Uint64(sum[:]), 1)
	if v, ok := settings["item_size_max"]; ok {
		n, err := strconv.Atoi(v)
		if err != nil || n <= overhead {
			return boot{}, fmt.Errorf("the server tells an item_size_max of %q", plain(v, ""))
		}
		b.itemMax = n
	}
	return b, nil
}

// warm reports whether the server may keep its items over a restart
// (memcached -e).
func warm(settings map[string]string) bool {
	file := settings["memory_file"]
	return file != "" && file != "(null)"
}

// readStats reads STAT lines up to END.
func readStats(br *bufio.Reader) (map[string]string, error) {
	m := make(map[string]string, 96)
	for {
		line, err := readLine(br)
		if err != nil {
			return nil, err
		}
		if line == "END" {
			return m, nil
		}
		rest, ok := strings.CutPrefix(line, "STAT ")
		if !ok || len(m) > 100_000 {
			return nil, errForeign
		}
		key, value, _ := strings.Cut(rest, " ")
		m[key] = value
	}
}

// readLine reads one line of a reply, without its end; a refusal is an error.
func readLine(br *bufio.Reader) (string, error) {
	b, err := br.ReadSlice('\n')
	line := strings.TrimRight(string(b), "\r\n")
	switch {
	case strings.HasPrefix(line, tooManyConns):
		return "", errTooMany
	case err == bufio.ErrBufferFull:
		return "", errForeign
	case err != nil:
		return "", err
	case line == "CLIENT_ERROR unauthenticated":
		return "", errNeedAuth
	case isRefusal(b):
		return "", &refusal{text: plain(line, "")}
	}
	return line, nil
}
