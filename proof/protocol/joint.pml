/* Several sessions, or a participant beside (intent.go, intent_decide.go,
 * twophase.go, unit.go). */

/* The keys of client c's transaction, and those of them that it destroys. */
#define HAS(mask,k) (((mask) >> (k)) & 1)

#define JOINT_LOCALS \
	LOCALS; WRITE_LOCALS; \
	int  curs[K]; byte ags[K]; byte bases[K]; bit cmps[K]; \
	byte vers[K];         /* of each item as it was read back */ \
	int  placed;          /* the primary as it was read back */ \
	byte items, placing;  /* what is left of the keys; those whose intent may have been placed */ \
	byte prim; byte i; bit blocked, failed

/* The intent of client c on the body cur (joint.withIntent). */
#define INTENT(cur,k) (BODY(cur) | (c << 19) | (HAS(REMOVES(c), k) << 21) | (prim << 22))

/* joint.rebase: as rebase, but what is to be destroyed may be gone (res is EXISTS). */
inline rebaseItem(wait) {
	if
	:: HAS(REMOVES(c), key) ->
		clean(key, wait);
		if
		:: res == OK && BIRTH(m) != base -> res = EXISTS
		:: res == OK && BIRTH(m) == base -> cur = m; ag = v
		:: else
		fi;
		m = 0; v = 0
	:: else -> rebase(wait)
	fi
}

/* joint.place. res: OK; EXISTS, there is nothing to destroy; else it has
 * failed, or waits, which it was not to do. */
inline place(wait) {
	atomic { cur = curs[key]; ag = ags[key]; base = bases[key]; curs[key] = 0; ags[key] = 0 }
	tried = HAS(placing, key) || !cmps[key];
	do
	:: if
		:: tried -> rebaseItem(wait)
		:: else -> res = OK
		fi;
		if
		:: res != OK -> break
		:: else
		fi;
		placing = placing | (1 << key); tried = 1;
		y = INTENT(cur, key);
		put(key, y, PREPARES, true);
		if
		:: fate == APPLIED -> res = OK; break
		:: fate == DOUBT || fate == FAILED -> res = UNAVAIL; break
		:: else
		fi
	od;
	atomic { curs[key] = cur; ags[key] = ag; cur = 0; ag = 0; base = 0; tried = 0; fate = 0; doubt = 0 }
}

/* joint.prepare and joint.placeOthers: in the order of the keys; the first that
 * is not gone is the primary. (Those behind it are placed side by side, and where
 * one waits those behind it are withdrawn first: what others see of that is some
 * order of such writes.) */
inline placeAll() {
	key = 0; prim = K; failed = 0;
	if
	:: M(PRIMARY_PLACED_LAST) -> prim = 0; key = 1
	:: else
	fi;
	do
	:: key < K && HAS(items, key) ->
		prim = (prim == K -> key : prim);
		place(true);
		if
		:: res == EXISTS -> items = items & ~(1 << key); prim = (prim == key -> K : prim)
		:: res != OK && res != EXISTS -> failed = 1; break
		:: res == OK
		fi;
		if
		:: M(PRIMARY_PLACED_LAST) && key == 0 -> break
		:: M(PRIMARY_PLACED_LAST) && key == 1 -> key = 0
		:: else -> key++
		fi
	:: key < K && !HAS(items, key) -> key++
	:: key == K -> break
	od;
	key = 0
}

/* joint.readBack */
inline readBack() {
	i = 0;
	do
	:: i < K && HAS(items, i) && !failed ->
		get(i, m, v);
		vers[i] = v;
		failed = (res != OK || (ITX(m) != c && !(M(NOT_READ_BACK) && m != 0)));
		if
		:: i == prim -> placed = (M(NOT_READ_BACK) -> INTENT(m, i) : m)
		:: else
		fi;
		i++
	:: i < K && !HAS(items, i) && !failed -> i++
	:: failed || i == K -> break
	od;
	i = 0; m = 0; v = 0
}

/* joint.rollback: the primary's first. */
inline rollback() {
	i = 0;
	do
	:: i < K && HAS(placing, i) -> withdraw(i); i++
	:: i < K && !HAS(placing, i) -> i++
	:: i == K -> break
	od;
	i = 0
}

inline undo() { goto undone }

/* joint.extend: moves the deadline of the primary; failed: it is not to go on. */
inline extend() {
	doubt = 0; placed = placed | (1 << 30);
	do
	:: send(CAS, prim, placed, vers[prim], PREPARES);
		failed = (((res == CONFLICT || res == NOTFOUND) && !doubt) || res == UNAVAIL);
		failed = failed && !M(NO_LAST_LOOK);
		if
		:: M(NO_LAST_LOOK) -> break
		:: failed -> break
		:: else
		fi;
		cmp = (res != OK); /* lost */
		get(prim, m, v);
		failed = (res != OK || ITX(m) != c);
		vers[prim] = v;
		if
		:: failed || !cmp || EXT(m) -> break
		:: else
		fi;
		doubt = 1;
		if
		:: failed = 1; break /* no more time */
		:: true
		fi
	od;
	doubt = 0; cmp = 0; m = 0; v = 0
}

#define OTHERS (items & ~(1 << prim))
#define NOTES  (OTHERS != 0 || HAS(REMOVES(c), prim))
/* What the primary becomes by the decision. */
#define DECISION (INSTALLED(placed) | (NOTES -> NOTED(c, OTHERS) : 0))

/* joint.look. fate: APPLIED, AGAIN, REFUSED or DOUBT. */
inline look(insist) {
	do
	:: get(prim, m, v);
		if
		:: res != OK
		:: res != OK && MAYTIRE(insist) -> fate = DOUBT; break /* no more time */
		:: res == OK ->
			fate = (NTX(m) == c || (BIRTH(m) != 0 && !HAS(REMOVES(c), prim) && WROTE(m, c)) -> APPLIED :
				(m != 0 && v == vers[prim] -> AGAIN :
				(BIRTH(m) != 0 && BIRTH(placed) != 0 && WROTE(m, HEAD(placed)) -> REFUSED : DOUBT)));
			break
		fi
	od;
	m = 0; v = 0
}

/* joint.decide. insist: a JoinLast participant has committed. fate: APPLIED,
 * REFUSED (certainly not decided) or DOUBT. */
inline decide(insist) {
	doubt = 0;
	do
	:: y = DECISION;
		send(CAS, prim, y, vers[prim], DECIDES);
		if
		:: res == OK -> fate = APPLIED
		:: res == LOST || ((res == CONFLICT || res == NOTFOUND) && doubt) -> doubt = 1; look(insist)
		:: (res == CONFLICT || res == NOTFOUND) && !doubt -> fate = REFUSED
		:: res == UNAVAIL -> fate = (!doubt && !(insist) -> REFUSED : AGAIN)
		fi;
		if
		:: fate != AGAIN -> break
		:: fate == AGAIN
		:: fate == AGAIN && MAYTIRE(insist) -> fate = (doubt -> DOUBT : REFUSED); break /* no more time */
		fi
	od
}

/* joint.finish: installs the others, side by side with reading the primary;
 * failed: one was certainly not installed, or it is not known. */
inline finish() {
	if
	:: M(NOTE_CLEARED_FIRST) -> get(prim, o, ov); y = STRIP(o); rewrite(prim, y, ov)
	:: else
	fi;
	failed = 0; i = 0; o = 0; ov = 0; p = 0; pv = 0;
	do
	:: p == 0 && !failed -> get(prim, p, pv); failed = (res != OK)
	:: i < K && HAS(OTHERS, i) ->
		/* an install needs what was read back, and its version */
		y = INTENT(curs[i], i); y = INSTALLED(y); rewrite(i, y, vers[i]);
		failed = failed || res != OK;
		blocked = blocked || !once; /* it may not be installed */
		i++
	:: i < K && !HAS(OTHERS, i) -> i++
	:: i == K && (p != 0 || failed) -> break
	od;
	i = 0; m = p; v = pv; p = 0; pv = 0;
	if
	:: failed || NTX(m) != c
	:: !failed && NTX(m) == c && blocked && !M(NOTE_CLEARED_UNSEEN) -> settle(prim)
	:: else -> y = STRIP(m); rewrite(prim, y, v)
	fi
}

/* The load of all sessions, one after the other. */
inline loadAll() {
	key = 0; items = KEYS(c);
	do
	:: key < K && HAS(items, key) ->
		truth(key);
		if
		:: res != OK -> report(ROLLED)
		:: res == OK && BIRTH(body) == 0 && HAS(REMOVES(c), key) -> items = items & ~(1 << key); body = 0
		:: else
			atomic {
				curs[key] = body; ags[key] = (m == 0 -> 0 : v); bases[key] = BIRTH(body); cmps[key] = cmp;
				body = 0
			}
		fi;
		key++
	:: key < K && !HAS(items, key) -> key++
	:: key == K -> break
	od;
	key = 0; m = 0; v = 0; cmp = 0; undecided = 0
}

/* Txn.commit with several sessions: last, with a JoinLast participant beside. */
proctype Joint(byte c) {
	byte key;
	JOINT_LOCALS;
	atomic {
	loadAll();
	placeAll();
	if
	:: failed -> undo()
	:: !failed && items == 0 -> report(ROLLED) /* there is nothing left to destroy: it writes nothing */
	:: else
	fi;
	atomic {
		key = 0;
		do
		:: key < K -> ags[key] = 0; bases[key] = 0; cmps[key] = 0; key++
		:: else -> break
		od;
		key = 0
	}
	if
	:: M(INSTALLED_BEFORE_DECIDED) -> y = INTENT(curs[1], 1); y = INSTALLED(y); rewrite(1, y, ver[1])
	:: else
	fi;
	readBack();
	if
	:: failed -> undo()
	:: failed == 0
	:: failed == 0 -> undo() /* another participant cannot prepare, or no more time */
	fi;
	if
	:: c == last ->
		if
		:: M(DEADLINE_NOT_MOVED)
		:: else -> extend()
		fi;
		if
		:: failed -> undo()
		:: failed == 0 -> undo() /* its Commit fails */
		:: failed == 0 -> atomic { sql = 1 }
		fi
	:: else
	fi;
	decide((c == last && !M(NOT_INSISTED)));
	placed = 0;
	if
	:: fate == APPLIED
	:: fate == DOUBT && M(UNKNOWN_IS_ROLLED_BACK) -> undo()
	:: fate == DOUBT && !M(UNKNOWN_IS_ROLLED_BACK) -> report(UNKNOWN)
	:: fate == REFUSED && c == last -> report(UNKNOWN)
	:: fate == REFUSED && c != last -> undo()
	fi;
	fate = 0;
	atomic { outcome_is_false = !eff[c]; assert(!outcome_is_false) }
	if
	:: NOTES -> finish()
	:: else
	fi;
	report(COMMITTED);
undone:
	rollback();
	if
	:: fate == DOUBT -> report(UNKNOWN)
	:: else -> report(ROLLED)
	fi;
over:
	running--
	}
}
