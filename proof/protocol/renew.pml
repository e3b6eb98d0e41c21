/* A session that moves to a new id (renew.go): a copy is added under NEW, then
 * the old item is removed, or with a grace period swapped for a forward. */

#define LEAVES (GRACE -> FORWARD : 0)

inline removeOld() {
	y = LEAVES; send((y == 0 -> CAD : CAS), key, y, ag, MOVES)
}

/* write.takeBack: removes the copy; then the outcome is why, else unknown. */
inline takeBack(why) { told = why; goto back }

inline tookBack() {
	if
	:: M(COPY_STAYS) -> report(told)
	:: else
	fi;
	do
	:: get(NEW, m, v);
		if
		:: res != OK
		:: res == OK && m == 0 -> report(told)
		:: res == OK && m != 0 && HEAD(m) != c -> report(UNKNOWN)
		:: else ->
			send(CAD, NEW, 0, v, PREPARES);
			if
			:: res == OK || res == NOTFOUND -> report(told)
			:: else
			fi
		fi
	:: report(UNKNOWN) /* no more time */
	od
}

/* write.replace: res is OK where the copy holds cur and the change. */
inline replace() {
	do
	:: get(NEW, o, ov);
		if
		:: res != OK -> break
		:: res == OK && o == 0 -> res = NOTFOUND; break
		:: res == OK && o != 0 && HEAD(o) != c -> res = CONFLICT; break
		:: else ->
			y = MADE(cur, c);
			send(CAS, NEW, y, ov, PREPARES);
			if
			:: res != LOST -> break
			:: res == LOST
			:: res == LOST -> break /* no more time */
			fi
		fi
	od;
	o = 0; ov = 0
}

proctype Renewer(byte c; byte key) {
	LOCALS; WRITE_LOCALS; byte old, told;
	atomic {
	load();
	if
	:: base == 0 -> report(ROLLED)
	:: else
	fi;
	if
	:: !cmp -> rebase(true);
		if
		:: res != OK -> report(ROLLED)
		:: else
		fi
	:: else
	fi;
	cmp = 0;
	if
	:: M(REMOVED_BEFORE_ADDED) -> removeOld()
	:: else
	fi;
	old = ag; ag = 0;
	y = MADE(cur, c);
	put(NEW, y, PREPARES, false);
	ag = old; old = 0;
	if
	:: fate == DOUBT -> report(UNKNOWN)
	:: fate == FAILED || fate == REFUSED -> report(ROLLED)
	:: else
	fi;
	fate = 0;
	do
	:: doubt = 0;
		/* write.removeOld and write.lookAtOld */
		do
		:: removeOld();
			if
			:: res == OK -> report(COMMITTED)
			:: res == LOST -> doubt = 1
			:: res == NOTFOUND && !doubt -> takeBack(ROLLED)
			:: (res == NOTFOUND && doubt) || res == CONFLICT
			:: res == UNAVAIL && doubt -> takeBack(UNKNOWN)
			:: res == UNAVAIL && !doubt -> takeBack(ROLLED)
			fi;
			do
			:: report(UNKNOWN) /* no more time, nor to take it back */
			:: true ->
				/* write.reach: our own forward is not followed */
				if
				:: M(OWN_FORWARD_FOLLOWED) -> reach(true)
				:: else -> clean(key, true)
				fi;
				if
				:: res == OK && FWD(m) -> report(COMMITTED)
				:: else
				fi;
				if
				:: res != OK && doubt
				:: res != OK && !doubt -> takeBack(ROLLED)
				:: res == OK && BIRTH(m) == base -> break
				:: res == OK && BIRTH(m) != base && doubt && M(LOST_REMOVAL_IS_DONE) -> report(COMMITTED)
				:: res == OK && BIRTH(m) != base && doubt && !M(LOST_REMOVAL_IS_DONE) -> takeBack(UNKNOWN)
				:: res == OK && BIRTH(m) != base && !doubt -> takeBack(ROLLED)
				fi
			od;
			if
			:: doubt && v == ag -> m = 0; v = 0
			:: else -> break
			fi
		od;
		if
		:: takeBack(ROLLED) /* both changed the same value */
		:: true
		fi;
		cur = m; ag = v; m = 0; v = 0;
		if
		:: M(COPY_NOT_REPLACED) -> res = OK
		:: else -> replace()
		fi;
		if
		:: res == LOST -> report(UNKNOWN)
		:: res != OK && res != LOST -> takeBack(ROLLED)
		:: else
		fi
	od;
back:
	tookBack();
over:
	running--
	}
}
