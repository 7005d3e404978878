//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"lockstep/internal/testenv"
)

// victims are files of root's beside a tree, with names in the tree that lead to them.
func victims(t *testing.T, m *mirror) (linked, followed string) {
	t.Helper()
	dir := filepath.Dir(m.src)
	linked, followed = dir+"/linked", dir+"/followed"
	write(t, linked, "root's")
	write(t, followed, "root's")
	if err := errors.Join(os.Link(linked, m.src+"/hard"), os.Symlink(followed, m.src+"/soft")); err != nil {
		t.Fatal(err)
	}
	return linked, followed
}

// owner is the uid of a file.
func owner(t *testing.T, path string) uint32 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Uid
}

// The manual's chown(1) as a handler, on the watched tree itself: with the real clsync
// whoever writes to the tree has any file of root's given away, by a link to it. Here
// the same command line changes no owner, of a link or of a file, and says why.
func TestChownOfTheSource(t *testing.T) {
	beside(t)
	www, err := user.Lookup("daemon")
	if err != nil {
		testenv.Lacks(t, "a user called daemon")
	}
	uid, _ := strconv.Atoi(www.Uid)
	words := func(m *mirror, program string) []string {
		return []string{"-H", "/NULL/", "-M", "direct", "-S", program, "-W", m.src, "-w", "1", "-t", "1", "-T", "1", "--", "--from=root", "daemon:daemon", "%INCLUDE-LIST%"}
	}
	t.Run("clsync", func(t *testing.T) {
		program := realClsync(t)
		m := newMirror(t)
		var log bytes.Buffer
		// Its default users cannot chown; the manual starts it as root.
		cmd := exec.Command(program, append([]string{"-u", "root", "-g", "root", "--skip-initialsync"}, words(m, "/bin/chown")[2:]...)...)
		cmd.Stdout, cmd.Stderr = &log, &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		var linked, followed string
		n := 0
		m.eventuallyOr("that files outside of the tree are given away", log.String, func() bool {
			if n++; linked == "" && n > 50 { // it watches by then
				linked, followed = victims(t, m)
			}
			return linked != "" && owner(t, linked) == uint32(uid) && owner(t, followed) == uint32(uid)
		})
	})
	t.Run("lockstep", func(t *testing.T) {
		m := newMirror(t)
		linked, followed := victims(t, m)
		write(t, m.src+"/f", "root's")
		out, err := clsync(t, words(m, "/bin/chown")...)("--only-initialsync").CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte("Read-only file system")) {
			t.Errorf("%v\n%s", err, out)
		}
		for _, path := range []string{linked, followed, m.src + "/f", m.src + "/hard"} {
			if owner(t, path) != 0 {
				t.Errorf("%s was given away", path)
			}
		}
	})
}

// What does the job of that example: a mirror in which what is root's in the source is
// another user's, by a handler around rsync; the links lead nowhere in its jail.
func TestExampleOwner(t *testing.T) {
	beside(t)
	daemon, err := user.Lookup("daemon")
	if err != nil {
		testenv.Lacks(t, "a user called daemon")
	}
	uid, _ := strconv.Atoi(daemon.Uid)
	m := newMirror(t)
	dir := t.TempDir()
	linked, followed := victims(t, m)
	write(t, m.src+"/f", "root's")
	write(t, m.src+"/his", "another's")
	if err := errors.Join(os.Chown(m.src+"/his", 12345, 12345), os.WriteFile(dir+"/h.sh", []byte(example(t, "handlers/owner.sh", "/backup/www", m.dst, "www-data", "daemon")), 0o755)); err != nil {
		t.Fatal(err)
	}
	text := example(t, "handlers/owner.toml", "/srv/www", m.src, "/backup/www", m.dst, "/usr/local/lib/lockstep/owner.sh", dir+"/h.sh", `"3s"`, `"100ms"`)
	write(t, dir+"/x.toml", "[service]\nruntime_dir = \""+m.run+"\"\nstate_dir = \""+m.state+"\"\nlog_format = \"json\"\n"+text)
	m.name = "owner"
	m.launch("run", "-c", dir+"/x.toml")
	m.await(0, "readiness", limit, m.isReady)
	m.alike()
	write(t, m.src+"/new", "root's")
	m.alike()
	for path, want := range map[string]int{"f": uid, "new": uid, "hard": uid, "soft": uid, "his": 12345} {
		if got := owner(t, m.dst+"/"+path); got != uint32(want) {
			t.Errorf("%s is %d's, want %d's", path, got, want)
		}
	}
	for _, path := range []string{linked, followed, m.src + "/f", m.src + "/hard"} {
		if owner(t, path) != 0 {
			t.Errorf("%s was given away", path)
		}
	}
	m.stop()
}
