package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"github.com/seed-ad7f1900/sessiondata/internal/memcachedtest"
	"github.com/seed-ad7f1900/sessiondata/memstore"
)

// call runs the program.
func call(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(t.Context(), args, &out, &errs)
	return status, out.String(), errs.String()
}

// reported runs the program for its report.
func reported(t *testing.T, args ...string) (status int, r report) {
	t.Helper()
	status, stdout, stderr := call(t, append(args, "-json")...)
	require.NoError(t, json.Unmarshal([]byte(stdout), &r), stderr)
	return status, r
}

var (
	full  = holdings{Stock: 10, Cart: 3}
	moved = holdings{Stock: 7, Orders: 1}
)

func TestTransferHappensAsAWholeOrNotAtAllWhereverItFails(t *testing.T) {
	for at, want := range map[step]struct {
		status int
		report report
		text   string // within the error
	}{
		"":           {report: report{State: "committed", Runs: 1, After: moved, Agree: true}},
		stepTake:     {report: report{State: "rolled back", Runs: 1, After: full, Agree: true}, text: "failed on demand: take"},
		stepCart:     {report: report{State: "rolled back", Runs: 1, After: full, Agree: true}, text: "failed on demand: cart"},
		stepBook:     {report: report{State: "rolled back", Runs: 1, After: full, Agree: true}, text: "CHECK constraint"},
		stepPrepare:  {report: report{State: "rolled back", Runs: 1, After: full, Agree: true}, text: "the carrier"},
		stepCommit:   {report: report{State: "rolled back", Runs: 1, After: full, Agree: true}, text: "FOREIGN KEY constraint"},
		stepConflict: {report: report{State: "committed", Runs: 2, After: holdings{Stock: 6, Orders: 1}, TakenByAnother: 1, Agree: true}},
		// The window: only the database can tell.
		stepAnswer: {status: 1, report: report{State: "unknown", Runs: 1, After: holdings{Stock: 10, Cart: 3, Orders: 1}}, text: "outcome of the write is unknown"},
	} {
		t.Run("fail "+string(at), func(t *testing.T) {
			for _, store := range []string{
				"memory:", "memcache://" + memcachedtest.Start(t).Addr() + "?timeout=20s&dial_timeout=20s",
			} {
				status, r := reported(t, "-fail", string(at), "-store", store)
				require.Equal(t, want.status, status)
				want.report.Fail, want.report.Before = at, full
				require.Empty(t, cmp.Diff(want.report, r, cmpopts.IgnoreFields(report{}, "Error")))
				require.Equal(t, want.text == "", r.Error == "", r.Error)
				require.Contains(t, r.Error, want.text)
			}
		})
	}
}

func TestTransferKnowsEachStepThatItDescribes(t *testing.T) {
	_, _, stderr := call(t, "-help")
	for _, s := range steps {
		require.Contains(t, stderr, string(s))
	}
}

func TestTransferPrintsATable(t *testing.T) {
	status, stdout, stderr := call(t, "-fail", "conflict")
	require.Zero(t, status, stderr)
	require.Empty(t, cmp.Diff(strings.TrimPrefix(`
                             before   after
stock, a shared session          10       6
cart, the visitor's session       3       0
orders, in SQLite                 0       1

committed, in run 2; meanwhile another visitor took 1
they agree
`, "\n"), stdout))

	status, stdout, stderr = call(t, "-fail", "answer")
	require.Equal(t, 1, status)
	require.Contains(t, stdout, "\nunknown\n")
	require.Contains(t, stdout, "THEY DO NOT AGREE")
	require.Contains(t, stderr, "do not agree")
}

func TestTransferKeepsItsDatabaseWhereItIsTold(t *testing.T) {
	t.Chdir(t.TempDir())
	for n := range 2 {
		status, r := reported(t, "-db", "or ders?.sqlite") // any name will do
		require.Zero(t, status)
		require.Equal(t, n, r.Before.Orders)
		require.Equal(t, n+1, r.After.Orders)
		require.True(t, r.Agree)
	}
	require.FileExists(t, "or ders?.sqlite")
}

func TestTransferOfMoreThanThereIsIsRefused(t *testing.T) {
	db, err := openDatabase(t.Context(), filepath.Join(t.TempDir(), "db"), false)
	require.NoError(t, err)
	defer db.Close()
	s, err := openShop(t.Context(), memstore.New(memstore.Config{}), db)
	require.NoError(t, err)
	for n := range 5 {
		r, err := s.trade(t.Context(), "")
		require.NoError(t, err)
		require.True(t, r.Agree)
		require.Equal(t, n >= 3, strings.Contains(r.Error, errSoldOut.Error()), "order %d: %s", n, r.Error)
	}
	r, err := s.trade(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, holdings{Stock: 1, Cart: 3, Orders: 3}, r.After)
}

func TestTransferFindsAHalf(t *testing.T) {
	for name, after := range map[string]holdings{
		"not booked":       {Stock: 7},
		"not taken":        {Stock: 10, Orders: 1},
		"cart still full":  {Stock: 7, Cart: 3, Orders: 1},
		"booked twice":     {Stock: 7, Orders: 2},
		"taken twice":      {Stock: 4, Orders: 1},
		"nothing but cart": {Stock: 10},
	} {
		t.Run(name, func(t *testing.T) {
			r := report{Before: full, After: after}
			r.compare()
			require.False(t, r.Agree)
		})
	}
}

func TestTransferRefusesWrongUsage(t *testing.T) {
	prose := filepath.Join(t.TempDir(), "prose")
	require.NoError(t, os.WriteFile(prose, []byte(strings.Repeat("not a database ", 1000)), 0o600))
	for name, c := range map[string]struct {
		args   []string
		status int
		text   string
	}{
		"unknown step":    {[]string{"-fail", "sometimes"}, 2, `-fail "sometimes" is none of take, cart, book`},
		"unknown flag":    {[]string{"-quickly"}, 2, "-quickly"},
		"argument":        {[]string{"now"}, 2, `unexpected argument "now"`},
		"unknown store":   {[]string{"-store", "redis://localhost"}, 2, "-store: "},
		"no such store":   {[]string{"-store", "memcache://127.0.0.1:1?dial_timeout=1s"}, 1, "unavailable"},
		"no such file":    {[]string{"-db", filepath.Join(t.TempDir(), "no", "such", "file")}, 1, "-db: "},
		"not a database":  {[]string{"-db", prose}, 1, "-db: file is not a database"},
		"help is no fail": {[]string{"-help"}, 0, "Usage of transfer"},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := call(t, c.args...)
			require.Equal(t, c.status, status, stderr)
			require.Contains(t, stderr, c.text)
			require.Empty(t, stdout)
		})
	}
}

func TestTransferStopsWhenItIsInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var out, errs bytes.Buffer
	require.Equal(t, 1, run(ctx, nil, &out, &errs))
	require.Contains(t, errs.String(), "context canceled")
}
