//go:build hostile

package hostile

import (
	"encoding/binary"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// opens counts what processes do with inodes, as the kernel tells it (fanotify): who
// opens, reads or executes one. Opens with O_PATH alone, which reach nothing, are not
// told.
type opens struct {
	t     *testing.T
	group int
}

// used are all ways to use what a name leads to.
const used = unix.FAN_OPEN | unix.FAN_ACCESS | unix.FAN_OPEN_EXEC

func newOpens(t *testing.T, what uint64, paths ...string) *opens {
	t.Helper()
	group, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_UNLIMITED_QUEUE|unix.FAN_REPORT_FID, unix.O_RDONLY)
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(group) })
	for _, path := range paths {
		mask := what
		if info, err := os.Lstat(path); err == nil && info.IsDir() {
			mask |= unix.FAN_ONDIR | unix.FAN_EVENT_ON_CHILD
		}
		if err := unix.FanotifyMark(group, unix.FAN_MARK_ADD|unix.FAN_MARK_DONT_FOLLOW, mask, unix.AT_FDCWD, path); err != nil {
			t.Fatalf("fanotify mark on %s: %v", path, err)
		}
	}
	return &opens{t, group}
}

// by counts events of this process and of all others, since the last time
// (struct fanotify_event_metadata, <linux/fanotify.h>).
func (o *opens) by() (own, others int) {
	o.t.Helper()
	buf := make([]byte, 256<<10)
	for {
		n, err := unix.Read(o.group, buf)
		if err == unix.EAGAIN || err == nil && n == 0 {
			return own, others
		}
		if err == unix.EINTR {
			continue
		}
		must(o.t, err)
		for b := buf[:n]; len(b) >= 24; b = b[binary.NativeEndian.Uint32(b):] {
			if binary.NativeEndian.Uint64(b[8:])&unix.FAN_Q_OVERFLOW != 0 {
				o.t.Error("fanotify has lost events")
			}
			if int(binary.NativeEndian.Uint32(b[20:])) == os.Getpid() {
				own++
			} else {
				others++
			}
		}
	}
}
