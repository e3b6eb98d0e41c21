// Package histories runs concurrent programs over sessions, records what every
// transaction was told and what it found, and checks that the record can be
// explained by the isolation that is promised.
//
// # Lists
//
// The values are lists, to which a transaction appends numbers that no other
// uses, as Elle has it (Kingsbury and Alvaro, VLDB 2020). The last state of a list
// then tells the order of all its writes, and what a transaction read tells
// after which of them it came. From this follow the dependencies of Adya's
// thesis (1999) between the transactions that happened:
//
//	ww  one appended next after another, to the same list
//	wr  one read what the other appended last
//	rw  one read a list to which the other was the next to append
//	rt  one had ended before the other began
//
// A cycle of them is an anomaly, named after the edges it needs: G0 (ww), G1c (and
// wr), G-single (and one rw), G2 (several rw; write skew is the shortest). One
// that needs rt as well has "-realtime" behind its name. Found without a cycle:
// G1a (aborted read), G1b (intermediate read), lost updates and lost
// appends, halves, stale reads, and sessions that come back from the dead.
//
// # Registers
//
// What is no append, setting, counting, popping and deleting, is checked by
// porcupine, each key by itself: there must be an order of all transactions on it, in
// keeping with real time, that explains every answer. A transaction whose
// outcome is unknown may have happened at any later time or never.
//
// # Operation
//
// An operation, in the figures, is one read of a list or one append to one (the
// read that it includes is not counted again) by a transaction that committed
// or may have; or one transaction on a register. What transactions did that were
// refused or have aborted is checked to be nowhere, and not counted.
package histories
