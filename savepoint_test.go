package sessiondata_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

func savepoint(t testing.TB, tx *sd.Txn) *sd.Savepoint {
	t.Helper()
	sp, err := tx.Savepoint()
	require.NoError(t, err)
	return sp
}

func TestRule09_SavepointCanBeRolledBackManyTimes(t *testing.T) {
	c := container(t, newWire())
	tx, s := begin(t, c, "id")
	p := s.Pkg("p")
	require.NoError(t, p.Set("k", "first"))
	sp := savepoint(t, tx)
	for range 3 {
		require.NoError(t, p.Set("k", "second"))
		require.NoError(t, p.Set("new", 1))
		require.NoError(t, sp.Rollback())
		require.Equal(t, pkg("p", map[string]any{"k": "first"}), contents(t, s))
	}
	require.NoError(t, sp.Rollback(), "also with nothing to take back")
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, pkg("p", map[string]any{"k": "first"}), stored(t, c, "id"))
}

func TestRule09_RollbackInvalidatesLaterSavepointsAndKeepsEarlierOnes(t *testing.T) {
	c := container(t, newWire())
	tx, s := begin(t, c, "id")
	p := s.Pkg("p")
	var sps []*sd.Savepoint
	for i := range 4 {
		require.NoError(t, p.Set("k", i))
		sps = append(sps, savepoint(t, tx))
	}
	require.NoError(t, p.Set("k", "last"))
	require.NoError(t, sps[2].Rollback())
	require.Equal(t, pkg("p", map[string]any{"k": int64(2)}), contents(t, s))
	require.ErrorIs(t, sps[3].Rollback(), sd.ErrSavepointInvalid)
	require.ErrorIs(t, sps[3].Release(), sd.ErrSavepointInvalid)
	require.NoError(t, sps[2].Rollback())
	require.NoError(t, sps[0].Rollback())
	require.Equal(t, pkg("p", map[string]any{"k": int64(0)}), contents(t, s))
	require.ErrorIs(t, sps[1].Rollback(), sd.ErrSavepointInvalid)
	require.ErrorIs(t, sps[2].Rollback(), sd.ErrSavepointInvalid)
	require.NoError(t, sps[0].Rollback())
}

func TestRule09_ReleaseKeepsTheWorkAndForgetsTheLaterOnes(t *testing.T) {
	c := container(t, newWire())
	tx, s := begin(t, c, "id")
	p := s.Pkg("p")
	first := savepoint(t, tx)
	require.NoError(t, p.Set("k", 1))
	second := savepoint(t, tx)
	require.NoError(t, p.Set("k", 2))
	third := savepoint(t, tx)
	require.NoError(t, p.Set("k", 3))
	require.NoError(t, second.Release())
	require.Equal(t, pkg("p", map[string]any{"k": int64(3)}), contents(t, s))
	require.ErrorIs(t, second.Rollback(), sd.ErrSavepointInvalid)
	require.ErrorIs(t, second.Release(), sd.ErrSavepointInvalid)
	require.ErrorIs(t, third.Rollback(), sd.ErrSavepointInvalid)
	require.NoError(t, first.Rollback(), "what was released is still covered by an earlier one")
	require.Empty(t, contents(t, s))
}

func TestRule09_SavepointsEndWithTheTransaction(t *testing.T) {
	for _, end := range []func(tx *sd.Txn) error{
		func(tx *sd.Txn) error { return tx.Commit(t.Context()) }, (*sd.Txn).Rollback,
	} {
		c := container(t, newWire())
		tx, s := begin(t, c, "id")
		require.NoError(t, s.Pkg("p").Set("k", 1))
		sp := savepoint(t, tx)
		require.NoError(t, end(tx))
		require.ErrorIs(t, sp.Rollback(), sd.ErrTxnDone)
		require.ErrorIs(t, sp.Release(), sd.ErrTxnDone)
		_, err := tx.Savepoint()
		require.ErrorIs(t, err, sd.ErrTxnDone)
		require.ErrorIs(t, tx.Atomic(func() error { panic("not called") }), sd.ErrTxnDone)
	}
}

func TestRule10_SavepointCoversValuesAndPackages(t *testing.T) {
	w := newWire()
	c := container(t, w)
	update(t, c, "id", func(s *sd.Session) {
		require.NoError(t, s.Pkg("p").Set("changed", 1))
		require.NoError(t, s.Pkg("p").Set("deleted", 2))
		require.NoError(t, s.Pkg("p").Set("both", 3))
		require.NoError(t, s.Pkg("gone").Set("k", 4))
		require.NoError(t, s.Pkg("cleared").Set("k", 5))
		require.NoError(t, s.Pkg("popped").Set("k", 6))
	})
	before := stored(t, c, "id")
	w.forget()
	tx, s := begin(t, c, "id")
	sp := savepoint(t, tx)
	for range 2 {
		require.NoError(t, s.Pkg("p").Set("changed", "other"))
		require.NoError(t, s.Pkg("p").Delete("deleted"))
		require.NoError(t, s.Pkg("p").Delete("both"))
		require.NoError(t, s.Pkg("p").Set("both", "again"))
		require.NoError(t, s.Pkg("p").Set("added", "new"))
		require.NoError(t, s.Pkg("new").Set("k", "new"))
		require.NoError(t, s.DeletePkg("gone"))
		require.NoError(t, s.Pkg("cleared").Clear())
		_, err := sd.Pop[int](s.Pkg("popped"), "k")
		require.NoError(t, err)
		require.Equal(t, map[string]map[string]any{
			"p": {"changed": "other", "both": "again", "added": "new"}, "new": {"k": "new"},
		}, contents(t, s))
		require.Equal(t, sd.Modified, s.Status())

		require.NoError(t, sp.Rollback())
		require.Equal(t, before, contents(t, s))
		require.Equal(t, sd.Unmodified, s.Status())
		require.False(t, s.Pkg("p").Has("added"))
		require.Zero(t, s.Pkg("new").Len())
		require.Equal(t, []string{"both", "changed", "deleted"}, s.Pkg("p").Keys())
	}
	require.NoError(t, tx.Commit(t.Context()))
	require.Empty(t, w.writes())
}

func TestRule10_SavepointCoversTimeoutRenewAndDestroy(t *testing.T) {
	w := newWire()
	c := container(t, w)
	set(t, c, "id", "p", "k", 1)
	w.forget()
	tx, s := begin(t, c, "id")
	require.NoError(t, s.SetTimeout(2*time.Hour))
	first, err := s.Renew()
	require.NoError(t, err)
	sp := savepoint(t, tx)
	for range 2 {
		require.NoError(t, s.SetTimeout(sd.NoTimeout))
		second, err := s.Renew()
		require.NoError(t, err)
		require.NotEqual(t, first, second)
		require.Equal(t, second, s.ID())
		require.NoError(t, s.Destroy())
		require.Equal(t, sd.Destroyed, s.Status())
		require.ErrorIs(t, s.Pkg("p").Set("k", 2), sd.ErrGone)
		require.Empty(t, contents(t, s))

		require.NoError(t, sp.Rollback())
		require.Equal(t, 2*time.Hour, s.Timeout())
		require.Equal(t, first, s.ID())
		require.Equal(t, sd.Modified, s.Status())
		require.Equal(t, pkg("p", map[string]any{"k": int64(1)}), contents(t, s))
	}
	require.NoError(t, tx.Commit(t.Context()))
	require.Nil(t, stored(t, c, "id"))
	require.Equal(t, pkg("p", map[string]any{"k": int64(1)}), stored(t, c, first))
}

func TestRule10_SavepointCoversSessionsLoadedAfterIt(t *testing.T) {
	w := newWire()
	c, other := container(t, w), container(t, w, sd.Config{Name: "other"})
	set(t, c, "late", "p", "k", "old")
	w.forget()
	tx := sd.Begin()
	sp := savepoint(t, tx)
	for range 2 {
		late, foreign := open(t, c, tx, "late"), open(t, other, tx, "foreign")
		fresh, err := c.New(t.Context(), tx)
		require.NoError(t, err)
		for _, s := range []*sd.Session{late, foreign, fresh} {
			require.NoError(t, s.Pkg("p").Set("k", "new"))
		}
		require.NoError(t, sp.Rollback())
		require.Equal(t, pkg("p", map[string]any{"k": "old"}), contents(t, late))
		for _, s := range []*sd.Session{late, foreign, fresh} {
			require.Equal(t, sd.Unmodified, s.Status())
		}
	}
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []string{"get", "get"}, w.ops(), "each was loaded once, and nothing is stored")
}

func TestRule10_ChangesBeforeTheSavepointStayWhenTheSessionCameBeforeIt(t *testing.T) {
	c := container(t, newWire())
	tx, s := begin(t, c, "id")
	require.NoError(t, s.Pkg("p").Set("before", 1))
	sp := savepoint(t, tx)
	require.NoError(t, s.Pkg("p").Set("after", 1))
	require.NoError(t, sp.Rollback())
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, pkg("p", map[string]any{"before": int64(1)}), stored(t, c, "id"))
}

func TestRule10_ParticipantsThatJoinedLaterLeave(t *testing.T) {
	c := container(t, newWire())
	d := new(diary)
	tx := sd.Begin()
	early := &saver{member: member{name: "early", diary: d}}
	require.NoError(t, tx.Join(early))
	sp := savepoint(t, tx)
	s := open(t, c, tx, "id")
	require.NoError(t, s.Pkg("p").Set("k", 1))
	late, last := &member{name: "late", diary: d}, &member{name: "last", diary: d}
	require.NoError(t, tx.Join(late))
	require.NoError(t, tx.JoinLast(last))
	require.NoError(t, sp.Rollback())
	require.Equal(t, []string{"early savepoint", "last rollback", "late rollback", "early restore"}, d.lines)
	d.lines = nil
	require.NoError(t, sp.Rollback())
	require.Equal(t, []string{"early restore"}, d.lines)

	require.NoError(t, tx.Join(late), "it may join again")
	require.NoError(t, tx.JoinLast(last))
	d.lines = nil
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []string{"early prepare", "late prepare", "last prepare", "last commit", "early commit", "late commit"}, d.lines)
	require.Nil(t, stored(t, c, "id"))
}

func TestRule11_ParticipantWithoutSavepointsFailsBeforeAnyoneIsTouched(t *testing.T) {
	d := new(diary)
	tx := sd.Begin()
	require.NoError(t, tx.Join(&saver{member: member{name: "a", diary: d}}))
	require.NoError(t, tx.Join(&member{name: "b", diary: d}))
	for range 2 {
		_, err := tx.Savepoint()
		require.ErrorIs(t, err, sd.ErrNoSavepoint)
	}
	require.ErrorIs(t, tx.Atomic(func() error { panic("not called") }), sd.ErrNoSavepoint)
	require.Empty(t, d.lines)
	require.Equal(t, sd.Active, tx.State())

	tx = sd.Begin()
	require.NoError(t, tx.Join(&saver{member: member{name: "a", diary: d}}))
	require.NoError(t, tx.JoinLast(&member{name: "z", diary: d}))
	_, err := tx.Savepoint()
	require.ErrorIs(t, err, sd.ErrNoSavepoint)
	require.Empty(t, d.lines)
}

func TestRule11_SavepointThatFailsIsNoSavepoint(t *testing.T) {
	d := new(diary)
	tx := sd.Begin()
	require.NoError(t, tx.Join(&saver{member: member{name: "a", diary: d}, savepoint: fails(errOne)}))
	_, err := tx.Savepoint()
	require.ErrorIs(t, err, errOne)
	require.NoError(t, tx.Commit(t.Context()))
}

func TestRule11_RestoreThatFailsDoomsTheTransactionAndTheOthersGoBack(t *testing.T) {
	c := container(t, newWire())
	d := new(diary)
	tx, s := begin(t, c, "id")
	require.NoError(t, tx.Join(&saver{member: member{name: "a", diary: d}, restore: fails(errOne)}))
	require.NoError(t, tx.Join(&saver{member: member{name: "b", diary: d}, restore: fails(errTwo)}))
	sp := savepoint(t, tx)
	require.NoError(t, s.Pkg("p").Set("k", 1))
	err := sp.Rollback()
	require.ErrorIs(t, err, errOne)
	require.ErrorIs(t, err, errTwo)
	require.Equal(t, sd.Doomed, tx.State())
	require.False(t, s.Pkg("p").Has("k"))
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrDoomed)
}

// A participant may answer without a restore: that must not surface as a panic
// when the work is to be taken back.
type savesNothing struct{ member }

func (*savesNothing) Savepoint() (func() error, error) { return nil, nil }

func TestRule11_SavepointWithoutRestoreIsRefused(t *testing.T) {
	tx := sd.Begin()
	require.NoError(t, tx.Join(&savesNothing{member{name: "a", diary: new(diary)}}))
	_, err := tx.Savepoint()
	require.ErrorIs(t, err, sd.ErrInvalid)
}

func TestRule11_SavepointCoversWhatAParticipantDoesWhileItTakesOne(t *testing.T) {
	c := container(t, newWire())
	tx := sd.Begin()
	var s *sd.Session
	require.NoError(t, tx.Join(&saver{member: member{name: "a", diary: new(diary)}, savepoint: func() error {
		s = open(t, c, tx, "id")
		return s.Pkg("p").Set("k", 1)
	}}))
	sp := savepoint(t, tx)
	require.NoError(t, sp.Rollback())
	require.Equal(t, sd.Unmodified, s.Status())
}

func TestRule07_AtomicTakesBackAFailedStepAlone(t *testing.T) {
	c := container(t, newWire())
	tx, s := begin(t, c, "id")
	p := s.Pkg("p")
	require.NoError(t, p.Set("k", 0))
	require.NoError(t, tx.Atomic(func() error {
		require.NoError(t, p.Set("outer", 1))
		require.ErrorIs(t, tx.Atomic(func() error {
			require.NoError(t, p.Set("inner", 2))
			require.NoError(t, p.Delete("k"))
			return errOne
		}), errOne)
		return nil
	}))
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, pkg("p", map[string]any{"k": int64(0), "outer": int64(1)}), stored(t, c, "id"))
}

func TestAtomic_LeavesNoSavepointBehind(t *testing.T) {
	tx := sd.Begin()
	sp := savepoint(t, tx)
	require.NoError(t, tx.Atomic(func() error { return nil }))
	require.ErrorIs(t, tx.Atomic(func() error { return errOne }), errOne)
	require.NoError(t, sp.Rollback())

	require.NoError(t, tx.Atomic(func() error { return sp.Rollback() }), "the step is gone, and that is what it asked for")
	require.NoError(t, tx.Atomic(func() error { return sp.Release() }), "the work is kept, as it asked for")
	require.NoError(t, tx.Commit(t.Context()))
}

func TestRule11_FailedStepThatReleasedItselfDoomsTheTransaction(t *testing.T) {
	eachEnd := map[string]func() error{"error": func() error { return errOne }, "panic": func() error { panic("escape") }}
	for name, end := range eachEnd {
		c := container(t, newWire())
		tx, s := begin(t, c, "id")
		sp := savepoint(t, tx)
		_ = during(func() {
			err := tx.Atomic(func() error {
				_ = s.Pkg("p").Set("k", 1)
				_ = sp.Release()
				return end()
			})
			require.ErrorIs(t, err, errOne)
			require.ErrorIs(t, err, sd.ErrSavepointInvalid)
		})
		require.Equal(t, sd.Doomed, tx.State(), name)
		require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrDoomed, name)
	}
}

func TestAtomic_StepThatEndsTheTransactionSaysSo(t *testing.T) {
	tx := sd.Begin()
	require.ErrorIs(t, tx.Atomic(tx.Rollback), sd.ErrTxnDone)
	tx = sd.Begin()
	err := tx.Atomic(func() error {
		require.NoError(t, tx.Rollback())
		return errOne
	})
	require.Equal(t, errOne, err)
}

func TestRule11_RestoreThatFailsIsJoinedToTheErrorOfTheStep(t *testing.T) {
	tx := sd.Begin()
	require.NoError(t, tx.Join(&saver{member: member{name: "a", diary: new(diary)}, restore: fails(errTwo)}))
	err := tx.Atomic(func() error { return errOne })
	require.ErrorIs(t, err, errOne)
	require.ErrorIs(t, err, errTwo)
	require.Equal(t, sd.Doomed, tx.State())
}

func TestDoom_IsNotLiftedByGoingBack(t *testing.T) {
	tx := sd.Begin()
	sp := savepoint(t, tx)
	tx.Doom()
	require.NoError(t, sp.Rollback())
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrDoomed)
}
