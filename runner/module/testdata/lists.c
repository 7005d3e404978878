/* A module of the mode rsyncso that prints what it is called with. */
#include <clsync/clsync.h>

#include <stdio.h>
#include <stdlib.h>

int clsyncapi_rsync(const char *include, const char *exclude)
{
	printf("%s %s %s %s\n", getenv("CLSYNC_STATUS"), getenv("CLSYNC_ITERATION"), include, exclude ? exclude : "none");
	return 0;
}
