package sessiondata_test

import (
	"context"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// afterTheEnd lists every method of a type that answers an error, and calls it.
// The test fails where a method of the type is in neither list.
func requireAllMethodsListed(t *testing.T, v any, calls map[string]func() error, others map[string]func() any) {
	t.Helper()
	for m := range reflect.TypeOf(v).Methods() {
		_, answersError := calls[m.Name]
		_, answersOther := others[m.Name]
		require.True(t, answersError || answersOther, "%T.%s is not tested", v, m.Name)
	}
}

func TestRule03_AfterTheEndEveryMethodAnswersErrTxnDoneOrAZeroValue(t *testing.T) {
	ends := map[string]func(tx *sd.Txn) error{
		"Commit":   func(tx *sd.Txn) error { return tx.Commit(t.Context()) },
		"Rollback": (*sd.Txn).Rollback,
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			w := newWire()
			c := container(t, w)
			set(t, c, "id", "p", "k", 1)
			tx, s := begin(t, c, "id")
			p := s.Pkg("p")
			require.NoError(t, p.Set("new", 1))
			sp := savepoint(t, tx)
			require.NoError(t, end(tx))
			w.forget()

			nothing := func() error { return nil }
			ofTxn := map[string]func() error{
				"Commit": func() error { return tx.Commit(t.Context()) }, "Rollback": tx.Rollback, "Err": tx.Err,
				"Savepoint":    func() error { _, err := tx.Savepoint(); return err },
				"Atomic":       func() error { return tx.Atomic(func() error { panic("called") }) },
				"Join":         func() error { return tx.Join(&member{}) },
				"JoinLast":     func() error { return tx.JoinLast(&member{}) },
				"BeforeCommit": func() error { return tx.BeforeCommit(func(context.Context) error { return nil }) },
				"AfterEnd":     func() error { return tx.AfterEnd(func(error) {}) },
			}
			state := tx.State()
			ofTxnOther := map[string]func() any{
				"Doom":  func() any { tx.Doom(); return 0 },
				"State": func() any { return int(tx.State() - state) },
			}
			ofSession := map[string]func() error{
				"Destroy": s.Destroy, "Renew": func() error { _, err := s.Renew(); return err },
				"RenewAfter": func() error { _, err := s.RenewAfter(1); return err },
				"SetTimeout": func() error { return s.SetTimeout(time.Hour) },
				"DeletePkg":  func() error { return s.DeletePkg("p") },
				"SetSubject": func() error { return s.SetSubject("shop", "alice") }, "ClearSubject": s.ClearSubject,
				"SetLabel": func() error { return s.SetLabel("phone") },
			}
			ofSessionOther := map[string]func() any{
				"Packages": func() any { return len(s.Packages()) }, "IsNew": func() any { return s.IsNew() },
				"Status": func() any { return s.Status() }, "Created": func() any { return s.Created() },
				"LastAccess": func() any { return s.LastAccess() }, "AccessDue": func() any { return s.AccessDue() },
				"Deadline": func() any { return s.Deadline() }, "Timeout": func() any { return s.Timeout() },
				"Subject": func() any { audience, subject := s.Subject(); return audience + subject },
				"Label":   func() any { return s.Label() },
				"ID":      nil, "Txn": nil, "Pkg": nil, "Ref": nil,
			}
			ofPkg := map[string]func() error{
				"Get": func() error { return p.Get("k", new(int)) }, "Set": func() error { return p.Set("k", 2) },
				"SetFor": func() error { return p.SetFor("k", 2, 1) },
				"Delete": func() error { return p.Delete("k") }, "Clear": p.Clear,
			}
			ofPkgOther := map[string]func() any{
				"Has": func() any { return p.Has("k") }, "Len": func() any { return p.Len() },
				"Keys": func() any { return len(p.Keys()) }, "Name": nil,
				"All": func() any {
					for range p.All() {
						return "a value"
					}
					return 0
				},
			}
			ofSavepoint := map[string]func() error{"Rollback": sp.Rollback, "Release": sp.Release}
			requireAllMethodsListed(t, tx, ofTxn, ofTxnOther)
			requireAllMethodsListed(t, s, ofSession, ofSessionOther)
			requireAllMethodsListed(t, p, ofPkg, ofPkgOther)
			requireAllMethodsListed(t, sp, ofSavepoint, nil)

			for _, calls := range []map[string]func() error{ofTxn, ofSession, ofPkg, ofSavepoint, {
				"sd.Get":        func() error { _, err := sd.Get[int](p, "k"); return err },
				"sd.GetOr":      func() error { _, err := sd.GetOr(p, "absent", 1); return err },
				"sd.Pop":        func() error { _, err := sd.Pop[int](p, "k"); return err },
				"sd.SetDefault": func() error { _, err := sd.SetDefault(p, "k", 1); return err },
				"sd.Modify":     func() error { return sd.Modify(p, "k", func(*int) error { panic("called") }) },
				"c.Session":     func() error { _, err := c.Session(t.Context(), tx, "id"); return err },
				"c.Existing":    func() error { _, err := c.Existing(t.Context(), tx, "other"); return err },
				"c.New":         func() error { _, err := c.New(t.Context(), tx); return err },
				"unencodable":   func() error { return p.Set("k", make(chan int)) },
				"late package":  func() error { return s.Pkg("late").Set("k", 1) },
			}} {
				for name, call := range calls {
					require.ErrorIs(t, call(), sd.ErrTxnDone, name)
				}
			}
			for _, calls := range []map[string]func() any{ofTxnOther, ofSessionOther, ofPkgOther} {
				for name, call := range calls {
					if call != nil {
						require.Zero(t, call(), name)
					}
				}
			}
			require.Equal(t, "id", s.ID())
			require.Same(t, tx, s.Txn())
			require.Same(t, p, s.Pkg("p"))
			require.Equal(t, "p", p.Name())
			require.Empty(t, w.ops())
			_ = nothing
		})
	}
}

func TestRule03_IteratorsStopAtTheEnd(t *testing.T) {
	c := container(t, newWire())
	update(t, c, "id", func(s *sd.Session) {
		for _, k := range []string{"a", "b", "c"} {
			require.NoError(t, s.Pkg("p").Set(k, 1))
		}
	})
	tx, s := begin(t, c, "id")
	var seen []string
	var held sd.Value
	all := s.Pkg("p").All()
	for k, v := range all {
		seen, held = append(seen, k), v
		if k == "b" {
			require.NoError(t, tx.Commit(t.Context()))
		}
	}
	require.Equal(t, []string{"a", "b"}, seen)
	for range all {
		t.Fatal("an iterator that begins after the end")
	}
	require.Equal(t, int64(1), first(held.Any()))
}

func TestMisuse_NilArgumentsAreErrInvalid(t *testing.T) {
	c := container(t, newWire())
	tx := sd.Begin()
	_, err := c.Session(t.Context(), nil, "id")
	require.ErrorIs(t, err, sd.ErrInvalid)
	_, err = c.Existing(t.Context(), nil, "id")
	require.ErrorIs(t, err, sd.ErrInvalid)
	_, err = c.New(t.Context(), nil)
	require.ErrorIs(t, err, sd.ErrInvalid)
	for name, err := range map[string]error{
		"BeforeCommit": tx.BeforeCommit(nil), "AfterEnd": tx.AfterEnd(nil), "Join": tx.Join(nil), "JoinLast": tx.JoinLast(nil),
		"Atomic": tx.Atomic(nil), "Run": sd.Run(t.Context(), nil),
		"Update": c.Update(t.Context(), "id", nil), "View": c.View(t.Context(), "id", nil),
		"Modify": sd.Modify[int](open(t, c, tx, "id").Pkg("p"), "k", nil),
	} {
		require.ErrorIs(t, err, sd.ErrInvalid, name)
	}
	require.NoError(t, tx.Commit(t.Context()))
}

func TestMisuse_RetryWithNonsense(t *testing.T) {
	for _, r := range []sd.Retry{{Attempts: -1}, {Base: -1}, {Max: -1}} {
		require.ErrorIs(t, r.Run(t.Context(), func(*sd.Txn) error { panic("called") }), sd.ErrInvalid)
	}
	n := 0
	ctx, cancel := context.WithCancel(t.Context())
	err := sd.Retry{Base: math.MaxInt64, Max: math.MaxInt64}.Run(ctx, func(*sd.Txn) error {
		n++
		cancel()
		return sd.ErrConflict
	})
	require.ErrorIs(t, err, sd.ErrConflict)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, n)
}

func TestRule22_IDsThatAreEmptyOrTooLongAreRefused(t *testing.T) {
	w := newWire()
	c := container(t, w)
	for _, id := range []string{"", strings.Repeat("x", sd.MaxID+1)} {
		_, err := c.Session(t.Context(), sd.Begin(), id)
		require.ErrorIs(t, err, sd.ErrInvalidID)
		_, err = c.Existing(t.Context(), sd.Begin(), id)
		require.ErrorIs(t, err, sd.ErrInvalidID)
		require.ErrorIs(t, c.Update(t.Context(), id, func(*sd.Session) error { panic("called") }), sd.ErrInvalidID)
		require.ErrorIs(t, c.View(t.Context(), id, func(*sd.Session) error { panic("called") }), sd.ErrInvalidID)
	}
	require.Empty(t, w.ops())
	set(t, c, strings.Repeat("x", sd.MaxID), "p", "k", 1)
}
