/* A module for the tests: its sync's label says how it behaves. */
#define _GNU_SOURCE
#include <clsync/clsync.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static ctx_t *ctx;
static int calls;

static int is(const char *label) { return strcmp(ctx->label, label) == 0; }

/* say is heard at once, whatever becomes of the process. */
static void say(const char *text)
{
	if (write(1, text, strlen(text)) < 0)
		_exit(111);
}

static void forever(void)
{
	for (;;)
		pause();
}

int clsyncapi_init(ctx_t *ctx_p, indexes_t *indexes)
{
	ctx = ctx_p;
	if (indexes != NULL)
		return 1;
	if (is("crash in init"))
		abort();
	if (is("print"))
		printf("%d|%s|%s|%s|%s|%s|%d%d%d\n", clsyncapi_getapiversion(), ctx->label, ctx->watchdir, ctx->watchdirwslash,
		       ctx->destdir, ctx->destdirwslash, ctx->flags[DEBUG], ctx->flags[THREADING], ctx->flags[RSYNCPREFERINCLUDE]);
	return is("refuse") ? 3 : 0;
}

/* forks makes children until it gets no more, and says how many there were. */
static int forks(void)
{
	pid_t made[1024];
	int n = 0;
	pid_t pid;
	while (n < 1024 && (pid = clsyncapi_fork(ctx)) >= 0) {
		if (pid == 0) {
			if (clsyncapi_fork(ctx) != -1 || errno != ECANCELED)
				say("a child could fork\n");
			forever();
		}
		made[n++] = pid;
	}
	int why = errno;
	for (int i = 0; i < n; i++) {
		int status;
		if (getpgid(made[i]) != getpgrp() || kill(made[i], SIGTERM) != 0 || waitpid(made[i], &status, 0) != made[i] ||
		    !WIFSIGNALED(status) || WTERMSIG(status) != SIGTERM)
			return 2;
	}
	printf("%d children, %s\n", n, strerrorname_np(why));
	return 0;
}

/* family leaves a child and a grandchild behind. */
static void family(void)
{
	int ready[2];
	char c;
	if (pipe(ready) != 0)
		_exit(111);
	if (clsyncapi_fork(ctx) == 0) {
		signal(SIGTERM, SIG_IGN);
		if (fork() == 0) {
			if (write(ready[1], "x", 1) != 1)
				_exit(111);
		}
		forever();
	}
	if (read(ready[0], &c, 1) != 1)
		_exit(111);
}

/* descriptors has a program of its own list what it was given. */
static int descriptors(pid_t (*how)(ctx_t *))
{
	int status;
	pid_t pid = how(ctx);
	if (pid == 0) {
		execlp("ls", "ls", "-m", "/proc/self/fd", NULL);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid ? WEXITSTATUS(status) : 111;
}

static pid_t plain_fork(ctx_t *unused)
{
	(void)unused;
	return fork();
}

static int returns_twice(void)
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		return 9; /* in place of its parent */
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	return WIFEXITED(status) && WEXITSTATUS(status) == 9 ? 0 : 2;
}

static int tidy(void)
{
	pid_t pid = clsyncapi_fork(ctx);
	if (pid == 0) {
		sigset_t term;
		int sig;
		sigemptyset(&term);
		sigaddset(&term, SIGTERM);
		sigprocmask(SIG_BLOCK, &term, NULL);
		say("working\n");
		sigwait(&term, &sig);
		usleep(50000); /* the work that a signal must not cut */
		say("tidied up\n");
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	forever();
	return 0;
}

static void to_all(int (*what)(int))
{
	for (int fd = 0; fd < 64; fd++)
		what(fd);
}

static int scribble(int fd) { return (int)write(fd, "Segmentation fault, or not.\n", 28); }

/* forge answers the first call of sync, in place of the host. */
static int forge(int fd)
{
	static const char answer[17] = {8, 0, 0, 0, 2, 0, 0, 0, 5};
	return fd < 3 ? 0 : (int)write(fd, answer, sizeof answer);
}

static int events(int n, api_eventinfo_t *events)
{
	for (int i = 0; i < n; i++) {
		api_eventinfo_t *e = &events[i];
		printf("%u %u %zu %s %d %d\n", e->evmask, e->flags, e->path_len, e->path, e->objtype_old, e->objtype_new);
		if (strlen(e->path) != e->path_len)
			return 1;
	}
	return 0;
}

static void faulty(void)
{
	if (is("crash"))
		*(volatile int *)0 = 1;
	if (is("crash with family")) {
		family();
		abort();
	}
	if (is("hang with family"))
		family();
	if (is("deaf"))
		signal(SIGTERM, SIG_IGN);
	if (is("hang") || is("hang with family") || is("deaf")) {
		say("hanging\n");
		forever();
	}
	if (is("spin"))
		for (volatile int i = 0;; i = !i)
			;
	if (is("exit"))
		exit(0);
	if (is("socket"))
		socket(AF_INET, SOCK_STREAM, 0);
	if (is("garbage"))
		to_all(scribble);
	if (is("close") || is("close and hang"))
		to_all(close);
	if (is("close and hang"))
		forever();
}

int clsyncapi_sync(int n, api_eventinfo_t *list)
{
	calls++;
	faulty();
	if (is("print")) {
		printf("%s %s\n", getenv("CLSYNC_STATUS"), getenv("CLSYNC_ITERATION"));
		return events(n, list);
	}
	if (is("fork"))
		return forks();
	if (is("descriptors"))
		return descriptors(calls == 1 ? clsyncapi_fork : plain_fork);
	if (is("tidy"))
		return tidy();
	if (is("leave"))
		family();
	if (is("forge") && calls == 1) {
		to_all(forge);
		return 7;
	}
	if (is("twice"))
		return returns_twice();
	if (is("once") && mkdir(ctx->destdir, 0700) == 0)
		abort();
	if (strncmp(ctx->label, "code ", 5) == 0)
		return atoi(ctx->label + 5);
	return 0;
}

int clsyncapi_deinit(void)
{
	printf("deinit after %d\n", calls);
	if (is("crash in deinit"))
		abort();
	if (is("hang in deinit"))
		forever();
	return is("refuse in deinit") ? 4 : 0;
}
