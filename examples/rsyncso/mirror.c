/*
 * A module of the mode "rsyncso": has rsync(1) bring the target up to date, with
 * the lists of what to look at.
 *
 *	gcc -shared -fPIC -I ../../include -o mirror.so mirror.c
 */
#include <clsync/clsync.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static ctx_t *ctx;

int clsyncapi_init(ctx_t *ctx_p, indexes_t *indexes)
{
	(void)indexes;
	ctx = ctx_p;
	return ctx->destdir[0] == '\0' ? EINVAL : 0;
}

int clsyncapi_rsync(const char *include, const char *exclude)
{
	const char *argv[16] = {"rsync", "-aH", "--delete"};
	int n = 3;
	if (exclude != NULL) {
		argv[n++] = "--exclude-from";
		argv[n++] = exclude;
	}
	argv[n++] = "--include-from";
	argv[n++] = include;
	argv[n++] = "--exclude=*";
	argv[n++] = "--";
	argv[n++] = ctx->watchdirwslash;
	argv[n++] = ctx->destdirwslash;

	pid_t pid = clsyncapi_fork(ctx);
	if (pid == 0) {
		execvp(argv[0], (char **)argv);
		_exit(127);
	}
	int status;
	if (pid < 0 || waitpid(pid, &status, 0) < 0) {
		fprintf(stderr, "mirror: rsync: %s\n", strerror(errno));
		return errno;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
