package sessiondata_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	sd "github.com/seed-ad7f1900/sessiondata"
)

// diary is what the participants of a transaction were asked for, in order.
type diary struct{ lines []string }

func (d *diary) note(line string) { d.lines = append(d.lines, line) }

// member is a participant that notes what it is asked for, and does what the
// test asks of it.
type member struct {
	name                      string
	diary                     *diary
	prepare, commit, rollback func() error
}

func (m *member) do(what string, fn func() error) error {
	m.diary.note(m.name + " " + what)
	if fn == nil {
		return nil
	}
	return fn()
}

func (m *member) Prepare(context.Context) error  { return m.do("prepare", m.prepare) }
func (m *member) Commit(context.Context) error   { return m.do("commit", m.commit) }
func (m *member) Rollback(context.Context) error { return m.do("rollback", m.rollback) }

// saver is a member that takes savepoints.
type saver struct {
	member
	savepoint, restore func() error
}

func (s *saver) Savepoint() (func() error, error) {
	if err := s.do("savepoint", s.savepoint); err != nil {
		return nil, err
	}
	return func() error { return s.do("restore", s.restore) }, nil
}

func fails(err error) func() error { return func() error { return err } }

var errOne, errTwo, errThree = errors.New("one"), errors.New("two"), errors.New("three")

func TestRule12_PhasesRunInJoinOrder(t *testing.T) {
	d := new(diary)
	tx := sd.Begin()
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, tx.Join(&member{name: name, diary: d}))
	}
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []string{"a prepare", "b prepare", "c prepare", "a commit", "b commit", "c commit"}, d.lines)
	require.Equal(t, sd.Committed, tx.State())
}

func TestRule12_FailedPrepareRollsBackEveryParticipantOnceFirstErrorFirst(t *testing.T) {
	d := new(diary)
	tx := sd.Begin()
	require.NoError(t, tx.Join(&member{name: "a", diary: d, rollback: fails(errTwo)}))
	require.NoError(t, tx.Join(&member{name: "b", diary: d, prepare: fails(errOne), rollback: fails(errThree)}))
	require.NoError(t, tx.Join(&member{name: "c", diary: d}))
	require.NoError(t, tx.JoinLast(&member{name: "z", diary: d}))
	var told error
	require.NoError(t, tx.AfterEnd(func(err error) { told = err }))
	err := tx.Commit(t.Context())
	require.ErrorIs(t, err, errOne)
	require.ErrorIs(t, err, errTwo)
	require.ErrorIs(t, err, errThree)
	require.Regexp(t, `^one\n`, err.Error())
	require.Equal(t, err, told)
	require.Equal(t, []string{"a prepare", "b prepare", "z rollback", "c rollback", "b rollback", "a rollback"}, d.lines)
	require.Equal(t, sd.RolledBack, tx.State())
	require.ErrorIs(t, tx.Rollback(), sd.ErrTxnDone)
	require.Len(t, d.lines, 6, "nothing is rolled back twice")
}

func TestRule12_RollbackRollsBackEveryParticipantOnce(t *testing.T) {
	d := new(diary)
	tx := sd.Begin()
	require.NoError(t, tx.Join(&member{name: "a", diary: d, rollback: fails(errOne)}))
	require.NoError(t, tx.JoinLast(&member{name: "z", diary: d, rollback: fails(errTwo)}))
	err := tx.Rollback()
	require.ErrorIs(t, err, errOne)
	require.ErrorIs(t, err, errTwo)
	require.Equal(t, []string{"z rollback", "a rollback"}, d.lines)
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrTxnDone)
	require.Len(t, d.lines, 2)
}

func TestRule12_CommitThatFailsAfterTheDecisionLetsTheOthersGoOnAndIsUnknown(t *testing.T) {
	d := new(diary)
	tx := sd.Begin()
	require.NoError(t, tx.Join(&member{name: "a", diary: d, commit: fails(errOne)}))
	require.NoError(t, tx.Join(&member{name: "b", diary: d}))
	require.NoError(t, tx.Join(&member{name: "c", diary: d, commit: fails(errTwo)}))
	err := tx.Commit(t.Context())
	require.ErrorIs(t, err, sd.ErrOutcomeUnknown)
	require.ErrorIs(t, err, errOne)
	require.ErrorIs(t, err, errTwo)
	require.Equal(t, sd.Unknown, tx.State())
	require.Equal(t, []string{"a prepare", "b prepare", "c prepare", "a commit", "b commit", "c commit"}, d.lines)
}

func TestRule12_JoinLastIsPreparedLastAndDecides(t *testing.T) {
	d := new(diary)
	tx := sd.Begin()
	require.NoError(t, tx.JoinLast(&member{name: "z", diary: d}))
	require.NoError(t, tx.Join(&member{name: "a", diary: d}))
	require.NoError(t, tx.Join(&member{name: "b", diary: d}))
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []string{"a prepare", "b prepare", "z prepare", "z commit", "a commit", "b commit"}, d.lines)
}

func TestRule12_JoinLastThatFailsToCommitRollsBackAll(t *testing.T) {
	d := new(diary)
	tx := sd.Begin()
	require.NoError(t, tx.JoinLast(&member{name: "z", diary: d, commit: fails(errOne)}))
	require.NoError(t, tx.Join(&member{name: "a", diary: d}))
	err := tx.Commit(t.Context())
	require.ErrorIs(t, err, errOne)
	require.NotErrorIs(t, err, sd.ErrOutcomeUnknown)
	require.Equal(t, sd.RolledBack, tx.State())
	require.Equal(t, []string{"a prepare", "z prepare", "z commit", "z rollback", "a rollback"}, d.lines)
}

func TestRule12_JoinLastOfUnknownOutcomeRollsBackTheOthersAndIsUnknown(t *testing.T) {
	d := new(diary)
	tx := sd.Begin()
	require.NoError(t, tx.JoinLast(&member{name: "z", diary: d, commit: fails(sd.ErrOutcomeUnknown)}))
	require.NoError(t, tx.Join(&member{name: "a", diary: d}))
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrOutcomeUnknown)
	require.Equal(t, sd.Unknown, tx.State())
	require.Contains(t, d.lines, "a rollback")
	require.NotContains(t, d.lines, "a commit")
}

func TestRule12_UnchangedSessionsDoNotHinderParticipants(t *testing.T) {
	w := newWire()
	c := container(t, w)
	set(t, c, "id", "p", "k", 1)
	w.forget()
	d := new(diary)
	tx, s := begin(t, c, "id")
	require.NoError(t, tx.Join(&member{name: "a", diary: d}))
	require.NoError(t, tx.JoinLast(&member{name: "z", diary: d}))
	require.True(t, s.Pkg("p").Has("k"))
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []string{"a prepare", "z prepare", "z commit", "a commit"}, d.lines)
	require.Equal(t, []string{"get"}, w.ops())
}

func TestRule12_DoomedTransactionRollsBackAtCommit(t *testing.T) {
	d := new(diary)
	tx := sd.Begin()
	require.NoError(t, tx.Join(&member{name: "a", diary: d}))
	tx.Doom()
	require.Equal(t, sd.Doomed, tx.State())
	require.NoError(t, tx.Err(), "a doomed transaction is open for work")
	require.ErrorIs(t, tx.Commit(t.Context()), sd.ErrDoomed)
	require.Equal(t, sd.RolledBack, tx.State())
	require.Equal(t, []string{"a rollback"}, d.lines)
	tx.Doom()
	require.Equal(t, sd.RolledBack, tx.State(), "after the end nothing dooms")
}

func TestJoin_RefusesTheSameParticipantTwiceNilAndWhatCannotBeCompared(t *testing.T) {
	d := new(diary)
	tx := sd.Begin()
	a, z := &member{name: "a", diary: d}, &member{name: "z", diary: d}
	require.NoError(t, tx.Join(a))
	require.NoError(t, tx.JoinLast(z))
	for _, p := range []sd.Participant{a, z, nil, uncomparable{}, comparableByTypeOnly{[]int{1}}} {
		require.ErrorIs(t, tx.Join(p), sd.ErrInvalid, "%T", p)
		require.ErrorIs(t, tx.JoinLast(p), sd.ErrInvalid, "%T", p)
	}
	require.ErrorIs(t, tx.JoinLast(&member{name: "y", diary: d}), sd.ErrInvalid, "a second one that decides")
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []string{"a prepare", "z prepare", "z commit", "a commit"}, d.lines)
}

type uncomparable []int

func (uncomparable) Prepare(context.Context) error  { return nil }
func (uncomparable) Commit(context.Context) error   { return nil }
func (uncomparable) Rollback(context.Context) error { return nil }

// comparableByTypeOnly has a type that == accepts, with a value in it that makes
// == panic.
type comparableByTypeOnly struct{ v any }

func (comparableByTypeOnly) Prepare(context.Context) error  { return nil }
func (comparableByTypeOnly) Commit(context.Context) error   { return nil }
func (comparableByTypeOnly) Rollback(context.Context) error { return nil }
