#define _GNU_SOURCE
#include "module.h"

#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

// The module has a pointer to ctx, which is the first member, and gives it back.
struct host {
	ctx_t ctx;
	pid_t self;
	int channel, object;
	int (*init)(ctx_t *, indexes_t *);
	int (*sync)(int, api_eventinfo_t *);
	int (*rsync)(const char *, const char *);
	int (*deinit)(void);
	// Of what follows: a module may have threads, and the handler comes when it
	// likes. Who has it has all signals blocked.
	atomic_flag lock;
	int most, count;
	pid_t children[];
};

// For the handler alone; set once.
static struct host *the_host;

static void take(struct host *h)
{
	while (atomic_flag_test_and_set(&h->lock))
		sched_yield();
}

static void hold(struct host *h, sigset_t *before)
{
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, before);
	take(h);
}

static void release(struct host *h, const sigset_t *before)
{
	atomic_flag_clear(&h->lock);
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

// SIGTERM went to the whole group. The host is its leader, with whose end the
// others are killed: it waits until the module's processes have put in order what
// they can. Whoever sent it sends SIGKILL when that takes too long.
static void last(int sig)
{
	take(the_host); // for good: no further child
	for (int i = 0; i < the_host->count; i++) {
		siginfo_t info;
		while (waitid(P_PID, the_host->children[i], &info, WEXITED | WNOWAIT) != 0 && errno == EINTR)
			;
	}
	signal(sig, SIG_DFL);
	raise(sig); // comes when this handler has returned
}

int clsyncapi_getapiversion(void) { return CLSYNC_API_VERSION; }

// The Go runtime has a handler for every signal. In a module's code, and in
// its children, they have to do what they do in any program: end it. But for
// SIGURG, by which the runtime stops its own threads.
static void plain_signals(int keep)
{
	for (int sig = 1; sig <= SIGRTMAX; sig++) {
		struct sigaction now;
		if (sig == keep || sigaction(sig, NULL, &now) != 0)
			continue; // not ours, or none
		if (now.sa_handler == SIG_IGN)
			continue;
		signal(sig, SIG_DFL);
	}
}

struct host *host_new(int forks, int channel, int object, ctx_t ctx)
{
	struct host *h = calloc(1, sizeof *h + (size_t)forks * sizeof h->children[0]);
	if (!h)
		return NULL;
	h->ctx = ctx;
	h->self = getpid();
	h->channel = channel;
	h->object = object;
	h->most = forks;
	atomic_flag_clear(&h->lock);
	plain_signals(SIGURG);
	the_host = h;
	// It may come to a thread of the Go runtime's, whose own stack is small.
	struct sigaction act = {.sa_handler = last, .sa_flags = SA_ONSTACK};
	sigaction(SIGTERM, &act, NULL);
	return h;
}

// forget drops the children that the module has waited for, and with reap those
// that have ended as well. A number that was given to another process since is
// no child of ours, or is in the list for itself.
static void forget(struct host *h, int reap)
{
	int kept = 0;
	for (int i = 0; i < h->count; i++) {
		siginfo_t info = {0};
		if (waitid(P_PID, h->children[i], &info, WEXITED | WNOHANG | (reap ? 0 : WNOWAIT)) != 0)
			continue; // ECHILD
		if (reap && info.si_pid != 0)
			continue;
		h->children[kept++] = h->children[i];
	}
	h->count = kept;
}

pid_t clsyncapi_fork(ctx_t *ctx)
{
	struct host *h = (struct host *)ctx;
	sigset_t before;
	if (!h) {
		errno = EINVAL;
		return -1;
	}
	hold(h, &before);
	forget(h, 0);
	pid_t pid = -1;
	errno = ECANCELED;
	if (h->count < h->most && getpid() == h->self)
		pid = fork();
	int why = errno;
	if (pid > 0)
		h->children[h->count++] = pid;
	if (pid == 0) {
		// What ends it must not run the parent's handlers, and what it
		// writes must not be taken for the host's.
		plain_signals(0);
		close(h->channel);
		close(h->object);
	}
	release(h, &before);
	errno = why;
	return pid;
}

int host_load(struct host *h, const char *path, int rsync, const char **text)
{
	void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!object) {
		*text = dlerror();
		return NOT_LOADABLE;
	}
	*(void **)&h->init = dlsym(object, "clsyncapi_init");
	*(void **)&h->deinit = dlsym(object, "clsyncapi_deinit");
	*(void **)&h->sync = dlsym(object, "clsyncapi_sync");
	*(void **)&h->rsync = dlsym(object, "clsyncapi_rsync");
	*text = rsync ? "clsyncapi_rsync" : "clsyncapi_sync";
	return (rsync ? h->rsync != NULL : h->sync != NULL) ? LOADED : NO_FUNCTION;
}

// ended is the end of each call.
static struct result ended(struct host *h, int code)
{
	if (getpid() != h->self)
		_exit(code & 0xff); // a child that returned in place of its parent
	fflush(NULL); // what the module printed
	sigset_t before;
	hold(h, &before);
	forget(h, 1);
	struct result r = {code, (unsigned)h->count};
	release(h, &before);
	return r;
}

struct result host_init(struct host *h) { return ended(h, h->init ? h->init(&h->ctx, NULL) : 0); }

struct result host_sync(struct host *h, int n, api_eventinfo_t *events) { return ended(h, h->sync(n, events)); }

struct result host_rsync(struct host *h, const char *include, const char *exclude)
{
	return ended(h, h->rsync(include, exclude));
}

struct result host_deinit(struct host *h) { return ended(h, h->deinit ? h->deinit() : 0); }
