//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/testenv"
)

// module compiles one of root's, and is the flags that have its functions called.
func module(t *testing.T, mode, text string) []string {
	t.Helper()
	testenv.NeedTool(t, "gcc")
	dir := t.TempDir()
	source, object := filepath.Join(dir, "m.c"), filepath.Join(dir, "m.so")
	write(t, source, text)
	out, err := exec.Command("gcc", "-Wall", "-Werror", "-shared", "-fPIC", "-I", "../../include", "-o", object, source).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Chmod(object, 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{"--mode", mode, "--handler", object}
}

// each is a module that has a shell bring each path of a call over; TEXT is the
// script, of $1 and $2, path and mask.
const each = `#define _GNU_SOURCE
#include <clsync/clsync.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static ctx_t *ctx;
static const char script[] = TEXT;

int clsyncapi_init(ctx_t *c, indexes_t *indexes)
{
	(void)indexes;
	ctx = c;
	return 0;
}

static int mirror(int n, api_eventinfo_t *events)
{
	for (int i = 0; i < n; i++) {
		char mask[16];
		int status;
		snprintf(mask, sizeof mask, "%u", events[i].evmask);
		pid_t pid = clsyncapi_fork(ctx);
		if (pid == 0) {
			execl("/bin/sh", "sh", "-c", script, "sh", events[i].path, mask, (char *)NULL);
			_exit(127);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			return 1;
	}
	return 0;
}
`

// onePath is it for a path and a mask.
const onePath = `path=$1 mask=$2
[ -n "$path" ] || exit 0
` + bring

// unlucky has some calls fail before they have done anything, some when they have
// done all, and some crash: the second one of all among them.
const unlucky = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int unlucky(int done)
{
	int round = atoi(getenv("CLSYNC_ITERATION")) % 9;
	if (!done && round == 1) {
		puts("it crashes");
		fflush(stdout);
		abort();
	}
	return !done && round == 3 ? 77 : done && round == 5 ? 78 : 0;
}
`

// modules are those that mirror, by their modes.
func modules(t *testing.T, dst string) map[string]string {
	t.Helper()
	example, err := os.ReadFile("../../examples/rsyncso/mirror.c")
	if err != nil {
		t.Fatal(err)
	}
	byRsync := string(example)
	for old, text := range map[string]string{
		"int clsyncapi_rsync(": "static int mirror(",
		`"-aH", "--delete"};`:  `"-aH", "--delete", "--modify-window=-1", "--ignore-times"};`,
		"int n = 3;":           "int n = 5;",
	} {
		if strings.Count(byRsync, old) != 1 {
			t.Fatalf("the example has no %s", old)
		}
		byRsync = strings.Replace(byRsync, old, text, 1)
	}
	script := strconv.Quote(strings.ReplaceAll(onePath, "DST", dst))
	return map[string]string{
		"so": strings.Replace(each, "TEXT", script, 1) + unlucky + `
int clsyncapi_sync(int n, api_eventinfo_t *events)
{
	int code = unlucky(0);
	if (code == 0)
		code = mirror(n, events);
	return code == 0 ? unlucky(1) : code;
}
`,
		"rsyncso": byRsync + unlucky + `
int clsyncapi_rsync(const char *include, const char *exclude)
{
	int code = unlucky(0);
	if (code == 0)
		code = mirror(include, exclude);
	return code == 0 ? unlucky(1) : code;
}
`,
	}
}

// What changes reaches the target through a module's functions, whatever becomes of
// some calls.
func TestModuleMirrors(t *testing.T) {
	beside(t)
	for _, mode := range []string{"so", "rsyncso"} {
		t.Run(mode, func(t *testing.T) {
			beside(t)
			m := newMirror(t)
			m.flags = module(t, mode, modules(t, m.dst)[mode])
			write(t, m.src+"/new\nline", "z")
			m.tells()
			m.await(0, "the crash", limit, says("it crashes"))
			m.stop()
		})
	}
}

// The process in which functions are called stays for the next calls; when it is
// killed between them, the next call has another.
func TestModuleStays(t *testing.T) {
	beside(t)
	m := newMirror(t)
	m.flags = module(t, "so", strings.Replace(each, "TEXT", strconv.Quote(strings.ReplaceAll(onePath, "DST", m.dst)), 1)+
		"int clsyncapi_sync(int n, api_eventinfo_t *events) { return mirror(n, events); }\n")
	write(t, m.src+"/a", "1")
	m.start("--delay", "50ms", "--retry-initial", "100ms")
	m.await(0, "readiness", limit, m.isReady)
	m.alike()
	const name = "lockstep-plugin"
	first := m.the(name)
	write(t, m.src+"/a", "2")
	m.alike()
	if now := m.the(name); now.pid != first.pid || now.start != first.start {
		t.Errorf("another process without need: %+v, then %+v", first, now)
	}
	if err := syscall.Kill(first.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	write(t, m.src+"/a", "3")
	m.alike()
	m.other(name, first)
	m.stop()
}

// An object that others can write to is not loaded, and one that is none ends no
// start: its calls fail, and are made again.
func TestModuleOfOthersIsRefused(t *testing.T) {
	m := newMirror(t)
	m.flags = module(t, "so", "int clsyncapi_sync(int n, void *events) { return 0; }\n")
	if err := syscall.Chmod(m.flags[3], 0o664); err != nil {
		t.Fatal(err)
	}
	if code := m.once(); code != 2 || !strings.Contains(m.output(), "others can write to it") {
		t.Errorf("exit code %d\n%s", code, m.output())
	}
	m = newMirror(t)
	m.flags = module(t, "rsyncso", "int clsyncapi_sync(int n, void *events) { return 0; }\n")
	write(t, m.src+"/a", "1")
	m.start("--retry-initial", "100ms")
	m.await(0, "what it lacks", limit, says("clsyncapi_rsync"))
	m.stop()
}
