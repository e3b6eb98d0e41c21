/* The configurations: who runs (at most three clients, of one transaction each)
 * on which items, and how many faults there may be. pan tries everything between
 * these bounds. */

#define BOUNDS(n, f, d) running = n; faults = f; crashes = d
#define PRESENT(k) st[k] = AT_START; ver[k] = 1; casid[k] = 1; G[k] = AT_START & SESSION

inline scene() {
	if /* three writers of one session */
	:: config == SINGLE || config == SHORTLINE ->
		BOUNDS(3, 2, 0); PRESENT(0);
		run Writer(1, 0); run Writer(2, 0); run Writer(3, 0)
	/* three writers of a session that is not there */
	:: config == CREATE ->
		BOUNDS(3, 2, 1);
		run Writer(1, 0); run Writer(2, 0); run Writer(3, 0)
	/* two writers and a logout; a writer may make the session anew */
	:: config == DESTROY ->
		BOUNDS(3, 2, 0); PRESENT(0); logouts = 1;
		run Writer(1, 0); run Destroyer(2, 0); run Writer(3, 0)
	/* two writers and a logout, of a session that is not there */
	:: config == LOGOUTNEW ->
		BOUNDS(3, 1, 0); logouts = 1;
		run Writer(1, 0); run Destroyer(2, 0); run Writer(3, 0)
	/* two logouts */
	:: config == LOGOUTS ->
		BOUNDS(3, 1, 1); PRESENT(0); logouts = 1;
		run Destroyer(1, 0); run Destroyer(2, 0); run Writer(3, 0)
	/* an eviction */
	:: config == EVICT ->
		BOUNDS(3, 1, 0); PRESENT(0); logouts = 1; evictions = 1;
		run Writer(1, 0); run Writer(2, 0); run Destroyer(3, 0)
	/* a restart, after which CAS ids start again */
	:: config == RESTART ->
		BOUNDS(3, 1, 0); PRESENT(0); restarts = 1;
		run Writer(1, 0); run Writer(2, 0); run Writer(3, 0)
	/* a renewal, beside a writer and a logout */
	:: config == RENEW ->
		BOUNDS(3, 1, 1); PRESENT(0); renewer = 1; logouts = 1;
		run Renewer(1, 0); run Writer(2, 0); run Destroyer(3, 0)
	/* a renewal whose copy may be evicted, or the old item */
	:: config == RENEWEVICT ->
		BOUNDS(2, 1, 0); PRESENT(0); renewer = 1; evictions = 1;
		run Renewer(1, 0); run Writer(2, 0)
	/* a renewal with a grace period */
	:: config == RENEWGRACE ->
		BOUNDS(3, 1, 0); PRESENT(0); renewer = 1; logouts = 1;
		if
		:: W(REMOVAL_LOST) -> faults = 2
		:: else
		fi;
		run Renewer(1, 0); run Writer(2, 0); run Destroyer(3, 0)
	/* two transactions over two sessions */
	:: config == INTENTS ->
		BOUNDS(2, 1, 1); PRESENT(0); PRESENT(1); jointbits = 3;
		run Joint(1); run Joint(2)
	/* one over three, beside a writer */
	:: config == INTENTS3 ->
		BOUNDS(2, 1, 1); PRESENT(0); PRESENT(1); PRESENT(2); jointbits = 1;
		run Joint(1); run Writer(2, 1)
	/* two over two sessions, of which the first, or both, are new */
	:: config == INTENTNEW ->
		BOUNDS(2, 1, 0); jointbits = 3;
		if
		:: PRESENT(1)
		:: true
		fi;
		run Joint(1); run Joint(2)
	/* one over two sessions, beside a writer of either and a reader */
	:: config == INTENTREAD ->
		BOUNDS(3, 1, 0); PRESENT(0); PRESENT(1); jointbits = 1;
		if
		:: run Joint(1); run Writer(2, 0); run Reader(3)
		:: run Joint(1); run Writer(2, 1); run Reader(3)
		fi
	/* one that destroys its primary, beside a writer of it and a reader */
	:: config == INTENTREMOVE ->
		BOUNDS(3, 1, 0); PRESENT(0); PRESENT(1); jointbits = 1;
		run Joint(1); run Writer(2, 0); run Reader(3)
	/* one whose primary, or other session, is destroyed and made anew meanwhile */
	:: config == INTENTLOGOUT ->
		BOUNDS(3, 0, 1); PRESENT(0); PRESENT(1); jointbits = 1; logouts = 1;
		if
		:: run Joint(1); run Destroyer(2, 0); run Writer(3, 0)
		:: run Joint(1); run Destroyer(2, 1); run Writer(3, 1)
		fi
	/* an eviction, but not of the one item that knows before the other is told */
	:: config == INTENTEVICT ->
		BOUNDS(2, 1, 0); PRESENT(0); PRESENT(1); jointbits = 1; evictions = 1;
		run Joint(1); run Writer(2, 1)
	/* a restart of the one server of both sessions */
	:: config == INTENTRESTART ->
		BOUNDS(2, 0, 0); PRESENT(0); PRESENT(1); jointbits = 3; restarts = 1;
		run Joint(1); run Joint(2)
	/* a participant that decides, beside a writer of either session */
	:: config == JOINLAST ->
		BOUNDS(2, 1, 1); PRESENT(0); PRESENT(1); jointbits = 1; last = 1;
		if
		:: run Joint(1); run Writer(2, 0)
		:: run Joint(1); run Writer(2, 1)
		fi
	/* a transaction that only reads, under Serializable */
	:: config == SERIAL ->
		BOUNDS(3, 0, 0); PRESENT(0); PRESENT(1); jointbits = 3;
		run Joint(1); run Joint(2); run Reader(3)
	/* a server that stays away: that of one session, while the other is read */
	:: config == OUTAGE ->
		BOUNDS(2, 0, 1); PRESENT(0); PRESENT(1); jointbits = 1; outages = 1;
		run Joint(1); run Reader(2)
	fi
}
