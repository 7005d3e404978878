package resolver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/monitor"
	"lockstep/supervise/fanotify"
)

// rig is a resolver on a directory of the real file system, and its worker.
type rig struct {
	t       testing.TB
	base    string // root and outside lie in it
	root    string
	outside string
	fan     *os.File
	worker  int
	r       *Resolver
	done    chan error
	numbers uint32

	mu  sync.Mutex
	raw []byte // guarded by mu; all that was ever received
}

// newRig makes the directories, on a file system of their own, and the queue;
// start starts the resolver.
func newRig(t testing.TB) *rig {
	t.Helper()
	testenv.NeedRoot(t)
	base := t.TempDir()
	if err := unix.Mount("none", base, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(base, 0); err != nil {
			t.Error(err)
		}
	})
	return rigIn(t, base)
}

func rigIn(t testing.TB, base string) *rig {
	t.Helper()
	testenv.NeedRoot(t)
	g := &rig{t: t, base: base, root: base + "/root", outside: base + "/outside", done: make(chan error, 1)}
	for _, d := range []string{g.root, g.outside} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if g.fan, err = fanotify.Open(fanotify.Tree{Path: g.root}); err != nil {
		testenv.Lacks(t, err.Error())
	}
	t.Cleanup(func() { _ = g.fan.Close() })
	return g
}

// start runs the resolver on a thread with a working directory of its own.
func (g *rig) start(change func(*Resolver)) *rig {
	g.t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		g.t.Fatal(err)
	}
	root, err := unix.Open(g.root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		g.t.Fatal(err)
	}
	g.worker = pair[0]
	begun := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with it
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			g.r, err = New(Ends{Fanotify: int(g.fan.Fd()), Worker: pair[1], Root: root, Number: 1})
		}
		if err == nil && change != nil {
			change(g.r)
		}
		begun <- err
		if err == nil {
			err = errors.Join(g.r.Run(), unix.Chdir("/"))
			for _, fd := range []int{pair[1], root, g.r.open, g.r.shut} {
				_ = unix.Close(fd)
			}
			g.done <- err
		}
	}()
	if err := <-begun; err != nil {
		g.t.Fatal(err)
	}
	return g
}

// stop closes the worker's end.
func (g *rig) stop() {
	g.t.Helper()
	if err := unix.Close(g.worker); err != nil {
		g.t.Fatal(err)
	}
	if err := <-g.done; err != nil {
		g.t.Error(err)
	}
}

// ask sends the worker's side of a mark.
func (g *rig) ask() uint32 {
	g.t.Helper()
	g.numbers++
	if _, err := unix.Write(g.worker, binary.LittleEndian.AppendUint32(nil, g.numbers)); err != nil {
		g.t.Fatal(err)
	}
	return g.numbers
}

// until receives events until the mark of a number.
func (g *rig) until(number uint32, emit func(monitor.PathEvent)) {
	g.t.Helper()
	buf := make([]byte, 64<<10+1)
	for seen := false; !seen; {
		n, err := unix.Read(g.worker, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 || n > 64<<10 {
			g.t.Fatalf("a packet of %d bytes, %v", n, err)
		}
		g.mu.Lock()
		g.raw = append(g.raw, buf[:n]...)
		g.mu.Unlock()
		err = monitor.DecodePaths(buf[:n], func(e monitor.PathEvent) {
			if !e.IsMark() {
				emit(e)
			} else if seen = e.Cookie == number; !seen {
				g.t.Errorf("mark %d, want %d", e.Cookie, number)
			}
		})
		if err != nil {
			g.t.Fatal(err)
		}
	}
}

// events are all up to now, in words. What the kernel merges if it is not read
// too soon is merged here.
func (g *rig) events() (got []string) {
	g.t.Helper()
	masks := map[string]monitor.Op{}
	flush := func() {
		for i, place := range got {
			if mask, ok := masks[place]; ok {
				got[i] = mask.String() + " " + place
			}
		}
		clear(masks)
	}
	g.until(g.ask(), func(e monitor.PathEvent) {
		place := strings.TrimSuffix("/"+string(e.Dir), "/") + "/" + string(e.Name)
		if e.Cookie != 0 {
			flush()
			got = append(got, e.Mask.String()+" "+place+" cookie")
			return
		}
		if masks[place] == 0 {
			got = append(got, place)
		}
		masks[place] |= e.Mask
	})
	flush()
	return got
}

// do runs file system calls by their names.
func (g *rig) do(acts ...error) {
	g.t.Helper()
	for i, err := range acts {
		if err != nil {
			g.t.Fatalf("act %d: %v", i, err)
		}
	}
}

func (g *rig) file(name string) error   { return os.WriteFile(g.root+"/"+name, []byte("x"), 0o600) }
func (g *rig) dir(name string) error    { return os.Mkdir(g.root+"/"+name, 0o700) }
func (g *rig) remove(name string) error { return os.RemoveAll(g.root + "/" + name) }
func (g *rig) move(from, to string) error {
	return os.Rename(g.root+"/"+from, g.root+"/"+to)
}

func (g *rig) want(want ...string) {
	g.t.Helper()
	if got := g.events(); fmt.Sprint(got) != fmt.Sprint(want) {
		g.t.Errorf("got\n\t%q\nwant\n\t%q", got, want)
	}
}

// holds says whether a text was ever received.
func (g *rig) holds(text string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return bytes.Contains(g.raw, []byte(text))
}
