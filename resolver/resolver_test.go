package resolver

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/monitor"
)

func TestEvents(t *testing.T) {
	t.Run("tmpfs", func(t *testing.T) { events(t, newRig(t)) })
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(kind, func(t *testing.T) { events(t, rigIn(t, testenv.LoopFS(t, kind))) })
	}
	t.Run("overlay", func(t *testing.T) { events(t, rigIn(t, overlay(t))) })
}

// overlay mounts one that can be exported.
func overlay(t *testing.T) string {
	t.Helper()
	base, at := testenv.LoopFS(t, "ext4"), t.TempDir()
	for _, d := range []string{"/l", "/u", "/w"} {
		if err := os.Mkdir(base+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount("none", at, "overlay", 0, "nfs_export=on,index=on,lowerdir="+base+"/l,upperdir="+base+"/u,workdir="+base+"/w"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, 0); err != nil {
			t.Error(err)
		}
	})
	return at
}

// What is in a subvolume below the root is in the root.
func TestSubvolume(t *testing.T) {
	g := rigIn(t, testenv.LoopFS(t, "btrfs"))
	for _, at := range []string{g.root, g.outside} {
		if out, err := exec.Command(testenv.NeedTool(t, "btrfs"), "subvolume", "create", at+"/sub").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	g.start(nil)
	g.events()
	g.do(g.file("sub/f"), g.dir("sub/d"), os.WriteFile(g.outside+"/sub/f", nil, 0o600))
	g.want("MODIFY|CLOSE_WRITE|CREATE /sub/f", "CREATE|ISDIR /sub/d")
	g.stop()
}

func events(t *testing.T, g *rig) {
	g.start(nil)
	g.want()
	g.do(g.file("f"))
	g.want("MODIFY|CLOSE_WRITE|CREATE /f")
	g.do(g.dir("d"), g.file("d/g"), os.Chmod(g.root+"/d", 0o755), os.Chmod(g.root, 0o755))
	g.want("CREATE|ISDIR /d", "MODIFY|CLOSE_WRITE|CREATE /d/g", "ATTRIB|ISDIR /d/", "ATTRIB|ISDIR /")
	g.do(g.move("d/g", "d/h"))
	g.want("MOVED_FROM /d/g cookie", "MOVED_TO /d/h cookie")
	g.do(g.move("d", "e"), g.file("e/h"))
	g.want("MOVED_FROM|ISDIR /d cookie", "MOVED_TO|ISDIR /e cookie", "MODIFY|CLOSE_WRITE /e/h")
	g.do(os.Rename(g.root+"/f", g.outside+"/secret"), os.Rename(g.outside+"/secret", g.root+"/e/f"))
	g.want("MOVED_FROM /f cookie", "MOVED_TO /e/f cookie")
	g.do(os.Rename(g.root+"/e", g.outside+"/secret"), os.WriteFile(g.outside+"/secret/f", []byte("secret"), 0o600))
	g.want("MOVED_FROM|ISDIR /e cookie")
	g.do(os.WriteFile(g.outside+"/secret/h", []byte("secret"), 0o600), os.Rename(g.outside+"/secret", g.root+"/back"), g.file("back/i"))
	g.want("MOVED_TO|ISDIR /back cookie", "MODIFY|CLOSE_WRITE|CREATE /back/i")
	g.do(os.Link(g.root+"/back/i", g.root+"/j"), g.remove("back/i"), os.WriteFile(g.outside+"/secret", []byte("secret"), 0o600))
	g.want("CREATE /j", "DELETE /back/i")
	if g.holds("secret") || g.holds("outside") {
		t.Error("a name from outside was passed on")
	}
	g.stop()
}

// The root's own moves and its end are told, though its name is outside; what is
// in it is below it wherever it is.
func TestRootItself(t *testing.T) {
	g := newRig(t).start(nil)
	g.do(os.Rename(g.root, g.outside+"/elsewhere"))
	g.want("MOVE_SELF|ISDIR /")
	g.do(os.Rename(g.outside+"/elsewhere", g.root), g.file("f"))
	g.want("MOVE_SELF|ISDIR /", "MODIFY|CLOSE_WRITE|CREATE /f")
	g.do(g.remove("f"), os.Remove(g.root))
	g.want("DELETE /f", "DELETE_SELF|ISDIR /")
	g.stop()
}

// That the root was moved is told when everything else is not.
func TestRootMovedAmongWhatIsLost(t *testing.T) {
	g := newRig(t)
	for range 3_000 {
		g.do(g.dir("d"), os.Remove(g.root+"/d"), os.Mkdir(g.outside+"/d", 0o755), os.Remove(g.outside+"/d"))
		g.do(g.file("f"), g.move("f", "g"), g.remove("g"))
	}
	g.do(os.Rename(g.root, g.outside+"/elsewhere"), os.Rename(g.outside+"/elsewhere", g.root))
	g.start(func(r *Resolver) { r.most, r.every = 1000, 2 })
	got := g.events()
	if len(got) == 0 || got[len(got)-1] != "MOVE_SELF|Q_OVERFLOW|ISDIR /" {
		t.Errorf("%d events, at the end %q", len(got), got[max(0, len(got)-3):])
	}
	g.stop()
}

// What is done while nobody reads is told by the places of afterwards; what is
// gone by then, by its parent.
func TestLateReader(t *testing.T) {
	g := newRig(t)
	g.do(g.dir("a"), g.dir("a/b"), g.file("a/b/f"), g.move("a/b", "c"), g.file("c/g"), g.dir("x"), g.file("x/y"), g.remove("x"))
	g.start(nil)
	g.want("CREATE|ISDIR /a", "CREATE|ISDIR /a/b", "MODIFY|CLOSE_WRITE|CREATE /c/f", "MOVED_FROM|ISDIR /a/b cookie", "MOVED_TO|ISDIR /c cookie",
		"MODIFY|CLOSE_WRITE|CREATE /c/g", "CREATE|DELETE|ISDIR /x")
	g.stop()
}

// A directory that somebody holds open has a handle, but no place.
func TestDeletedButOpen(t *testing.T) {
	g := newRig(t)
	g.do(g.dir("d"), g.file("d/f"))
	fd, err := unix.Open(g.root+"/d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	g.do(err)
	defer unix.Close(fd)
	g.do(g.remove("d"), unix.Fchmod(fd, 0o711))
	g.start(nil)
	g.want("CREATE|DELETE|ISDIR /d")
	g.stop()
}

func TestWriterIsTold(t *testing.T) {
	g := newRig(t).start(nil)
	g.do(g.file("f"))
	var pids []int32
	g.until(g.ask(), func(e monitor.PathEvent) { pids = append(pids, e.PID) })
	if len(pids) == 0 || pids[0] != int32(os.Getpid()) {
		t.Errorf("writers %v, want %d", pids, os.Getpid())
	}
	g.stop()
}

func TestViolations(t *testing.T) {
	for _, packet := range []string{"x", "xyz", "12345", strings.Repeat("x", 1000)} {
		g := newRig(t).start(nil)
		if _, err := unix.Write(g.worker, []byte(packet)); err != nil {
			t.Fatal(err)
		}
		if err := <-g.done; err == nil || !strings.Contains(err.Error(), "violation") {
			t.Errorf("%d bytes: %v", len(packet), err)
		}
		_ = unix.Close(g.worker)
	}
}

// A worker that does not read costs no more than the box's bound; then it hears
// that it must look for itself, and what comes after that as always.
func TestSlowWorker(t *testing.T) {
	g := newRig(t)
	deep := strings.Repeat("/"+strings.Repeat("d", 200), 15)
	g.do(os.MkdirAll(g.root+deep, 0o755))
	g.start(nil)
	g.events()
	for i := range 4000 { // 3 KB each
		g.do(os.WriteFile(fmt.Sprintf("%s%s/%d", g.root, deep, i), nil, 0o600))
	}
	g.do(g.dir("last"))
	kinds := map[string]int{}
	after := 0
	g.until(g.ask(), func(e monitor.PathEvent) {
		kinds[e.Mask.String()]++
		if kinds["Q_OVERFLOW"] > 0 {
			after++
		}
	})
	if kinds["Q_OVERFLOW"] != 1 {
		t.Errorf("%v, want one overflow", kinds)
	}
	t.Logf("%v, %d from the overflow on", kinds, after)
	g.do(g.file("f"))
	g.want("MODIFY|CLOSE_WRITE|CREATE /f")
	g.stop()
}

// Events that come faster than they are resolved are left out before they fill
// the kernel's memory.
func TestLongQueue(t *testing.T) {
	g := newRig(t)
	for i := range 6_000 {
		g.do(os.Mkdir(fmt.Sprintf("%s/%d", g.root, i), 0o755))
	}
	g.start(func(r *Resolver) { r.most, r.every = 1000, 2 })
	kinds := map[string]int{}
	g.until(g.ask(), func(e monitor.PathEvent) { kinds[e.Mask.String()]++ })
	if kinds["Q_OVERFLOW"] != 1 || kinds["CREATE|ISDIR"] >= 6_000 {
		t.Errorf("%v, want one overflow", kinds)
	}
	g.do(g.file("f"))
	g.want("MODIFY|CLOSE_WRITE|CREATE /f")
	g.stop()
}

// Nothing of the rest of the file system reaches the worker, whatever happens
// there and between there and the root.
func TestNothingFromOutside(t *testing.T) {
	g := newRig(t).start(nil)
	stop := make(chan struct{})
	var busy sync.WaitGroup
	loop := func(act func(i int)) {
		busy.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					act(i)
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for n := range 3 {
		loop(func(i int) { // never inside
			name := fmt.Sprintf("%s/secret-%d/secret-%d", g.outside, n, i%50)
			g.do(os.MkdirAll(name, 0o755), os.WriteFile(name+"/secret", []byte("secret"), 0o600), os.Rename(name+"/secret", name+"/secret2"),
				os.Rename(name, name+"x"), os.Chmod(name+"x", 0o700), os.RemoveAll(name+"x"))
		})
		loop(func(i int) { // into the root and out again
			from, to := fmt.Sprintf("%s/moved-%d", g.outside, n), fmt.Sprintf("%s/moved-%d", g.root, n)
			g.do(os.MkdirAll(from+"/d", 0o755), os.WriteFile(from+"/d/f", nil, 0o600), os.Rename(from, to),
				os.WriteFile(to+"/d/f", []byte("x"), 0o600), os.Rename(to, from), os.RemoveAll(from))
		})
	}
	inside := 0
	for i := range 30 {
		g.do(g.file(fmt.Sprintf("inside-%d", i)))
		g.until(g.ask(), func(monitor.PathEvent) { inside++ })
	}
	close(stop)
	busy.Wait()
	g.events()
	for _, word := range []string{"secret", "outside", "unreachable"} {
		if g.holds(word) {
			t.Errorf("%q was passed on", word)
		}
	}
	t.Logf("%d events from inside", inside)
	if inside < 30 {
		t.Errorf("%d events from inside, want 30 at least", inside)
	}
	g.stop()
}
