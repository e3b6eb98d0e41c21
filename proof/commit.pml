/* A model of the commit protocol: the single write, renewal, and intents with
 * their settlement, as commit.go, renew.go, intent.go, intent_decide.go,
 * intent_wire.go, settle.go, twophase.go and unit.go implement them. make model
 * checks it with spin; the files in protocol/ are its parts.
 *
 * What it is held to (store.pml). Beside the store stands a specification, G: which
 * sessions there are, with which values. It changes at one moment of each
 * transaction alone: with its one write, with the removal of a renewal's old
 * item, with the write to the primary. After each and every write to the store, what
 * a reader would make of the items there must be what G says. The assertions are
 *
 *   change_is_lost         no committed change is lost, and no session moves
 *                          without its changes, or is gone for a moment
 *   undone_change_stays    nor is one seen that is not committed
 *   half_is_done           transactions over several sessions are all or none
 *   half_is_read           and nobody reads a half: a reader finds in the second
 *                          session what it found in the first; one that
 *                          validates, the same in both
 *   read_is_wrong          what is read was there while it was read
 *   destroyed_comes_back   neither a destroyed session does, nor one under its id
 *                          by a transaction that had ended; nor does a change
 *                          go to the session that was made anew
 *   outcome_is_false       committed: it has taken effect, once. Rolled back: it
 *                          has not, and never does, whatever arrives later.
 *                          Anything may be unknown
 *   participant_is_alone   no sessions are undone whose last participant committed
 *   lives_under_two_ids    after a renewal one id leads to the session
 *   cannot_be_read         the one server that a session lies on is enough
 *   is_never_settled       what clients leave behind is settled in a few steps by
 *                          who comes later
 *
 * The parts, and the functions that they are named after:
 *
 *   settle.pml   rewrite, truth, fateOf, lapsed, installAll, settle, clean, withdraw
 *   single.pml   write.put, settle, settleBehind, reach, rebase, mergeWith, run,
 *                destroy with aim, and unit.arrive
 *   renew.pml    write.renew, removeOld, lookAtOld, replace, takeBack
 *   joint.pml    joint.place, rebase, prepare, readBack, extend, decide, look,
 *                finish, rollback, and what Txn.commit makes of them
 *   reader.pml   a View of two sessions; validate of unit.go
 *   store.pml    the contract of store.go, with requests that are lost, refused
 *                or late, replies that are lost, clients that die, eviction,
 *                restart with CAS ids from 1 under another Epoch, outage
 *   configs.pml, scenes.pml   who runs in which configuration; what is a window
 *   seen.pml     counts of interesting moments, so that a check is not of nothing
 *
 * What is left out, and why that hides no fault of the protocol:
 *
 *   - Values are one bit for each client, which its transaction sets. A merge then
 *     always can be done; that it refuses (ErrConflict), as Resolve or a value
 *     read by both may make it, is a choice at each merge. merge.go itself is
 *     tested against its definition.
 *   - Clocks: an intent's deadline has passed whenever that suits the worst case,
 *     so that no property hangs on clocks that agree. The exception is an intent
 *     whose deadline was moved for a JoinLast participant: it is not passed while
 *     its client runs (skewAllowance, extendMargin), unless that is the window.
 *     Time as such (expiry, ttl) is left out; an eviction does what expiry can do.
 *   - Budgets run out at any pause: each loop may end there as pause can end it.
 *   - What goes side by side (inParallel) is some order of the same writes: each
 *     is one step of the store, and others come between any two.
 *   - A round trip is one step, since its client does nothing between request
 *     and answer. A request that takes effect later is one that was delayed: one
 *     of them at a time is under way.
 *   - Waiting without holding an item behind the one waited for (placeOthers) is
 *     against deadlock, which budgets end anyway: here everyone waits in order.
 *   - Images name up to three ancestors in place of 15, and no history is longer;
 *     SHORTLINE has none, so that what no ancestor tells is reached.
 *   - Ids that nobody can guess are numbers that no two have: births, commit ids,
 *     transactions, the id of a renewed session.
 *   - Renewal within intents, two renewals at once, subjects, and recording an
 *     access are not in it. The tests of the root package hold those.
 *
 * A client is one atomic sequence that lets the others go on before each of its
 * round trips. With spin and a C compiler, by hand:
 *
 *     spin -a commit.pml && cc -O0 -w -DSAFETY -DNOFAIR -o pan pan.c
 *     CONFIG=11 ./pan -m100000 -n                  # INTENTS, as configs.pml counts
 *     CONFIG=11 MUTANT=16 ./pan -m100000 -n        # UNKNOWN_IS_ROLLED_BACK
 *     CONFIG=11 MUTANT=16 ./pan -r commit.pml.trail | grep step
 */
#include "protocol/configs.pml"
#include "protocol/seen.pml"
#include "protocol/store.pml"
#include "protocol/settle.pml"
#include "protocol/single.pml"
#include "protocol/renew.pml"
#include "protocol/joint.pml"
#include "protocol/reader.pml"
#include "protocol/scenes.pml"

init {
	atomic {
		c_code {
			now.config = chosen("CONFIG");
			now.window = chosen("WINDOW");
			now.mutant = chosen("MUTANT");
		}
		run Store();
		run Others();
		run Trouble();
		scene();
		run Sweeper()
	}
}
