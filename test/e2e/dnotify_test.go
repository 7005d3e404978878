//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/test/churn"
)

func newDnotify(t *testing.T) *mirror { return newMirror(t, "--monitor", "dnotify") }

// All scripts hold where the kernel tells of directories alone as well.
func TestScriptsWithDnotify(t *testing.T) {
	beside(t)
	scripts(t, scaled().someScripts, newDnotify)
}

// TestMirrorWithDnotify: each kind of change, and what came of it.
func TestMirrorWithDnotify(t *testing.T) {
	beside(t)
	m := newDnotify(t)
	for _, d := range []string{"a/b/c", "d"} {
		if err := os.MkdirAll(filepath.Join(m.src, d), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, m.src+"/"+d+"/file", "before")
	}
	m.start().ready()
	m.equal()
	in := func(p string) string { return filepath.Join(m.src, p) }
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"write", func() error { return os.WriteFile(in("a/b/c/file"), []byte("another content"), 0o644) }},
		{"write of equal size", func() error { return os.WriteFile(in("a/b/c/file"), []byte("content another"), 0o644) }},
		{"new file", func() error { return os.WriteFile(in("d/new"), []byte("new"), 0o600) }},
		{"mode", func() error { return os.Chmod(in("d/new"), 0o640) }},
		{"mode of the root", func() error { return os.Chmod(m.src, 0o711) }},
		{"hard link", func() error { return os.Link(in("d/new"), in("a/link")) }},
		{"symbolic link", func() error { return os.Symlink("../d", in("a/symbolic")) }},
		{"new tree", func() error { return os.MkdirAll(in("x/y/z"), 0o700) }},
		{"in the new tree", func() error { return os.WriteFile(in("x/y/z/file"), []byte("deep"), 0o644) }},
		{"rename of a file", func() error { return os.Rename(in("d/new"), in("a/b/moved")) }},
		{"rename of a directory", func() error { return os.Rename(in("a/b"), in("d/b")) }},
		{"in the renamed one", func() error { return os.WriteFile(in("d/b/c/file"), []byte("after the rename"), 0o644) }},
		{"exchange", func() error {
			return unix.Renameat2(unix.AT_FDCWD, in("d/b"), unix.AT_FDCWD, in("x/y"), unix.RENAME_EXCHANGE)
		}},
		{"in both", func() error {
			return os.WriteFile(in("x/y/c/file"), []byte("1"), 0o644)
		}},
		{"delete", func() error { return os.Remove(in("x/y/c/file")) }},
		{"delete a tree", func() error { return os.RemoveAll(in("x")) }},
		{"a file where a directory was", func() error { return os.WriteFile(in("x"), []byte("file"), 0o644) }},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		t.Logf("%-30s equal after %v", step.what, m.equal())
	}
	m.stop()
}

// A burst, and then directories that move, vanish and come back while others
// write.
func TestChurnWithDnotify(t *testing.T) {
	beside(t)
	burstAndChurn(t, newDnotify)
}

// A worker that stands still for long hears of what it missed, and a resolver
// that stands still for long enough loses signals, but no change.
func TestSlowWithDnotify(t *testing.T) {
	beside(t)
	for _, role := range []string{"lockstep-worker", "lockstep-resolver"} {
		m := newDnotify(t).start().ready()
		pid := m.the(role).pid
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if err := churn.Burst(m.src, 1, 20, 2000); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: equal after %v", role, m.equal())
		m.stop()
	}
}

// TestDnotifyLimit: with more directories than descriptors the resolver says how
// many there are, and what would do.
func TestDnotifyLimit(t *testing.T) {
	beside(t)
	m := newDnotify(t)
	for i := range 1100 {
		if err := os.Mkdir(fmt.Sprintf("%s/d%d", m.src, i), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.start().ready()
	at := m.mark()
	// No less than the others ask for: else it would be chance who fails first.
	if err := unix.Prlimit(m.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1024, Max: 1024}, nil); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(m.the("lockstep-resolver").pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m.await(at, "word of the limit", limit,
		says("dnotify: 1101 directories need a limit of 1133 open files (RLIMIT_NOFILE), which is 1024 here"))
	m.stop()
}

// A watch that cannot be ends with a word and no line, and is not begun again.
func TestDnotifyLimitOfAWatch(t *testing.T) {
	testenv.NeedRoot(t)
	dir := t.TempDir()
	for i := range 1100 {
		mkdir(t, fmt.Sprintf("%s/d%d", dir, i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", `ulimit -n 1024; exec "$@"`, "sh", program(t, "lockstep"), "watch", "--monitor", "dnotify", dir)
	var lines, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &lines, &log
	err := cmd.Run()
	if ended := (*exec.ExitError)(nil); !errors.As(err, &ended) || ended.ExitCode() != 1 {
		t.Errorf("%v, want exit code 1", err)
	}
	if lines.Len() > 0 {
		t.Errorf("it said %q", lines.String())
	}
	if n := strings.Count(log.String(), "1101 directories need a limit of 1133 open files"); n != 1 {
		t.Errorf("the limit is named %d times:\n%s", n, log.String())
	}
}
