// Package sessiondata is a transactional session data manager: it treats the
// session of a visitor as what it is, a small shared database. Parallel requests
// do not lose each other's changes, a request that fails half way leaves nothing
// behind, and a commit says truly what has become of it.
//
// # Five types
//
//	Container   the sessions of one kind, on one Store; lives as long as the program
//	 Session    one visitor's session within one transaction
//	  PkgData   the map of values of one package of that session
//	Txn         a transaction over any number of sessions and containers
//	 Savepoint  a point of it to go back to
//
// A [Container] is made once, and is the front door:
//
//	sessions, err := sessiondata.NewContainer(store, sessiondata.Config{Timeout: 30 * time.Minute})
//
//	err = sessions.Update(ctx, id, func(s *sessiondata.Session) error {
//		return s.Pkg("basket").Set("books", 2)
//	})
//
// [Container.Update] opens the session of that id in a transaction, runs the
// function, and commits; [Container.View] does the same read-only. A [Session]
// that is not stored yet is empty, and is stored only if it is changed. Each part
// of an application uses packages of its own, so that names do not meet. They are
// made by their first value and go with the last.
//
// Values are encoded when they are set and decoded when they are read, by a
// [Codec]: what [PkgData.Get] gives is the caller's own copy, and a change to it
// is none to the session until it is set again. So a value that cannot be encoded
// is refused where it is set, an equal value is no change, and reading one value
// decodes nothing else. [Get], [GetOr], [SetDefault], [Pop] and [Modify] are the
// typed ways to do it.
//
// # Transactions
//
// All changes are buffered. Nobody else sees them before the commit, and an
// error, a panic or runtime.Goexit of the function leaves the store as it was.
// Where one function is not the natural form, [Begin], [Container.Session],
// [Txn.Commit] and [Txn.Rollback] are the parts that Update is made of; deferring
// Rollback is safe. [Run] is Update for several sessions or containers, which
// then change all or none.
//
// A session is read from the store once in a transaction, at its first use, in
// one round trip; the commit of one session is one more, and none if nothing was
// changed. Other participants, such as an SQL transaction (package sqltx), take
// part by [Txn.Join] and [Txn.JoinLast]. Hooks run before the commit and after
// the end.
//
// The goroutines of one request may share a transaction. After its end every
// method that returns an error answers [ErrTxnDone], and the others zero values.
//
// # Savepoints
//
// [Txn.Savepoint] marks a moment, and [Savepoint.Rollback] goes back to it, as
// often as wanted: values, packages, timeouts, renewals, destructions, and
// sessions that were loaded since. It costs the same however large the sessions
// are. [Txn.Atomic] is one step of a workflow, which a failure takes back alone:
//
//	err := s.Txn().Atomic(func() error {
//		basket.Set("voucher", code)
//		return redeem(ctx, code) // an error takes the voucher out again
//	})
//
// # Conflicts
//
// A commit is a conditional write. If another commit changed the session since
// it was loaded, the two are merged by package and key: what only one of them
// changed is taken from it, a deletion being a change. Where both changed the
// same value, or changed it to the same after this one had read it, for then two
// counters have counted one thing, the commit asks [Config].Resolve, or answers
// [ErrConflict] with the names of the values in a [ConflictError]. Nothing was
// written then, and running again is always safe: Update and Run do so, with
// pauses.
//
// Under [Merge], the default, two transactions that each read what the other
// writes may both commit. [Serializable] refuses that, as if they had run one
// after the other: over one session in the order of the clock, over several in
// some order. [Overwrite] lets the last one win, key by key.
//
// [Session.Destroy] and [Session.Renew] win over those who are writing: a slow
// request cannot bring back a session that was logged out. It gets [ErrGone],
// also when a new session was made under the id meanwhile.
//
// # Timeouts
//
// A session ends when it was not used for [Config].Timeout, or for a timeout of
// its own ([Session.SetTimeout]), and at the end of Config.Lifetime, however much
// it is used. The last access is recorded at most once per Config.Resolution, so
// that reading seldom writes:
//
//	expired     last access + timeout + resolution < now, or created + lifetime <= now
//	access due  last access + resolution < now
//
// A session used within its timeout is never ended by it; one that is not used
// ends within timeout and resolution of the recorded access. The store drops it
// by itself some time later.
//
// # Errors
//
// Every error matches a sentinel of this package with [errors.Is], or comes from
// the caller's own function, context or participant. No error shows a session id
// or a stored value. What to do about those that a commit may answer:
//
//	ErrConflict         nothing was written; run it again, on fresh data
//	ErrGone             the session has ended; nothing was written; begin a new one
//	ErrUnavailable      the store did not do it; nothing was written; try later
//	ErrTooLarge         found before anything was sent; what is stored is intact
//	ErrOutcomeUnknown   it may or may not have happened, and asking could not tell
//	ErrCorrupt          the stored bytes are damaged; they are left as they are
//
// Nothing is repeated blindly. When the reply to a write is lost, the session is
// read again, and the ids of the last commits in it tell whether the write is
// among them. So ErrOutcomeUnknown is rare: it means that the session has
// vanished or was replaced meanwhile, or that the store did not answer within
// Config.CommitTimeout. A store that is down is never taken for an empty session.
//
// # Stores and the wire format
//
// A [Store] keeps bytes under keys, and writes only conditionally. Package
// memstore keeps them in the memory of the process, memcachestore in memcached;
// package storetest is the contract as a test suite, for other ones. Session ids
// are hashed before they reach a store.
//
// A session is stored as one item: a head with its facts, a table of packages,
// each a table of values, and a checksum that covers the storage key. A commit
// copies the bytes of what it did not change. The layout stands at the top of
// envelope.go. Every version reads what earlier ones have written; what a newer
// one wrote in a form that this one does not know is [ErrUnsupportedVersion], and
// stays as it is. Damaged, truncated and forged bytes are [ErrCorrupt], never a
// panic, and never an allocation beyond what their size allows. With Config.Keys
// they are sealed as well.
//
// # Windows
//
// Some histories no protocol over a cache can close. These are all that are
// known, each in its shortest form.
//
// An Add that arrives late: a new session is committed, the reply of its Add is
// lost, and so is the request for the time being. The commit answers
// ErrOutcomeUnknown. The session is created by another, and destroyed. Now the
// Add arrives, and the session is there again. (Writes to sessions that exist
// compare versions: however late they arrive, they do nothing.)
//
// A renewal half way: the new item is stored, and the process dies before the old
// one is removed. Both ids lead to a session until they time out, the new one
// known to nobody.
//
// A lost removal: the reply to a renewal's removal of the old item is lost, and
// the old item is absent. It may have been a logout; so the new one is taken back
// and the outcome is unknown: the visitor has no session. The same where the
// removal, or the forward of a grace period, is late: it is not there when it is
// looked for, cannot be sent again, and arrives when the new one is taken back.
//
// Several sessions, or a participant beside, need more than one write, and so
// have more of them. A participant of JoinLast commits, and then the process
// dies, or its commit outlasts the deadline, before the primary session is told:
// the sessions are rolled back, the participant is not. The store evicts the
// primary between decision and installation: who has not been installed by then
// is rolled back. While the server of a primary is down, the other sessions of
// its undecided transaction cannot be read.
//
// # Goals, and what are none
//
// Goals: no lost update, no half, no resurrection, no false answer; the data
// where its users have it, in memcached; costs that follow what is used, not what
// is stored.
//
// No goals: durability beyond that of the store, which may evict at any time;
// transactions that last longer than a request; queries over sessions, beyond
// [Container.All] for administration; sessions too large to be read and written
// in one piece.
package sessiondata
