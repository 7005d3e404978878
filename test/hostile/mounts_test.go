//go:build hostile

package hostile

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv/observe"
)

// filled is a running mirror with something in it that could be deleted.
func filled(t *testing.T, flags ...string) *mirror {
	t.Helper()
	timed(t)
	m := newMirror(t, flags...)
	steps := []string{"dir inner/deep", "write inner/own 1", "write inner/deep/own 1"}
	for i := range 40 {
		steps = append(steps, fmt.Sprintf("dir d%d", i), fmt.Sprintf("write d%d/f %d", i, i))
	}
	m.asNobody(steps...)
	return m.start().ready()
}

// mounted mounts until unmount is called, or the test's end.
func mounted(t *testing.T, from, at, kind string, flags uintptr) (unmount func()) {
	t.Helper()
	must(t, unix.Mount(from, at, kind, flags, ""))
	is := true
	t.Cleanup(func() {
		if is {
			must(t, unix.Unmount(at, unix.MNT_DETACH))
		}
	})
	return func() {
		t.Helper()
		must(t, unix.Unmount(at, unix.MNT_DETACH))
		is = false
	}
}

// wholePass asks for one and waits until it has ended, or is held.
func (m *mirror) wholePass() {
	m.t.Helper()
	at := m.log.Mark()
	must(m.t, m.cmd.Process.Signal(syscall.SIGUSR2))
	m.await(at, "the end of a whole pass", says("whole pass done"))
}

// TestBindMountInside: a directory of the same file system, which holds a secret, is
// bound inside the source. It is the same device, so that no comparison of devices tells
// it from the source: it is not entered, and nothing goes on the target.
func TestBindMountInside(t *testing.T) {
	m := filled(t)
	secret := m.base + "/secret"
	must(t, os.MkdirAll(secret+"/deep", 0o755))
	must(t, os.WriteFile(secret+"/f", []byte(sentinel), 0o644))
	must(t, os.WriteFile(secret+"/deep/f", []byte(sentinel), 0o644))
	was := m.snapshot()
	unmount := mounted(t, secret, m.src+"/inner", "", unix.MS_BIND)
	if n, err := holds(m.src); err != nil || n != 2 {
		t.Fatalf("a plain walk of the source finds the secret %d times (%v), want 2", n, err)
	}
	m.skip = func(rel string, _ uint32) bool { return rel == "inner" || strings.HasPrefix(rel, "inner/") }
	for range 2 {
		must(t, os.WriteFile(secret+"/g", []byte(sentinel), 0o644))
		m.asNobody("write d1/f other", "write new 1")
		m.equal()
		m.wholePass()
		m.nothingGone(was)
		if n, err := holds(m.dst); err != nil || n > 0 {
			t.Errorf("%d files on the target are from behind the mount (%v)", n, err)
		}
		must(t, os.Remove(secret+"/g"))
	}
	// So it is for a lockstep that starts with the mount there.
	m.stop()
	m.start().ready()
	m.nothingGone(was)
	if n, err := holds(m.dst); err != nil || n > 0 {
		t.Errorf("after a start, %d files on the target are from behind the mount (%v)", n, err)
	}
	unmount()
	m.skip = func(string, uint32) bool { return false }
	m.asNobody("write inner/after 1")
	m.wholePass()
	m.equal()
	m.stop()
}

// TestOvermountedSource: something is mounted over the source itself. What is on the
// target stays, and when the mount has gone, all goes on.
func TestOvermountedSource(t *testing.T) {
	for _, what := range []string{"tmpfs", "bind"} {
		t.Run(what, func(t *testing.T) {
			m := filled(t)
			was := m.snapshot()
			other := m.base + "/other"
			must(t, os.Mkdir(other, 0o755))
			must(t, os.WriteFile(other+"/f", []byte(sentinel), 0o644))
			at := m.log.Mark()
			var unmount func()
			if what == "tmpfs" {
				unmount = mounted(t, "hostile", m.src, "tmpfs", 0)
			} else {
				unmount = mounted(t, other, m.src, "", unix.MS_BIND)
			}
			must(t, os.WriteFile(m.src+"/stranger", []byte(sentinel), 0o644))
			must(t, m.cmd.Process.Signal(syscall.SIGUSR2))
			m.await(at, "word of the mount", says("not the directory it was", "accept-root", "held"))
			m.nothingGone(was)
			if n, err := holds(m.dst); err != nil || n > 0 {
				t.Errorf("%d files on the target are of what was mounted (%v)", n, err)
			}
			unmount()
			m.asNobody("write after 1")
			m.equal()
			m.nothingGone(was)
			m.stop()
		})
	}
}

// TestSourceEmptied: the source's directory is renamed away, an empty one takes its
// place, and goes again: no deletion.
func TestSourceEmptied(t *testing.T) {
	m := filled(t)
	was := m.snapshot()
	at := m.log.Mark()
	must(t, os.Rename(m.src, m.src+"-away"))
	must(t, os.Mkdir(m.src, 0o755))
	must(t, m.cmd.Process.Signal(syscall.SIGUSR2))
	m.await(at, "word of the other source", says("accept-root", "held"))
	m.nothingGone(was)
	must(t, os.Remove(m.src))
	m.nothingGone(was)
	must(t, os.Rename(m.src+"-away", m.src))
	m.asNobody("write after 1")
	m.equal()
	m.nothingGone(was)
	m.stop()
}

// TestMountOfAUser: nobody, in a user namespace of his own, mounts an empty file system
// over the source: that is his alone.
func TestMountOfAUser(t *testing.T) {
	m := filled(t)
	was := m.snapshot()
	cmd := acting(nobody, "mount", m.src)
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: nobody, Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: nobody, Size: 1}}
	cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN}
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	needUserNamespaces(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "mounted\n" {
		t.Fatalf("nobody's mount: %q, %v", line, err)
	}
	// He sees his mount there, and nobody else does.
	theirs := fmt.Sprintf("/proc/%d/root%s", cmd.Process.Pid, m.src)
	if names, err := os.ReadDir(theirs); err != nil || len(names) != 1 {
		t.Errorf("nobody sees %v (%v), want what he mounted", names, err)
	}
	m.asNobody("write d1/f other", "write new 1")
	m.equal()
	m.wholePass()
	m.equal()
	m.nothingGone(was)
	for _, r := range m.log.Since(0) {
		if says("accept-root", "not the directory it was")(r) {
			t.Errorf("it takes notice: %s", r)
		}
	}
	must(t, in.Close())
	_ = cmd.Wait() // its namespace goes with it
	m.equal()
	m.stop()
}

// TestDeletionsOfMost: nobody deletes nine of ten files while nobody watches: the pass is
// held, and nothing goes; within what a person permits it is done.
func TestDeletionsOfMost(t *testing.T) {
	m := filled(t)
	var more []string
	for i := range 1200 {
		more = append(more, fmt.Sprintf("write d%d/g%d x", i%40, i))
	}
	m.asNobody(more...)
	m.equal()
	m.stop()
	was := m.snapshot()
	var gone []string
	for i := range 36 {
		gone = append(gone, fmt.Sprintf("remove d%d", i))
	}
	m.asNobody(gone...)
	m.start()
	m.await(0, "word of the deletions", func(r observe.Record) bool { return says("accept-root", "held")(r) })
	m.nothingGone(was)
	m.stop()
	if code := m.once("--max-delete-percent", "95"); code != 0 {
		t.Errorf("with a higher limit it ends with %d", code)
	}
	if diff, err := m.differ(); err != nil || len(diff) > 0 {
		t.Errorf("%v %v", err, diff)
	}
}
