package privileged

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/ipc/wire"
)

const other ipc.RootID = 8

// stuckRig has two roots. In the first one "stuck" is a file system that never
// answers, until release is called.
func stuckRig(t *testing.T, deadline time.Duration) (r *rig, release func()) {
	t.Helper()
	second := t.TempDir()
	fd := -1
	r = newRig(t, func(c *ipc.HelperConfig) {
		fd = open(t, second)
		c.Deadline = deadline
		c.Roots[0].CrossMounts = true
		c.Roots = append(c.Roots, ipc.HelperRoot{Root: ipc.Root{ID: other, Name: "other"}, FD: fd})
	})
	t.Cleanup(func() { closeFD(t, fd) })
	at := filepath.Join(r.dir, "stuck")
	must(t, os.Mkdir(at, 0o700))
	dev, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		testenv.Lacks(t, "this test needs /dev/fuse: "+err.Error())
	}
	opts := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", dev)
	must(t, unix.Mount("none", at, "fuse", unix.MS_NOSUID|unix.MS_NODEV, opts))
	open := true
	release = func() {
		if open {
			closeFD(t, dev)
			open = false
		}
	}
	t.Cleanup(func() {
		release()
		must(t, unix.Unmount(at, unix.MNT_DETACH))
	})
	r.connect()
	r.hello()
	return r, release
}

// TestStuckRoot: a dead mount degrades its own root only, and for as long as it
// is dead.
func TestStuckRoot(t *testing.T) {
	r, release := stuckRig(t, 200*time.Millisecond)
	first := r.ask(&ipc.Stat{Root: theRoot, Rels: []string{"a", "stuck/x"}})
	behind := r.ask(&ipc.Stat{Root: theRoot, Rels: []string{""}})
	healthy := r.ask(&ipc.Stat{Root: other, Rels: []string{""}})
	if a := answer(r, healthy, ipc.TypeStatAnswer, wire.Decode[ipc.StatAnswer]); a.Stats[0].Kind != ipc.KindDir {
		t.Errorf("the other root: %+v", a)
	}
	for range 2 {
		p := r.next()
		a, err := wire.Decode[ipc.StatAnswer](p.Payload)
		if err != nil || (p.Header.Seq != first && p.Header.Seq != behind) || !p.Header.Final {
			t.Fatal(p.Header, err)
		}
		for _, s := range a.Stats {
			if s.Status != ipc.StatusTimeout {
				t.Errorf("%+v", s)
			}
		}
	}
	if s := r.stat("", ""); s[0].Status != ipc.StatusTimeout || s[1].Status != ipc.StatusTimeout {
		t.Errorf("while it is stuck: %+v", s)
	}
	release()
	for tries := 0; r.stat("")[0].Status != ipc.OK; tries++ {
		if tries > 10_000 {
			t.Fatal("the root does not come back")
		}
	}
	log := r.log.String()
	if strings.Count(log, "<4>root tree does not answer within 200ms") != 1 || strings.Count(log, "<5>root tree answers again") != 1 {
		t.Errorf("log:\n%s", log)
	}
}

// TestStuckInTheMiddle: what was answered stands, the rest is answered late.
func TestStuckInTheMiddle(t *testing.T) {
	r, release := stuckRig(t, 200*time.Millisecond)
	must(t, os.Mkdir(filepath.Join(r.dir, "big"), 0o700))
	for i := range 700 {
		must(t, os.WriteFile(filepath.Join(r.dir, "big", fmt.Sprintf("%0200d", i)), nil, 0o600))
	}
	d := r.watch(ipc.Watch{All: true, Rels: []string{"big", "none", "stuck/x", "big"}})
	want := []ipc.Status{ipc.StatusTimeout, ipc.StatusTimeout, ipc.StatusTimeout, ipc.StatusTimeout}
	for i, s := range want {
		if d[i].Status != s {
			t.Errorf("%d: %d, want %d", i, d[i].Status, s)
		}
	}
	// A part of the first was on its way before.
	if n := len(d[0].Entries); n == 0 || n >= 700 {
		t.Errorf("%d entries", n)
	}
	release()
}

func TestFullQueueIsBusy(t *testing.T) {
	r, release := stuckRig(t, 20*time.Second)
	var seqs []uint32
	for range maxQueue + 2 {
		seqs = append(seqs, r.ask(&ipc.Stat{Root: theRoot, Rels: []string{"stuck/x"}}))
	}
	// The first one may or may not have left the queue when the last one came.
	busy, others := 0, 0
	p := r.next()
	a, err := wire.Decode[ipc.StatAnswer](p.Payload)
	if err != nil || a.Stats[0].Status != ipc.StatusBusy {
		t.Fatal(a, err)
	}
	busy++
	release()
	for busy+others < len(seqs) {
		p := r.next()
		a, err := wire.Decode[ipc.StatAnswer](p.Payload)
		if err != nil {
			t.Fatal(err)
		}
		switch a.Stats[0].Status {
		case ipc.StatusBusy:
			busy++
		case ipc.Status(unix.ENOTCONN), ipc.Status(unix.ECONNABORTED):
			others++
		default:
			t.Fatalf("%+v", a)
		}
	}
	if busy > 2 {
		t.Errorf("%d busy", busy)
	}
}
