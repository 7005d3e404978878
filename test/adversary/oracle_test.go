package adversary

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/mountinfo"
)

// oracle is fanotify: it is told of each open outside the root, of whichever
// process, by the kernel. An open with O_PATH alone it is not told of; those are
// strace's, in TestCallsStayBelowTheRoot.
type oracle struct {
	t      *testing.T
	groups []int
	wake   [2]int
	done   sync.WaitGroup
	marks  map[string]int // by how

	mu    sync.Mutex
	opens map[int32]int // by process
	lost  bool
	buf   [256 << 10]byte
}

const opens = unix.FAN_OPEN | unix.FAN_OPEN_EXEC | unix.FAN_ONDIR

// newOracle marks what is outside of the tree's root: on its own file system each
// directory, of all others the whole of them; and the root of the helper's jail.
func newOracle(t *testing.T, r *tree, helper int) *oracle {
	t.Helper()
	o := &oracle{t: t, opens: map[int32]int{}, marks: map[string]int{}}
	// With handles nothing is opened for an event. /proc and the like have none.
	for _, report := range []uint{unix.FAN_REPORT_FID, 0} {
		group, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_UNLIMITED_QUEUE|unix.FAN_UNLIMITED_MARKS|report, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK)
		must(t, err)
		o.groups = append(o.groups, group)
	}
	// Children of top are the root itself, which is the helper's to open.
	o.mark("directories", r.top, unix.FAN_MARK_ADD, opens)
	o.mark("directories", r.transit, unix.FAN_MARK_ADD, opens)
	must(t, filepath.WalkDir(r.outside, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			o.mark("directories", path, unix.FAN_MARK_ADD, opens|unix.FAN_EVENT_ON_CHILD|unix.FAN_ACCESS)
		}
		return err
	}))
	o.mark("jail", fmt.Sprintf("/proc/%d/root/.", helper), unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, opens|unix.FAN_ACCESS)
	var own unix.Stat_t
	must(t, unix.Stat(r.top, &own))
	mounts, err := mountinfo.Read()
	must(t, err)
	seen := map[uint64]bool{own.Dev: true}
	for _, m := range mounts {
		var st unix.Stat_t
		if unix.Stat(m.Point, &st) != nil || seen[st.Dev] {
			continue
		}
		seen[st.Dev] = true
		o.mark("file systems", m.Point, unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, opens)
	}
	must(t, unix.Pipe2(o.wake[:], unix.O_CLOEXEC))
	o.done.Go(o.run)
	t.Cleanup(o.close)
	return o
}

// mark marks by a group with handles, or where there are none, by the other.
func (o *oracle) mark(how, path string, flags uint, mask uint64) {
	o.t.Helper()
	err := unix.FanotifyMark(o.groups[0], flags, mask, unix.AT_FDCWD, path)
	if err != nil {
		if err = unix.FanotifyMark(o.groups[1], flags, mask&^unix.FAN_OPEN_EXEC, unix.AT_FDCWD, path); err == nil {
			how += " without handles"
		}
	}
	switch {
	case err == nil:
		o.marks[how]++
	case how == "file systems":
		o.marks["refused by the kernel: "+err.Error()]++
	default:
		o.t.Fatalf("fanotify mark on %s: %v", path, err)
	}
}

func (o *oracle) run() {
	for {
		fds := []unix.PollFd{{Fd: int32(o.wake[0]), Events: unix.POLLIN}}
		for _, g := range o.groups {
			fds = append(fds, unix.PollFd{Fd: int32(g), Events: unix.POLLIN})
		}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return
		}
		o.mu.Lock()
		o.drain()
		o.mu.Unlock()
		if fds[0].Revents != 0 {
			return
		}
	}
}

// take counts events (struct fanotify_event_metadata, <linux/fanotify.h>).
func (o *oracle) take(b []byte) {
	for len(b) >= 24 {
		size := binary.NativeEndian.Uint32(b)
		mask := binary.NativeEndian.Uint64(b[8:])
		fd, pid := int32(binary.NativeEndian.Uint32(b[16:])), int32(binary.NativeEndian.Uint32(b[20:]))
		if mask&unix.FAN_Q_OVERFLOW != 0 {
			o.lost = true
		}
		o.opens[pid]++
		if fd >= 0 {
			unix.Close(int(fd))
		}
		if size < 24 || int(size) > len(b) {
			return
		}
		b = b[size:]
	}
}

// seen is how many opens of a process the kernel has told of. All that it did
// before has been told of: events are queued by the call that they are of.
func (o *oracle) seen(pid int) int {
	o.t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drain()
	if o.lost {
		o.t.Error("fanotify has lost events")
	}
	return o.opens[int32(pid)]
}

// drain reads all that is queued; the lock is held.
func (o *oracle) drain() {
	for _, g := range o.groups {
		for {
			n, err := unix.Read(g, o.buf[:])
			if err == unix.EINTR {
				continue
			}
			if err != nil || n <= 0 {
				break
			}
			o.take(o.buf[:n])
		}
	}
}

func (o *oracle) close() {
	unix.Close(o.wake[1])
	o.done.Wait()
	unix.Close(o.wake[0])
	for _, g := range o.groups {
		unix.Close(g)
	}
}

// openerArg makes this binary a process that opens what it is told to.
const openerArg = "adversary-opener"

func opener(paths []string) {
	ready := bufio.NewReader(os.Stdin)
	if _, err := ready.ReadByte(); err != nil {
		os.Exit(3)
	}
	for _, p := range paths {
		f, err := os.OpenFile(p, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(4)
		}
		f.Close()
	}
	os.Exit(0)
}

// sees starts a process that does open something outside, and wants the oracle to
// have seen each: that it is silent about the helper is no matter of course.
func (o *oracle) sees(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		cmd := exec.Command("/proc/self/exe", openerArg, path)
		in, err := cmd.StdinPipe()
		must(t, err)
		cmd.Stderr = os.Stderr
		must(t, cmd.Start())
		// Its own start opens files, too.
		must(t, untilBlocked(cmd.Process.Pid))
		before := o.seen(cmd.Process.Pid)
		_, err = in.Write([]byte("x"))
		must(t, errors.Join(err, in.Close(), cmd.Wait()))
		if n := o.seen(cmd.Process.Pid) - before; n == 0 {
			t.Errorf("the oracle did not see that %s was opened", path)
		}
	}
}

// untilBlocked waits until a process waits for what it reads, which the kernel has
// no event for.
func untilBlocked(pid int) error {
	for range 100_000 {
		all, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
		if err != nil {
			return err
		}
		for _, file := range all {
			text, _ := os.ReadFile(file)
			if slices.Equal(strings.Fields(string(text))[:min(2, len(strings.Fields(string(text))))], []string{fmt.Sprint(unix.SYS_READ), "0x0"}) {
				return nil
			}
		}
	}
	return errors.New("the twin does not come to its read")
}
