/* The same for the modes so and rsyncso. lockstep's modules are compiled against
 * its header; clsync's own needs a configured build of it, so that for clsync the
 * interface's version 2 is declared here. */
#ifdef OF_LOCKSTEP
#include <clsync/clsync.h>
#else
#include <stddef.h>
#include <stdint.h>
typedef struct api_eventinfo {
	uint32_t evmask, flags;
	size_t path_len;
	const char *path;
	int objtype_old, objtype_new;
} api_eventinfo_t;
#endif
#include "record.h"

int clsyncapi_sync(int n, api_eventinfo_t *events)
{
	int i;
	if (begin())
		return 1;
	for (i = 0; i < n; i++) {
		char text[64];
		const api_eventinfo_t *e = &events[i];
		if (strlen(e->path) != e->path_len)
			return 1;
		snprintf(text, sizeof text, "%u %u %d %d", e->evmask, e->flags, e->objtype_old, e->objtype_new);
		word('e', text);
		word('p', e->path);
	}
	return end() ? 1 : 0;
}

int clsyncapi_rsync(const char *include, const char *exclude)
{
	if (begin() || list(include) || (exclude && list(exclude)))
		return 1;
	return end() ? 1 : 0;
}
