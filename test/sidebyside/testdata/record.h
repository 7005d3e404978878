/* What a handler or a module was called with, as one record in a FIFO in the
 * target, which is the one place that lockstep's jail lets it write to: fields
 * "TAG LENGTH BYTES", and "." at the end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static FILE *record;

static void field(char tag, const char *bytes, size_t n)
{
	fprintf(record, "%c %zu ", tag, n);
	fwrite(bytes, 1, n, record);
}

static void word(char tag, const char *text)
{
	field(tag, text, strlen(text));
}

/* the content of a list file */
static int list(const char *path)
{
	char part[65536], *all = NULL;
	size_t n, size = 0;
	FILE *f = fopen(path, "r");
	if (!f)
		return -1;
	while ((n = fread(part, 1, sizeof part, f)) > 0) {
		all = realloc(all, size + n);
		memcpy(all + size, part, n);
		size += n;
	}
	if (ferror(f) || fclose(f))
		return -1;
	field('l', all ? all : "", size);
	free(all);
	return 0;
}

static int begin(void)
{
	char here[4096];
	char **v;
	record = fopen(CALLS, "w");
	if (!record || !getcwd(here, sizeof here))
		return -1;
	word('d', here);
	for (v = environ; *v; v++)
		if (!strncmp(*v, "CLSYNC_", 7))
			word('v', *v);
	return 0;
}

static int end(void)
{
	fputc('.', record);
	return fclose(record);
}
