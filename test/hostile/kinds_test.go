//go:build hostile

package hostile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/test/compare"
)

// TestSpecialFilesAreNotOpened: FIFOs, sockets, devices, and links to a terminal, in the
// source before the start and after: nobody opens one, what can be copied is, the rest is
// counted, and a file beside them arrives.
func TestSpecialFilesAreNotOpened(t *testing.T) {
	timed(t)
	m := newMirror(t)
	var nodes []string
	special := func(dir string) {
		m.asNobody("dir "+dir, "fifo "+dir+"/fifo", "socket "+dir+"/socket", "link "+dir+"/tty /dev/tty", "link "+dir+"/zero /dev/zero", "write "+dir+"/file x")
		for name, kind := range map[string]uint32{"null": unix.S_IFCHR, "disk": unix.S_IFBLK} { // nobody can make none
			must(t, unix.Mknod(m.src+"/"+dir+"/"+name, kind|0o666, int(unix.Mkdev(1, 3))))
		}
		for _, name := range []string{"fifo", "socket", "null", "disk"} {
			nodes = append(nodes, m.src+"/"+dir+"/"+name)
		}
	}
	special("before")
	o := newOpens(t, used, nodes...)
	m.start().ready()
	special("after")
	after := newOpens(t, used, nodes[4:]...)
	begin := time.Now()
	state := m.equal()
	took := time.Since(begin)
	m.wholePass()
	m.equal()
	for _, o := range []*opens{o, after} {
		if own, others := o.by(); own+others > 0 {
			t.Errorf("special files were opened %d times by others and %d times by the test", others, own)
		}
	}
	// A plain reader is noticed.
	fd, err := unix.Open(nodes[0], unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Close(fd))
	if own, _ := o.by(); own == 0 {
		t.Error("an open of a FIFO is not noticed")
	}
	t.Logf("0 opens of %d special files; %d skipped; in step %v after the last", len(nodes), state.Num("skipped"), took.Round(time.Millisecond))
	if state.Num("skipped") != 6 {
		t.Errorf("%d are counted, want 6: %s", state.Num("skipped"), state)
	}
	m.noDevices()
	m.stop()
}

// noDevices wants no device and no socket on the target.
func (m *mirror) noDevices() {
	m.t.Helper()
	for path, e := range m.snapshot() {
		if e.Kind != unix.S_IFREG && e.Kind != unix.S_IFDIR && e.Kind != unix.S_IFLNK && e.Kind != unix.S_IFIFO {
			m.t.Errorf("%+q on the target is of kind %o", path, e.Kind)
		}
	}
}

// TestForeignHardLink: where the kernel permits it, nobody can put a file of root's that
// he cannot read into the source. It is copied, as SECURITY.md says, and is on the target
// as unreadable for him as it was; where the kernel protects such files (the default)
// there is no such link.
func TestForeignHardLink(t *testing.T) {
	m := newMirror(t) // not beside others, whose links the kernel is to protect
	foreign := m.base + "/foreign"
	must(t, os.WriteFile(foreign, []byte(sentinel), 0o600))
	m.start().ready()
	setting := "/proc/sys/fs/protected_hardlinks"
	was, err := os.ReadFile(setting)
	must(t, err)
	if strings.TrimSpace(string(was)) != "1" {
		testenv.Lacks(t, "fs.protected_hardlinks is off on this machine")
	}
	if err := acting(nobody, "do", m.src, "hard link "+foreign).Run(); err == nil {
		t.Error("the kernel permits the link though it is to protect the file")
	}
	must(t, os.WriteFile(setting, []byte("0"), 0o644))
	err = acting(nobody, "do", m.src, "hard link "+foreign).Run()
	must(t, os.WriteFile(setting, was, 0o644))
	must(t, err)
	m.equal()
	e := m.snapshot()["link"]
	if e.Kind != unix.S_IFREG || e.Mode != 0o600 || e.UID != 0 {
		t.Errorf("the file of root's is on the target as %+v", e)
	}
	t.Logf("without the kernel's protection the link is copied: mode %04o, uid %d on the target", e.Mode, e.UID)
	m.stop()
}

// TestSetIDBits: nobody's set-id files are nobody's on the target at every moment: there
// is no set-id file of root's, not for an instant. A directory that is sticky is so there.
func TestSetIDBits(t *testing.T) {
	timed(t)
	m := newMirror(t)
	m.start().ready()
	n := 60
	if full() {
		n = 600
	}
	done, looks := make(chan error, 1), 0
	go func() {
		var steps []string
		for i := range n {
			f := fmt.Sprintf("f%d", i)
			steps = append(steps, "write "+f+" x", "mode "+f+" 6755", "append "+f+" more", "mode "+f+" 4755", "rename "+f+" g"+f)
		}
		done <- acting(nobody, "do", append([]string{m.src, "dir sticky", "mode sticky 1777", "dir setgid", "mode setgid 2775"}, steps...)...).Run()
	}()
	rooted := func() {
		looks++
		_ = filepath.WalkDir(m.dst, func(path string, d fs.DirEntry, err error) error {
			if info, e := os.Lstat(path); err == nil && e == nil && info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
				if st := info.Sys().(*syscall.Stat_t); st.Uid != nobody || st.Gid != nobody {
					t.Errorf("%s is %v of uid %d, gid %d", path, info.Mode(), st.Uid, st.Gid)
				}
			}
			return nil
		})
	}
	for begin, over := time.Now(), false; !over; {
		rooted()
		select {
		case err := <-done:
			must(t, err)
			over = true
		default:
		}
		if time.Since(begin) > limit {
			t.Fatal("nobody has not ended")
		}
	}
	m.eventually("both trees are the same", func() error {
		rooted()
		diff, err := m.differ()
		if len(diff) > 0 {
			err = errors.New(diff[0])
		}
		return err
	})
	m.equal()
	bits := map[uint32]int{}
	for _, e := range m.snapshot() {
		bits[e.Mode&^0o777]++
	}
	t.Logf("%d set-id files of nobody's, bits by kind %v; in %d looks none was root's", n, bits, looks)
	if bits[0o4000] != n || bits[0o1000] != 1 || bits[0o2000] != 1 {
		t.Errorf("set-id bits on the target: %o", bits)
	}
	m.stop()
}

// TestFilesInMotion: files that grow, shrink and change through a mapping while they are
// copied. Nothing fails for good, and in the end all is as it is in the source. (Of a
// mapping no event tells: the next whole pass sees its time.)
func TestFilesInMotion(t *testing.T) {
	timed(t)
	m := newMirror(t)
	m.asNobody("size grows 20000000", "size shrinks 20000000", "size mapped 20000000", "write still x")
	m.start().ready()
	rounds := 20
	if full() {
		rounds = 300
	}
	for i := range rounds {
		m.asNobody(fmt.Sprintf("append grows %s", strings.Repeat("g", 1000+i)), fmt.Sprintf("size shrinks %d", 20_000_000-i*50_000), "append shrinks x", fmt.Sprintf("mapped mapped mapped-%d", i), fmt.Sprintf("write still %d", i))
	}
	m.eventually("the others have arrived", func() error {
		for _, name := range []string{"grows", "shrinks", "still"} {
			one := compare.Options{NoRoot: true, Skip: func(rel string, _ uint32) bool { return rel != name }}
			if diff, err := compare.Equal(m.src, m.dst, one); err != nil || len(diff) > 0 {
				return fmt.Errorf("%s: %v %v", name, err, diff)
			}
		}
		return nil
	})
	m.wholePass()
	m.equal()
	t.Logf("%d rounds of growing, shrinking and writing through a mapping", rounds)
	m.stop()
}

// TestHugeSparseFile: a file that is all hole, as large as a file can be, takes for ever
// to be read. Whatever else changes arrives all the same, and the end comes in time.
func TestHugeSparseFile(t *testing.T) {
	timed(t)
	m := newMirror(t)
	unmount := mounted(t, "hostile", m.src, "tmpfs", 0) // whose files can be that large
	defer unmount()
	must(t, os.Chown(m.src, nobody, nobody))
	m.start("--stop-timeout", "2s").ready()
	m.asNobody("size huge 9223372036854775807")
	m.skip = func(rel string, _ uint32) bool { return rel == "huge" || strings.HasPrefix(rel, ".huge.") }
	for i := range 10 {
		m.asNobody(fmt.Sprintf("write f%d x", i))
		begin := time.Now()
		m.eventually("the others have arrived", func() error {
			diff, err := compare.Equal(m.src, m.dst, compare.Options{NoRoot: true, Skip: m.skip})
			if len(diff) > 0 {
				err = errors.New(diff[0])
			}
			return err
		})
		if i == 9 {
			t.Logf("beside a file of 8 EiB another one arrives in %v", time.Since(begin).Round(time.Millisecond))
		}
	}
	begin := time.Now()
	must(t, m.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-m.ended:
	case <-time.After(30 * time.Second):
		t.Fatal("no end 30 s after SIGTERM")
	}
	t.Logf("the end comes %v after SIGTERM, with code %d", time.Since(begin).Round(time.Millisecond), m.code)
}
