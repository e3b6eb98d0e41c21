// Replay runs the access log of a web site through sessions: one session per
// visitor, one transaction per request, at the log's own time. It prints what
// the sessions held, and checks that it is what the log says.
//
//	go run ./replay [-workers n] [-writers n] [-store url] [-wait duration] [-json] [-log path]
//
// With -writers the requests of each visitor run in parallel on the one
// session, as a browser sends them, so that their commits conflict.
//
// A store may fail requests while the replay runs: they are counted and not
// repeated. What was answered as committed must be found in the sessions, or its
// server must have been restarted afterwards; the report says how much was lost
// in that way.
//
// The exit status is 0 if this account is true, 1 if it is not or the replay
// could not be run to its end, 2 if it was called wrongly.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/seed-ad7f1900/sessiondata"
)

//go:embed testdata/access.log.gz
var builtInLog []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], environment{os.Stdout, os.Stderr, openStore}))
}

// environment is what the program takes from its surroundings.
type environment struct {
	stdout, stderr io.Writer
	openStore      func(ctx context.Context, url string) (sessiondata.Store, error)
}

type options struct {
	workers, writers int
	store, log       string
	wait             time.Duration
	json             bool
}

func (o options) logName() string {
	if o.log == "" {
		return "built in"
	}
	return o.log
}

// progressRedraw is how often the bar is drawn at most.
const progressRedraw = 50 * time.Millisecond

// maxParallel bounds -workers and -writers.
const maxParallel = 256

var (
	errUsage       = errors.New("wrong usage")
	errCheckFailed = errors.New("the sessions did not hold what was committed")
)

// run is the program; it returns the exit status.
func run(ctx context.Context, args []string, env environment) int {
	o, err := parseFlags(args, env.stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err == nil:
		err = replayLog(ctx, o, env)
	}
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprintf(env.stderr, "replay: %v\n", err)
		return 2
	case err != nil:
		fmt.Fprintf(env.stderr, "replay: %v\n", err)
		return 1
	}
	return 0
}

func parseFlags(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("replay", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.workers, "workers", 1, "visitors replayed in parallel")
	flags.IntVar(&o.writers, "writers", 1, "parallel transactions on each visitor's session")
	flags.StringVar(&o.store, "store", "memory:", "`URL` of the store that keeps the sessions")
	flags.DurationVar(&o.wait, "wait", 30*time.Second, "how long to wait for a store that does not answer")
	flags.BoolVar(&o.json, "json", false, "print the report as JSON")
	flags.StringVar(&o.log, "log", "", "`path` of an access log in combined format, plain or gzipped; - is standard input (default the built-in log)")
	if err := flags.Parse(args); err != nil {
		return o, fmt.Errorf("%w: %w", errUsage, err)
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%w: unexpected argument %q", errUsage, flags.Arg(0))
	}
	for name, n := range map[string]int{"workers": o.workers, "writers": o.writers} {
		if n < 1 || n > maxParallel {
			return o, fmt.Errorf("%w: -%s %d is not from 1 to %d", errUsage, name, n, maxParallel)
		}
	}
	return o, nil
}

func replayLog(ctx context.Context, o options, env environment) (err error) {
	store, err := env.openStore(ctx, o.store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	log, err := openLog(o, env.stderr)
	if err != nil {
		return fmt.Errorf("log %s: %w", o.logName(), err)
	}
	if len(log.Requests) == 0 {
		return fmt.Errorf("log %s: no requests in its %d lines", o.logName(), log.Lines)
	}
	done, finish := progress(env.stderr, len(log.Requests))
	out, err := replay(ctx, store, log.Requests, o, done)
	finish()
	if err != nil {
		return err
	}
	r := newReport(o, log, out)
	write := r.writeTable
	if o.json {
		write = r.writeJSON
	}
	if err := write(env.stdout); err != nil {
		return err
	}
	if !r.Passed {
		return errCheckFailed
	}
	return nil
}

// openLog reads the log; a line that cannot be parsed is reported on stderr.
func openLog(o options, stderr io.Writer) (accessLog, error) {
	var src io.Reader
	switch o.log {
	case "":
		src = bytes.NewReader(builtInLog)
	case "-":
		src = os.Stdin
	default:
		f, err := os.Open(o.log)
		if err != nil {
			return accessLog{}, err
		}
		defer f.Close()
		src = f
	}
	return readLog(src, func(line int, err error) {
		fmt.Fprintf(stderr, "replay: line %d is skipped: %v\n", line, err)
	})
}

// progress shows a bar where stderr is a terminal.
func progress(stderr io.Writer, total int) (done, finish func()) {
	f, ok := stderr.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}, func() {}
	}
	bar := progressbar.NewOptions(total,
		progressbar.OptionSetWriter(f),
		progressbar.OptionSetDescription("replaying"),
		progressbar.OptionShowCount(),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionThrottle(progressRedraw),
	)
	return func() { _ = bar.Add(1) }, func() { _ = bar.Exit() }
}
