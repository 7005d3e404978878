package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/ipc/output"
	"lockstep/monitor"
	"lockstep/worker/halves"
)

// shuffle has what is in the kernel's queue come in another order, in which it can
// be queued when several processes are at work.
func (r *rig) shuffle(order func([]monitor.Event) []monitor.Event) {
	r.t.Helper()
	buf := make([]byte, 64<<10)
	n, err := unix.Read(r.fd, buf)
	if err != nil {
		r.t.Fatal(err)
	}
	var all []monitor.Event
	if err := monitor.Decode(buf[:n], func(e monitor.Event) { all = append(all, e) }); err != nil {
		r.t.Fatal(err)
	}
	for _, e := range order(all) {
		r.buffer = monitor.Append(r.buffer, e)
	}
	r.apply()
}

// Two directories are renamed at once, and something is made in one of them between
// the halves of its rename: it is that one that is to be looked at, not only the
// first one whose second half comes.
func TestChangedBetweenTheHalves(t *testing.T) {
	r := newRig(t, 1, inotify())
	r.mkdir("a", "b")
	r.start()
	at := r.want(0)
	r.rename("a", "a2")
	r.write("a2/x", "")
	r.rename("b", "b2")
	r.shuffle(func(all []monitor.Event) []monitor.Event {
		late := func(e monitor.Event) bool { return string(e.Name) == "a2" }
		i := slices.IndexFunc(all, late)
		return append(slices.DeleteFunc(slices.Clone(all), late), all[i])
	})
	r.settle(time.Second)
	looked := false
	for _, line := range r.lines(output.Event)[at:] {
		e := parse(t, line)
		looked = looked || e.Op == "rescan" && (e.Path == "a2" || e.Path == "") || e.Op == "create" && e.Path == "a2/x"
	}
	if !looked {
		t.Errorf("nobody is told of a2/x: %q", r.lines(output.Event)[at:])
	}
}

// What leaves in great number is not all waited for: each event is compared with
// what is. All of it is told.
func TestManyLeave(t *testing.T) {
	r := newRig(t, 1, inotify())
	r.start()
	at := r.want(0)
	wd := r.root.track.Tree().WD(r.root.track.Tree().Root())
	var want []string
	for i := range 4 * halves.Most {
		name := fmt.Sprint(i)
		r.root.Event(monitor.Event{WD: wd, Mask: monitor.MovedFrom, Cookie: uint32(i + 1), Name: []byte(name)})
		if n := len(r.root.left); n > halves.Most {
			t.Fatalf("%d are waited for", n)
		}
		want = append(want, "delete "+name)
	}
	r.settle(time.Second)
	r.want(at, want...)
}

// What replaces a file by a rename whose first half nobody tells of, and is removed
// at once: that the file is gone is told all the same, though for --settle what came
// and went is nothing.
func TestReplacedThenRemoved(t *testing.T) {
	cfg := inotify()
	cfg.Settle, cfg.Exclude = time.Second, []string{"*.tmp"}
	r := newRig(t, 1, cfg)
	outside := t.TempDir()
	arrive := func(at string) {
		t.Helper()
		if err := os.WriteFile(outside+"/x", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		r.rename(filepath.Join("..", filepath.Base(outside), "x"), at)
	}
	r.write("f", "")
	r.write("g", "")
	r.start()
	at := r.want(0)
	r.write("f.tmp", "")
	r.rename("f.tmp", "f")
	r.remove("f")
	arrive("g")
	r.remove("g")
	r.write("short", "")
	r.remove("short")
	r.settle(5 * time.Second)
	r.want(at, "delete f", "delete g")
}

// A directory loses a name between the halves of its rename, and then another one comes
// in its place, which no line fits: that it is to be looked at is told all the same.
func TestReplacedAfterItChangedBetweenTheHalves(t *testing.T) {
	r := newRig(t, 1, inotify())
	outside := t.TempDir()
	if err := os.MkdirAll(outside+"/d/y", 0o755); err != nil {
		t.Fatal(err)
	}
	r.mkdir("a")
	r.write("a/x", "")
	r.start()
	at := r.want(0)
	r.rename("a", "b")
	r.remove("b/x")
	if err := unix.Rename(outside+"/d", r.path("b")); err != nil { // os.Rename replaces no directory
		t.Fatal(err)
	}
	r.shuffle(func(all []monitor.Event) []monitor.Event {
		gone := func(e monitor.Event) bool { return string(e.Name) == "x" }
		i := slices.IndexFunc(all, gone)
		return slices.Insert(slices.DeleteFunc(slices.Clone(all), gone), 1, all[i])
	})
	r.settle(time.Second)
	r.want(at, "move b a", "create b", "create b/y", "rescan b")
}

// A listing of a new directory shows a link, and then a file is renamed over that: the
// listing has announced the name, and that something else came to it is told.
func TestReplacedAfterItWasListed(t *testing.T) {
	for name, want := range map[string][]string{"from outside": {"create d/x"}, "from within": {"delete new", "create d/x"}} {
		t.Run(name, func(t *testing.T) {
			r, file := newRig(t, 1, inotify()), "new"
			if name == "from outside" {
				file = filepath.Join("..", filepath.Base(t.TempDir()), "new")
			}
			r.write(file, "")
			r.start()
			at := r.want(0)
			r.mkdir("d")
			if err := os.Symlink("nowhere", r.path("d/x")); err != nil {
				t.Fatal(err)
			}
			for range 4 { // d is told of, watched, listed, and that is answered
				if !r.hear() {
					r.help()
				}
			}
			at = r.want(at, "create d", "create d/x")
			r.rename(file, "d/x")
			r.settle(time.Second)
			r.want(at, want...)
			n := newNames()
			for _, line := range r.lines(output.Event) {
				n.apply(parse(t, line))
			}
			n.compare(t, r.tree())
		})
	}
}
