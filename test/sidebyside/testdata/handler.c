/* A handler that records its words, and the content of those that are list
 * files: they alone are below $TMPDIR. */
#include "record.h"

int main(int argc, char **argv)
{
	const char *lists = getenv("TMPDIR");
	int i;
	if (!lists || begin())
		return 1;
	for (i = 1; i < argc; i++) {
		if (strncmp(argv[i], lists, strlen(lists)) || argv[i][strlen(lists)] != '/')
			word('a', argv[i]);
		else if (list(argv[i]))
			return 1;
	}
	return end() ? 1 : 0;
}
