// Package memcachedtest runs real memcached servers for tests, and a proxy that
// makes the faults of a network between a client and one of them.
//
// Servers listen on 127.0.0.1 or on a unix socket in a temporary directory, are
// started with the flags that the test gives, and are stopped by process id when
// it ends. A missing binary fails the test, with a word on how to install it.
package memcachedtest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// T is what of testing.TB is used. This package imports no testing, so that it
// may stand outside of test files.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// startLimit bounds how long a server may take until it answers.
const startLimit = 10 * time.Second

// Server is one memcached process, or the place where one was.
type Server struct {
	t       T
	network string
	address string
	args    []string

	mu     sync.Mutex
	cmd    *exec.Cmd
	done   chan struct{} // closed when cmd has been waited for
	stderr *bytes.Buffer // to be read after done
}

// Start runs memcached on a free port of 127.0.0.1 with the given flags.
func Start(t T, args ...string) *Server {
	t.Helper()
	// Another process may take the port before memcached does.
	var err error
	for range 5 {
		s := &Server{t: t, network: "tcp", address: freeAddress(t), args: args}
		if err = s.start(); err == nil {
			t.Cleanup(s.Kill)
			return s
		}
		if errors.Is(err, exec.ErrNotFound) {
			break
		}
	}
	t.Fatalf("memcachedtest: %v", err)
	return nil
}

// StartUnix runs memcached on a unix socket.
func StartUnix(t T, args ...string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "memcached")
	if err != nil {
		t.Fatalf("memcachedtest: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{t: t, network: "unix", address: filepath.Join(dir, "s"), args: args}
	if err := s.start(); err != nil {
		t.Fatalf("memcachedtest: %v", err)
	}
	t.Cleanup(s.Kill)
	return s
}

func freeAddress(t T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("memcachedtest: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Binary returns the path of memcached, or an error that says how to get it.
func Binary() (string, error) {
	path, err := exec.LookPath("memcached")
	if err != nil {
		return "", fmt.Errorf("the tests need memcached (Debian: apt-get install memcached; macOS: brew install memcached): %w", err)
	}
	return path, nil
}

func (s *Server) start() error {
	path, err := Binary()
	if err != nil {
		return err
	}
	args := []string{"-U", "0"}
	if s.network == "unix" {
		os.Remove(s.address) // of a process that was killed
		args = append(args, "-s", s.address)
	} else {
		host, port, _ := net.SplitHostPort(s.address)
		args = append(args, "-l", host, "-p", port)
	}
	if os.Geteuid() == 0 {
		args = append(args, "-u", "root")
	}
	cmd := exec.Command(path, append(args, s.args...)...)
	out := new(bytes.Buffer)
	cmd.Stderr, cmd.Stdout = out, out
	cmd.SysProcAttr = withParent()
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		cmd.Wait()
		close(done)
	}()
	s.mu.Lock()
	s.cmd, s.done, s.stderr = cmd, done, out
	s.mu.Unlock()
	if err := s.awaitAnswer(); err != nil {
		s.Kill()
		return fmt.Errorf("memcached %s: %w: %s", strings.Join(s.args, " "), err, strings.TrimSpace(out.String()))
	}
	return nil
}

// awaitAnswer waits until the server accepts and, where it speaks plain text,
// answers: one that does not want to be asked answers that.
func (s *Server) awaitAnswer() error {
	deadline := time.Now().Add(startLimit)
	for {
		err := s.tryAnswer()
		if err == nil {
			return nil
		}
		select {
		case <-s.done:
			return errors.New("ended at once")
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("does not answer: %w", err)
		}
	}
}

func (s *Server) tryAnswer() error {
	c, err := net.DialTimeout(s.network, s.address, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, a := range s.args {
		if a == "-Z" || a == "--enable-ssl" {
			return nil
		}
	}
	c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := c.Write([]byte("version\r\n")); err != nil {
		return err
	}
	_, err = bufio.NewReader(c).ReadString('\n')
	return err
}

// Addr is the address as memcachestore.Config.Servers takes it.
func (s *Server) Addr() string {
	if s.network == "unix" {
		return "unix:" + s.address
	}
	return s.address
}

// PID is the process id.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd.Process.Pid
}

// Pause stops the process without ending it (SIGSTOP): the system accepts
// connections and takes requests for it, and it answers none.
func (s *Server) Pause() {
	s.signal(syscall.SIGSTOP)
	// The threads stop one by one, some time after the signal was sent.
	for deadline := time.Now().Add(startLimit); !s.stopped(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("memcachedtest: memcached does not stop")
		}
	}
}

// stopped reports whether every thread has stopped, where /proc tells.
func (s *Server) stopped() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.PID()))
	for _, file := range threads {
		stat, err := os.ReadFile(file)
		// pid (comm) state ...
		_, rest, ok := strings.Cut(string(stat), ") ")
		if err == nil && ok && rest[0] != 'T' {
			return false
		}
	}
	return true
}

// Resume lets a paused process go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

// Kill ends the process without warning (SIGKILL) and waits for its end. It does
// nothing where none runs.
func (s *Server) Kill() {
	s.signal(syscall.SIGKILL)
	<-s.done
}

// End asks the process to end with sig, as SIGUSR1 does of one that shall keep
// its items (-e), and waits for it.
func (s *Server) End(sig syscall.Signal) {
	s.signal(sig)
	select {
	case <-s.done:
	case <-time.After(startLimit):
		s.Kill()
		s.t.Fatalf("memcachedtest: memcached does not end upon %v", sig)
	}
}

func (s *Server) signal(sig syscall.Signal) {
	select {
	case <-s.done:
		return
	default:
	}
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Fatalf("memcachedtest: %v: %v", sig, err)
	}
}

// Restart kills the process, where one runs, and starts another at the same
// address, with the flags of the first.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	if err := s.start(); err != nil {
		s.t.Fatalf("memcachedtest: %v", err)
	}
}

// Raw sends one command, with its data where it takes some, over a connection
// of its own and returns the reply. It is for servers in plain text without a
// password.
func (s *Server) Raw(command string) string {
	s.t.Helper()
	c, err := net.DialTimeout(s.network, s.address, startLimit)
	if err != nil {
		s.t.Fatalf("memcachedtest: %v", err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(startLimit))
	// A no-op marks the end of the reply.
	if _, err := fmt.Fprintf(c, "%s\r\nmn\r\n", command); err != nil {
		s.t.Fatalf("memcachedtest: %v", err)
	}
	var reply strings.Builder
	br := bufio.NewReader(c)
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			s.t.Fatalf("memcachedtest: %v", err)
		}
		if line == "MN\r\n" {
			return reply.String()
		}
		reply.WriteString(line)
	}
}

// Stats returns "stats" or one of its groups ("items", "settings").
func (s *Server) Stats(group string) map[string]string {
	s.t.Helper()
	m := map[string]string{}
	for line := range strings.Lines(s.Raw(strings.TrimSpace("stats " + group))) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "STAT" {
			m[f[1]] = strings.Join(f[2:], " ")
		}
	}
	return m
}

// Stat returns one number of "stats".
func (s *Server) Stat(name string) int {
	s.t.Helper()
	n, err := strconv.Atoi(s.Stats("")[name])
	if err != nil {
		s.t.Fatalf("memcachedtest: stat %s: %v", name, err)
	}
	return n
}
