//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
)

// dead puts a file system over a directory that never answers: FUSE, whose
// daemon, this test, reads no request (fuse(4)). revive takes it away again;
// what waited for it then fails.
func dead(t *testing.T, at string) (revive func()) {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		testenv.Lacks(t, "FUSE: "+err.Error())
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)
	if err := unix.Mount("dead", at, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		t.Fatal(err)
	}
	mounted := true
	revive = func() {
		if !mounted {
			return
		}
		mounted = false
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(revive)
	return revive
}

// A target whose disk or server never answers is held: the others are served,
// the session obeys, and when it is back it is compared whole.
func TestDeadTargetDelaysNoOther(t *testing.T) {
	m := newMirror(t, "--stop-timeout", "2s")
	base := m.src + "-"
	m.targets = []string{base + "a", base + "b", m.dst, base + "c"}
	m.more = []string{base + "a", base + "b", base + "c"}
	hundred(t, m.src, 10)
	m.start().ready()
	m.equal()

	at := m.mark()
	revive := dead(t, base+"b")
	m.more = []string{base + "a", base + "c"}
	m.await(at, "word of the dead target", limit, func(r record) bool {
		return isBad(r) && says(base+"b: held: source or target does not answer")(r)
	})
	at = m.mark()
	for i := range 5 {
		write(t, fmt.Sprintf("%s/beside%d", m.src, i), "x")
		m.sameWithin(limit)
	}
	for _, r := range m.since(at) {
		if isBad(r) {
			t.Errorf("told of the others: %v", r)
		}
	}
	revive()
	m.more = append(m.more, base+"b")
	m.sameWithin(limit)

	revive = dead(t, base+"b")
	m.more = []string{base + "a", base + "c"}
	m.stopsIn(10 * time.Second)
	revive()
}

// What is mounted inside one of several targets is filled, and nothing of the
// others is touched for it.
func TestMountInsideOneOfSeveralTargets(t *testing.T) {
	m := newMirror(t)
	other := m.src + "-other"
	m.targets, m.more = []string{m.dst, other}, []string{other}
	hundred(t, m.src, 3)
	command(t, "mkdir", m.src+"/sub")
	write(t, m.src+"/sub/f", "x")
	m.start().ready()
	m.equal()
	if err := unix.Mount("inside", other+"/sub", "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(other+"/sub", unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	m.sameWithin(limit)
	m.stop()
}
