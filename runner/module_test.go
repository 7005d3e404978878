package runner

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/handler"
	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/ipc/settings"
)

// calls serves a module as a handler.
func calls(t *testing.T, text string, change func(*settings.Runner)) *bench {
	t.Helper()
	testenv.NeedTool(t, "gcc")
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(in("m.c"), []byte("#include <clsync/clsync.h>\n"+text), 0o644); err != nil {
		t.Fatal(err)
	}
	host := exec.Command("go", "build", "-trimpath", "-buildmode=pie", "-o", in("host"), "lockstep/cmd/lockstep-plugin")
	host.Env = append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=")
	for _, c := range []*exec.Cmd{host, exec.Command("gcc", "-Wall", "-Werror", "-shared", "-fPIC", "-I", "../include", "-o", in("m.so"), in("m.c"))} {
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c, err, out)
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(in("m.so"), &st); err != nil {
		t.Fatal(err)
	}
	return handles(t, "so", dump, func(c *settings.Runner) {
		p := program(t, in("host"))
		c.Program, c.ProgDev, c.ProgIno = p.Program, p.ProgDev, p.ProgIno
		c.Handler.Module = settings.Module{Path: in("m.so"), Dev: st.Dev, Ino: st.Ino}
		if change != nil {
			change(c)
		}
	})
}

// A module's process stays between jobs, and a job that is stopped ends it; what it
// is told, and what it prints, are as of a program.
func TestModule(t *testing.T) {
	b := calls(t, `#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int calls;
int clsyncapi_sync(int n, api_eventinfo_t *events)
{
	char dir[4096];
	printf("call %d: %d %s %u %s %s\n", ++calls, n, events[0].path, events[0].evmask, getenv("CLSYNC_STATUS"), strrchr(getcwd(dir, sizeof dir), '/'));
	fflush(stdout);
	if (strcmp(events[0].path, "crash") == 0)
		abort();
	if (strcmp(events[0].path, "wait") == 0)
		pause();
	return strcmp(events[0].path, "bad") == 0 ? 5 : 0;
}
`, nil)
	list := func(path string) string { return toldOf(handler.Told{Path: path, Mask: 8}) }
	for _, c := range []struct {
		kind ipc.JobKind
		list string
		end  ipc.End
		code uint8
	}{
		{ipc.JobList, list("a"), ipc.EndExited, 0}, {ipc.JobInitial, "", ipc.EndExited, 0}, {ipc.JobList, list("bad"), ipc.EndExited, 5},
		{ipc.JobList, list("crash"), ipc.EndSignalled, uint8(unix.SIGABRT)}, {ipc.JobList, list("b"), ipc.EndExited, 0},
	} {
		if got := b.run(c.kind, c.list); got.End != c.end || got.Code != c.code {
			t.Errorf("%q: %+v %q", c.list, got, got.Tail)
		}
	}
	waits := b.start(ipc.JobList, list("wait"))
	b.log.Until(t, func(said string) bool { return strings.Contains(said, "wait") })
	b.in <- packet{msg: &ipc.RunStop{Job: waits}}
	if got := b.wait(); got.Job != waits || got.End != ipc.EndStopped {
		t.Errorf("%+v", got)
	}
	if got := b.run(ipc.JobList, list("c")); got.End != ipc.EndExited || got.Code != 0 {
		t.Errorf("%+v", got)
	}
	b.end()
	want := ""
	for _, line := range []string{"call 1: 1 a 8 running", "call 2: 3  1073742080 initsync", "call 3: 1 bad 8 running", "call 4: 1 crash 8 running", "call 1: 1 b 8 running", "call 2: 1 wait 8 running", "call 1: 1 c 8 running"} {
		want += line + " /source\n"
	}
	if b.said() != want {
		t.Errorf("said %q\nwant %q", b.said(), want)
	}
}

// At the end of the runner a call that hangs has no grace, and one that has returned
// is followed by deinit.
func TestModuleAtTheEnd(t *testing.T) {
	text := `#include <signal.h>
#include <stdio.h>
#include <unistd.h>
int clsyncapi_sync(int n, api_eventinfo_t *events)
{
	if (n > 1) {
		signal(SIGTERM, SIG_IGN);
		if (write(1, "deaf\n", 5) == 5)
			for (;;)
				pause();
	}
	return 0;
}
int clsyncapi_deinit(void)
{
	printf("deinit\n");
	return 0;
}
`
	b := calls(t, text, nil)
	if got := b.run(ipc.JobList, toldOf(handler.Told{Path: "a", Mask: 8})); got.Code != 0 || got.End != ipc.EndExited {
		t.Errorf("%+v", got)
	}
	if code := b.end(); code != ExitDone || b.said() != "deinit\n" {
		t.Errorf("%d %q", code, b.said())
	}
	b = calls(t, text, func(c *settings.Runner) { c.Grace, c.Timeout = time.Hour, time.Hour })
	b.start(ipc.JobList, toldOf(handler.Told{Path: "a", Mask: 8}, handler.Told{Path: "b", Mask: 8}))
	b.log.Until(t, func(said string) bool { return strings.Contains(said, "deaf") })
	if code := b.end(); code != ExitDone || strings.Contains(b.said(), "deinit") {
		t.Errorf("%d %q", code, b.said())
	}
}

// What does not fit together is refused: a function needs a module, and a program
// none.
func TestModuleAndMode(t *testing.T) {
	for mode, m := range map[string]settings.Module{"so": {}, "rsyncso": {}, "shell": {Path: "/x.so"}} {
		b := handles(t, mode, dump, func(c *settings.Runner) { c.Handler.Module = m })
		if got := b.run(ipc.JobList, toldOf(handler.Told{Path: "a", Mask: 8})); got.End != ipc.EndRefused || b.said() != "" {
			t.Errorf("%s: %+v %q", mode, got, b.said())
		}
		b.end()
	}
	// Its program is looked at each time that it is started.
	b := calls(t, "int clsyncapi_sync(int n, api_eventinfo_t *events) { return 0; }\n", func(c *settings.Runner) { c.ProgIno++ })
	if got := b.run(ipc.JobList, toldOf(handler.Told{Path: "a", Mask: 8})); got.End != ipc.EndRefused || !strings.Contains(string(got.Tail), "not the file it was at start") {
		t.Errorf("%s", fmt.Sprint(got))
	}
}
