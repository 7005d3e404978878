package facts

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What is read of this very process is what it knows of itself.
func TestReadSelf(t *testing.T) {
	d, err := Open("/proc", os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p, err := d.Read()
	if err != nil {
		t.Fatal(err)
	}
	if p.PID != os.Getpid() || p.PPID != os.Getppid() || p.Start == 0 || !slices.Equal(p.Args, os.Args) || len(p.Threads) == 0 || p.Threads[0].UIDs[1] != uint64(os.Geteuid()) {
		t.Errorf("%+v", p)
	}
	if exe, err := os.Executable(); err != nil || p.Exe.Link != exe || p.Exe.Sealed() {
		t.Errorf("executable %+v, %v", p.Exe, err)
	}
	if len(p.Mounts) == 0 || len(p.Holds) < 3 || p.Limits["Max open files"].Hard == "" || p.Spaces["mnt"] == "" || p.Spaces["pid_for_children"] != "" {
		t.Errorf("mounts %d, descriptors %d, limits %v, namespaces %v", len(p.Mounts), len(p.Holds), p.Limits, p.Spaces)
	}
}

// Who has ended is nobody, also when another has its number: its directory is gone.
func TestGone(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d, err := Open("/proc", cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Brief(); err != nil {
		t.Errorf("alive: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if _, err := d.Read(); !errors.Is(err, ErrGone) {
		t.Errorf("ended: %v", err)
	}
	if _, err := Open("/proc", cmd.Process.Pid); !errors.Is(err, ErrGone) {
		t.Errorf("ended and opened: %v", err)
	}
}

// What is longer than anything can be is an error, and is not read.
func TestBounds(t *testing.T) {
	proc := t.TempDir()
	dir := filepath.Join(proc, "7")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"stat": "7 (x) S 1 " + strings.Repeat("0 ", 30), "cgroup": "0::/\n", "environ": strings.Repeat("x", maxText+1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := Open(proc, 7)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if p, err := d.Brief(); err != nil || p.PPID != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	if err := d.env(&Process{}); err == nil || !strings.Contains(err.Error(), "more than "+strconv.Itoa(maxText)) {
		t.Errorf("%v", err)
	}
}

// A line that is missing is an error: nothing is as declared that was not seen.
func TestStatusIsWhole(t *testing.T) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseStatus(text); err != nil {
		t.Error(err)
	}
	for _, key := range append(Sets(), "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "Seccomp_filters", "TracerPid") {
		var less []string
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, key+":") {
				less = append(less, line)
			}
		}
		if _, err := ParseStatus([]byte(strings.Join(less, ""))); err == nil {
			t.Errorf("without %s there is no error", key)
		}
	}
	// The name is the process's own, and comes first.
	s, err := ParseStatus([]byte("Name:\tNoNewPrivs: 1\\nSeccomp: 2\n" + string(text)))
	if err != nil || s.NoNewPrivs && !strings.Contains(string(text), "NoNewPrivs:\t1") {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestKind(t *testing.T) {
	for to, want := range map[string]string{
		"socket:[12]": "socket", "pipe:[1]": "pipe", "anon_inode:[eventpoll]": "eventpoll", "anon_inode:inotify": "inotify", "mnt:[4026531840]": "mnt",
		"/memfd:lockstep-x (deleted)": "memfd", "/dev/null": "/dev/null", "/socket:[12]": "/socket:[12]", "": "",
	} {
		if got := Kind(to); got != want {
			t.Errorf("%q: %q, want %q", to, got, want)
		}
	}
}

func FuzzStatus(f *testing.F) {
	if text, err := os.ReadFile("/proc/self/status"); err == nil {
		f.Add(text)
	}
	f.Add([]byte("Uid:\t1\t1\t1\t1\nGroups:\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseStatus(text)
		if err == nil && len(s.Caps) != len(Sets()) {
			t.Errorf("%+v", s)
		}
	})
}

func FuzzStat(f *testing.F) {
	if text, err := os.ReadFile("/proc/self/stat"); err == nil {
		f.Add(text)
	}
	f.Add([]byte("7 (a) b) S 1 2 3"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var p Process
		if p.stat(text) == nil && !strings.Contains(string(text), "("+p.Name+")") {
			t.Errorf("%+v of %q", p, text)
		}
	})
}

func FuzzLimits(f *testing.F) {
	if text, err := os.ReadFile("/proc/self/limits"); err == nil {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := ParseLimits(text)
		for name, l := range all {
			if err == nil && (l.Soft == "" || l.Hard == "") {
				t.Errorf("%q: %+v", name, l)
			}
		}
	})
}

func FuzzGroups(f *testing.F) {
	f.Add([]byte("9:name=systemd:/\n0::/a:b\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := ParseGroups(text)
		if err != nil {
			return
		}
		var again []string
		for i, g := range all {
			if strings.Contains(g.Controllers, ":") || strings.HasSuffix(g.Path, "\n") {
				t.Errorf("%d: %+v", i, g)
			}
			again = append(again, g.Path)
		}
		if len(again) != strings.Count(strings.TrimSuffix(string(text), "\n"), "\n")+1 && len(text) > 0 {
			t.Errorf("%d of %q", len(again), text)
		}
	})
}
