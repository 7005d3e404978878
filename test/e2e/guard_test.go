//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/test/churn"
	"lockstep/test/compare"
)

func snapshot(t *testing.T, root string, o compare.Options) compare.Tree {
	t.Helper()
	tree, err := compare.Read(root, o)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// untouched wants the target to be what it was.
func (m *mirror) untouched(was compare.Tree) {
	m.t.Helper()
	if diff := compare.Diff(was, snapshot(m.t, m.dst, m.opts), 10); len(diff) > 0 {
		m.t.Errorf("the target was touched:\n%s", lines(diff))
	}
}

func isHeld(r record) bool { return says("held", "accept-root")(r) }

// A source that was emptied while nobody watched deletes nothing until a
// person says so.
func TestEmptySourceIsHeld(t *testing.T) {
	beside(t)
	m := newMirror(t)
	if err := churn.Burst(m.src, 1, 5, 50); err != nil {
		t.Fatal(err)
	}
	m.start().ready()
	m.stop()
	emptyDir(t, m.src)
	was := snapshot(t, m.dst, m.opts)

	m.start()
	r := m.await(0, "word of the empty source", limit, isHeld)
	if !strings.Contains(r.String(), "--accept-root") {
		t.Errorf("it does not say what to do: %s", r)
	}
	m.untouched(was)
	m.stop()
	m.untouched(was)

	if code := m.once("--once"); code != 1 {
		t.Errorf("--once of a held pass ends with %d, want 1", code)
	}
	m.untouched(was)
	if code := m.once("--once", "--accept-root"); code != 0 {
		t.Errorf("--once --accept-root ends with %d, want 0", code)
	}
	if left := snapshot(t, m.dst, m.opts); len(left) != 1 {
		t.Errorf("%d entries left after --accept-root", len(left)-1)
	}
}

// emptyDir removes what is in a directory.
func emptyDir(t *testing.T, dir string) {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if err := os.RemoveAll(filepath.Join(dir, n.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

// Deletions that were witnessed are no accident: they are done, all of them.
func TestWitnessedEmptyingIsDone(t *testing.T) {
	beside(t)
	m := newMirror(t)
	if err := churn.Burst(m.src, 1, 5, 60); err != nil {
		t.Fatal(err)
	}
	m.start().ready()
	emptyDir(t, m.src)
	m.equal()
	m.stop()
}

// A pass that would delete more than half of the target, and more than 1,000
// entries, is held; within the limits it is done.
func TestManyDeletionsAreHeld(t *testing.T) {
	beside(t)
	m := newMirror(t)
	if err := churn.Burst(m.src, 1, 20, 1500); err != nil {
		t.Fatal(err)
	}
	m.start().ready()
	m.stop()
	for i := range 15 {
		if err := os.RemoveAll(fmt.Sprintf("%s/dir%03d", m.src, i)); err != nil {
			t.Fatal(err)
		}
	}
	was := snapshot(t, m.dst, m.opts)
	m.start()
	m.await(0, "word of the many deletions", limit, isHeld)
	m.untouched(was)
	m.stop()
	if code := m.once("--once", "--max-delete-percent", "90"); code != 0 {
		t.Errorf("with a higher limit it ends with %d, want 0", code)
	}
	same(t, m)
}

func same(t *testing.T, m *mirror) {
	t.Helper()
	diff, err := compare.Equal(m.src, m.dst, m.opts)
	if err != nil || len(diff) > 0 {
		t.Errorf("target differs: %v\n%s", err, lines(diff))
	}
}

// Another directory under the source's name is another root.
func TestExchangedSourceIsHeld(t *testing.T) {
	beside(t)
	m := newMirror(t)
	if err := churn.Burst(m.src, 1, 5, 50); err != nil {
		t.Fatal(err)
	}
	m.start().ready()
	m.stop()
	if err := os.Rename(m.src, m.src+"-old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(m.src, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.src+"/other", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	was := snapshot(t, m.dst, m.opts)
	if code := m.once("--once"); code == 0 {
		t.Error("an exchanged source was accepted")
	}
	if !strings.Contains(m.output(), "accept-root") {
		t.Errorf("it does not say what to do:\n%s", m.output())
	}
	m.untouched(was)
	if code := m.once("--once", "--accept-root"); code != 0 {
		t.Errorf("--accept-root ends with %d", code)
	}
	same(t, m)
}

// An exchange that no monitor tells of is noticed all the same, at once; and so is the
// way back.
func TestExchangedSourceIsHeldAtOnce(t *testing.T) {
	beside(t)
	const sooner = 40 * time.Second // than the next look without it
	m := newMirror(t, "--monitor", "poll", "--poll-every", "1h")
	write(t, m.src+"/f", "x")
	m.start().ready()
	was := snapshot(t, m.dst, m.opts)
	rename(t, m.src, m.src+"-old")
	mkdir(t, m.src)
	write(t, m.src+"/other", "x")
	m.await(0, "the hold", sooner, says("accept-root"))
	m.untouched(was)
	place := m.mark()
	rename(t, m.src, m.src+"-other")
	write(t, m.src+"-old/new", "x")
	rename(t, m.src+"-old", m.src)
	m.await(place, "the way on", sooner, says("source and target are what they were"))
	m.equal()
	m.stop()
}

// disk makes a file system in a file and mounts it; the returned functions
// unmount and mount it again.
func disk(t *testing.T, at string) (unmount, mount func()) {
	t.Helper()
	testenv.NeedTool(t, "mkfs.ext4")
	testenv.NeedTool(t, "losetup")
	image := filepath.Join(t.TempDir(), "image")
	command(t, "truncate", "-s", "32M", image)
	command(t, "mkfs.ext4", "-q", "-F", image)
	mounted := false
	mount = func() {
		t.Helper()
		command(t, "mount", "-o", "loop", image, at)
		mounted = true
	}
	unmount = func() {
		t.Helper()
		command(t, "umount", at)
		mounted = false
	}
	mount()
	t.Cleanup(func() {
		if mounted {
			if err := syscall.Unmount(at, syscall.MNT_DETACH); err != nil {
				t.Errorf("unmount %s: %v", at, err)
			}
		}
	})
	return unmount, mount
}

func command(t *testing.T, words ...string) {
	t.Helper()
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", words, err, out)
	}
}

// The source's disk goes away, while running and across a restart: the target
// keeps every file. It comes back: in step.
func TestUnmountedSource(t *testing.T) {
	m := newMirror(t)
	unmount, mount := disk(t, m.src)
	m.opts.Skip = func(rel string, kind uint32) bool { return rel == "lost+found" || unmirrored(rel, kind) }
	m.flags = append(m.flags, "--exclude", "/lost+found/")
	if err := churn.Burst(m.src, 1, 10, 200); err != nil {
		t.Fatal(err)
	}
	m.start().ready()
	was := snapshot(t, m.dst, m.opts)

	at := m.mark()
	unmount()
	m.await(at, "word of the unmount", limit, says("not the directory it was", "held"))
	m.untouched(was)
	mount()
	m.equal()
	write(t, m.src+"/after-the-first", "x")
	m.equal()
	m.stop()

	was = snapshot(t, m.dst, m.opts)
	unmount()
	m.start()
	m.await(0, "word of the missing disk", limit, isHeld)
	m.untouched(was)
	select {
	case <-m.exited: // it refuses: a person mounts, and starts it again
		mount()
		m.start()
	default: // it waits
		mount()
	}
	write(t, m.src+"/after-the-second", "x")
	m.ready()
	m.stop()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What is mounted inside the source is not entered, and what the target has
// there is not deleted.
func TestMountInsideIsProtected(t *testing.T) {
	m := newMirror(t)
	for _, d := range []string{m.src + "/a/inner", m.dst + "/a/inner"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, m.src+"/a/f", "1")
	write(t, m.dst+"/a/inner/kept", "from the time when it was copied")
	if err := syscall.Mount("none", m.src+"/a/inner", "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(m.src+"/a/inner", syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	write(t, m.src+"/a/inner/not-copied", "x")
	m.opts.Skip = func(rel string, kind uint32) bool { return rel == "a/inner" || strings.HasPrefix(rel, "a/inner/") }
	m.start()
	m.await(0, "word of the mount inside", limit, says("a/inner"))
	m.ready()
	write(t, m.src+"/a/g", "2")
	m.equal()
	m.stop()
	if _, err := os.Stat(m.dst + "/a/inner/kept"); err != nil {
		t.Errorf("the target lost what is below the mount: %v", err)
	}
	if _, err := os.Stat(m.dst + "/a/inner/not-copied"); err == nil {
		t.Error("the mount was entered")
	}
}
