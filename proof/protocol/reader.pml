/* Who only reads (Container.View), one session after the other. */

inline look1(k, x) {
	atomic { hist[k] = 1 << VAL(G[k]) }
	truth(k);
	if
	:: res != OK ->
		cannot_be_read = MUSTREAD;
		assert(!cannot_be_read);
		atomic { hist[k] = 0; goto over }
	:: else
	fi;
	atomic {
		read_is_wrong = ((hist[k] >> VAL(body)) & 1) == 0;
		assert(!read_is_wrong);
		SEEN(READ_UNDECIDED, undecided);
		hist[k] = 0; x = body; body = 0; m = 0; v = 0
	}
}

/* HALF: of the changes of joint transactions, x has other than y. */
#define HALF(x,y) (((VAL(x) ^ VAL(y)) & jointbits) != 0)

proctype Reader(byte c) {
	LOCALS; int r0, r1;
	atomic {
	look1(READFIRST, r0);
	if
	:: READS_ONE -> goto over
	:: else
	fi;
	look1(READSECOND, r1);
	/* what was there in the first was there in the second, which was read later */
	half_is_read = r1 != 0 && (VAL(r0) & ~VAL(r1) & jointbits) != 0;
	assert(!half_is_read);
	half_is_read = W(READ_SKEW) && HALF(r0, r1);
	assert(!half_is_read);
	if
	:: config != SERIAL || M(READS_NOT_VALIDATED) -> goto validated
	:: else
	fi;
	/* unit.Prepare of a transaction that only read: validate */
	body = 0;
	truth(READFIRST);
	if
	:: res != OK || undecided || body != r0 -> goto over
	:: else
	fi;
	body = 0;
	truth(READSECOND);
	if
	:: res != OK || undecided || body != r1 -> goto over
	:: else
	fi;
validated:
	half_is_read = config == SERIAL && HALF(r0, r1);
	assert(!half_is_read);
over:
	rep[c] = COMMITTED; running--
	}
}

/* When all have ended: whatever they left can be settled, once its deadline has
 * passed, and then all is as the specification says. */
proctype Sweeper() {
	LOCALS; byte c, key, steps;
	atomic {
	running == 0 && pk == 0; /* all clients have ended */
	do
	:: key < K ->
		do
		:: get(key, m, v);
			if
			:: res != OK -> goto over /* the server stays away */
			:: res == OK && ITX(m) == 0 && NTX(m) == 0 -> steps = 0; break
			:: else ->
				SEEN(LEFT_BEHIND, 1);
				settle(key);
				steps = steps + (res == OK && !waits);
				is_never_settled = steps > 12;
				assert(!is_never_settled)
			fi
		od;
		m = 0; v = 0; key++
	:: else -> break
	od;
	lives_under_two_ids = renewer != 0 && BIRTH(st[0]) != 0 && BIRTH(st[0]) == BIRTH(st[NEW]) && rep[renewer] != UNKNOWN && MAYHALF;
	assert(!lives_under_two_ids);
over:
	skip
	}
}
