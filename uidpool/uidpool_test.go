package uidpool

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/testenv"
)

func take(t *testing.T, dir, preferred string) *Lease {
	t.Helper()
	l, err := Take(dir, preferred)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// TestFree: leases differ, lie in the pool, and are given again after their end.
func TestFree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "uids")
	seen := map[int]bool{}
	for range 5 {
		l := take(t, dir, "no-such-user")
		if l.UID < First || l.UID > Last || l.GID != l.UID || seen[l.UID] {
			t.Errorf("uid %d gid %d, seen %v", l.UID, l.GID, seen)
		}
		seen[l.UID] = true
	}
	l, err := Take(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	uid := l.UID
	for range 2 {
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	}
	if l := take(t, dir, ""); l.UID != uid {
		t.Errorf("uid %d was not given again, but %d", uid, l.UID)
	}
}

// TestLockIsAProcess: a lease of another process holds until that ends, however
// it does, and a lock file that nobody holds is no lease.
func TestLockIsAProcess(t *testing.T) {
	if dir := os.Getenv("UIDPOOL_DIR"); dir != "" {
		l, err := Take(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = os.Stdout.WriteString(strconv.Itoa(l.UID) + "\n")
		_, _ = os.Stdin.Read(make([]byte, 1))
		return
	}
	dir := t.TempDir()
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestLockIsAProcess$")
	cmd.Env = append(os.Environ(), "UIDPOOL_DIR="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 16)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil {
		t.Fatal(err)
	}
	if l := take(t, dir, ""); l.UID == theirs {
		t.Errorf("uid %d is leased twice", theirs)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // "signal: killed"
	if l := take(t, dir, ""); l.UID != theirs {
		t.Errorf("uid %d of a killed process was not given again, but %d", theirs, l.UID)
	}
}

// TestRunning: a uid with a process is not given.
func TestRunning(t *testing.T) {
	testenv.NeedRoot(t)
	dir := t.TempDir()
	l, err := Take(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(l.UID), Gid: uint32(l.GID)}}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	uid := l.UID
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if l := take(t, dir, ""); l.UID == uid {
		t.Errorf("uid %d has a process", uid)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestPreferred: a user of the host's is used, by one instance; root and nobody
// never are.
func TestPreferred(t *testing.T) {
	dir := t.TempDir()
	daemon, err := user.Lookup("daemon")
	if err != nil {
		testenv.Lacks(t, fmt.Sprintf("no user daemon: %v", err))
	}
	l := take(t, dir, "daemon")
	if strconv.Itoa(l.UID) != daemon.Uid || strconv.Itoa(l.GID) != daemon.Gid {
		t.Errorf("uid %d gid %d, want %s %s", l.UID, l.GID, daemon.Uid, daemon.Gid)
	}
	if l := take(t, dir, "daemon"); l.UID < First {
		t.Errorf("uid %d was given twice", l.UID)
	}
	for _, name := range []string{"root", "nobody"} {
		if _, err := user.Lookup(name); err != nil {
			continue
		}
		if l, err := Take(dir, name); err == nil || !strings.Contains(err.Error(), "which others use") {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
	}
}

// TestRegistryRefused: others must not be able to write to it, nor lead it
// astray.
func TestRegistryRefused(t *testing.T) {
	open := t.TempDir()
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Take(open, ""); err == nil {
		t.Error("a registry that all can write to was used")
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	if _, err := Take(link, ""); err == nil {
		t.Error("a registry behind a symbolic link was used")
	}
	dir := t.TempDir()
	if err := os.Symlink("/dev/null", filepath.Join(dir, strconv.Itoa(First))); err != nil {
		t.Fatal(err)
	}
	if l, err := Take(dir, ""); err == nil {
		t.Errorf("a lock behind a symbolic link was used: %+v", l)
	}
}

func TestHasUID(t *testing.T) {
	const status = "Name:\tx\nUid:\t1\t2\t3\t61184\nGid:\t7\t7\t7\t7\n"
	for uid, want := range map[int]bool{1: true, 3: true, 61184: true, 7: false, 6118: false} {
		if got, err := hasUID([]byte(status), uid); got != want || err != nil {
			t.Errorf("%d: %t, %v", uid, got, err)
		}
	}
	for _, bad := range []string{"", "Uid:\tx\n"} {
		if _, err := hasUID([]byte(bad), 1); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
