/* Interesting moments are counted, outside the state: that one was reached, and
 * in how many of the steps that were explored, is printed at the end. */
c_decl {
	static struct { long *n; const char *name; } moments[512];
	static int nmoments;
	static void moment(long *n, const char *name)
	{
		if (*n == 0 && nmoments < 512) {
			moments[nmoments].n = n;
			moments[nmoments++].name = name;
		}
		++*n;
	}
	static void __attribute__((destructor)) tell_moments(void)
	{
		for (int i = 0; i < nmoments; i++)
			printf("seen %s %ld\n", moments[i].name, *moments[i].n);
	}
}

#define SEEN(name, when) \
	if \
	:: (when) -> c_code { static long n; moment(&n, #name); } \
	:: else \
	fi
