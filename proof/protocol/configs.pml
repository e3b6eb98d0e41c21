/* Which configuration is checked, which window is open in it and which rule is
 * broken: as pan's environment says (CONFIG, WINDOW, MUTANT), so that all of them
 * are one program, which is compiled once. */
#define SINGLE 1
#define CREATE 2
#define SHORTLINE 3
#define DESTROY 4
#define LOGOUTS 5
#define EVICT 6
#define RESTART 7
#define RENEW 8
#define RENEWEVICT 9
#define RENEWGRACE 10
#define INTENTS 11
#define INTENTS3 12
#define INTENTNEW 13
#define INTENTREAD 14
#define INTENTREMOVE 15
#define INTENTLOGOUT 16
#define INTENTEVICT 17
#define INTENTRESTART 18
#define JOINLAST 19
#define SERIAL 20
#define OUTAGE 21
#define LOGOUTNEW 22

#define WINDOW_LATE_ADD 1
#define WINDOW_LAST_DIES 2
#define WINDOW_LAST_OUTLASTS 3
#define WINDOW_PRIMARY_EVICTED 4
#define WINDOW_PRIMARY_RESTARTED 5
#define WINDOW_PRIMARY_DOWN 6
#define WINDOW_RENEWAL_DIES 7
#define WINDOW_REMOVAL_LOST 8
#define WINDOW_READ_SKEW 9

#define MUTANT_CAS_NOT_COMPARED 1
#define MUTANT_EPOCH_IGNORED 2
#define MUTANT_BIRTH_IGNORED 3
#define MUTANT_MERGE_TAKES_BASE 4
#define MUTANT_ADD_REPEATED 5
#define MUTANT_LOST_IS_DONE 6
#define MUTANT_LOST_IS_REFUSED 7
#define MUTANT_ANCESTORS_IGNORED 8
#define MUTANT_REMOVED_BEFORE_ADDED 9
#define MUTANT_COPY_NOT_REPLACED 10
#define MUTANT_COPY_STAYS 11
#define MUTANT_LOST_REMOVAL_IS_DONE 12
#define MUTANT_PRIMARY_PLACED_LAST 13
#define MUTANT_NOT_READ_BACK 14
#define MUTANT_INSTALLED_BEFORE_DECIDED 15
#define MUTANT_UNKNOWN_IS_ROLLED_BACK 16
#define MUTANT_NOTE_CLEARED_FIRST 17
#define MUTANT_NOTE_CLEARED_UNSEEN 18
#define MUTANT_NOTE_GOES_FIRST 19
#define MUTANT_OTHERS_SETTLED_FIRST 20
#define MUTANT_SETTLED_BLINDLY 21
#define MUTANT_INTENT_COMPARED_AGAINST 22
#define MUTANT_UNDECIDED_IS_READ 23
#define MUTANT_UNDONE_NOT_READ_AGAIN 24
#define MUTANT_DEADLINE_NOT_MOVED 25
#define MUTANT_NO_LAST_LOOK 26
#define MUTANT_NOT_INSISTED 27
#define MUTANT_READS_NOT_VALIDATED 28
#define MUTANT_OWN_FORWARD_FOLLOWED 29
#define MUTANT_NOTE_STAYS 30

byte config, window, mutant;
#define W(name) (window == WINDOW_##name)
#define M(name) (mutant == MUTANT_##name)

c_decl {
	static int chosen(const char *list)
	{
		const char *is = getenv(list);
		return is ? atoi(is) : 0;
	}
}

/* The items are 0 and up; a renewed session goes to 1. */
#define K   3
#define NEW 1
bit  newEvicted;
byte renewer;      /* the client that renews; 0: none does */
byte last;         /* the client with a JoinLast participant */
byte jointbits;    /* the changes of transactions over several sessions */
byte running;      /* clients that have not ended */
bit  logouts;      /* somebody destroys the session */

#define GRACE (config == RENEWGRACE)

/* The copy that a renewal places is no session yet. */
#define EXEMPT(k) (renewer != 0 && k == NEW && !eff[renewer] && rep[renewer] != ROLLED)

#define KEYS(c)    (config == INTENTS3 -> 7 : 3)
#define REMOVES(c) (config == INTENTREMOVE -> 1 : 0)

/* Windows: what may not go wrong unless one is open. */
#define MAYDIE(c)     (!(sql && c == last && !eff[c]) || W(LAST_DIES))
#define MAYTIRE(insist) (!(insist) || W(LAST_OUTLASTS))
#define MAYLOSE(act)  (act != MOVES || GRACE || W(REMOVAL_LOST))
#define MAYDELAY(kind, act) (!(logouts && kind == ADD && act == WRITES) || W(LATE_ADD))
#define MAYEVICT(k)   (!(NTX(st[k]) != 0 && (ITX(st[1]) == NTX(st[k]) || ITX(st[2]) == NTX(st[k]))) || W(PRIMARY_EVICTED))
#define RESTARTED(k)  (k == 0 || !W(PRIMARY_RESTARTED))
#define MAYHALF       (rep[renewer] != DEAD || W(RENEWAL_DIES))

/* The reader. */
#define READS_ONE  (config == OUTAGE)
#define READFIRST  (config == SERIAL || W(PRIMARY_DOWN) -> 1 : 0)
#define READSECOND (config == SERIAL -> 0 : 1)
#define DOWNKEY    (W(PRIMARY_DOWN) -> 0 : 1)
#define MUSTREAD   (config == OUTAGE)

