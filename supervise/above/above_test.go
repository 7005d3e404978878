package above

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// heard counts.
type heard struct {
	t     *testing.T
	pokes chan struct{}
	w     *Watcher

	mu   sync.Mutex
	said []string
	news chan struct{} // of said
}

// watch watches above a root without much waiting.
func watch(t *testing.T, root string, most time.Duration) *heard {
	t.Helper()
	h := &heard{t: t, pokes: make(chan struct{}, 1), news: make(chan struct{}, 1)}
	h.w = start(func(err error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.said = append(h.said, err.Error())
		select {
		case h.news <- struct{}{}:
		default:
		}
	}, 0, 10*time.Millisecond, most)
	t.Cleanup(func() { _ = h.w.Close() })
	h.w.Add(root, h.poke)
	return h
}

func (h *heard) poke() {
	select {
	case h.pokes <- struct{}{}:
	default:
	}
}

// quiet waits until all that is above is watched and has been told: whenever a
// directory is watched again, it is told of.
func (h *heard) quiet() {
	h.t.Helper()
	for {
		busy := make(chan bool, 1)
		h.w.ask(func() {
			_, any := h.w.next()
			for _, d := range h.w.dirs {
				any = any || d.asked
			}
			busy <- any
		})
		if !<-busy {
			break
		}
		h.told("watched")
	}
	select {
	case <-h.pokes:
	default:
	}
}

func (h *heard) told(what string) {
	h.t.Helper()
	select {
	case <-h.pokes:
	case <-time.After(time.Minute):
		h.t.Fatalf("%s: not told", what)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A root that another one takes the place of is told, also when that happens further
// up, and again and again; what is in the root is not.
func TestExchange(t *testing.T) {
	top := t.TempDir()
	root, next := filepath.Join(top, "a/b/root"), filepath.Join(top, "next")
	must(t, os.MkdirAll(root, 0o755))
	must(t, os.MkdirAll(filepath.Join(next, "b/root"), 0o755))
	h := watch(t, root, time.Second)
	held, err := os.Open(root) // so that the kernel tells nobody of its end
	must(t, err)
	defer held.Close()
	for _, c := range []struct {
		what string
		do   func() error
	}{
		{"deleted", func() error { return os.Remove(root) }},
		{"made again", func() error { return os.Mkdir(root, 0o755) }},
		{"moved aside", func() error { return os.Rename(root, root+"2") }},
		{"put in place", func() error { return os.Rename(root+"2", root) }},
		{"exchanged further up", func() error {
			return unix.Renameat2(unix.AT_FDCWD, top+"/a", unix.AT_FDCWD, next, unix.RENAME_EXCHANGE)
		}},
		{"deleted where it is by then", func() error { return os.Remove(root) }},
	} {
		h.quiet()
		must(t, c.do())
		h.told(c.what)
	}
	must(t, os.Mkdir(root, 0o755))
	h.told("made at last")
	h.quiet()
	must(t, os.WriteFile(root+"/f", nil, 0o600))
	must(t, os.WriteFile(filepath.Dir(root)+"/g", nil, 0o600)) // so that what came before it has been heard
	h.told("a name beside it")
	h.quiet()
	must(t, os.WriteFile(root+"/f2", nil, 0o600))
	must(t, os.Mkdir(root+"/d", 0o755))
	select {
	case <-h.pokes:
		t.Error("what is in the root is told")
	case <-time.After(100 * time.Millisecond):
	}
}

// What goes on all the time costs less and less.
func TestBusy(t *testing.T) {
	top := t.TempDir()
	root := filepath.Join(top, "root")
	must(t, os.Mkdir(root, 0o755))
	h := watch(t, root, time.Hour)
	h.quiet()
	n := 0
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		must(t, os.WriteFile(top+"/f", nil, 0o600))
		must(t, os.Remove(top+"/f"))
		select {
		case <-h.pokes:
			n++
		default:
		}
	}
	// 10, 20, 40 … 1,280 ms: eight times two.
	if n < 2 || n > 20 {
		t.Errorf("told %d times", n)
	}
}

// What cannot be watched is told once, and tried again until it is there.
func TestAbsent(t *testing.T) {
	top := t.TempDir()
	root := filepath.Join(top, "none/root")
	h := watch(t, root, 20*time.Millisecond)
	select {
	case <-h.news:
	case <-time.After(time.Minute):
		t.Fatal("nothing is said of what is not there")
	}
	must(t, os.MkdirAll(root, 0o755))
	h.quiet() // it is watched, and was told
	must(t, os.Remove(root))
	h.told("deleted")
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.said) != 1 || !strings.Contains(h.said[0], top+"/none: no such file") {
		t.Errorf("%q", h.said)
	}
}

// Two roots in one directory hear of it both; one that was removed hears nothing.
func TestTwoRoots(t *testing.T) {
	top := t.TempDir()
	h := watch(t, top+"/one", time.Second)
	two := make(chan struct{}, 8)
	remove := h.w.Add(top+"/two", func() {
		select {
		case two <- struct{}{}:
		default:
		}
	})
	h.quiet()
	for len(two) > 0 {
		<-two
	}
	must(t, os.Mkdir(top+"/one", 0o755))
	h.told("made")
	select {
	case <-two:
	case <-time.After(time.Minute):
		t.Fatal("the other one is not told")
	}
	remove()
	h.quiet()
	for len(two) > 0 {
		<-two
	}
	must(t, os.Mkdir(top+"/two", 0o755))
	h.told("made as well")
	if len(two) > 0 {
		t.Error("who was removed is told")
	}
	_ = h.w.Close()
	h.w.Add("/x/y", func() {}) // hangs nobody
	_ = h.w.Close()
}

// Whoever exchanges directories again and again leaves no watches behind, and neither
// does who removes a root.
func TestNothingIsLeft(t *testing.T) {
	top := t.TempDir()
	root := filepath.Join(top, "a/b/root")
	must(t, os.MkdirAll(root, 0o755))
	h := watch(t, root, 20*time.Millisecond)
	remove := h.w.Add(root, func() {})
	watches := func() (n int) {
		h.quiet()
		got := make(chan int, 1)
		h.w.ask(func() {
			conn, err := h.w.file.SyscallConn() // Fd would make it block
			var text []byte
			if err == nil {
				err = conn.Control(func(fd uintptr) { text, _ = os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd)) })
			}
			if err != nil || len(text) == 0 {
				t.Errorf("its watches cannot be read: %v", err)
			}
			if n := len(h.w.wds); n > len(h.w.dirs) {
				t.Errorf("%d watches of %d directories are remembered", n, len(h.w.dirs))
			}
			got <- strings.Count(string(text), "inotify wd:")
		})
		return <-got
	}
	before := watches()
	for i := range 5 {
		must(t, os.Rename(top+"/a", fmt.Sprintf("%s/old%d", top, i)))
		must(t, os.MkdirAll(root, 0o755))
		if n := watches(); n > before {
			t.Fatalf("%d watches, and before %d", n, before)
		}
	}
	remove() // the other root is there still
	if n := watches(); n > before {
		t.Errorf("%d watches, and before %d", n, before)
	}
	h.w.ask(func() {
		for path, d := range h.w.dirs {
			clear(d.roots)
			delete(h.w.dirs, path)
			h.w.forget(d)
		}
	})
	if n := watches(); n != 0 {
		t.Errorf("%d watches of nothing", n)
	}
}

// Of events only numbers are read, and no length is trusted.
func FuzzNumbers(f *testing.F) {
	event := func(wd int32, name string, size int) []byte {
		b := binary.NativeEndian.AppendUint32(nil, uint32(wd))
		b = append(b, make([]byte, 8)...)
		b = binary.NativeEndian.AppendUint32(b, uint32(size))
		return append(b, name...)
	}
	f.Add(append(event(7, "name\x00\x00\x00\x00", 8), event(8, "", 0)...), 2)
	f.Add(append(event(7, "name", 5), event(8, "", 0)...), -1)
	f.Add(event(1, "", 1<<32-1), -1)
	f.Fuzz(func(t *testing.T, events []byte, n int) {
		got := numbers(events)
		if len(got) > len(events)/unix.SizeofInotifyEvent {
			t.Errorf("%d of %d bytes", len(got), len(events))
		}
	})
}

func TestNumbers(t *testing.T) {
	var events []byte
	for wd, name := range []string{"a", "", "hostile\nname"} {
		padded := name + strings.Repeat("\x00", 16-len(name)%16)
		if name == "" {
			padded = ""
		}
		events = binary.NativeEndian.AppendUint32(events, uint32(wd))
		events = append(events, make([]byte, 8)...)
		events = binary.NativeEndian.AppendUint32(events, uint32(len(padded)))
		events = append(events, padded...)
	}
	if got := numbers(events); !slices.Equal(got, []int32{0, 1, 2}) {
		t.Errorf("%v", got)
	}
	if got := numbers(events[:len(events)-1]); !slices.Equal(got, []int32{0, 1, 2}) {
		t.Errorf("cut: %v", got)
	}
}
