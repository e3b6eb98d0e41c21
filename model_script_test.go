package sessiondata_test

import (
	"time"

	"pgregory.net/rapid"
)

// step is one line of a script: what a program does in a transaction. Scripts
// are drawn apart from what runs them, so that the same one runs over any store.
type step struct {
	Do       string
	Session  int
	Pkg, Key string
	N        int
	How      string // of "atomic", "before", "join" and "end": how it is to come out
	Steps    []step // within "atomic" and "before"
}

const (
	modelContainers = 2
	modelIDs        = 2
	modelSessions   = modelContainers * modelIDs

	// Far below the shortest timeout and resolution in all, so that no session
	// expires and no access is due: see timeout_model_test.go for those.
	modelTick  = 10 * time.Minute
	modelTicks = 8
)

var (
	modelPkgs     = []string{"p", "q", ""}
	modelKeys     = []string{"a", "b", ""}
	modelTimeouts = []time.Duration{2 * time.Hour, 24 * time.Hour, -1, 0}
	modelLives    = []time.Duration{modelTick, modelTick / 2, 24 * time.Hour}

	// stepKinds has each kind as often as its weight.
	stepKinds = []string{
		"set", "set", "set", "set", "set for", "set for", "delete", "delete", "clear", "delete package", "modify", "modify", "modify in vain",
		"pop", "set default", "get", "get", "look", "look", "set timeout", "set timeout", "renew", "destroy",
		"savepoint", "savepoint", "savepoint", "back", "back", "back", "release", "atomic", "atomic", "join", "join", "bump", "bump", "before", "after", "foreign", "foreign",
		"tick", "tick", "doom", "end", "end", "end", "end",
	}
	// insideKinds are those that may stand within a step of a workflow or a hook.
	insideKinds = stepKinds[:len(stepKinds)-4]
)

// stepsOf draws steps, as many as one of the lengths says: left to itself rapid
// draws few.
func stepsOf(kinds []string, depth int, lengths ...int) *rapid.Generator[[]step] {
	one := rapid.Custom(func(t *rapid.T) step {
		s := step{Do: rapid.SampledFrom(kinds).Draw(t, "do")}
		s.Session = rapid.IntRange(0, modelSessions-1).Draw(t, "session")
		s.Pkg = rapid.SampledFrom(modelPkgs).Draw(t, "pkg")
		s.Key = rapid.SampledFrom(modelKeys).Draw(t, "key")
		s.N = rapid.IntRange(0, 3).Draw(t, "n")
		switch s.Do {
		case "atomic":
			s.How = rapid.SampledFrom([]string{"done", "fails", "panics"}).Draw(t, "how")
		case "before":
			s.How = rapid.SampledFrom([]string{"done", "done", "done", "fails"}).Draw(t, "how")
		case "join":
			s.How = rapid.SampledFrom([]string{"saver", "saver", "saver", "plain", "last", "fails"}).Draw(t, "how")
		case "foreign":
			s.How = rapid.SampledFrom([]string{"sets", "sets", "destroys"}).Draw(t, "how")
		case "end":
			s.How = rapid.SampledFrom([]string{"commit", "commit", "commit", "rollback"}).Draw(t, "how")
		}
		if depth > 0 && (s.Do == "atomic" || s.Do == "before") {
			s.Steps = stepsOf(insideKinds, depth-1, 0, 2, 6).Draw(t, "steps")
		}
		return s
	})
	return rapid.Custom(func(t *rapid.T) []step {
		n := rapid.SampledFrom(lengths).Draw(t, "length")
		return rapid.SliceOfN(one, n, n).Draw(t, "steps")
	})
}

var scripts = stepsOf(stepKinds, 2, 1, 5, 12, 30, 60)
