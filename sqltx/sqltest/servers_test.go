package sqltest

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// server is a database server that the tests have started, or why they could
// not.
type server struct {
	err  error
	port int

	cmd    *exec.Cmd
	exited chan struct{} // closed once cmd has
}

// serverKind is how to start one.
type serverKind struct {
	name    string
	install string   // Debian's package
	account string   // to run as, where the tests run as root, which servers refuse
	program string   // the server
	setUp   []string // the program that makes the data directory
	// initArgs and args are of the two, for a data directory and a port.
	initArgs func(data string) []string
	args     func(dir, data string, port int) []string
	stop     syscall.Signal
	// connector is of a database; admin is there from the beginning.
	connector func(port int, database string) (driver.Connector, error)
	admin     string
}

const startTimeout = time.Minute

// start makes a data directory under dir and starts a server in it. It must be
// called from a goroutine that is locked to a thread which lives as long as the
// tests do: the server is killed when that thread ends, so that tests which are
// killed leave nothing behind.
func start(dir string, k serverKind) *server {
	s := &server{}
	if s.err = s.start(dir, k); s.err != nil {
		s.stop(syscall.SIGKILL)
		s.err = fmt.Errorf("%s: %w", k.name, s.err)
	}
	return s
}

func (s *server) start(dir string, k serverKind) error {
	setUp, err := find(k.setUp[0], k)
	if err != nil {
		return err
	}
	program, err := find(k.program, k)
	if err != nil {
		return err
	}
	as, err := account(k.account)
	if err != nil {
		return err
	}
	dir = filepath.Join(dir, k.name)
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if as != nil {
		if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
			return err
		}
	}
	attr := &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd := exec.Command(setUp, append(k.setUp[1:], k.initArgs(data)...)...)
	cmd.Dir, cmd.SysProcAttr = dir, attr
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", setUp, err, out)
	}
	for try := 0; ; try++ {
		err := s.serve(program, dir, data, k, attr)
		// Another may have taken the port since it was found to be free.
		if err == nil || try == 2 {
			return err
		}
		s.stop(syscall.SIGKILL)
	}
}

// serve starts the program and waits until it answers.
func (s *server) serve(program, dir, data string, k serverKind, attr *syscall.SysProcAttr) error {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.port = free.Addr().(*net.TCPAddr).Port
	if err := free.Close(); err != nil {
		return err
	}
	var log bytes.Buffer
	s.cmd = exec.Command(program, k.args(dir, data, s.port)...)
	s.cmd.Dir, s.cmd.SysProcAttr, s.cmd.Stdout, s.cmd.Stderr = dir, attr, &log, &log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func() {
		_ = s.cmd.Wait()
		close(s.exited)
	}()
	connector, err := k.connector(s.port, k.admin)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond): // then ask again
		case <-s.exited:
			return fmt.Errorf("%s has ended:\n%s", program, log.Bytes())
		case <-ctx.Done():
			s.stop(syscall.SIGKILL)
			return fmt.Errorf("%s does not answer: %w\n%s", program, err, log.Bytes())
		}
	}
}

// stop ends the server by its pid.
func (s *server) stop(sig syscall.Signal) {
	if s.exited == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig)
	select {
	case <-s.exited:
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
	s.exited = nil
}

// find returns the path of a program; Debian keeps some out of the PATH.
func find(program string, k serverKind) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, pattern := range []string{"/usr/sbin/", "/usr/lib/postgresql/*/bin/"} {
		found, _ := filepath.Glob(pattern + program)
		if len(found) > 0 {
			slices.Sort(found)
			return found[len(found)-1], nil
		}
	}
	return "", fmt.Errorf("%s is not installed: apt-get install %s", program, k.install)
}

// account returns whom to run a server as: nil where the tests do not run as
// root, else the account of the package, or nobody.
func account(name string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

// withServers runs f while both servers do.
func withServers(f func() int) (code int) {
	runtime.LockOSThread() // see start
	dir, err := os.MkdirTemp("", "sqltest")
	if err == nil {
		err = os.Chmod(dir, 0o711) // the servers' accounts pass through it
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	kinds := map[*server]serverKind{}
	for at, k := range map[**server]serverKind{&postgres: postgresKind, &mariadb: mariadbKind} {
		*at = start(dir, k)
		kinds[*at] = k
	}
	defer func() {
		for s, k := range kinds {
			s.stop(k.stop)
		}
	}()
	return f()
}
