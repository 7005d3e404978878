package plugin

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/plugin/frame"
	"lockstep/sandbox/lock"
	"lockstep/seccomp"
)

// Variables that make of the test binary a program that confines itself as a runner
// does, and then is the host.
const (
	confinedHost = "LOCKSTEP_TEST_HOST" // the host's path
	confinedRoot = "LOCKSTEP_TEST_ROOT" // of the file system
)

// becomeHost does not return.
func becomeHost() {
	err := func() error {
		filter, err := seccomp.Compile(seccomp.Table(seccomp.Handler, runtime.GOARCH))
		if err != nil {
			return err
		}
		runtime.LockOSThread()
		if err := unix.Chroot(os.Getenv(confinedRoot)); err != nil {
			return err
		}
		if err := unix.Chdir("/"); err != nil {
			return err
		}
		if err := lock.Enter(int(filter.Fd()), lock.AllowNoMDWE); err != nil {
			return err
		}
		return unix.Exec(os.Getenv(confinedHost), os.Args, []string{"PATH=/usr/bin:/bin", "LC_ALL=C"})
	}()
	fmt.Fprintln(os.Stderr, err)
	os.Exit(3)
}

// root makes a root that has a module, what calls it, and their libraries; no /proc,
// as in a jail.
func root(t *testing.T, files ...string) string {
	t.Helper()
	testenv.NeedRoot(t)
	dir := t.TempDir()
	testenv.NeedTool(t, "ldd")
	all := slices.Clone(files)
	for _, f := range files {
		out, err := exec.Command("ldd", f).Output()
		must(t, err)
		for word := range strings.FieldsSeq(string(out)) {
			if strings.HasPrefix(word, "/") {
				all = append(all, word)
			}
		}
	}
	for _, f := range all {
		data, err := os.ReadFile(f)
		must(t, err)
		to := filepath.Join(dir, f)
		must(t, os.MkdirAll(filepath.Dir(to), 0o755))
		must(t, os.WriteFile(to, data, 0o755))
	}
	return dir
}

// confine has the host be under the filter of its runner, in another root.
func (p *tried) confine(root string) {
	p.t.Helper()
	testenv.NeedRoot(p.t)
	self, err := os.Executable()
	must(p.t, err)
	p.cfg.Env = append(p.cfg.Env, confinedHost+"="+p.cfg.Program, confinedRoot+"="+root)
	p.cfg.Program = self
}

// Under the filter that its runner has put on it, and without /proc, a host does what
// it does outside; a call that is denied ends it, and no more.
func TestUnderTheFilter(t *testing.T) {
	so, host := program(t, "faults.so"), program(t, "host")
	dir := root(t, so, host)
	entries := make([]frame.Entry, frame.MaxEntries)
	for i := range entries {
		entries[i].Path = strings.Repeat("d/", 100)
	}
	for label, want := range map[string]string{
		"code 0": "deinit after 12\n", "fork": strings.Repeat("8 children, ECANCELED\n", 12) + "deinit after 12\n",
		"once": "deinit after 11\n", "socket": "",
	} {
		t.Run(label, func(t *testing.T) {
			p := prepare(t, filepath.Join(dir, so), frame.Init{Label: label, WatchDir: "/from", DestDir: "/to"})
			p.confine(dir)
			p.cfg.Path = so
			p.start()
			switch label {
			case "socket":
				for range 2 {
					if f := p.fails(t.Context(), Crashed); f.Signal != unix.SIGSYS {
						t.Errorf("signal %v", f.Signal)
					}
				}
			case "once":
				p.fails(t.Context(), Crashed)
				p.returns(0)
			default:
				p.returns(0)
				p.returns(0)
			}
			for range 10 { // much of its memory is garbage afterwards
				if label == "socket" {
					break
				}
				if code, err := p.Sync(t.Context(), frame.Round{}, entries); code != 0 || err != nil {
					t.Fatalf("%d, %v\n%s", code, err, p.rest())
				}
			}
			must(t, p.Close(t.Context()))
			if got := p.rest(); got != want {
				t.Errorf("printed %q", got)
			}
		})
	}
}
