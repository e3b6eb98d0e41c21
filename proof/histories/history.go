package histories

// Key names a list: it lies in one life of a session, for a session that is
// made anew under the same id is another one.
type Key struct {
	Session int
	Life    int // the number with which it was made
	Name    string
}

// Mark is the name of the list that holds the number of a life alone. It makes
// the maker of a session the first writer in it, and every user a reader.
const Mark = "mark"

// Op is one read of a list or one append to it.
type Op struct {
	Key       Key
	Append    int   // the number that was appended; 0: this is a read
	Found     []int // the list as it was read, before the append
	TakenBack bool  // the append, by a savepoint
}

// Visit is what a transaction found and did to a session as a whole.
type Visit struct {
	Session   int
	Life      int // what it found or made; 0: nothing was there
	Made      bool
	Destroyed bool
}

// Outcome is what a transaction was told.
type Outcome int

// What Commit says.
const (
	Committed Outcome = iota
	Aborted           // for whatever reason: certainly nothing was written
	Unknown
)

// Txn is one attempt of a transaction.
type Txn struct {
	ID         int
	Start, End int64 // moments; a later one is larger
	Outcome    Outcome
	Ops        []Op
	Visits     []Visit
	// Excused: a server was restarted, while the transaction ran or after it, that
	// held one of the several sessions it wrote to. The package comments of
	// memcachestore say what it may lose then.
	Excused bool
}

// State is a session at the end. Life 0: it is not there.
type State struct {
	Life  int
	Lists map[string][]int
}

// History is a record of transactions on some sessions.
type History struct {
	Txns  []Txn
	Final []State // of session 0 and so on, when nothing is under way any more
	// Lost are sessions of which a life may have ended without a Destroy, by a
	// restart of their server.
	Lost map[int]bool
}

// Level is what a history is held to.
type Level int

const (
	// MergeLevel is what Config.Conflict promises as Merge: no dirty, aborted or
	// intermediate read, no lost update, all or none of several sessions; within
	// one session, no G-single: a transaction reads it at one moment, and of
	// those that change a value the first to commit wins. G-single over several
	// sessions, and G2, write skew, are allowed.
	MergeLevel Level = iota
	// SerializableLevel allows no cycle. Over several sessions, cycles that need
	// rt are allowed, if no list by itself is read stale: see the README.
	SerializableLevel
	// StrictLevel allows none of these either: it is Serializable where each
	// transaction keeps to one session.
	StrictLevel
)

func (l Level) String() string {
	return [...]string{"merge", "serializable", "strict serializable"}[l]
}

// Name is the name of an anomaly.
type Name string

// The anomalies.
const (
	Garbage      Name = "garbage read"        // of what nobody wrote there
	Duplicate    Name = "duplicate"           // the same append twice
	Internal     Name = "internal"            // a transaction does not see what it has done itself
	G1a          Name = "G1a aborted read"    // of what was rolled back
	G1b          Name = "G1b intermediate"    // of a part of what another appended
	Incompatible Name = "incompatible orders" // two reads, neither the beginning of the other
	LostAppend   Name = "lost append"         // committed, and nowhere
	LostUpdate   Name = "lost update"         // another came between its read and its append
	Half         Name = "half"                // in one of its sessions, and not in another
	Stale        Name = "stale read"          // of a list that an ended transaction had appended to
	Resurrection Name = "resurrection"        // of a session that was destroyed
	Vanished     Name = "vanished session"    // that nobody destroyed
	G0           Name = "G0 write cycle"
	G1c          Name = "G1c circular flow"
	GSingleLocal Name = "G-single in one session"
	GSingle      Name = "G-single"
	G2           Name = "G2 write skew"
	Realtime     Name = "-realtime" // appended to the name of a cycle that needs rt
)

// Forbids reports whether a history at this level may not show the anomaly.
func (l Level) Forbids(n Name) bool {
	switch n {
	case GSingle, G2:
		return l != MergeLevel
	case GSingle + Realtime, G2 + Realtime:
		return l == StrictLevel
	}
	return true
}

// Anomaly is what a history shows and its explanation.
type Anomaly struct {
	Name Name
	Text string
}

func (a Anomaly) String() string { return string(a.Name) + ": " + a.Text }

// Report is what Check found.
type Report struct {
	Anomalies  []Anomaly    // that the level forbids
	Allowed    map[Name]int // that it does not
	Operations int          // see the package comment
	Lost       int          // lives that ended with their server
	Window     int          // transactions that were excused, and lost a part
}
