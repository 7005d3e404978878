/*
 * What a module of the modes "so" and "rsyncso" sees of lockstep. The names of
 * the functions and the layout of api_eventinfo are those of version 2 of
 * clsync's interface for modules; the text is lockstep's own. Compatible is the
 * source: a module has to be compiled against this file.
 *
 * README.md beside this file says how a module is built, checked and run.
 */
#ifndef CLSYNC_CLSYNC_H
#define CLSYNC_CLSYNC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface. */
#define CLSYNC_API_VERSION 2

/* Indices of ctx->flags. A number there is 0 for off. */
#define CLSYNC_FLAG_DEBUG 0
#define CLSYNC_FLAG_THREADING 1
#define CLSYNC_FLAG_RSYNCPREFERINCLUDE 2
#define CLSYNC_FLAGS 3

#ifndef DEBUG
#define DEBUG CLSYNC_FLAG_DEBUG
#endif
#ifndef THREADING
#define THREADING CLSYNC_FLAG_THREADING
#endif
#ifndef RSYNCPREFERINCLUDE
#define RSYNCPREFERINCLUDE CLSYNC_FLAG_RSYNCPREFERINCLUDE
#endif

/*
 * The sync that the module works for. It is read-only, and stays where it is
 * from clsyncapi_init until the process ends. There is nothing more in it that
 * a module may use: what follows in memory is the host's.
 */
typedef struct ctx {
	const char *label;
	const char *watchdir;       /* the source, without a slash at its end */
	const char *destdir;        /* the target, likewise; "" if there is none */
	const char *watchdirwslash; /* the same two with a slash at their end */
	const char *destdirwslash;
	int flags[CLSYNC_FLAGS];
} ctx_t;

/* Not for modules: clsyncapi_init gets a null pointer. */
typedef struct indexes indexes_t;

/* Bits of api_eventinfo.flags: the path stands for all that is below it. */
enum eventinfo_flags {
	EVIF_NONE = 0,
	EVIF_RECURSIVELY = 1,
	EVIF_CONTENTRECURSIVELY = 2
};

/* What a path was, and is. */
typedef enum eventobjtype {
	EOT_UNKNOWN = 0,
	EOT_DOESNTEXIST = 1,
	EOT_FILE = 2, /* all that is no directory */
	EOT_DIR = 3
} eventobjtype_t;

/*
 * A path with a change. The strings are the host's and are gone when the call
 * returns.
 */
typedef struct api_eventinfo {
	uint32_t evmask;  /* bits of inotify(7), several events in one */
	uint32_t flags;   /* EVIF_… */
	size_t path_len;  /* without the NUL at its end */
	const char *path; /* below the source; "" is the source; absolute with EVIF_RECURSIVELY */
	eventobjtype_t objtype_old;
	eventobjtype_t objtype_new;
} api_eventinfo_t;

#if defined(__LP64__) && (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L)
_Static_assert(sizeof(api_eventinfo_t) == 32, "api_eventinfo has 32 bytes");
_Static_assert(offsetof(api_eventinfo_t, evmask) == 0, "evmask");
_Static_assert(offsetof(api_eventinfo_t, flags) == 4, "flags");
_Static_assert(offsetof(api_eventinfo_t, path_len) == 8, "path_len");
_Static_assert(offsetof(api_eventinfo_t, path) == 16, "path");
_Static_assert(offsetof(api_eventinfo_t, objtype_old) == 24, "objtype_old");
_Static_assert(offsetof(api_eventinfo_t, objtype_new) == 28, "objtype_new");
#endif

/*
 * What the host offers.
 */

/* The interface's version of the host that runs: CLSYNC_API_VERSION. */
int clsyncapi_getapiversion(void);

/*
 * fork(2) into the host's process group, so that the child ends with the host.
 * The module waits for the child before its call returns. -1 with errno
 * ECANCELED: there are too many children, or it is a child that asks.
 */
pid_t clsyncapi_fork(ctx_t *ctx);

/*
 * What a module defines. All of it is called by one thread, one call at a time.
 * What clsyncapi_sync and clsyncapi_rsync return is taken as an exit code of a
 * program: 0 is success.
 */

/* Optional; before all others. What is not 0 is a refusal. */
int clsyncapi_init(ctx_t *ctx, indexes_t *indexes);

/* Mode "so": n paths, at least one. */
int clsyncapi_sync(int n, api_eventinfo_t *events);

/*
 * Mode "rsyncso": files with patterns for rsync's --include-from and
 * --exclude-from; exclude is a null pointer if there is none.
 */
int clsyncapi_rsync(const char *include, const char *exclude);

/* Optional; after all others, at an orderly end. */
int clsyncapi_deinit(void);

#ifdef __cplusplus
}
#endif

#endif
