/* A module for the modes so and rsyncso that starts the recorder's handler with
 * what it is given: each entry as one word "MASK OLD NEW FLAGS PATH". */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct entry { /* version 2 of clsync's interface, on 64 bits */
	uint32_t mask, flags;
	size_t length;
	const char *path;
	int was, is;
};

static int tell(char **argv)
{
	int status;
	pid_t pid;
	argv[0] = getenv("LOCKSTEP_CLSYNC_HANDLER");
	pid = fork();
	if (pid == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	return pid < 0 || waitpid(pid, &status, 0) != pid || status != 0;
}

int clsyncapi_sync(int n, struct entry *e)
{
	char **argv = calloc(n + 3, sizeof *argv);
	int i, code;
	argv[1] = "so";
	for (i = 0; i < n; i++)
		if (asprintf(&argv[i + 2], "%u %d %d %u %s", e[i].mask, e[i].was, e[i].is, e[i].flags, e[i].path) < 0)
			return 1;
	code = tell(argv);
	for (i = 0; i < n; i++)
		free(argv[i + 2]);
	free(argv);
	return code;
}

int clsyncapi_rsync(const char *include, const char *exclude)
{
	char *argv[] = { NULL, "rsyncso", (char *)include, exclude ? (char *)exclude : "none", NULL };
	return tell(argv);
}
