//go:build escape

package escape

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/cgroup"
	"lockstep/internal/memfd"
	"lockstep/internal/testenv"
	"lockstep/sandbox"
	"lockstep/seccomp"
	"lockstep/supervise/brief"
	"lockstep/test/escape/redteam"
)

// TestMain: the test binary itself is "lockstep" here.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == sandbox.StageOneArg {
		sandbox.StageOne()
	}
	code := m.Run()
	if b, err := newBuilds(); err == nil {
		_ = os.RemoveAll(b.dir)
	}
	os.Exit(code)
}

// limit is how long one act may take.
const limit = 30 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// builds are the programs with the attacker in them, and the twin.
type builds struct {
	dir     string
	overlay string
}

// overlaid is what the attacker takes the place of, in two files: the end of lock.Enter,
// which is every program's last step of confinement, and the beginning of the process
// in which a module is loaded, which was confined before it began. Nothing else differs
// from the product.
func overlaid() map[string]map[string]string {
	return map[string]map[string]string{
		"sandbox/lock/enter.go": {
			"\treturn confine(filter, allow)\n": "\tact := redteam.Before()\n\tif err := confine(filter, allow); err != nil {\n\t\treturn err\n\t}\n" +
				"\tif act != nil {\n\t\tact()\n\t}\n\treturn nil\n",
			"\t\"lockstep/internal/sys\"\n": "\t\"lockstep/internal/sys\"\n\t\"lockstep/test/escape/redteam\"\n",
		},
		"cmd/lockstep-plugin/main.go": {
			"\truntime.LockOSThread()\n":          "\truntime.LockOSThread()\n\tif act := redteam.Before(); act != nil {\n\t\tact()\n\t}\n",
			"\t\"lockstep/internal/buildinfo\"\n": "\t\"lockstep/internal/buildinfo\"\n\t\"lockstep/test/escape/redteam\"\n",
		},
	}
}

// newBuilds writes the overlay with which the programs are built.
var newBuilds = sync.OnceValues(func() (*builds, error) {
	dir, err := os.MkdirTemp("", "lockstep-escape-")
	if err != nil {
		return nil, err
	}
	b := &builds{dir, filepath.Join(dir, "overlay.json")}
	replace := map[string]string{}
	for name, edits := range overlaid() {
		path, err := filepath.Abs(filepath.Join("../..", name))
		if err != nil {
			return nil, err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		text := string(source)
		for old, with := range edits {
			if n := strings.Count(text, old); n != 1 {
				return nil, fmt.Errorf("%s: what the attacker takes the place of stands there %d times: %s", name, n, old)
			}
			text = strings.Replace(text, old, with, 1)
		}
		replace[path] = filepath.Join(dir, strings.ReplaceAll(name, "/", "-"))
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	data, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return nil, err
	}
	return b, os.WriteFile(b.overlay, data, 0o600)
})

// build builds one of the module's programs with the attacker in it; how is said of
// the one that needs cgo.
func build(t *testing.T, pkg string, how ...string) string {
	t.Helper()
	b, err := newBuilds()
	must(t, err)
	out := filepath.Join(b.dir, filepath.Base(pkg))
	if _, err := os.Stat(out); err == nil {
		return out
	}
	cmd := exec.Command("go", slices.Concat([]string{"build", "-trimpath", "-overlay", b.overlay, "-o", out}, how, []string{pkg})...)
	cmd.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0")
	if len(how) > 0 {
		cmd.Env = append(cmd.Env, "CGO_ENABLED=1")
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, text)
	}
	return out
}

func image(t *testing.T, pkg string) *os.File {
	t.Helper()
	src, err := os.Open(build(t, pkg))
	must(t, err)
	defer src.Close()
	f, err := memfd.Image(filepath.Base(pkg), src)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// outcome is how an act ended.
type outcome struct {
	pid      int
	status   string // how the process ended
	prepared string // "ok", or the error that kept the act's means from it
	marked   bool   // the attempt was made
	returned string // what the act returned: "ok" or an error; "" when it did not
	out      string
}

// result is the outcome in a word.
func (o outcome) result() string {
	switch {
	case !o.marked:
		return "no attempt"
	case o.returned == "ok", o.returned == "ENOSYS", o.returned != "" && o.prepared == "ok":
		return o.returned
	case o.returned != "":
		return o.prepared // it had no means
	case o.status == "exit 0":
		return "executed"
	case o.status == "killed by "+unix.SIGSYS.String():
		return Killed
	}
	return o.status
}

func (o outcome) String() string { return fmt.Sprintf("%s; %s", o.status, o.out) }

func told(pid int, status string, out []byte) outcome {
	o := outcome{pid: pid, status: status, out: string(out)}
	for line := range strings.Lines(o.out) {
		text, red := strings.CutPrefix(strings.TrimSpace(line), "<7>RED ")
		word, rest, _ := strings.Cut(text, " ")
		switch {
		case !red:
		case word == "PREPARED":
			o.prepared = rest
		case word == "ATTEMPT":
			o.marked = true
		case word == "RETURNED":
			o.returned = rest
		}
	}
	return o
}

// jailed is a program in its jail.
type jailed struct {
	table    seccomp.Filter
	filter   *os.File
	open     *os.File // a filter that allows everything
	spec     sandbox.Spec
	image    *os.File
	leaf     sandbox.Leaf
	launcher *sandbox.Launcher
	world    redteam.World
	donate   func(t *testing.T) []sandbox.Donation // all but the filter
	become   string                                // what is executed in the jail, and makes the act
}

// ready makes what all roles have alike.
func (j *jailed) ready(t *testing.T, pkg string, table seccomp.Role) *jailed {
	t.Helper()
	j.table = seccomp.Table(table, arch)
	var err error
	j.filter, err = seccomp.Compile(j.table)
	must(t, err)
	t.Cleanup(func() { j.filter.Close() })
	j.open, err = memfd.Sealed("filter", binary.NativeEndian.AppendUint32([]byte{6, 0, 0, 0}, unix.SECCOMP_RET_ALLOW))
	must(t, err)
	t.Cleanup(func() { j.open.Close() })
	j.image, j.launcher = image(t, pkg), launcher(t)
	j.leaf = leaf(t, j.spec.Role, brief.Limits(j.spec.Role, 1, false))
	return j
}

// opened is the same with mounts and namespaces that hold nothing back: the host's
// files are in the jail as well, which no rule of Landlock's names, all that is in it
// can be written to and executed, and has devices; processes, network and shared
// memory are the host's.
func (j *jailed) opened(t *testing.T) *jailed {
	t.Helper()
	more := *j
	const shown = "/shown"
	more.world.Dir = shown
	binds := []sandbox.Bind{{Source: realDir(t), Target: shown}}
	for _, dir := range []string{"/usr", "/etc", "/dev", "/proc"} {
		binds = append(binds, sandbox.Bind{Source: dir, Target: dir, Recursive: true})
	}
	binds = append(binds, j.spec.Binds...)
	for i := range binds {
		binds[i].Writable, binds[i].Exec, binds[i].Devices = true, true, true
	}
	more.spec.Binds, more.spec.Namespaces = binds, unix.CLONE_NEWNS
	return &more
}

// planted is a tree of the host's with what there is to attack in one.
func planted(t *testing.T) string {
	t.Helper()
	dir := realDir(t)
	must(t, redteam.Plant(dir))
	return dir
}

func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	return dir
}

func launcher(t *testing.T) *sandbox.Launcher {
	t.Helper()
	exe, err := os.Open("/proc/self/exe")
	must(t, err)
	defer exe.Close()
	self, err := memfd.Image("lockstep", exe)
	must(t, err)
	l, err := sandbox.NewLauncher(self)
	must(t, err)
	t.Cleanup(func() {
		must(t, l.Close())
		self.Close()
	})
	return l
}

// leaf is a control group as the product has it.
func leaf(t *testing.T, name string, limits cgroup.Limits) sandbox.Leaf {
	t.Helper()
	h, err := cgroup.Detect()
	must(t, err)
	for _, f := range h.Missing() {
		testenv.Lacks(t, f.What)
	}
	g, err := h.Create(fmt.Sprintf("test-escape-%d-%d", os.Getpid(), time.Now().UnixNano()))
	must(t, err)
	l, err := g.Leaf(name, limits)
	must(t, err)
	t.Cleanup(func() {
		must(t, l.Kill())
		must(t, l.Remove())
		must(t, g.Remove())
	})
	return l
}

// confined makes an act in the jail, under a filter.
func (j *jailed) confined(t *testing.T, act string, filter *os.File) outcome {
	t.Helper()
	spec := j.spec
	spec.Env = append(append([]string(nil), spec.Env...), j.world.Environ(act)...)
	if j.become != "" {
		spec.Env = append(spec.Env, redteam.VarBecome+"="+j.become)
	}
	reader, writer, err := os.Pipe()
	must(t, err)
	defer reader.Close()
	fds := j.donate(t)
	p, err := j.launcher.Start(spec, j.image, append(fds, sandbox.Donation{Name: "filter", File: filter}), writer, j.leaf)
	must(t, err)
	defer p.Close()
	writer.Close()
	for _, d := range fds {
		d.File.Close()
	}
	out := until(reader, func() { must(t, p.Kill()) })
	code, sig, err := p.Wait()
	must(t, err)
	return told(p.PID, status(code, sig), out)
}

func status(code int, sig syscall.Signal) string {
	if sig != 0 {
		return "killed by " + sig.String()
	}
	return fmt.Sprintf("exit %d", code)
}

// until reads all that a process writes; one that takes too long is killed.
func until(r *os.File, kill func()) []byte {
	late := time.AfterFunc(limit, kill)
	defer late.Stop()
	out, _ := io.ReadAll(r)
	return out
}

// twins are how acts ended unconfined: that is no role's, and so is seen once.
var twins = map[string]outcome{}

// twin makes an act unconfined, with namespaces of its own that it may spoil.
func twin(t *testing.T, w redteam.World, act redteam.Act) outcome {
	t.Helper()
	if o, seen := twins[act.Name]; seen {
		return o
	}
	twins[act.Name] = unconfined(t, w, act)
	return twins[act.Name]
}

func unconfined(t *testing.T, w redteam.World, act redteam.Act) outcome {
	t.Helper()
	w.Dir, w.Source, w.Target = t.TempDir(), planted(t), planted(t)
	w.Peer, w.Twin = 0, true
	cmd := exec.Command(build(t, "lockstep/test/escape/body"))
	cmd.Env = append(w.Environ(act.Name), "GODEBUG=updatemaxprocs=0,containermaxprocs=0", "TZ=UTC")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS | unix.CLONE_NEWUTS, Pdeathsig: syscall.SIGKILL, Setsid: true}
	if act.Alone {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWPID
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	must(t, cmd.Start())
	late := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	_ = cmd.Wait() // its state says more
	ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
	sig := syscall.Signal(0)
	if ws.Signaled() {
		sig = ws.Signal()
	}
	return told(cmd.Process.Pid, status(ws.ExitStatus(), sig), stderr.Bytes())
}
