package kernel

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
	"lockstep/internal/testenv"
	"lockstep/monitor"
)

// TestCost prints what a watched directory costs by each interface: time of the
// system calls, and what the kernel's memory grows by (of the whole machine:
// believe it only where nothing else runs).
func TestCost(t *testing.T) {
	testenv.NeedRoot(t)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	count := int(min(limit.Cur, 200_000)) - 100
	top := t.TempDir()
	own(t, func() {
		check(unix.Mount("none", top, "tmpfs", 0, ""))
		for i := range count {
			check(os.Mkdir(top+"/"+strconv.Itoa(i), 0o755))
		}
		for _, c := range []struct {
			name  string
			watch func(path string) (fd int)
		}{
			{"inotify", inotifyAdder()},
			{"fanotify, a mark on each", fanotifyAdder()},
			{"dnotify", dnotifyAdd},
		} {
			before, began, fds := slab(), time.Now(), []int(nil)
			for i := range count {
				if fd := c.watch(top + "/" + strconv.Itoa(i)); fd >= 0 {
					fds = append(fds, fd)
				}
			}
			took, grown := time.Since(began), slab()-before
			t.Logf("%-26s %6d directories: %5.1f µs and %5d bytes of the kernel's memory each", c.name, count,
				float64(took.Microseconds())/float64(count), grown/count)
			for _, fd := range fds {
				check(unix.Close(fd))
			}
		}
		fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_REPORT_DFID_NAME, unix.O_RDONLY)
		check(err)
		began := time.Now()
		check(unix.FanotifyMark(fd, unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, fanotifyMask, unix.AT_FDCWD, top))
		t.Logf("%-26s %6d directories: %v in all", "fanotify, file system", count, time.Since(began))
		check(unix.Close(fd))
	})
}

func inotifyAdder() func(string) int {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	check(err)
	return func(path string) int {
		_, err := unix.InotifyAddWatch(fd, path, monitor.InotifyMask)
		check(err)
		return -1
	}
}

func fanotifyAdder() func(string) int {
	const unlimitedMarks = 0x20
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_REPORT_DFID_NAME|unlimitedMarks, unix.O_RDONLY)
	check(err)
	return func(path string) int {
		check(unix.FanotifyMark(fd, unix.FAN_MARK_ADD, fanotifyMask|unix.FAN_EVENT_ON_CHILD, unix.AT_FDCWD, path))
		return -1
	}
}

func dnotifyAdd(path string) int {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	check(err)
	if e := sys.SetOwnerThread(fd, unix.Gettid()); e != 0 {
		panic(e)
	}
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETSIG, signal)
	check(err)
	_, err = unix.FcntlInt(uintptr(fd), unix.F_NOTIFY, dnotifyMask)
	check(err)
	return fd
}

// slab is what the kernel's objects take, in bytes.
func slab() int {
	text, err := os.ReadFile("/proc/meminfo")
	check(err)
	for line := range strings.Lines(string(text)) {
		if kib, ok := strings.CutPrefix(line, "Slab:"); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(kib), " kB"))
			check(err)
			return n << 10
		}
	}
	panic("no Slab in /proc/meminfo")
}
