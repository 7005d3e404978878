package dnotify

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/monitor"
)

// rig is a monitor with a worker's end, on real directories.
type rig struct {
	t       *testing.T
	m       *Monitor
	roots   []string
	worker  int
	ended   chan error
	said    []string
	marks   uint32
	packets int
	records int
}

func newRig(t *testing.T, roots ...string) *rig {
	t.Helper()
	r := &rig{t: t, roots: roots, ended: make(chan error, 1)}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.worker = pair[0]
	c := Config{Socket: pair[1], Say: func(line string) { r.said = append(r.said, line) }}
	var fds []int
	for i, root := range roots {
		fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
		c.Roots = append(c.Roots, Root{Number: uint32(i + 1), FD: fd})
	}
	if r.m, err = New(c); err != nil {
		t.Fatal(err)
	}
	go func() {
		err := r.m.Run()
		for _, p := range r.m.places {
			for n := range below(p.top) {
				_ = unix.Close(n.fd)
			}
		}
		for _, fd := range append(fds, pair[1], r.m.signals.fd) {
			_ = unix.Close(fd)
		}
		r.ended <- err
	}()
	return r
}

// stop ends the monitor; its fields may be read then.
func (r *rig) stop() {
	r.t.Helper()
	if err := unix.Close(r.worker); err != nil {
		r.t.Fatal(err)
	}
	if err := r.end(); !errors.Is(err, ErrGone) {
		r.t.Fatalf("the monitor ended with %v", err)
	}
}

func (r *rig) end() error {
	select {
	case err := <-r.ended:
		return err
	case <-time.After(20 * time.Second):
		r.t.Fatal("the monitor does not end")
		return nil
	}
}

// packet reads one, as the worker does.
func (r *rig) packet(take func(monitor.PathEvent)) {
	r.t.Helper()
	buf := make([]byte, monitor.PacketSize)
	p := []unix.PollFd{{Fd: int32(r.worker), Events: unix.POLLIN}}
	if n, err := unix.Poll(p, 20_000); n != 1 && !errors.Is(err, unix.EINTR) {
		r.t.Fatalf("nothing comes: %v", err)
	}
	n, err := unix.Read(r.worker, buf)
	if errors.Is(err, unix.EINTR) {
		return
	}
	if err != nil || n == 0 {
		r.t.Fatalf("%d bytes, %v; the monitor ended with %v", n, err, r.end())
	}
	r.packets++
	if err := monitor.DecodePaths(buf[:n], func(e monitor.PathEvent) {
		r.records++
		e.Dir = bytes.Clone(e.Dir)
		take(e)
	}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) ask() uint32 {
	r.t.Helper()
	r.marks++
	if _, err := unix.Write(r.worker, binary.LittleEndian.AppendUint32(nil, r.marks)); err != nil {
		r.t.Fatal(err)
	}
	return r.marks
}

// sync is all that is told up to the answer of a mark.
func (r *rig) sync(take func(monitor.PathEvent)) {
	r.t.Helper()
	mark := r.ask()
	for done := false; !done; {
		r.packet(func(e monitor.PathEvent) {
			if e.IsMark() {
				done = e.Cookie == mark
				return
			}
			take(e)
		})
	}
}

// changed are the directories of the first root that are told up to a mark,
// sorted, "." for the root.
func (r *rig) changed() string {
	r.t.Helper()
	var all []string
	r.sync(func(e monitor.PathEvent) {
		name := string(e.Dir)
		if name == "" {
			name = "."
		}
		if e.Mask == monitor.Overflow {
			name = "OVERFLOW"
		}
		if e.Root != 1 {
			name = "2:" + name
		}
		all = append(all, name)
	})
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " ")
}

func (r *rig) want(want string) {
	r.t.Helper()
	if got := r.changed(); got != want {
		r.t.Errorf("told: %s\nwant: %s", got, want)
	}
}

// least wants these directories, whatever else is told: what was true for a moment
// between two calls may have been told, too.
func (r *rig) least(want string) {
	r.t.Helper()
	got := r.changed()
	for _, dir := range strings.Fields(want) {
		if !slices.Contains(strings.Fields(got), dir) {
			r.t.Errorf("told: %s\nwant: %s", got, want)
			return
		}
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// dirs makes a tree.
func dirs(t *testing.T, paths ...string) string {
	t.Helper()
	top := t.TempDir()
	for _, p := range paths {
		must(t, os.MkdirAll(filepath.Join(top, p), 0o755))
	}
	return top
}

func write(t *testing.T, path string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(time.Now().String()), 0o644))
}

// inChild runs this test alone in a process of its own, with limits that cannot
// be taken back, or as another user; it returns true in the child.
func inChild(t *testing.T, uid uint32, only string) bool {
	t.Helper()
	if os.Getenv("DNOTIFY_CHILD") != "" {
		return true
	}
	dir, err := os.MkdirTemp("", "dnotify-")
	must(t, err)
	defer os.RemoveAll(dir)
	image, err := os.ReadFile("/proc/self/exe")
	must(t, err, os.Chmod(dir, 0o755), os.WriteFile(dir+"/test", image, 0o755))
	cmd := exec.Command(dir+"/test", "-test.run", only, "-test.v", "-test.timeout=100s")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "DNOTIFY_CHILD=1")
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || bytes.Contains(out, []byte("no tests to run")) {
		t.Fatalf("the child: %v", err)
	}
	return false
}
