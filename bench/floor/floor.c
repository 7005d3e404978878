/*
 * The floor of watching a tree by inotify: walk it with readdir's d_type, place
 * one watch per directory, and with "drain" read the raw events.
 *
 *   floor watch DIR    prints "watched DIRS" and ends
 *   floor drain DIR    prints "watched DIRS", reads events until standard input
 *                      ends, and prints "drained EVENTS BYTES USEC OVERFLOWS":
 *                      the CPU time since the watches were there
 *   floor pump DIR EVENTS
 *                      causes events in DIR alone, a few thousand at a time, and
 *                      reads them; prints "pumped EVENTS NSEC", the time of the
 *                      reading, without that of the causing
 *
 *   floor listen DIR EVENTS
 *                      the same by fanotify: events of 10,000 files, for the
 *                      kernel merges those of one
 *
 * Those of the other ways to hear of changes, until standard input ends:
 *
 *   floor dnotify DIR  one open descriptor and F_NOTIFY per directory; prints
 *                      "watched DIRS"
 *   floor poll DIR     looks at every entry by fstatat; prints "watched DIRS",
 *                      does it all again, and prints "compared NSEC USEC", the
 *                      time and the CPU time of that
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char path[4096];
static long dirs;
static int queue;
static int looking, notifying;

static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s: %s\n", what, path, strerror(errno));
	exit(1);
}

static void walk(size_t len)
{
	const unsigned mask = IN_ATTRIB | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MODIFY | IN_MOVED_FROM |
			      IN_MOVED_TO | IN_ONLYDIR | IN_DONT_FOLLOW;
	struct dirent *e;
	DIR *d;

	if (notifying) {
		int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		/* a signal that is ignored, of the kind that queues */
		if (fd < 0 || fcntl(fd, F_SETSIG, SIGRTMIN) ||
		    fcntl(fd, F_NOTIFY, DN_MODIFY | DN_CREATE | DN_DELETE | DN_RENAME | DN_ATTRIB | DN_MULTISHOT))
			die("dnotify");
	} else if (!looking && inotify_add_watch(queue, path, mask) < 0) {
		die("watch");
	}
	dirs++;
	d = opendir(path);
	if (!d)
		die("open");
	while ((e = readdir(d))) {
		struct stat st;
		size_t n;

		if (looking && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			die("stat");
		if (e->d_type != DT_DIR || !strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		n = strlen(e->d_name);
		if (len + n + 2 > sizeof path) {
			errno = ENAMETOOLONG;
			die("walk");
		}
		path[len] = '/';
		memcpy(path + len + 1, e->d_name, n + 1);
		walk(len + 1 + n);
		path[len] = 0;
	}
	closedir(d);
}

static long usec(void)
{
	struct rusage u;

	if (getrusage(RUSAGE_SELF, &u))
		die("getrusage");
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000L + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

static void drain(void)
{
	static char buf[1 << 16] __attribute__((aligned(8)));
	struct pollfd p[2] = { { queue, POLLIN, 0 }, { 0, POLLIN, 0 } };
	long events = 0, bytes = 0, overflows = 0, before = usec();

	for (;;) {
		if (poll(p, 2, -1) < 0)
			die("poll");
		if (p[0].revents) {
			ssize_t n = read(queue, buf, sizeof buf), at = 0;

			if (n < 0)
				die("read");
			bytes += n;
			while (at < n) {
				struct inotify_event *e = (struct inotify_event *)(buf + at);

				events++;
				overflows += !!(e->mask & IN_Q_OVERFLOW);
				at += sizeof *e + e->len;
			}
		} else if (p[1].revents) {
			break; /* all that was caused before has been read */
		}
	}
	printf("drained %ld %ld %ld %ld\n", events, bytes, usec() - before, overflows);
}

static long nsec(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_MONOTONIC, &t))
		die("clock");
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

/* One read after the other until the queue is empty, each event looked at. */
static long empty(long *overflows)
{
	static char buf[1 << 16] __attribute__((aligned(8)));
	long events = 0;

	for (;;) {
		ssize_t n = read(queue, buf, sizeof buf), at = 0;

		if (n < 0 && errno == EAGAIN)
			return events;
		if (n < 0)
			die("read");
		while (at < n) {
			struct inotify_event *e = (struct inotify_event *)(buf + at);

			events++;
			*overflows += !!(e->mask & IN_Q_OVERFLOW);
			at += sizeof *e + e->len;
		}
	}
}

/* Two files in turn: the kernel merges equal neighbours. */
static void pump(long want)
{
	enum { batch = 8000 };
	long events = 0, spent = 0, overflows = 0;
	int fd[2];

	for (int i = 0; i < 2; i++) {
		sprintf(path + strlen(path), "%s", i ? "2" : "/some-file-1");
		fd[i] = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		if (fd[i] < 0)
			die("create");
	}
	for (int warm = 3; events < want; warm--) {
		long begin, n;

		for (int i = 0; i < batch; i++)
			if (fchmod(fd[i & 1], 0600))
				die("fchmod");
		begin = nsec();
		n = empty(&overflows);
		if (warm <= 0) { /* the first are for caches that fill */
			spent += nsec() - begin;
			events += n;
		}
	}
	if (overflows) {
		fprintf(stderr, "floor: the queue is shorter than %d events\n", batch);
		exit(1);
	}
	printf("pumped %ld %ld\n", events, spent);
}

/* The same of a file system's queue. */
static long heard(long *overflows)
{
	static char buf[1 << 16] __attribute__((aligned(8)));
	long events = 0;

	for (;;) {
		ssize_t n = read(queue, buf, sizeof buf);
		struct fanotify_event_metadata *e = (void *)buf;

		if (n < 0 && errno == EAGAIN)
			return events;
		if (n < 0)
			die("read");
		for (; FAN_EVENT_OK(e, n); e = FAN_EVENT_NEXT(e, n)) {
			events++;
			*overflows += !!(e->mask & FAN_Q_OVERFLOW);
		}
	}
}

static void listen_to(long want)
{
	enum { batch = 10000 };
	long events = 0, spent = 0, overflows = 0;
	size_t len = strlen(path);

	queue = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME_TARGET | FAN_UNLIMITED_QUEUE | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY);
	if (queue < 0)
		die("fanotify");
	for (int i = 0; i < batch; i++) {
		sprintf(path + len, "/some-file-%d", i);
		int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		if (fd < 0 || close(fd))
			die("create");
	}
	path[len] = 0;
	if (fanotify_mark(queue, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_ATTRIB | FAN_ONDIR, AT_FDCWD, path))
		die("mark");
	for (int warm = 3; events < want; warm--) {
		long begin, n;

		for (int i = 0; i < batch; i++) {
			sprintf(path + len, "/some-file-%d", i);
			if (chmod(path, 0600))
				die("chmod");
		}
		begin = nsec();
		n = heard(&overflows);
		if (warm <= 0) {
			spent += nsec() - begin;
			events += n;
		}
	}
	if (overflows) {
		fprintf(stderr, "floor: events were lost\n");
		exit(1);
	}
	printf("pumped %ld %ld\n", events, spent);
}

static void compare(void)
{
	long begin = nsec(), before = usec();

	walk(strlen(path));
	printf("compared %ld %ld\n", nsec() - begin, usec() - before);
	fflush(stdout);
}

/* until nobody holds the other end of standard input */
static void hold(void)
{
	char c;

	while (read(0, &c, 1) > 0)
		;
}

int main(int argc, char **argv)
{
	int pumping = argc == 4 && !strcmp(argv[1], "pump"), listening = argc == 4 && !strcmp(argv[1], "listen");

	if ((argc != 3 && !pumping && !listening) || strlen(argv[2]) + 32 >= sizeof path) {
		fprintf(stderr, "usage: floor watch|drain|dnotify|poll DIR, floor pump|listen DIR EVENTS\n");
		return 2;
	}
	looking = !strcmp(argv[1], "poll");
	notifying = !strcmp(argv[1], "dnotify");
	if (notifying && signal(SIGRTMIN, SIG_IGN) == SIG_ERR)
		die("signal");
	strcpy(path, argv[2]);
	if (listening) {
		listen_to(atol(argv[3]));
		return 0;
	}
	queue = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (queue < 0)
		die("inotify");
	walk(strlen(path));
	if (pumping) {
		pump(atol(argv[3]));
		return 0;
	}
	printf("watched %ld\n", dirs);
	fflush(stdout);
	if (looking)
		compare();
	if (!strcmp(argv[1], "drain"))
		drain();
	if (looking || notifying)
		hold();
	return 0;
}
