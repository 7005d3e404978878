package jail

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/config"
	"lockstep/handler"
	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/seccomp"
	"lockstep/supervise/host"
)

// tries is a module that tries things and says which it can.
const tries = `#define _GNU_SOURCE
#include <clsync/clsync.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static ctx_t *ctx;
int clsyncapi_init(ctx_t *c, indexes_t *i) { (void)i; ctx = c; return 0; }

static void can(const char *what, int yes) { printf("%s %s\n", yes ? "can" : "cannot", what); fflush(stdout); }
static int opens(const char *path, int flags) { int fd = open(path, flags, 0755); return fd >= 0 && close(fd) == 0; }

/* copied is a program at a path. */
static const char *copied(const char *path)
{
	char command[4200];
	snprintf(command, sizeof command, "cp /bin/true %s", path);
	if (system(command) != 0)
		printf("%s: no copy\n", path);
	return path;
}

/* starts says whether the kernel executes it, whatever becomes of it. */
static int starts(const char *path)
{
	int status;
	pid_t pid = clsyncapi_fork(ctx);
	if (pid == 0) {
		execl(path, path, (char *)NULL);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && !(WIFEXITED(status) && WEXITSTATUS(status) == 127);
}

int clsyncapi_sync(int n, api_eventinfo_t *events)
{
	if (n > 1) /* the last thing that it does */
		return socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 0 : 1;
	can("read-source", opens("SRC/f", O_RDONLY));
	can("write-target", opens("DST/new", O_WRONLY | O_CREAT));
	can("scratch", opens("/lockstep/tmp/x", O_WRONLY | O_CREAT));
	can("start", starts("/bin/true"));
	can("write-source", opens("SRC/evil", O_WRONLY | O_CREAT));
	can("secret", opens("SECRET", O_RDONLY));
	can("write-module", opens("MODULE", O_WRONLY));
	can("write-plugin", opens("/lockstep/lockstep-plugin", O_WRONLY));
	can("write-usr", opens("/usr/evil", O_WRONLY | O_CREAT));
	can("start-target", starts(copied("DST/true")));
	can("start-scratch", starts(copied("/lockstep/tmp/true")));
	can("start-module", starts("MODULE"));
	can("proc", opens("/proc/self/maps", O_RDONLY));
	can("namespace", opens("/proc/self/ns/mnt", O_RDONLY));
	can("node", mknod("DST/node", S_IFCHR | 0600, 0x103) == 0);
	can("write-code", mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	return 0;
}
`

// modular is a place with a source, a target and modules, and what calls them.
type modular struct {
	t    *testing.T
	base string
	host host.Handler // without a module
}

func newModular(t *testing.T) *modular {
	t.Helper()
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "gcc")
	m := &modular{t: t, base: realDir(t)}
	for _, d := range []string{"src", "dst"} {
		must(t, os.Mkdir(m.in(d), 0o755))
	}
	build := exec.Command("go", "build", "-trimpath", "-buildmode=pie", "-o", m.in("lockstep-plugin"), "lockstep/cmd/lockstep-plugin")
	build.Env = append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	// What a jail shows is the same for all; beside a test there is no lockstep.
	program, err := filepath.EvalSymlinks("/bin/true")
	must(t, err)
	m.host, err = host.InspectHandler(config.Sync{Mode: "shell", Handler: program})
	must(t, err)
	plugin := m.tree("lockstep-plugin")
	m.host.Program, m.host.Dev, m.host.Ino = plugin.Host, plugin.Dev, plugin.Ino
	return m
}

func (m *modular) in(name string) string { return filepath.Join(m.base, name) }

func (m *modular) tree(name string) Tree {
	m.t.Helper()
	var st unix.Stat_t
	must(m.t, unix.Stat(m.in(name), &st))
	return Tree{Host: m.in(name), Path: m.in(name), Dev: st.Dev, Ino: st.Ino}
}

// launch has a module, compiled from source, called in its jail.
func (m *modular) launch(mode, source string) *running {
	m.t.Helper()
	so := exec.Command("gcc", "-Wall", "-Werror", "-shared", "-fPIC", "-I", "../../include", "-o", m.in("m.so"), source)
	if text, err := so.CombinedOutput(); err != nil {
		m.t.Fatalf("%v\n%s", err, text)
	}
	must(m.t, os.Chmod(m.in("m.so"), 0o755)) // no mode is what keeps it from being started
	object := m.tree("m.so")
	h := m.host
	h.Module = host.Module{Path: object.Host, Dev: object.Dev, Ino: object.Ino}
	cfg := settings.Runner{Build: "dev", Program: PluginPath, ProgDev: h.Dev, ProgIno: h.Ino, Source: m.in("src"), Target: m.in("dst"), Env: HandlerEnv(),
		Handler: settings.Handler{Mode: mode, Label: "lab", Destination: m.in("dst"), Lists: Scratch, Module: settings.Module{Path: object.Host, Dev: object.Dev, Ino: object.Ino}},
		Timeout: time.Minute, Grace: time.Second}
	return launch(m.t, HandlerRunner(Machine{}, m.tree("src"), m.tree("dst"), h, Rights{}), seccomp.Table(seccomp.Handler, runtime.GOARCH), cfg)
}

// In its real jail, under its real filter, a module does its work: the examples.
func TestModuleRuns(t *testing.T) {
	for mode, source := range map[string]string{"so": "../../examples/so/copy.c", "rsyncso": "../../examples/rsyncso/mirror.c"} {
		t.Run(mode, func(t *testing.T) {
			testenv.NeedTool(t, "rsync")
			m := newModular(t)
			shell(t, m.in("src"), "mkdir -p d/e; echo 1 >a; echo 2 >-n; echo 3 >d/e/f; ln -s a link; chmod 640 a")
			run := m.launch(mode, source)
			run.ok(ipc.JobInitial, "")
			same := func() {
				t.Helper()
				if text, err := exec.Command("diff", "-r", "--no-dereference", m.in("src"), m.in("dst")).CombinedOutput(); err != nil {
					t.Errorf("%v\n%s\n%s", err, text, run.stderr)
				}
			}
			same()
			shell(t, m.in("src"), "rm -r d/e; echo other >a; mkdir g; echo 4 >g/h")
			var list []byte
			for path, mask := range map[string]uint32{"d/e": handler.MaskDelete | handler.MaskDir, "a": handler.MaskWritten} {
				list = handler.AppendTold(list, handler.Told{Path: path, Mask: mask})
			}
			list = handler.AppendTold(list, handler.Told{Path: "g", Mask: handler.FoundDir})
			list = handler.AppendTold(list, handler.Told{Path: "g/h", Mask: handler.FoundFile})
			run.ok(ipc.JobList, string(list))
			same()
		})
	}
}

// alone is a program that calls a module without a jail and without a host.
const alone = `#include <clsync/clsync.h>
#include <stdio.h>
#include <unistd.h>

int clsyncapi_getapiversion(void) { return CLSYNC_API_VERSION; }
pid_t clsyncapi_fork(ctx_t *ctx) { (void)ctx; return fork(); }

int main(void)
{
	static ctx_t ctx;
	api_eventinfo_t events[2] = {{.path = "f"}, {.path = "g"}};
	if (clsyncapi_init(&ctx, NULL) != 0 || clsyncapi_sync(1, events) != 0)
		return 1;
	printf("%s socket\n", clsyncapi_sync(2, events) == 0 ? "can" : "cannot");
	return 0;
}
`

// unconfined is what the module of tries can do outside of the jail, but for what
// would change this machine.
func (m *modular) unconfined(replace ...string) map[string]bool {
	m.t.Helper()
	must(m.t, os.Mkdir(m.in("twin"), 0o755))
	must(m.t, os.Mkdir(m.in("tmp"), 0o755))
	must(m.t, os.WriteFile(m.in("plugin"), []byte("x"), 0o755)) // the program itself may be running
	const usr = `can("write-usr", opens("/usr/evil", O_WRONLY | O_CREAT));`
	if !strings.Contains(tries, usr) {
		m.t.Fatal("the twin would write to /usr")
	}
	text := strings.NewReplacer(append(replace, usr, "", "/lockstep/tmp", m.in("tmp"), "/lockstep/lockstep-plugin", m.in("plugin"), "DST", m.in("twin"))...).Replace(tries)
	must(m.t, os.WriteFile(m.in("twin.c"), []byte(text), 0o644))
	must(m.t, os.WriteFile(m.in("alone.c"), []byte(alone), 0o644))
	cc := exec.Command("gcc", "-Wall", "-Werror", "-I", "../../include", "-o", m.in("alone"), m.in("twin.c"), m.in("alone.c"))
	if text, err := cc.CombinedOutput(); err != nil {
		m.t.Fatalf("%v\n%s", err, text)
	}
	out, err := exec.CommandContext(m.t.Context(), m.in("alone")).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%v\n%s", err, out)
	}
	return answers(string(out))
}

// A module can do what a handler can and no more; a forbidden call ends it, and the
// next call is made. Run outside, it can.
func TestModuleIsConfined(t *testing.T) {
	m := newModular(t)
	must(t, os.WriteFile(m.in("src/f"), []byte("x"), 0o600))
	must(t, os.WriteFile(m.in("secret"), []byte("x"), 0o644))
	places := []string{"SRC", m.in("src"), "SECRET", m.in("secret"), "MODULE", m.in("m.so")}
	text := strings.NewReplacer(append(slices.Clone(places), "DST", m.in("dst"))...).Replace(tries)
	must(t, os.WriteFile(m.in("m.c"), []byte(text), 0o644))
	run := m.launch("so", m.in("m.c"))
	one := string(handler.AppendTold(nil, handler.Told{Path: "f", Mask: 8}))
	two := one + string(handler.AppendTold(nil, handler.Told{Path: "g", Mask: 8}))
	run.ok(ipc.JobList, one)
	if got := run.run(ipc.JobList, two); got.End != ipc.EndSignalled || got.Code != uint8(unix.SIGSYS) {
		t.Errorf("a socket: %+v %s", got, got.Tail)
	}
	run.ok(ipc.JobList, one)
	// What it says comes through a pipe of its own.
	run.stderr.Until(t, func(text string) bool { return strings.Count(text, " write-code\n") >= 2 })
	got := answers(strings.ReplaceAll(run.stderr.String(), "<6>", ""))
	for what, can := range got {
		if can != slices.Contains([]string{"read-source", "write-target", "scratch", "start"}, what) {
			t.Errorf("%s: %v", what, can)
		}
	}
	if len(got) != 16 || strings.Contains(run.stderr.String(), "no copy") {
		t.Errorf("%d answers\n%s", len(got), run.stderr)
	}
	twin := m.unconfined(places...)
	for what, can := range twin {
		if !can && what != "node" { // a container may refuse it
			t.Errorf("outside of the jail: cannot %s", what)
		}
	}
	if len(twin) != 16 { // all but one, and the socket
		t.Errorf("outside of the jail %d answers: %v", len(twin), twin)
	}
}
