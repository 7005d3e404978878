// What the C library says: reads NUL-terminated strings, an expression, a count
// and as many names, again and again; writes for each expression a line of 0
// and 1, or "!" and the reason.
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>

static char *next(void) {
	static char *buf[2];
	static size_t cap[2];
	static int i;
	i = !i;
	ssize_t n = getdelim(&buf[i], &cap[i], 0, stdin);
	return n < 0 ? NULL : buf[i];
}

int main(void) {
	char *expr;
	while ((expr = next())) {
		regex_t re;
		int bad = regcomp(&re, expr, REG_EXTENDED | REG_NOSUB);
		if (bad) {
			char why[256];
			regerror(bad, &re, why, sizeof why);
			printf("!%s", why);
		}
		long count = atol(next());
		while (count-- > 0) {
			char *name = next();
			if (!bad)
				putchar(regexec(&re, name, 0, NULL, 0) ? '0' : '1');
		}
		if (!bad)
			regfree(&re);
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}
