/*
 * A module of the mode "so": has cp(1) bring each path of a call to the target,
 * and rm(1) take away what is gone. It shows the interface; a sync that is to be
 * exact takes rsync.
 *
 *	gcc -shared -fPIC -I ../../include -o copy.so copy.c
 */
#define _GNU_SOURCE
#include <clsync/clsync.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static ctx_t *ctx;

int clsyncapi_init(ctx_t *ctx_p, indexes_t *indexes)
{
	(void)indexes;
	ctx = ctx_p;
	if (ctx->destdir[0] == '\0') {
		fprintf(stderr, "copy: there is no target\n");
		return EINVAL;
	}
	return 0;
}

/* run has a program do its work and returns its exit code. */
static int run(char *argv[])
{
	pid_t pid = clsyncapi_fork(ctx);
	if (pid == 0) {
		execvp(argv[0], argv);
		_exit(127);
	}
	int status;
	if (pid < 0 || waitpid(pid, &status, 0) < 0) {
		fprintf(stderr, "copy: %s: %s\n", argv[0], strerror(errno));
		return errno;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* one brings one path over. What a name begins with is no option: it comes
 * after a directory's. */
static int one(const api_eventinfo_t *event)
{
	const char *below = event->path;
	size_t root = strlen(ctx->watchdirwslash);
	if (below[0] == '/') { /* in recursive calls: the source itself, or below it */
		below = strncmp(below, ctx->watchdirwslash, root) == 0 ? below + root : "";
	}
	char *from, *to;
	if (asprintf(&from, "%s%s", ctx->watchdirwslash, below) < 0)
		return ENOMEM;
	if (asprintf(&to, "%s%s", ctx->destdirwslash, below) < 0) {
		free(from);
		return ENOMEM;
	}
	char *copy[] = {"cp", "-a", "-T", from, to, NULL};
	char *delete[] = {"rm", "-r", "-f", to, NULL};
	int code = run(event->objtype_new == EOT_DOESNTEXIST ? delete : copy);
	free(from);
	free(to);
	return code;
}

int clsyncapi_sync(int n, api_eventinfo_t *events)
{
	int failed = 0;
	for (int i = 0; i < n; i++) {
		int code = one(&events[i]);
		if (code != 0)
			failed = code; /* and on with the others */
	}
	return failed;
}
