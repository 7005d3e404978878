// What the Go side calls. Everything else is module.c's own.
#ifndef LOCKSTEP_MODULE_H
#define LOCKSTEP_MODULE_H

#include <clsync/clsync.h>

struct host;

// What a call of the module came to.
struct result {
	int code;
	unsigned left; // its processes that still run
};

enum { LOADED, NOT_LOADABLE, NO_FUNCTION };

// host_new: at most forks children at a time; the two descriptors are not for
// them. The strings stay the caller's, for good. NULL: no memory.
struct host *host_new(int forks, int channel, int object, ctx_t ctx);

// host_load: LOADED, or why not, with what the loader says of it.
int host_load(struct host *h, const char *path, int rsync, const char **text);

struct result host_init(struct host *h);
struct result host_sync(struct host *h, int n, api_eventinfo_t *events);
struct result host_rsync(struct host *h, const char *include, const char *exclude);
struct result host_deinit(struct host *h);

#endif
