// Transfer is an order in a shop: it takes pieces from a stock that all visitors
// share, empties the visitor's cart and books a row in SQLite, in one
// transaction over two sessions and a database. It prints what each of them
// holds before and after, and whether they agree.
//
//	go run ./transfer [-fail step] [-store url] [-db path] [-json]
//
// With -fail the order fails at a step of it:
//
//	take      after it has taken the pieces from the stock
//	cart      after it has emptied the cart
//	book      SQLite refuses the row
//	prepare   another participant of the transaction refuses to commit
//	commit    SQLite refuses the COMMIT
//	conflict  another visitor takes a piece meanwhile: the order runs again
//	answer    SQLite commits, but its answer is lost
//
// After each of them both sides hold all of the order or nothing, but for the
// last: where nobody can tell whether the database has committed, the sessions
// stay as they were, and the application asks the database.
//
// The exit status is 0 if they agree, 1 if they do not or the program could not
// be run to its end, 2 if it was called wrongly.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-ad7f1900/sessiondata"
	"github.com/seed-ad7f1900/sessiondata/storeurl"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

type options struct {
	fail  step
	store string
	db    string // "": a temporary file
	json  bool
}

var (
	errUsage    = errors.New("wrong usage")
	errDisagree = errors.New("the sessions and the database do not agree")
)

// run is the program; it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseFlags(args, stderr)
	if err == nil {
		err = transfer(ctx, o, stdout)
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "transfer: %v\n", err)
		return 2
	}
	fmt.Fprintf(stderr, "transfer: %v\n", err)
	return 1
}

func parseFlags(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("transfer", flag.ContinueOnError)
	flags.SetOutput(stderr)
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = string(s)
	}
	known := strings.Join(names, ", ")
	flags.StringVar((*string)(&o.fail), "fail", "", "`step` to fail at: "+known)
	flags.StringVar(&o.store, "store", "memory:", "`URL` of the store that keeps the sessions")
	flags.StringVar(&o.db, "db", "", "`path` of the SQLite database (default a temporary file)")
	flags.BoolVar(&o.json, "json", false, "print the report as JSON")
	if err := flags.Parse(args); err != nil {
		return o, fmt.Errorf("%w: %w", errUsage, err)
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%w: unexpected argument %q", errUsage, flags.Arg(0))
	}
	if o.fail != "" && !slices.Contains(steps, o.fail) {
		return o, fmt.Errorf("%w: -fail %q is none of %s", errUsage, string(o.fail), known)
	}
	return o, nil
}

func transfer(ctx context.Context, o options, stdout io.Writer) (err error) {
	store, err := storeurl.Open(ctx, o.store)
	if errors.Is(err, sessiondata.ErrInvalid) {
		return fmt.Errorf("%w: -store: %w", errUsage, err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	path := o.db
	if path == "" {
		dir, err := os.MkdirTemp("", "transfer")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		path = filepath.Join(dir, "orders.sqlite")
	}
	db, err := openDatabase(ctx, path, o.fail == stepAnswer)
	if err != nil {
		return fmt.Errorf("-db: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s, err := openShop(ctx, store, db)
	if err != nil {
		return err
	}
	r, err := s.trade(ctx, o.fail)
	if err != nil {
		return err
	}
	write := r.writeTable
	if o.json {
		write = r.writeJSON
	}
	if err := write(stdout); err != nil {
		return err
	}
	if !r.Agree {
		return errDisagree
	}
	return nil
}
