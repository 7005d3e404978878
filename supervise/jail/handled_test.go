package jail

import (
	"net"
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

// attempts is a handler that tries things and says which it can.
const attempts = `#!/bin/bash
can() { if "${@:2}" >/dev/null 2>&1; then echo "can $1"; else echo "cannot $1"; fi; }
can read-source cat SRC/f
can write-target touch DST/new
can scratch touch $TMPDIR/x
can null bash -c 'echo >/dev/null'
can pipe bash -c 'set -o pipefail; ls SRC | sort | grep -q f'
can background bash -c 'sleep 0 & wait $!'
can here-text bash -c 'read x <<< y'
can copy cp -a SRC/f DST/f
can move mv DST/f DST/g
can list bash -c '[ "$(cat '"$3"')" = "sync lab 8 f" ]'
can lock flock DST/lock true
can write-source touch SRC/evil
can secret cat SECRET
can shadow cat /etc/shadow
can write-usr bash -c '>>/usr/evil'
can write-passwd bash -c '>>/etc/passwd'
can write-root bash -c '>>/evil'
can execute-target bash -c 'cp /bin/true DST/true && chmod 755 DST/true && DST/true'
can execute-scratch bash -c 'cp /bin/true $TMPDIR/true && chmod 755 $TMPDIR/true && $TMPDIR/true'
can execute-source SRC/program
can proc ls /proc/self
can node mknod DST/node c 1 3
can full bash -c 'exec 3</dev/full'
can network bash -c 'exec 3<>/dev/tcp/127.0.0.1/PORT'
can mount mount -t tmpfs none $TMPDIR
can namespace unshare -Ur true
can chroot chroot / true
`

// TestHandlerRuns: in its jail a script does what scripts do, is told what happened,
// and can do nothing else that it tries. Run outside, it can.
func TestHandlerRuns(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "bash")
	base := realDir(t)
	for _, d := range []string{"src", "dst", "twin", "tmp"} {
		must(t, os.Mkdir(filepath.Join(base, d), 0o755))
	}
	in := func(name string) string { return filepath.Join(base, name) }
	must(t, os.WriteFile(in("src/f"), []byte("x"), 0o600))
	must(t, os.WriteFile(in("src/program"), []byte("#!/bin/sh\n"), 0o755))
	must(t, os.WriteFile(in("secret"), []byte("secret"), 0o644))
	port := listening(t)
	script := func(name, dst string) string {
		text := strings.NewReplacer("SRC", in("src"), "DST", dst, "SECRET", in("secret"), "PORT", port).Replace(attempts)
		must(t, os.WriteFile(in(name), []byte(text), 0o755))
		return in(name)
	}
	h, err := host.InspectHandler(config.Sync{Mode: "shell", Handler: script("handler", in("dst"))})
	must(t, err)
	tree := func(path string) Tree {
		var st unix.Stat_t
		must(t, unix.Stat(path, &st))
		return Tree{Host: path, Path: path, Dev: st.Dev, Ino: st.Ino}
	}
	cfg := settings.Runner{Build: "dev", Program: h.Program, ProgDev: h.Dev, ProgIno: h.Ino, Source: in("src"), Target: in("dst"), Env: HandlerEnv(),
		Handler: settings.Handler{Mode: "shell", Label: "lab", Destination: in("dst"), Lists: Scratch}, Timeout: time.Minute, Grace: time.Second}
	run := launch(t, HandlerRunner(Machine{}, tree(in("src")), tree(in("dst")), h, Rights{}), seccomp.Table(seccomp.Handler, runtime.GOARCH), cfg)
	run.ok(ipc.JobList, string(handler.AppendTold(nil, handler.Told{Path: "f", Mask: 8})))
	// What it says comes through a pipe of its own.
	run.stderr.Until(t, func(text string) bool { return strings.Contains(text, " chroot\n") })
	got := answers(strings.ReplaceAll(run.stderr.String(), "<6>", ""))
	may := []string{"read-source", "write-target", "scratch", "null", "pipe", "background", "here-text", "copy", "move", "list", "lock"}
	for what, can := range got {
		if can != slices.Contains(may, what) {
			t.Errorf("in the jail: %s: %v", what, can)
		}
	}
	if len(got) != 27 || t.Failed() {
		t.Fatalf("%d answers\n%s", len(got), run.stderr)
	}
	// Not what would change this machine.
	twin := strings.NewReplacer("can write-usr", ": can", "can write-passwd", ": can", "can write-root", ": can", "can mount", ": can").Replace
	text, err := os.ReadFile(script("unconfined", in("twin")))
	must(t, err)
	must(t, os.WriteFile(in("unconfined"), []byte(twin(string(text))), 0o755))
	must(t, os.WriteFile(in("list"), []byte("sync lab 8 f\n"), 0o644))
	cmd := exec.CommandContext(t.Context(), in("unconfined"), "synclist", "lab", in("list"))
	cmd.Env, cmd.Dir = append(HandlerEnv(), "TMPDIR="+in("tmp")), in("src")
	out, err := cmd.Output()
	must(t, err)
	for what, can := range answers(string(out)) {
		if !can && what != "node" && what != "namespace" && what != "full" { // a container may refuse these
			t.Errorf("outside of the jail: cannot %s", what)
		}
	}
}

// listening is the port of somebody on this host.
func listening(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	_, port, _ := strings.Cut(l.Addr().String(), ":")
	return port
}

// answers reads what attempts prints.
func answers(text string) map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(text) {
		switch word, what, _ := strings.Cut(strings.TrimSpace(line), " "); word {
		case "can":
			out[what] = true
		case "cannot":
			out[what] = false
		}
	}
	return out
}
