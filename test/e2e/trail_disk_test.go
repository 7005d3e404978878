//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fill has commands recorded until the disk of the trail is full.
func (m *mirror) fill(path string) int {
	m.t.Helper()
	at := m.mark()
	full := false
	for i := 0; !full; i++ {
		write(m.t, fmt.Sprintf("%s/f%04d", m.src, i), "x")
		m.eventually("a file is copied, or the trail is full", func() bool {
			_, err := os.Stat(fmt.Sprintf("%s/f%04d", m.dst, i))
			full = slices.ContainsFunc(m.since(at), says("the audit trail cannot be written"))
			return err == nil || full
		})
		if i > 500 {
			m.t.Fatalf("%s does not become full", path)
		}
	}
	return at
}

// smallDisk is a file system of 64 KiB in which a trail is.
func smallDisk(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "small")
	mkdir(t, dir)
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=64k,mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func widen(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT, "size=4m"); err != nil {
		t.Fatal(err)
	}
}

// With strict nothing more is copied while the trail cannot be written, and that is
// said; when there is room again, all is copied, and the trail tells of the gap.
func TestTrailStrict(t *testing.T) {
	dir := smallDisk(t)
	m := newMirror(t, "--audit", "strict", "--audit-dir", dir, "--delay", "20ms", "--control-socket", "none").start().ready()
	at := m.fill(dir)
	m.await(at, "what strict does", limit, says("no command is begun"))
	write(t, m.src+"/later", "x")
	m.eventually("a change waits", func() bool { return len(m.role("rsync")) == 0 })
	pause(2 * time.Second) // in which a command would have begun many times
	absent(t, m.dst+"/later")
	begun := count(entries(t, dir), typed("command-start", "begun"))
	widen(t, dir)
	m.await(at, "the end of the gap", limit, says("can be written again"))
	m.equal()
	if now := count(entries(t, dir), typed("command-start", "begun")); now <= begun {
		t.Errorf("%d commands were begun, %d before", now, begun)
	}
	m.stop()
	if _, ok := has(entries(t, dir), func(e entry) bool { return e.Type == "gap" }); !ok {
		t.Error("the gap is not recorded")
	}
	verified(t, "", dir, keys{})

	// Where the first record cannot be written, there is no start.
	full := smallDisk(t)
	write(t, full+"/x", strings.Repeat("x", 64<<10))
	other := newMirror(t, "--audit", "strict", "--audit-dir", full)
	if code := other.once(); code != 1 || !strings.Contains(other.output(), "nothing is done without it") {
		t.Errorf("on a full disk: exit code %d: %s", code, other.output())
	}
	absent(t, other.dst+"/x")
}

// With best-effort all goes on; what was not recorded is counted.
func TestTrailBestEffort(t *testing.T) {
	dir := smallDisk(t)
	m := newMirror(t, "--audit", "best-effort", "--audit-dir", dir, "--delay", "20ms").start().ready()
	at := m.fill(dir)
	for i := range 3 {
		write(t, fmt.Sprintf("%s/more%d", m.src, i), "x")
		m.sameWithin(limit)
	}
	widen(t, dir)
	i := 0
	m.eventually("the end of the gap, while much is recorded", func() bool {
		i++
		write(t, fmt.Sprintf("%s/then%d", m.src, i), "x")
		return slices.ContainsFunc(m.since(at), says("can be written again"))
	})
	m.stop()
	gap, ok := has(entries(t, dir), func(e entry) bool { return e.Type == "gap" })
	if !ok || gap.Facts.Lost < 6 { // of each of three commands a beginning and an end
		t.Errorf("the gap: %v %+v", ok, gap)
	}
	verified(t, "", dir, keys{})
}

// kill -9 leaves a trail that goes on at the next start, which says that there was no
// stop; a line that was not written to its end is accounted for.
func TestTrailKilled(t *testing.T) {
	f, dir, k := withTrail(t, "strict", "www")
	f.start().ready()
	www := f.part("www")
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for i := range 30 {
			_ = os.WriteFile(fmt.Sprintf("%s/f%d", www.src, i), []byte("x"), 0o644)
		}
	}()
	if err := f.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	f.wait(limit)
	f.sweepWait()
	<-stop
	// As after a power cut.
	file := trailFiles(t, dir)[0]
	torn, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := torn.WriteString(`{"v":1,"seq":99`); err != nil {
		t.Fatal(err)
	}
	if err := torn.Close(); err != nil {
		t.Fatal(err)
	}
	if out, code := runs(t, nil, "audit", "verify", "-c", f.file); code != 1 || !strings.Contains(out, "torn") {
		t.Errorf("a torn trail: exit code %d: %s", code, out)
	}
	f.start().ready()
	f.stop()
	all := entries(t, dir)
	if n := count(all, typed("start", "success")); n != 2 {
		t.Errorf("%d starts", n)
	}
	if n := count(all, func(e entry) bool { return e.Type == "start" && e.Facts.Unclean }); n != 1 {
		t.Errorf("%d starts say that there was no stop", n)
	}
	if n := len(trailFiles(t, dir)); n != 2 {
		t.Errorf("%d files", n)
	}
	verified(t, f.file, dir, k)
}
