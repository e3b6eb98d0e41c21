/* The single write: one changed session, nobody else (commit.go). */

#define APPLIED 1
#define REFUSED 2
#define AGAIN   3
#define DOUBT   4 /* ErrOutcomeUnknown */
#define FAILED  5 /* certainly not written */

/* What the next try compares against: cur, at version ag. */
#define WRITE_LOCALS \
	int cur; byte ag; byte base /* birth id of what was loaded */; bit doubt; bit tried

/* write.settle: what has become of a write whose reply was lost. */
inline settleLost(k, holdsToo) {
	do
	:: fate = DOUBT; break /* no answer within CommitTimeout */
	:: get(k, m, v);
		if
		:: res != OK
		:: else ->
			fate = (m == 0 -> (ag == 0 && M(ADD_REPEATED) -> AGAIN : DOUBT) :
				(WROTE(m, c) || (holdsToo && ITX(m) == c) -> APPLIED :
				(ag != 0 && v == ag -> AGAIN :
				(FWD(m) -> FAILED + 1 :
				((BIRTH(cur) != 0 && WROTE(m, HEAD(cur))) || M(ANCESTORS_IGNORED) -> REFUSED : DOUBT)))));
			if
			:: fate == FAILED + 1 -> settleBehind()
			:: else
			fi;
			break
		fi
	od;
	m = 0; v = 0
}

/* write.settleBehind: the session has another id meanwhile. */
inline settleBehind() {
	once = 0;
	truth(NEW);
	fate = (res != OK || BIRTH(body) == 0 -> DOUBT :
		(WROTE(body, c) -> APPLIED :
		(BIRTH(cur) != 0 && WROTE(body, HEAD(cur)) -> REFUSED : DOUBT)))
}

/* write.put: sends x; fate is APPLIED, REFUSED, DOUBT or FAILED. */
inline put(k, x, act, holdsToo) {
	doubt = 0;
	do
	:: send((ag == 0 -> ADD : CAS), k, x, ag, act);
		if
		:: res == OK -> fate = APPLIED; break
		:: res != OK && res != LOST && !doubt -> fate = (res == UNAVAIL -> FAILED : REFUSED); break
		:: else ->
			doubt = 1;
			if
			:: M(LOST_IS_DONE) -> fate = APPLIED
			:: M(LOST_IS_REFUSED) -> fate = REFUSED
			:: else -> settleLost(k, holdsToo)
			fi;
			if
			:: fate == AGAIN
			:: else -> break
			fi
		fi
	od
}

/* write.reach: what is stored for the session now, without intent or note,
 * behind forwards. */
inline reach(wait) {
	do
	:: clean(key, wait);
		if
		:: res == OK && BIRTH(m) == 0 && FWD(m) && key != NEW -> key = NEW
		:: else -> break
		fi
	od
}

/* The load of a session (unit.arrive). */
inline load() {
	do
	:: truth(key);
		if
		:: res == OK && BIRTH(body) == 0 && FWD(m) && key != NEW -> key = NEW
		:: else -> break
		fi
	od;
	if
	:: res != OK -> report(ROLLED)
	:: else
	fi;
	atomic {
		base = BIRTH(body); gb[c] = base; cur = body; ag = (m == 0 -> 0 : v);
		body = 0; m = 0; v = 0; undecided = 0
	}
}

/* Unequal births: it was destroyed, and made anew. */
#define ANOTHER(x) (BIRTH(x) != base && !M(BIRTH_IGNORED))

/* write.rebase: res is OK where there is something to write over. ErrGone, a
 * conflict that cannot be merged and too long a wait are errors that say:
 * nothing was written. */
inline rebase(wait) {
	reach(wait);
	if
	:: res != OK
	:: res == OK && BIRTH(m) == 0 ->
		res = (base != 0 -> NOTFOUND : OK);
		cur = 0; ag = (m == 0 -> 0 : v)
	:: res == OK && BIRTH(m) != 0 && base != 0 && ANOTHER(m) -> res = NOTFOUND
	:: else ->
		if
		:: merge()
		:: res = CONFLICT /* both changed the same value */
		fi
	fi;
	m = 0; v = 0
}

/* write.mergeWith: mine on top of theirs. */
inline merge() {
	cur = (cur != 0 && M(MERGE_TAKES_BASE) -> (cur & SESSION) | (LINE(m) << 7) : m); ag = v
}

/* write.run of a session that is changed, or new. */
proctype Writer(byte c; byte key) {
	LOCALS; WRITE_LOCALS;
	atomic {
	load();
	tried = 0;
	do
	:: if
		:: tried || (!cmp && !M(INTENT_COMPARED_AGAINST)) ->
			rebase(true);
			if
			:: res != OK -> report(ROLLED)
			:: else
			fi
		:: else
		fi;
		tried = 1; cmp = 0;
		y = MADE(cur, c);
		put(key, y, WRITES, false);
		if
		:: fate == APPLIED -> report(COMMITTED)
		:: fate == DOUBT -> report(UNKNOWN)
		:: fate == FAILED -> report(ROLLED)
		:: else
		fi
	od;
over:
	running--
	}
}

/* What a destroyer says: gone is success, by whoever. */
inline reportDestroyed() {
	atomic {
		printf("step tells %d %d\n", c, COMMITTED);
		d_step {
			rep[c] = COMMITTED;
			outcome_is_false = BIRTH(G[key]) == base;
			assert(!outcome_is_false)
		}
		goto over
	}
}

/* write.destroy and write.aim. */
proctype Destroyer(byte c; byte key) {
	LOCALS; WRITE_LOCALS;
	atomic {
	load();
	if
	:: base == 0 -> report(ROLLED) /* there is nothing to destroy: it writes nothing */
	:: else
	fi;
	tried = 0; doubt = 0;
	do
	:: if
		:: tried || !cmp ->
			do
			:: reach(true);
				if
				:: res != OK && doubt -> report(UNKNOWN) /* no more time */
				:: res != OK && doubt
				:: res != OK && !doubt -> report(ROLLED)
				:: res == OK && (BIRTH(m) == 0 || ANOTHER(m)) -> reportDestroyed()
				:: res == OK && BIRTH(m) != 0 && !ANOTHER(m) -> cur = m; ag = v; break
				fi
			od
		:: else
		fi;
		tried = 1;
		send(CAD, key, 0, ag, KILLS);
		if
		:: res == OK || res == NOTFOUND -> reportDestroyed()
		:: res == LOST -> doubt = 1
		:: res == CONFLICT
		:: res == UNAVAIL && doubt -> report(UNKNOWN)
		:: res == UNAVAIL && !doubt -> report(ROLLED)
		fi
	od;
over:
	running--
	}
}
