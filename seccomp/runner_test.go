package seccomp

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/memfd"
	"lockstep/internal/testenv"
	"lockstep/internal/testenv/record"
	"lockstep/ipc"
	"lockstep/ipc/polled"
	"lockstep/ipc/settings"
	"lockstep/ipc/wire"
	"lockstep/rsync"
	"lockstep/runner/cut"
)

// runnerUnder is lockstep-runner under a filter, with a helper's end to it.
type runnerUnder struct {
	t      *testing.T
	cmd    *exec.Cmd
	link   *os.File
	conn   syscall.RawConn
	stderr *bytes.Buffer
	job    ipc.JobID
}

// startRunner builds the real program and starts it under the filter.
func startRunner(t *testing.T, f Filter, cfg *settings.Runner) *runnerUnder {
	t.Helper()
	program := filepath.Join(t.TempDir(), "runner")
	build := exec.Command("go", "build", "-o", program, "lockstep/cmd/lockstep-runner")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the runner: %v\n%s", err, text)
	}
	filter, err := Compile(f)
	if err != nil {
		t.Fatal(err)
	}
	defer filter.Close()
	encoded, err := wire.Append(nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	config, err := memfd.Sealed("config", encoded)
	if err != nil {
		t.Fatal(err)
	}
	defer config.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "runner")
	defer theirs.Close()
	r := &runnerUnder{t: t, link: os.NewFile(uintptr(pair[0]), "helper"), stderr: &bytes.Buffer{}}
	if r.conn, err = r.link.SyscallConn(); err != nil {
		t.Fatal(err)
	}
	r.cmd = exec.Command(program)
	if tracer := os.Getenv("LOCKSTEP_STRACE"); tracer != "" {
		r.cmd = exec.Command("strace", "-f", "-qq", "-o", tracer, program)
	}
	r.cmd.Env = []string{"LOCKSTEP_FDS=filter=3,config=4,helper=5", "TZ=UTC", "GODEBUG=updatemaxprocs=0,containermaxprocs=0,decoratemappings=0", "PATH=/usr/bin"}
	r.cmd.ExtraFiles = []*os.File{filter, config, theirs}
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	r.cmd.Stderr = r.stderr
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// start sends one job.
func (r *runnerUnder) start(kind ipc.JobKind, list string) {
	r.t.Helper()
	file, err := memfd.Sealed("list", []byte(list))
	if err != nil {
		r.t.Fatal(err)
	}
	defer file.Close()
	r.job++
	r.send(&ipc.RunStart{Job: r.job, Kind: kind}, int(file.Fd()))
}

func (r *runnerUnder) send(m ipc.Message, fd int) {
	r.t.Helper()
	pkt, err := ipc.Append(nil, 0, m)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := polled.Send(r.conn, pkt, fd); err != nil {
		r.t.Fatalf("%v\n%s", err, r.stderr)
	}
}

// end waits for the job's end.
func (r *runnerUnder) end() ipc.Exited {
	r.t.Helper()
	if err := r.link.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		r.t.Fatal(err)
	}
	p, err := polled.Receive(r.conn, make([]byte, ipc.MaxPacket))
	if err != nil {
		r.t.Fatalf("the runner's answer: %v\n%s", err, r.stderr)
	}
	e, err := wire.Decode[ipc.RunExited](p.Payload)
	if err != nil || e.Job != r.job {
		r.t.Fatalf("job %d, %v", e.Job, err)
	}
	return e
}

// close has the runner end, and says how it did.
func (r *runnerUnder) close() error {
	if err := r.link.Close(); err != nil {
		r.t.Fatal(err)
	}
	return r.cmd.Wait()
}

// localConfig is a configuration for a local target.
func localConfig(t *testing.T, source, target string, o rsync.Options) *settings.Runner {
	t.Helper()
	program := testenv.NeedTool(t, "rsync")
	var st unix.Stat_t
	if err := unix.Stat(program, &st); err != nil {
		t.Fatal(err)
	}
	o.Source, o.Target = source, target
	cfg := &settings.Runner{
		Build: "dev", Program: program, ProgDev: st.Dev, ProgIno: st.Ino, Source: source, Target: target,
		Env: []string{"LC_ALL=C"}, MaxDeletePercent: 50, MaxDeleteEntries: 1000,
		Timeout: time.Minute, Grace: time.Second, Split: 2,
	}
	for kind := ipc.JobKind(1); kind < ipc.NumJobKinds; kind++ {
		cfg.Argv[kind] = rsync.Argv(kind, o)
	}
	cfg.Probe = rsync.Probe(o)
	return cfg
}

// makeTree makes one of everything that a local copy keeps.
func makeTree(t *testing.T, dir string, many int) {
	t.Helper()
	script := `set -e
mkdir -p a/b/c x; for i in 1 2 3; do head -c 5000 /dev/urandom > a/f$i; echo $i > a/b/g$i; done
head -c 3000000 /dev/urandom > big; ln a/f1 x/hl; ln -s ../a/f1 x/sl; ln -s nowhere dangling; mkfifo fifo
truncate -s 10M sparse; echo z >> sparse
mkdir many; for i in $(seq $MANY); do echo > many/file-with-a-rather-long-name-$i; done
chown 1234:2345 a/f2 x; chown -h 99:99 x/sl; chmod 4755 a/f3; chmod 1777 a/b; touch -d 2001-01-01 a big`
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), fmt.Sprintf("MANY=%d", many))
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make a tree: %v\n%s", err, text)
	}
	if err := unix.Lsetxattr(filepath.Join(dir, "a/f2"), "user.lockstep", []byte("x"), 0); err != nil {
		t.Logf("no extended attributes here: %v", err)
	}
}

// TestRunnerAndRsync: the real runner and the installed rsync do all kinds of
// jobs under their filter, and no call that the filter answers with ENOSYS is
// missed: what rsync says is empty.
func TestRunnerAndRsync(t *testing.T) {
	testenv.NeedRoot(t)
	source, target := t.TempDir(), t.TempDir()
	makeTree(t, source, 3000)
	r := startRunner(t, Table(Runner, runtime.GOARCH), localConfig(t, source, target, rsync.Options{Xattrs: rsync.XattrsUser, ACLs: true}))
	job := func(kind ipc.JobKind, list string) {
		t.Helper()
		r.start(kind, list)
		if e := r.end(); e.End != ipc.EndExited || e.Code != 0 || len(e.Tail) != 0 {
			t.Fatalf("kind %d: end %d code %d: %s\n%s", kind, e.End, e.Code, e.Tail, r.stderr)
		}
	}
	job(ipc.JobInitial, "- /a/nothing\x00")
	change := exec.Command("/bin/sh", "-c", `set -e
echo 1 >> a/f1; echo more >> big; rm -rf a/b fifo; mkdir fifo; echo > fifo/x; ln -snf other dangling
rm x/hl; chmod 600 a/f2; rm sparse; mkfifo sparse; rm many/*1; mv many/file-with-a-rather-long-name-2 many/moved`)
	change.Dir = source
	if text, err := change.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	job(ipc.JobList, strings.Join([]string{"./a/f1", "./big", "./a/b", "./fifo", "./fifo/x", "./dangling", "./x/hl", "./sparse", "./many/moved", ""}, "\x00"))
	wide := "./a/f1\x00./a/f2\x00./many/file-with-a-rather-long-name-3\x00./many/file-with-a-rather-long-name-4\x00"
	if parts := cut.List([]byte(wide), 2); len(parts) != 2 {
		t.Errorf("not divided: %q", parts)
	}
	job(ipc.JobWide, wide)
	job(ipc.JobAttr, "./a/f2\x00./x\x00")
	job(ipc.JobPrune, "- /nothing\x00")
	job(ipc.JobInitial, "- /nothing\x00")
	if text, err := exec.Command("diff", "-r", "--no-dereference", "-x", "sparse", source, target).CombinedOutput(); err != nil {
		t.Errorf("source and target differ: %v\n%s", err, text)
	}
	if err := r.close(); err != nil {
		t.Errorf("the runner ended by %v\n%s", err, r.stderr)
	}
}

// TestRunnerCompares: two trees are compared under the filter, with attributes
// of files and directories, and links.
func TestRunnerCompares(t *testing.T) {
	testenv.NeedRoot(t)
	base := t.TempDir()
	source, target := filepath.Join(base, "s"), filepath.Join(base, "t")
	script := `set -e
mkdir -p s/a/b; echo 1 > s/a/f; ln -s ../a s/a/b/link`
	make := exec.Command("/bin/sh", "-c", script)
	make.Dir = base
	if text, err := make.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, path := range []string{"a/f", "a/b"} {
		if err := unix.Lsetxattr(filepath.Join(source, path), "user.lockstep", []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := exec.Command("cp", "-a", source, target).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	cfg := localConfig(t, source, target, rsync.Options{Xattrs: rsync.XattrsUser, ACLs: true})
	cfg.Compare = settings.CompareUser
	r := startRunner(t, Table(Runner, runtime.GOARCH), cfg)
	r.start(ipc.JobInitial, "- /a/nothing\x00")
	if e := r.end(); e.End != ipc.EndExited || e.Code != 0 || len(e.Tail) != 0 {
		t.Errorf("end %d code %d: %s", e.End, e.Code, e.Tail)
	}
	if err := r.close(); err != nil || !strings.Contains(r.stderr.String(), "3 directories and what is in them, nothing differs") {
		t.Errorf("%v: %s", err, r.stderr)
	}
}

// TestRunnerStops: a job is ended while it runs.
func TestRunnerStops(t *testing.T) {
	testenv.NeedRoot(t)
	source, target := t.TempDir(), t.TempDir()
	makeTree(t, source, 20)
	r := startRunner(t, Table(Runner, runtime.GOARCH), localConfig(t, source, target, rsync.Options{BWLimit: "10K"}))
	made := watchNames(t, target)
	r.start(ipc.JobList, "./big\x00")
	if err := made(".big."); err != nil {
		t.Fatalf("the command has not begun: %v: %+v", err, r.end())
	}
	r.send(&ipc.RunStop{Job: r.job}, -1)
	if e := r.end(); e.End != ipc.EndStopped {
		t.Errorf("end %d code %d: %s", e.End, e.Code, e.Tail)
	}
	if err := r.close(); err != nil {
		t.Errorf("the runner ended by %v\n%s", err, r.stderr)
	}
}

// watchNames watches a directory. What it returns waits until a name with the
// given part in it has been made there.
func watchNames(t *testing.T, dir string) func(part string) error {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	t.Cleanup(func() { events.Close() })
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE); err != nil {
		t.Fatal(err)
	}
	return func(part string) error {
		if err := events.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return err
		}
		buf := make([]byte, 4096)
		for {
			n, err := events.Read(buf)
			if err != nil || bytes.Contains(buf[:n], []byte(part)) {
				return err
			}
		}
	}
}

// TestCommandUnderFilter: options that a configuration may add work, too; and
// what rsync says is what it says without a filter.
func TestCommandUnderFilter(t *testing.T) {
	testenv.NeedRoot(t)
	program := testenv.NeedTool(t, "rsync")
	v := buildVictims(t)
	source := t.TempDir()
	makeTree(t, source, 20)
	for _, words := range [][]string{
		{"-aHAX", "--delete"}, {"-aHAX", "-S"}, {"-aHAX", "--inplace", "-I"}, {"-aHAX", "--no-whole-file", "-I", "-c"},
		{"-aHAX", "--no-whole-file", "--inplace", "-I"}, {"-aHAX", "--bwlimit=20M", "-I"}, {"-aHAX", "-z", "--no-whole-file", "-I"},
		{"-aHAX", "--delay-updates", "--delete-delay", "-I"}, {"-aHAX", "--partial-dir=.p", "-I"}, {"-aHAX", "--fuzzy", "--delete-after", "-I"},
		{"-aHAX", "--preallocate", "-I"}, {"-aHAX", "--fsync", "-I"}, {"-aHAX", "--stats", "--progress", "-vv", "-i", "-I"},
		{"-aHAX", "-U", "--open-noatime", "-I"}, {"-aHAX", "--timeout=30", "-I"}, {"-aHAX", "--munge-links", "-I"}, {"-aHAX", "--fake-super", "-I"},
	} {
		target := t.TempDir()
		args := append([]string{"exec", program, "--numeric-ids", "-q"}, words...)
		args = append(args, source+"/", target+"/")
		role := Runner
		if slices.Contains(words, "--preallocate") || slices.Contains(words, "--progress") {
			role = Handler // a mirror has no such options
		}
		o := run(t, Table(role, runtime.GOARCH), nil, v.confined, args...)
		said, err := exec.Command(program, args[2:]...).CombinedOutput()
		if err != nil {
			t.Logf("%v: rsync itself fails: %v %s", words, err, said)
			continue
		}
		if o.status.ExitStatus() != 0 || o.out+o.stderr != string(said) {
			t.Errorf("%v: %v, without a filter: %s", words, o, said)
		}
	}
}

// TestRunnerDenies: what the runner's filter denies kills; what it does not
// know is answered with ENOSYS.
func TestRunnerDenies(t *testing.T) {
	testenv.NeedRoot(t)
	v := buildVictims(t)
	log := record.Open(t)
	for _, role := range []Role{Runner, Remote} {
		t.Run(string(role), func(t *testing.T) { denies(t, Table(role, runtime.GOARCH), v, log) })
	}
}

func denies(t *testing.T, f Filter, v victims, log *record.Log) {
	m := newModel(t, f)
	for _, d := range f.Deny {
		a := attack{name: d.Name}
		for _, c := range d.If {
			for uint(len(a.args)) <= c.Arg {
				a.args = append(a.args, 0)
			}
			if a.args[c.Arg] = c.Value; c.Not {
				a.args[c.Arg]++
			}
		}
		data := a.data(t, f.Arch)
		if m.verdict(data) != retKill {
			t.Fatalf("%s: not killed by the table", d.Name)
		}
		t.Run(d.Name+describeConds(d.If), func(t *testing.T) {
			o := run(t, f, nil, v.confined, a.words(t)...)
			if !o.sigsys() || o.out != "ATTEMPT\n" {
				t.Fatalf("ended by %v", o)
			}
			expect(t, log, o.pid, data)
		})
	}
	for _, name := range []string{"setresuid", "listen", "bind", "sendto", "inotify_init1", "mlock", "clone3"} {
		want := fmt.Sprintf("ATTEMPT\nRETURNED %d %d\n", ^uintptr(0), int(unix.ENOSYS))
		if o := run(t, f, nil, v.confined, attack{name: name}.words(t)...); o.out != want {
			t.Errorf("%s: %v, want ENOSYS", name, o)
		}
	}
}
