package trial

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/buildinfo"
	"lockstep/internal/memfd"
	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/ipc/wire"
	"lockstep/rsync"
)

// runnerPath is the program of this checkout, built once.
var runnerPath string

func TestMain(m *testing.M) {
	os.Exit(withRunner(m.Run))
}

func withRunner(run func() int) int {
	dir, err := os.MkdirTemp("", "trial-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	runnerPath = filepath.Join(dir, "lockstep-runner")
	cmd := exec.Command("go", "build", "-o", runnerPath, "lockstep/cmd/lockstep-runner")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the runner: %v\n%s", err, out)
		return 1
	}
	return run()
}

// allowAll is a filter of one instruction: BPF_RET, SECCOMP_RET_ALLOW.
func allowAll() []byte {
	b := binary.NativeEndian.AppendUint16(nil, unix.BPF_RET|unix.BPF_K)
	return binary.NativeEndian.AppendUint32(append(b, 0, 0), unix.SECCOMP_RET_ALLOW)
}

// plain starts the runner without a jail, with these namespaces of its own.
func plain(path string, namespaces uintptr) Start {
	return func(cfg settings.Runner, src, dst string) (*os.File, func() error, error) {
		cfg.Build = buildinfo.ID
		encoded, err := wire.Append(nil, &cfg)
		if err != nil {
			return nil, nil, err
		}
		config, err := memfd.Sealed("config", encoded)
		if err != nil {
			return nil, nil, err
		}
		filter, err := memfd.Sealed("filter", allowAll())
		if err != nil {
			return nil, nil, err
		}
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, nil, err
		}
		if err := unix.SetNonblock(pair[0], true); err != nil {
			return nil, nil, err
		}
		ours, theirs := os.NewFile(uintptr(pair[0]), "runner"), os.NewFile(uintptr(pair[1]), "helper")
		cmd := exec.Command(path)
		cmd.Env = []string{"LOCKSTEP_FDS=helper=3,config=4,filter=5", "TZ=UTC",
			"GODEBUG=updatemaxprocs=0,containermaxprocs=0,decoratemappings=0"}
		cmd.ExtraFiles = []*os.File{theirs, config, filter}
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
		if err := errors.Join(cmd.Start(), theirs.Close(), config.Close(), filter.Close()); err != nil {
			return nil, nil, err
		}
		return ours, cmd.Wait, nil
	}
}

func setup(t *testing.T, program string) (Start, Config) {
	t.Helper()
	testenv.NeedRoot(t)
	var st unix.Stat_t
	if err := unix.Stat(program, &st); err != nil {
		t.Fatal(err)
	}
	return plain(runnerPath, 0), Config{
		Dir:    t.TempDir(),
		Runner: settings.Runner{Program: program, ProgDev: st.Dev, ProgIno: st.Ino, Env: []string{"PATH=/usr/bin:/bin", "LANG=C"}},
		Want:   rsync.Options{ACLs: true, Xattrs: rsync.XattrsUser},
	}
}

func TestInstalledRsync(t *testing.T) {
	start, cfg := setup(t, testenv.NeedTool(t, "rsync"))
	for _, want := range []rsync.Options{
		{ACLs: true, Xattrs: rsync.XattrsUser},
		{ACLs: true, Xattrs: rsync.XattrsAll, Devices: true},
		{},
	} {
		cfg.Want = want
		begin := time.Now()
		res, err := Run(t.Context(), start, cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%v: %+v", time.Since(begin), res)
		if len(res.Lacks) != 0 {
			t.Errorf("%+v lacks %q", want, res.Lacks)
		}
		res.Options.ConfineRoot = false
		if fmt.Sprint(res.Options) != fmt.Sprint(want) {
			t.Errorf("options %+v, want %+v", res.Options, want)
		}
		left, err := os.ReadDir(cfg.Dir)
		if err != nil || len(left) != 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	}
}

func TestAsProcessOne(t *testing.T) {
	_, cfg := setup(t, testenv.NeedTool(t, "rsync"))
	start := plain(runnerPath, syscall.CLONE_NEWPID)
	if res, err := Run(t.Context(), start, cfg); err != nil || len(res.Lacks) != 0 {
		t.Fatalf("%+v %v", res, err)
	}
}

// TestNamespaceIsSwept has a command leave a process behind that left its
// process group and holds the output open: only as process 1 can the runner
// end it.
func TestNamespaceIsSwept(t *testing.T) {
	_, cfg := setup(t, testenv.NeedTool(t, "setsid"))
	var st unix.Stat_t
	if err := unix.Stat("/bin/sh", &st); err != nil {
		t.Fatal(err)
	}
	flag := filepath.Join(t.TempDir(), "flag")
	c := cfg.Runner
	c.Program, c.ProgDev, c.ProgIno = "/bin/sh", st.Dev, st.Ino
	c.Argv[ipc.JobList] = []string{"sh", "-c",
		"setsid -f sh -c ': >" + flag + "; exec sleep 1000'; until [ -e " + flag + " ]; do sleep 0.01; done"}
	tr := &trial{start: plain(runnerPath, syscall.CLONE_NEWPID), cfg: cfg}
	s, err := tr.open(t.Context(), c, t.TempDir(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// A busy machine may take so long for a start alone, but not each time.
	least := time.Hour
	for range 5 {
		begin := time.Now()
		exited, err := s.run(ipc.JobList, "")
		if err != nil || exited.End != ipc.EndExited || exited.Code != 0 {
			t.Errorf("%+v %v", exited, err)
		}
		if least = min(least, time.Since(begin)); least <= 1500*time.Millisecond {
			break
		}
	}
	if least > 1500*time.Millisecond {
		t.Errorf("took %v: the escaped process was not killed", least)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

// wrapped is an rsync with a fault: a shell script around the real one.
func wrapped(t *testing.T, fault string) (Start, Config) {
	t.Helper()
	real := testenv.NeedTool(t, "rsync")
	path := filepath.Join(t.TempDir(), "rsync")
	script := "#!/bin/bash\nRSYNC=" + real + "\n" + fault + "\n"
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return setup(t, path)
}

// without is a script that leaves words out of rsync's command line.
func without(words string) string {
	return `args=(); for a in "$@"; do case "$a" in ` + words + `) ;; *) args+=("$a");; esac; done; exec "$RSYNC" "${args[@]}"`
}

func TestFaultsThatRefuse(t *testing.T) {
	for name, c := range map[string]struct{ fault, want string }{
		"no --force":               {without("--force"), "full"},
		"no --delete-missing-args": {without("--delete-missing-args"), "from a list"},
		"no --ignore-times":        {without("--ignore-times"), "same size"},
		"no deletion":              {without("--delete"), "was not deleted"},
		"no limit":                 {without("--max-delete=*"), "--max-delete"},
		"no rules from stdin":      {without("'--filter=merge -'"), "in spite of a rule"},
		"no --from0":               {without("--from0"), "rsync"},
		"unknown option":           {`case "$*" in *--files-from*) echo "unknown option" >&2; exit 1;; esac; exec "$RSYNC" "$@"`, "refused its command line"},
		"too old":                  {`case "$1" in --version) echo "rsync  version 3.1.2  protocol version 31";; *) exec "$RSYNC" "$@";; esac`, "too old"},
		"does not start":           {`exit 127`, "rsync --version"},
		"crashes":                  {`case "$1" in --version) exec "$RSYNC" "$@";; esac; kill -SEGV $$`, "signal 11"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for rsync's polls most of the time
			start, cfg := wrapped(t, c.fault)
			res, err := Run(t.Context(), start, cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v, error %v, want one with %q", res, err, c.want)
			}
		})
	}
}

func TestFaultsThatAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		fault string
		lacks []string
		check func(Result) bool
	}{
		"hard links":  {`args=("$@"); exec "$RSYNC" "${args[@]/#-aH/-a}"`, []string{"hard links"}, nil},
		"nanoseconds": {`exec "$RSYNC" "${@//--modify-window=-1/--modify-window=0}"`, []string{"modification times to the nanosecond"}, nil},
		"no times":    {`[ "$1" = --version ] && exec "$RSYNC" "$1"; exec "$RSYNC" "$1" --no-times "${@:2}"`, []string{"modification times to the nanosecond"}, nil},
		"owners":      {`[ "$1" = --version ] && exec "$RSYNC" "$1"; exec "$RSYNC" "$1" --no-owner "${@:2}"`, []string{"owners and groups"}, nil},
		"built without": {`[ "$1" = --version ] && { echo "rsync  version 3.2.7  protocol version 31"; echo "  a, no ACLs, no xattrs, b"; exit; }
			exec "$RSYNC" "$@"`,
			[]string{"access control lists: this", "extended attributes: this"},
			func(r Result) bool {
				return !r.Options.ACLs && r.Options.Xattrs == rsync.XattrsNone && !r.Options.ConfineRoot && len(r.Warnings) == 1
			}},
		"refuses attributes": {`case "$*" in *--xattrs*|*--acls*) exit 4;; esac; exec "$RSYNC" "$@"`,
			[]string{"access control lists and extended attributes: "},
			func(r Result) bool { return !r.Options.ACLs && r.Options.Xattrs == rsync.XattrsNone }},
		"refuses to confine": {`case "$*" in *--confine-root*) exit 1;; esac; exec "$RSYNC" "$@"`, nil,
			func(r Result) bool { return !r.Options.ConfineRoot && r.Options.ACLs && len(r.Warnings) == 1 }},
		"drops attributes": {`args=(); for a in "$@"; do case "$a" in --xattrs) ;; *) args+=("$a");; esac; done; exec "$RSYNC" "${args[@]}"`,
			[]string{"extended attributes"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for rsync's polls most of the time
			start, cfg := wrapped(t, c.fault)
			res, err := Run(t.Context(), start, cfg)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.lacks {
				if !slices.ContainsFunc(res.Lacks, func(l string) bool { return strings.HasPrefix(l, want) }) {
					t.Errorf("lacks %q, want %q", res.Lacks, want)
				}
			}
			if len(res.Lacks) != len(c.lacks) {
				t.Errorf("lacks %q, want %q", res.Lacks, c.lacks)
			}
			if c.check != nil && !c.check(res) {
				t.Errorf("%+v", res)
			}
		})
	}
}

// A trial that is not wanted any more does not wait for an rsync that hangs, nor
// try anything else.
func TestBrokenOff(t *testing.T) {
	start, cfg := wrapped(t, `case "$1" in --version) exec "$RSYNC" "$@";; esac; : >"${@: -1}/hangs"; exec sleep 1000`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	starts := 0
	counted := func(cfg settings.Runner, src, dst string) (*os.File, func() error, error) {
		starts++
		conn, stop, err := start(cfg, src, dst)
		return conn, stop, err
	}
	go func() { // a command of the second runner is there
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if at, err := filepath.Glob(cfg.Dir + "/*/*-dst/hangs"); err != nil || len(at) > 0 {
				cancel()
				return
			}
		}
	}()
	begin := time.Now()
	_, err := Run(ctx, counted, cfg)
	if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if took := time.Since(begin); took > jobTimeout/2 || starts != 2 {
		t.Errorf("took %v and %d runners", took, starts)
	}
	if left, err := os.ReadDir(cfg.Dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestVersion(t *testing.T) {
	for text, want := range map[string]string{
		"rsync  version 3.5.0  protocol version 32\n":                  "3.5.0",
		"rsync  version v3.2.3  protocol version 31\n":                 "3.2.3",
		"rsync  version 3.4.1pre1  protocol version 31\n":              "3.4.1pre1",
		"openrsync: protocol version 29\nrsync version 2.6.9 compat\n": "of unknown version",
		"": "of unknown version",
	} {
		if got := parseVersion(text); got.text != want || got.known == (want == "of unknown version") {
			t.Errorf("%q: %+v", text, got)
		}
	}
	v := parseVersion("rsync  version 3.2.7  p\nCapabilities:\n    64-bit files, no ACLs,\n    no xattrs, optional\n")
	if !v.noACLs || !v.noXattrs {
		t.Errorf("%+v", v)
	}
	for _, c := range []struct {
		number [3]int
		fails  bool
		warns  int
	}{{[3]int{3, 1, 2}, true, 0}, {[3]int{2, 9, 9}, true, 0}, {[3]int{3, 1, 3}, false, 1}, {[3]int{3, 4, 9}, false, 1},
		{[3]int{3, 5, 0}, false, 0}, {[3]int{4, 0, 0}, false, 0}} {
		warnings, err := version{number: c.number, known: true}.judge()
		if (err != nil) != c.fails || len(warnings) != c.warns {
			t.Errorf("%v: %q %v", c.number, warnings, err)
		}
	}
}
