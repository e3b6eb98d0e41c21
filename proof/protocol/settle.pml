/* Reading an item, and settling what lies on it (settle.go). Every inline uses
 * the variables of the client that it stands in: LOCALS. */

#define TXN_UNDECIDED 1
#define TXN_COMMITTED 2
#define TXN_UNDONE    3

#define LOCALS \
	byte res;          /* the answer of the store */ \
	int m; byte v;     /* the item that was read, and its version */ \
	int p; byte pv;    /* the primary of its transaction */ \
	int o; byte ov;    /* another item of it */ \
	byte fate; byte n; bit once; \
	int y;             /* what is to be written */ \
	byte against; \
	int body; bit cmp, undecided; /* truth: what was loaded */ \
	bit waits /* errWait */

/* Container.rewrite: refused, or a lost reply, is no error. once: it certainly did. */
inline rewrite(k, x, ag) {
	against = ag;
	if
	:: M(SETTLED_BLINDLY) -> against = ver[k]
	:: else
	fi;
	send(((x) == 0 -> CAD : CAS), k, x, against, PREPARES);
	against = 0;
	once = (res == OK);
	res = (res == UNAVAIL -> UNAVAIL : OK)
}

/* Container.fateOf: asks the primary of the intent on m, and sets p, pv, fate. */
inline fateOf(k) {
	if
	:: IPRIM(m) == (k) -> p = m; pv = v; fate = TXN_UNDECIDED; res = OK
	:: else ->
		get(IPRIM(m), p, pv);
		fate = (NTX(p) == ITX(m) -> TXN_COMMITTED : (ITX(p) == ITX(m) -> TXN_UNDECIDED : TXN_UNDONE))
	fi
}

/* Container.truth: what the session under k is now, in body; it does not wait. */
inline truth(k) {
	once = 0; n = 0; /* n: it has tried to install */
	do
	:: get(k, m, v);
		if
		:: res != OK -> break
		:: res == OK && ITX(m) == 0 -> body = BODY(m); cmp = (NTX(m) == 0); undecided = 0; break
		:: else ->
			fateOf(k);
			if
			:: res != OK -> break
			:: res == OK && fate == TXN_UNDECIDED ->
				undecided = 1; cmp = 0;
				body = (M(UNDECIDED_IS_READ) -> INSTALLED(m) : BODY(m));
				break
			:: res == OK && fate == TXN_UNDONE ->
				undecided = 0; cmp = 0;
				get(k, o, ov);
				if
				:: res != OK -> break
				:: res == OK && ((o != 0 && ov == v) || M(UNDONE_NOT_READ_AGAIN)) -> body = BODY(m); break
				:: else
				fi
			:: res == OK && fate == TXN_COMMITTED ->
				undecided = 0; cmp = 0; res = UNAVAIL;
				if
				:: !n -> n = 1; y = INSTALLED(m); rewrite(k, y, v)
				:: else
				fi;
				if
				:: res == OK
				:: else -> res = OK; body = INSTALLED(m); break
				fi
			fi
		fi
	od;
	p = 0; pv = 0; o = 0; ov = 0; n = 0; once = 0; fate = 0
}

/* Container.lapsed: clocks may differ by anything, so a deadline has passed
 * whenever it suits. Not that of a JoinLast intent which was moved: that a
 * clock passes it while the participant commits is a window. */
#define LAPSED(x) (!EXT(x) || rep[ITX(x)] != RUNNING || W(LAST_OUTLASTS))

/* Container.installAll: the items that the note on m lists. */
inline installAll(k) {
	n = 0; res = OK;
	do
	:: n < K && ((NKEYS(m) >> n) & 1) ->
		get(n, o, ov);
		if
		:: res != OK -> break
		:: res == OK && ITX(o) != NTX(m) -> n++
		:: else ->
			y = INSTALLED(o); rewrite(n, y, ov);
			if
			:: res != OK -> break
			:: res == OK && once -> n++
			:: else
			fi
		fi
	:: n < K && !((NKEYS(m) >> n) & 1) -> n++
	:: n == K -> break
	od;
	n = 0; o = 0; ov = 0; once = 0
}

/* Container.settle: one step; res tells an error, waits that it is undecided. */
inline settle(k) {
	waits = 0;
	if
	:: NTX(m) != 0 ->
		res = OK;
		if
		:: M(NOTE_GOES_FIRST)
		:: else -> installAll(k)
		fi;
		if
		:: res == OK -> y = (M(NOTE_STAYS) -> m : STRIP(m)); rewrite(k, y, v)
		:: else
		fi
	:: else ->
		fateOf(k);
		if
		:: res != OK
		:: res == OK && fate == TXN_COMMITTED -> y = INSTALLED(m); rewrite(k, y, v)
		:: res == OK && fate == TXN_UNDONE -> y = STRIP(m); rewrite(k, y, v)
		:: res == OK && fate == TXN_UNDECIDED -> waits = 1
		:: res == OK && fate == TXN_UNDECIDED && LAPSED(p) ->
			if
			:: IPRIM(m) == (k) || M(OTHERS_SETTLED_FIRST) -> y = STRIP(m); rewrite(k, y, v)
			:: else -> y = STRIP(p); rewrite(IPRIM(m), y, pv)
			fi
		fi
	fi;
	p = 0; pv = 0; fate = 0; once = 0
}

/* Container.clean: an item without intent or note. It gives up waiting at any
 * time: then, or on an error, res is UNAVAIL. waits: it did not wait at all. */
inline clean(k, wait) {
	waits = 0;
	do
	:: get(k, m, v);
		if
		:: res != OK || (ITX(m) == 0 && NTX(m) == 0) -> break
		:: else ->
			settle(k);
			if
			:: res == OK && waits && wait -> waits = 0
			:: res == OK && waits -> res = UNAVAIL; waits = !(wait); break
			:: res == OK && !waits
			:: res != OK -> break
			fi
		fi
	od
}

/* Container.withdraw: takes the client's own intent off an item. */
inline withdraw(k) {
	do
	:: get(k, o, ov);
		if
		:: res != OK || ITX(o) != c -> break
		:: else ->
			y = STRIP(o); rewrite(k, y, ov);
			if
			:: res != OK || once -> break
			:: else
			fi
		fi
	:: break /* no more time */
	od;
	o = 0; ov = 0; once = 0
}
