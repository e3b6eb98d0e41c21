/* The store, its faults, and what the protocol is held to. */

/* One stored item, in one int (envelope.go, intent_wire.go). 0: absent. */
#define BIRTH(x) ((x) & 7)           /* birth id; 0: there is no body (flagNoBody) */
#define VAL(x)   (((x) >> 3) & 15)   /* the values: a bit for each client's change, INITIAL for what was there */
#define LINE(x)  (((x) >> 7) & 4095) /* commit ids, 3 bits each, newest first: the commit's own, and its ancestors */
#define ITX(x)   (((x) >> 19) & 3)   /* an intent of that client's transaction; 0: none */
#define IREM(x)  (((x) >> 21) & 1)   /* the intent removes the item */
#define IPRIM(x) (((x) >> 22) & 3)   /* the key of its primary */
#define NTX(x)   (((x) >> 24) & 3)   /* a note of that transaction; 0: none */
#define NKEYS(x) (((x) >> 26) & 7)   /* the other items, by key */
#define FWD(x)   (((x) >> 29) & 1)   /* a forward to NEW (forward.go) */
#define EXT(x)   (((x) >> 30) & 1)   /* the intent's deadline was moved for a JoinLast participant */

#define SESSION  127                 /* birth and values: what a user sees of a session */
#define BODY(x)  ((x) & 524287)
#define FORWARD  (1 << 29)
#define STRIP(x) ((x) & (524287 | FORWARD)) /* image.withoutSection */

#define INITIAL  8                   /* the bit of VAL that no client sets */
#define OLDLINE  7                   /* the commit before those of the model */
#define AT_START (1 | (INITIAL << 3) | (OLDLINE << 7))
#define BIT(c)   (1 << ((c) - 1))
#define NEWBIRTH(c) ((c) + 1)        /* 1 was there at the start; no two are the same */

/* An image holds its own commit id and those of up to three ancestors; of none
 * in the configuration that is to show what becomes of longer histories. */
#define LINEMASK (config == SHORTLINE -> 7 : 4095)
#define HEAD(x)   (LINE(x) & 7)
#define PUSH(x,c) (((LINE(x) << 3) | (c)) & LINEMASK)
/* image.wrote; no commit has the id 0 */
#define WROTE(x,id) ((id) != 0 && (HEAD(x) == (id) || ((LINE(x) >> 3) & 7) == (id) || ((LINE(x) >> 6) & 7) == (id) || (LINE(x) >> 9) == (id)))

/* write.draft: the body that client c makes of cur */
#define MADE(cur,c)  ((BIRTH(cur) -> BIRTH(cur) : NEWBIRTH(c)) | ((VAL(cur) | BIT(c)) << 3) | (PUSH(cur,c) << 7))
/* image.installed */
#define INSTALLED(x) (IREM(x) -> 0 : MADE(x, ITX(x)))
#define NOTED(c,keys) (((c) << 24) | ((keys) << 26))

#define OK       0
#define CONFLICT 1
#define NOTFOUND 2
#define EXISTS   3
#define LOST     4 /* ErrOutcomeUnknown */
#define UNAVAIL  5 /* ErrUnavailable: certainly not applied */

#define DIED    6 /* the client has */

#define GET 4
#define ADD 1
#define CAS 2
#define CAD 3

/* What a request is to the specification. */
#define PREPARES 0 /* nothing: intents, settling, copies under a new id */
#define WRITES   1 /* the single write */
#define KILLS    2 /* the removal of a destroyed session */
#define MOVES    3 /* the removal, or forward, of the old item of a renewal */
#define DECIDES  4 /* the write to the primary */

#define RUNNING   0
#define COMMITTED 1
#define ROLLED    2 /* an error that says: nothing was written */
#define UNKNOWN   3 /* ErrOutcomeUnknown */
#define DEAD      4

int  st[K];       /* the items */
byte ver[K];      /* the version of each: its CAS id, and the epoch above EPOCHS */
byte casid[K];    /* the last CAS id given */
byte epoch;
#define EPOCHS 5
#define SAME(a,b) ((a) == (b) || (M(EPOCH_IGNORED) && ((a) & 31) == ((b) & 31)))

/* One request may be under way for ever so long. */
byte pk, pkey, pag, pact, pc;
int  px;

byte faults, crashes, evictions, restarts, outages;
bit  down[K];     /* the server of that item does not answer */

/* The specification: what sessions there are (birth and values), changed at
 * the one moment at which each transaction takes effect. */
byte G[K];
bit  eff[4];      /* the transaction of client c has taken effect */
byte rep[4];      /* what it has told its caller */
byte gb[4];       /* the birth id of the session that it loaded; 0: there was none */
byte killed[K];   /* births of sessions that were destroyed under that key */
byte outlived[K]; /* clients that had ended when a session was destroyed under that key */
byte wiped[4];    /* items that the store has lost with an intent of client c */
bit  sql;         /* the JoinLast participant has committed */
int  hist[K];     /* values that the session has had while a reader reads it */

/* The properties, by name: pan prints the one that does not hold. */
hidden byte change_is_lost, undone_change_stays, destroyed_comes_back, outcome_is_false,
	half_is_done, half_is_read, read_is_wrong, participant_is_alone, cannot_be_read, lives_under_two_ids, is_never_settled;

hidden int  ha, hold, extra;
hidden byte hi, hp;
hidden byte  hdone;

/* The state that a session is in, whoever looks: its body, or once a note on
 * the primary says so, what its intent makes of it. It must be that of the
 * specification after each and every write. */
inline check() {
	hi = 0;
	do
	:: hi < K ->
		ha = st[hi];
		if
		:: ITX(ha) != 0 && IPRIM(ha) != hi && NTX(st[IPRIM(ha)]) == ITX(ha) -> ha = INSTALLED(ha)
		:: else
		fi;
		if
		:: EXEMPT(hi)
		:: else ->
			extra = VAL(ha) & ~VAL(G[hi]);
			undone_change_stays = ((extra & 1) && !eff[1]) || ((extra & 2) && !eff[2]) || ((extra & 4) && !eff[3]);
			assert(!undone_change_stays);
			half_is_done = BIRTH(ha ^ G[hi]) != 0 && jointbits != 0 || (VAL(ha ^ G[hi]) & jointbits) != 0;
			assert(!half_is_done);
			change_is_lost = ((ha & SESSION) == 0 && G[hi] != 0) || (BIRTH(ha) == BIRTH(G[hi]) && (VAL(G[hi]) & ~VAL(ha)) != 0);
			assert(!change_is_lost);
			destroyed_comes_back = BIRTH(ha) != 0 && (killed[hi] & (1 << BIRTH(ha))) != 0;
			assert(!destroyed_comes_back);
			undone_change_stays = (ha & SESSION) != G[hi];
			assert(!undone_change_stays)
		fi;
		if
		:: hist[hi] != 0 -> hist[hi] = hist[hi] | (1 << VAL(G[hi]))
		:: else
		fi;
		hi++
	:: else -> break
	od;
	hi = 0
}

/* Client c's transaction takes effect: once, and not after it was said not to. */
inline takesEffect(c) {
	outcome_is_false = eff[c] || rep[c] == ROLLED;
	assert(!outcome_is_false);
	eff[c] = 1
}

/* What the write by client c that has replaced hold is to the specification. */
inline effect(kind, k, x, act, c) {
	if
	:: act == PREPARES -> /* an undone transaction whose participant has committed */
		participant_is_alone = sql && ITX(hold) == last && IPRIM(hold) == (k) && ITX(x) == 0 && NTX(x) == 0;
		assert(!participant_is_alone)
	:: act == WRITES ->
		takesEffect(c);
		/* not into another session, and no new one by who had ended when it was destroyed */
		destroyed_comes_back = (gb[c] != 0 && gb[c] != BIRTH(x)) || (kind == ADD && (outlived[k] & BIT(c)) != 0);
		assert(!destroyed_comes_back);
		G[k] = BIRTH(x) | ((VAL(G[k]) | BIT(c)) << 3)
	:: act == KILLS ->
		takesEffect(c);
		change_is_lost = BIRTH(G[k]) != gb[c]; /* of a session made anew */
		assert(!change_is_lost);
		killed[k] = killed[k] | (1 << BIRTH(G[k]));
		G[k] = 0;
		hi = 1;
		do
		:: hi < 4 ->
			if
			:: rep[hi] != RUNNING -> outlived[k] = outlived[k] | BIT(hi)
			:: else
			fi;
			hi++
		:: else -> break
		od
	:: act == MOVES ->
		takesEffect(c);
		G[NEW] = (G[k] | (BIT(c) << 3)) * (newEvicted -> 0 : 1);
		G[k] = 0
	:: act == DECIDES ->
		takesEffect(c);
		hi = 0;
		do
		:: hi < K ->
			if
			:: hi == (k) || ((NKEYS(x) >> hi) & 1) ->
				if
				:: wiped[c] & (1 << hi) /* it was evicted with its intent */
				:: else ->
					if
					:: REMOVES(c) & (1 << hi) -> G[hi] = 0
					:: else -> G[hi] = (G[hi] -> G[hi] : NEWBIRTH(c)) | (BIT(c) << 3)
					fi
				fi
			:: else
			fi;
			hi++
		:: else -> break
		od
	fi
}

/* The store carries out a request (store.go): each is conditional. r answers. */
inline apply(kind, k, x, ag, act, c, r) {
	d_step {
		hold = st[k];
		if
		:: kind == ADD && st[k] != 0 -> r = EXISTS
		:: kind != ADD && st[k] == 0 -> r = NOTFOUND
		:: kind != ADD && st[k] != 0 && !SAME(ver[k], ag) && !(kind == CAS && M(CAS_NOT_COMPARED)) -> r = CONFLICT
		:: else ->
			r = OK;
			effect(kind, k, x, act, c);
			SEEN(MERGED, act == WRITES && ((LINE(x) >> 3) & 7) != 0 && ((LINE(x) >> 3) & 7) != OLDLINE);
			SEEN(MERGED_UNDER_INTENT, ITX(x) != 0 && HEAD(x) != OLDLINE && HEAD(x) != 0);
			SEEN(INSTALLED, ITX(hold) == c && ITX(x) == 0 && NTX(x) == 0 && WROTE(x, c));
			SEEN(INSTALLED_BY_ANOTHER, ITX(hold) != 0 && ITX(hold) != c && ITX(x) == 0 && WROTE(x, ITX(hold)));
			SEEN(UNDONE_BY_ANOTHER, ITX(hold) != 0 && ITX(hold) != c && IPRIM(hold) == k && BODY(x) == BODY(hold) && ITX(x) == 0);
			SEEN(ROLLED_BACK, ITX(hold) == c && IPRIM(hold) == k && act == PREPARES && ITX(x) == 0);
			SEEN(NOTE_CLEARED_BY_ANOTHER, NTX(hold) != 0 && NTX(hold) != c);
			SEEN(COPY_REPLACED, kind == CAS && act == PREPARES && hold != 0 && ITX(hold) == 0 && NTX(hold) == 0 && ITX(x) == 0);
			SEEN(LAST_DECIDED, act == DECIDES && sql);
			SEEN(DECIDED, act == DECIDES); SEEN(DESTROYED, act == KILLS); SEEN(RENEWED, act == MOVES);
			SEEN(CREATED, act == WRITES && kind == ADD); SEEN(TAKEN_BACK, kind == CAD && act == PREPARES && hold != 0 && ITX(hold) == 0 && NTX(hold) == 0);
			st[k] = x;
			if
			:: x != 0 -> casid[k]++; ver[k] = casid[k] | (epoch << EPOCHS)
			:: else -> ver[k] = 0
			fi;
			check()
		fi;
		hold = 0; ha = 0; hi = 0
	}
}

chan turn   = [0] of { bit };
chan ask    = [0] of { byte, byte, int, byte, byte, byte };
chan answer = [0] of { bit };

/* The request that is carried out, and its answer: zero between two steps. */
byte qkind, qk, qag, qact, qc, qr;
int  qx;

/* All round trips, each of them one step, and all that can go wrong with one.
 * The client may die before any request; after it is before the next. */
proctype Store() {
end:
	do
	:: atomic {
		ask?qkind, qk, qx, qag, qact, qc ->
		printf("step asks %d %d %d %d\n", qc, qkind, qk, qact);
		if
		:: crashes > 0 && MAYDIE(qc) -> crashes--; rep[qc] = DEAD; qr = DIED; SEEN(DIED_READING, qkind == GET); SEEN(DIED_WRITING, qkind != GET)
		:: down[qk] -> qr = UNAVAIL
		:: !down[qk] && qkind == GET -> qx = st[qk]; qag = ver[qk]; qr = OK
		:: !down[qk] && qkind != GET -> apply(qkind, qk, qx, qag, qact, qc, qr)
		:: faults > 0 && !down[qk] -> faults--; qr = UNAVAIL
		:: faults > 0 && qkind != GET -> faults--; qr = LOST /* the request */
		:: faults > 0 && qkind != GET && !down[qk] && MAYLOSE(qact) -> /* the reply */
			faults--;
			apply(qkind, qk, qx, qag, qact, qc, qr);
			qr = LOST
		:: faults > 0 && qkind != GET && pk == 0 && MAYLOSE(qact) && MAYDELAY(qkind, qact) -> /* it arrives later */
			faults--;
			pk = qkind; pkey = qk; px = qx; pag = qag; pact = qact; pc = qc;
			qr = LOST
		fi;
		SEEN(DECIDED_TOO_LATE, qact == DECIDES && (qr == CONFLICT || qr == NOTFOUND));
		if
		:: qr == OK && qkind == GET
		:: else -> qx = 0; qag = 0
		fi;
		printf("step answers %d\n", qr);
		qkind = 0; qk = 0; qact = 0; qc = 0;
		answer!0
	}
	:: atomic { /* the delayed request */
		pk != 0 ->
		printf("step arrives %d %d %d %d\n", pc, pk, pkey, pact);
		if
		:: !down[pkey] -> apply(pk, pkey, px, pag, pact, pc, qr); SEEN(DELAYED_APPLIED, qr == OK); SEEN(DELAYED_REFUSED, qr != OK)
		:: down[pkey]
		fi;
		qr = 0; pk = 0; pkey = 0; px = 0; pag = 0; pact = 0; pc = 0
	}
	od
}

/* A client is one atomic sequence, so that what it does by itself is no step.
 * It lets the others go on where it sends this, before each round trip. */
proctype Others() {
end:
	do
	:: turn?_
	od
}

/* One round trip of a write. */
inline send(kind, k, x, ag, act) {
	turn!0;
	ask!kind, k, x, ag, act, c;
	answer?_;
	d_step { res = qr; qr = 0 }
	if
	:: res == DIED -> goto over
	:: else
	fi
}

/* One round trip of a read. */
inline get(k, mm, vv) {
	turn!0;
	ask!GET, k, 0, 0, 0, c;
	answer?_;
	d_step { res = qr; mm = qx; vv = qag; qr = 0; qx = 0; qag = 0 }
	if
	:: res == DIED -> goto over
	:: else
	fi
}

/* What the caller is told. */
inline report(r) {
	atomic {
		printf("step tells %d %d\n", c, r);
		d_step {
			rep[c] = r;
			outcome_is_false = (r == COMMITTED && !eff[c]) || (r == ROLLED && eff[c]);
			assert(!outcome_is_false);
			SEEN(LOST_AND_FOUND_DONE, doubt && r == COMMITTED);
			SEEN(LOST_AND_FOUND_UNDONE, doubt && r == ROLLED);
			SEEN(LOST_AND_UNKNOWN, r == UNKNOWN)
		}
		goto over
	}
}

/* Evictions, a restart that loses all items and starts its CAS ids again, and a
 * server that does not answer for some time. */

inline lose(k) {
	if
	:: renewer != 0 && k == NEW && st[NEW] != 0 && !eff[renewer] -> newEvicted = 1
	:: else
	fi;
	if
	:: ITX(st[k]) != 0 -> wiped[ITX(st[k])] = wiped[ITX(st[k])] | (1 << k)
	:: else
	fi;
	st[k] = 0; ver[k] = 0; G[k] = 0
}

#define EVICTS(n) evictions > 0 && st[n] != 0 && MAYEVICT(n) -> evictions--; printf("step evicts %d\n", n); d_step { lose(n); check() } SEEN(EVICTED, 1)

proctype Trouble() {
	byte k;
end:
	do
	:: atomic { EVICTS(0) }
	:: atomic { EVICTS(1) }
	:: atomic { EVICTS(2) }
	:: atomic {
		restarts > 0 ->
		restarts--; epoch++;
		printf("step restarts\n");
		d_step {
			k = 0;
			do
			:: k < K ->
				if
				:: RESTARTED(k) -> lose(k); casid[k] = 0
				:: else
				fi;
				k++
			:: else -> break
			od;
			k = 0;
			check()
		}
		SEEN(RESTARTED_SERVER, 1)
	}
	:: atomic { outages > 0 -> printf("step down %d\n", DOWNKEY); outages--; down[DOWNKEY] = 1 }
	od
}
