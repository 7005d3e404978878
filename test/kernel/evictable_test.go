package kernel

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
)

// Why no directory gets a mark of fanotify's own: docs/adr/0019.

// reports are what a group may be asked to tell, from most to least.
func reports() []uint {
	const target = 0x1000 // FAN_REPORT_TARGET_FID
	return []uint{unix.FAN_REPORT_DFID_NAME | unix.FAN_REPORT_FID | target, unix.FAN_REPORT_DFID_NAME, unix.FAN_REPORT_FID}
}

// marked says what the kernel answers to a mark on path.
func marked(flags, kind uint, path string) string {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|flags, unix.O_RDONLY)
	check(err)
	defer unix.Close(fd)
	mask := uint64(unix.FAN_CREATE | unix.FAN_DELETE | unix.FAN_MODIFY | unix.FAN_ONDIR)
	if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD|kind, mask, unix.AT_FDCWD, path); err != nil {
		return err.(unix.Errno).Error() + " (" + unix.ErrnoName(err.(unix.Errno)) + ")"
	}
	return "taken"
}

// opens says whether a directory's handle, as an event carries it, leads back to
// the directory.
func opens(path string) string {
	const handleFid = 0x200 // AT_HANDLE_FID: a handle that need not be openable
	how := "has a handle"
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
	if err != nil {
		if h, _, err = unix.NameToHandleAt(unix.AT_FDCWD, path, handleFid); err != nil {
			return "no handle: " + unix.ErrnoName(err.(unix.Errno))
		}
		how = "has a handle to compare only"
	}
	top, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	check(err)
	defer unix.Close(top)
	fd, err := unix.OpenByHandleAt(top, h, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return how + ", which does not open: " + unix.ErrnoName(err.(unix.Errno))
	}
	check(unix.Close(fd))
	return how + ", which opens"
}

// place is a directory on a file system.
type place struct{ name, dir string }

// onOverlays mounts two, and gives a directory in each.
func onOverlays(base string) (all []place) {
	check(unix.Mount("none", base, "tmpfs", 0, ""))
	for _, c := range []struct{ name, opts string }{{"overlay", ""}, {"overlay, nfs_export=on", ",index=on,nfs_export=on"}} {
		at := base + "/" + strconv.Itoa(len(all))
		for _, dir := range []string{"", "/l", "/u", "/w", "/m", "/l/d"} {
			check(os.Mkdir(at+dir, 0o755))
		}
		check(unix.Mount("none", at+"/m", "overlay", 0, "lowerdir="+at+"/l,upperdir="+at+"/u,workdir="+at+"/w"+c.opts))
		all = append(all, place{c.name, at + "/m/d"})
	}
	return all
}

// TestMarksOfOneDirectory prints where the kernel takes a mark on a file system and
// where one on a directory, whether the handles of its events lead anywhere, and
// that inotify tells of changes wherever the first is refused.
func TestMarksOfOneDirectory(t *testing.T) {
	ext4, xfs, btrfs := testenv.LoopFS(t, "ext4"), testenv.LoopFS(t, "xfs"), testenv.LoopFS(t, "btrfs")
	if out, err := exec.Command("btrfs", "subvolume", "create", btrfs+"/sub").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	bound, base, memory := t.TempDir(), t.TempDir(), t.TempDir()
	if out, err := exec.Command(testenv.NeedTool(t, "bindfs"), t.TempDir(), bound).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer func() {
		if err := unix.Unmount(bound, 0); err != nil {
			t.Error(err)
		}
	}()
	own(t, func() {
		check(unix.Mount("none", memory, "tmpfs", 0, ""))
		all := append([]place{
			{"ext4", ext4}, {"xfs", xfs}, {"tmpfs", memory}, {"btrfs", btrfs}, {"btrfs subvolume", btrfs + "/sub"}, {"fuse (bindfs)", bound},
		}, onOverlays(base)...)
		refused := 0
		for _, p := range all {
			whole, one := answers(unix.FAN_MARK_FILESYSTEM, p.dir), answers(evictable, p.dir)
			t.Logf("%-22s file system: %-40s directory: %-6s %s", p.name, whole, one, opens(p.dir))
			if whole == "taken" {
				continue
			}
			refused++
			w := newInotify(p.dir)
			check(os.WriteFile(p.dir+"/act-file", nil, 0o644))
			if told := w.seen("act-"); !strings.Contains(told, "CREATE") {
				t.Errorf("%s: inotify tells %q", p.name, told)
			}
			w.close()
		}
		if refused == 0 {
			t.Error("no mark on a file system was refused")
		}
	})
}

// answers are what the kernel answers whatever is to be reported, or all of them.
func answers(kind uint, path string) string {
	var all []string
	for _, r := range reports() {
		all = append(all, marked(r, kind, path))
	}
	if all[0] == all[1] && all[1] == all[2] {
		return all[0]
	}
	return strings.Join(all, ", ")
}

// FAN_MARK_EVICTABLE, since Linux 5.19.
const evictable = 0x200

// TestEvictableMarkIsLost: a mark that does not hold its directory in memory goes
// with it, and what happens there then is told by nobody, not even as an overflow.
// One that holds it stays.
func TestEvictableMarkIsLost(t *testing.T) {
	testenv.NeedRoot(t)
	top := testenv.LoopFS(t, "ext4")
	const dirs = 500
	for _, c := range []struct {
		name string
		kind uint
		told func(n int) bool
	}{
		{"evictable", evictable, func(n int) bool { return n < dirs }},
		{"as usual", 0, func(n int) bool { return n == dirs }},
	} {
		base := top + "/" + strings.ReplaceAll(c.name, " ", "-")
		fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_REPORT_DFID_NAME, unix.O_RDONLY)
		if err != nil {
			t.Fatal(err)
		}
		for i := range dirs {
			dir := base + "/" + strconv.Itoa(i)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD|c.kind, unix.FAN_CREATE, unix.AT_FDCWD, dir); err != nil {
				t.Fatal(err)
			}
		}
		unix.Sync()
		// What writes to a disk may hold some back at first.
		w := fanotify{fd}
		n := dirs
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0); err != nil {
				t.Fatal(err)
			}
			n = changesTold(t, w, base, dirs)
			if c.kind == 0 || n < dirs {
				break
			}
		}
		t.Logf("%-10s marks on %d directories; after the kernel has dropped its caches %d of %d changes are told", c.name, dirs, n, dirs)
		if !c.told(n) {
			t.Errorf("%s: %d of %d changes are told", c.name, n, dirs)
		}
		w.close()
	}
}

// changesTold makes a file in each directory, and counts those that are told.
func changesTold(t *testing.T, w fanotify, base string, dirs int) (n int) {
	t.Helper()
	for i := range dirs {
		path := base + "/" + strconv.Itoa(i) + "/act-" + strconv.Itoa(i)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	told := w.seen("act-")
	if strings.Contains(told, "Q_OVERFLOW") {
		t.Error("an overflow was told")
	}
	for i := range dirs {
		if err := os.Remove(base + "/" + strconv.Itoa(i) + "/act-" + strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	return len(strings.Fields(told))
}
