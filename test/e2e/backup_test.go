//go:build e2e

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/testenv"
	"lockstep/test/peer"
)

// backups has a mirror keep what it replaces or deletes in a directory of its target,
// which is no part of what is compared.
func (m *mirror) backups() *mirror {
	m.flags = append(m.flags, "--backup-dir", "decrement")
	m.opts.Skip = func(rel string, kind uint32) bool {
		return rel == "decrement" || strings.HasPrefix(rel, "decrement/") || unmirrored(rel, kind)
	}
	return m
}

// old wants a backup to hold text.
func (m *mirror) old(name, text string) {
	m.t.Helper()
	data, err := os.ReadFile(m.dst + "/decrement/" + name)
	if err != nil || string(data) != text {
		m.t.Errorf("decrement/%s: %q, %v; want %q", name, data, err, text)
	}
}

// What is replaced or deleted on a target is in its directory of backups, its last
// version, and stays there: through later changes, whole passes and restarts, and
// whatever the source has under that name.
func TestBackupDir(t *testing.T) {
	beside(t)
	t.Run("local", func(t *testing.T) { beside(t); keepsBackups(t, newMirror(t)) })
	t.Run("ssh", func(t *testing.T) {
		beside(t)
		testenv.NeedTool(t, "ssh")
		keepsBackups(t, overSSH(t, peer.StartSSHD(t, peer.SSHOptions{})))
	})
	t.Run("daemon", func(t *testing.T) { beside(t); keepsBackups(t, overDaemon(t)) })
}

func keepsBackups(t *testing.T, m *mirror) {
	m.backups()
	mkdir(t, m.src+"/d/e", m.src+"/decrement", m.dst+"/alone")
	write(t, m.src+"/decrement/own", "of the source")
	write(t, m.dst+"/alone/f", "on the target alone")
	write(t, m.src+"/f", "one")
	write(t, m.dst+"/f", "before")
	write(t, m.src+"/d/a", "a")
	write(t, m.src+"/d/e/b", "b")
	m.start("--delay", "50ms").ready()
	m.old("alone/f", "on the target alone")
	m.old("f", "before")
	absent(t, m.dst+"/decrement/own")

	write(t, m.src+"/f", "two")
	m.equal()
	m.old("f", "one")
	write(t, m.src+"/f", "two") // again: nothing is lost of the version before
	write(t, m.src+"/decrement/own", "changed")
	m.equal()
	m.old("f", "one")
	if err := os.RemoveAll(m.src + "/d"); err != nil {
		t.Fatal(err)
	}
	m.equal()
	m.old("d/a", "a")
	m.old("d/e/b", "b")

	// A file, then a directory, then a file under one name, and a file where a directory
	// of backups is.
	if err := errors.Join(os.Remove(m.src+"/f"), os.Mkdir(m.src+"/f", 0o755), os.WriteFile(m.src+"/f/x", []byte("x"), 0o644), os.WriteFile(m.src+"/d", []byte("file"), 0o644)); err != nil {
		t.Fatal(err)
	}
	m.equal()
	m.old("f", "two")
	if err := errors.Join(os.RemoveAll(m.src+"/f"), os.WriteFile(m.src+"/f", []byte("three"), 0o644), os.WriteFile(m.src+"/d", []byte("file 2"), 0o644)); err != nil {
		t.Fatal(err)
	}
	m.equal()
	m.old("f/x", "x")
	m.old("d", "file")

	at := m.mark()
	m.signal(syscall.SIGUSR2)
	m.await(at, "the end of a whole pass", limit, says("whole pass"))
	m.equal()
	m.old("f/x", "x")
	m.stop()
	if code := m.once("--once"); code != 0 {
		t.Errorf("exit code %d", code)
	}
	m.old("alone/f", "on the target alone")
	absent(t, m.dst+"/decrement/own")
}

// Who can write to a target puts a link in the place of its directory of backups: the
// file that it leads to is not reached. The twin is rsync without a jail.
func TestBackupDirIsALink(t *testing.T) {
	m := newMirror(t).backups()
	outside := t.TempDir()
	plant := func() {
		write(t, m.src+"/f", "new")
		write(t, m.dst+"/f", "older")
		write(t, outside+"/f", "victim")
		_ = os.RemoveAll(m.dst + "/decrement")
		if err := os.Symlink(outside, m.dst+"/decrement"); err != nil {
			t.Fatal(err)
		}
	}
	plant()
	twin := exec.Command("rsync", "-a", "--backup", "--backup-dir=decrement", m.src+"/", m.dst+"/")
	if out, err := twin.CombinedOutput(); err != nil {
		t.Logf("the twin: %v %s", err, out)
	}
	if data, _ := os.ReadFile(outside + "/f"); string(data) != "older" {
		t.Fatalf("the twin does not go through the link, so that the test proves nothing: %q", data)
	}
	plant()
	m.start()
	m.await(0, "a failure", limit, says("it said", "decrement"))
	m.signal(syscall.SIGTERM)
	m.wait(limit)
	if data, _ := os.ReadFile(outside + "/f"); string(data) != "victim" {
		t.Errorf("outside of the target: %q", data)
	}
	if left, _ := filepath.Glob(outside + "/*"); len(left) != 1 {
		t.Errorf("outside of the target: %q", left)
	}
}
