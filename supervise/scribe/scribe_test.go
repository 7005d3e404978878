package scribe

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/config"
	"lockstep/internal/testenv"
	"lockstep/supervise/exit"
	"lockstep/trail"
	"lockstep/trail/store"
	"lockstep/trail/verify"
)

// desk is a trail of a test.
type desk struct {
	t    *testing.T
	o    Options
	said *testenv.Buffer
}

func newDesk(t *testing.T, mode string) *desk {
	top := t.TempDir()
	d := &desk{t: t, said: &testenv.Buffer{}}
	d.o = Options{Audit: config.Audit{Mode: mode, Dir: filepath.Join(top, "trail"), Size: 1 << 20, To: config.AuditNowhere},
		Keys: filepath.Join(top, "keys"), Log: slog.New(slog.NewTextHandler(d.said, nil)), Cfg: "cfg", Bin: "bin"}
	return d
}

// smallDisk has the trail on a disk that is soon full.
func (d *desk) smallDisk() {
	d.t.Helper()
	testenv.NeedRoot(d.t)
	dir := d.o.Audit.Dir
	if err := errors.Join(os.Mkdir(dir, 0o700), unix.Mount("none", dir, "tmpfs", 0, "size=32k,mode=700")); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			d.t.Error(err)
		}
	})
}

// grow has it full no more.
func (d *desk) grow() {
	if err := unix.Mount("none", d.o.Audit.Dir, "tmpfs", unix.MS_REMOUNT, "size=4m"); err != nil {
		d.t.Error(err)
	}
}

func (d *desk) open() *Scribe {
	d.t.Helper()
	s, err := Open(d.o, trail.Event{Type: trail.Start, Outcome: trail.Success})
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

// records are those of the trail, which must verify.
func (d *desk) records() (all []trail.Record) {
	d.t.Helper()
	files, err := store.Files(d.o.Audit.Dir)
	if err != nil {
		d.t.Fatal(err)
	}
	v := verify.New(verify.Options{})
	v.Each = func(r trail.Record) { all = append(all, r) }
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			d.t.Fatal(err)
		}
		_ = v.Read(path, bytes.NewReader(data)) // End says it
	}
	if _, err := v.End(); err != nil {
		d.t.Fatal(err)
	}
	return all
}

func of(all []trail.Record, kind trail.Type) (out []trail.Record) {
	for _, r := range all {
		if r.Type == kind {
			out = append(out, r)
		}
	}
	return out
}

func TestScribe(t *testing.T) {
	d := newDesk(t, config.AuditStrict)
	s := d.open()
	var went sync.WaitGroup
	const writers, each = 8, 50
	for w := range writers {
		went.Go(func() {
			for i := range each {
				s.Note(trail.Event{Type: trail.Control, Outcome: trail.Success, Object: trail.Object{Name: fmt.Sprint(w, i)}})
			}
		})
	}
	went.Wait()
	done := make(chan struct{})
	s.Before(trail.Event{Type: trail.CommandStart, Outcome: trail.Begun}, nil, func() { close(done) })
	<-done
	if n := len(of(d.records(), trail.CommandStart)); n != 1 {
		t.Errorf("what was to be recorded before it happens: %d records", n)
	}
	s.Config("other")
	if err := s.Close(Stopped(0, nil)); err != nil {
		t.Fatal(err)
	}
	all := d.records()
	if n := len(of(all, trail.Control)); n != writers*each {
		t.Errorf("%d records of %d events", n, writers*each)
	}
	last := uint64(0)
	for _, r := range all[1:] { // the first of a file is stamped when it is made
		if r.Mono < last && r.Type != trail.Checkpoint {
			t.Errorf("record %d is of before the one before it", r.Seq)
		}
		if r.Type != trail.Checkpoint {
			last = r.Mono
		}
	}
	if stop := of(all, trail.Stop); len(stop) != 1 || stop[0].Cfg != "other" || all[1].Cfg != "cfg" || stop[0].Bin != "bin" || all[len(all)-1].Type != trail.Checkpoint {
		t.Errorf("%+v", stop)
	}
}

// A nil scribe records nothing, and keeps nobody waiting.
func TestNoTrail(t *testing.T) {
	var s *Scribe
	went := false
	s.Before(trail.Event{}, nil, func() { went = true })
	s.Note(trail.Event{})
	s.Claim(trail.Event{})
	s.Config("")
	if err := errors.Join(s.Refuses(), s.Failing(), s.Close(trail.Event{})); err != nil || !went {
		t.Errorf("%v, went %v", err, went)
	}
}

// What another process says as often as it likes is recorded within a rate, and the rest
// is counted.
func TestClaims(t *testing.T) {
	d := newDesk(t, config.AuditBestEffort)
	s := d.open()
	const n = 10 * claimBurst
	for range n {
		s.Claim(trail.Event{Type: trail.Counts, Outcome: trail.Success})
	}
	if err := s.Close(Stopped(0, nil)); err != nil {
		t.Fatal(err)
	}
	all := d.records()
	lost := uint64(0)
	for _, r := range of(all, trail.Gap) {
		lost += r.Facts.Lost
	}
	if kept := uint64(len(of(all, trail.Counts))); kept < claimBurst || kept > 2*claimBurst || kept+lost != n {
		t.Errorf("%d kept, %d counted, of %d", kept, lost, n)
	}
}

// On a full disk strict lets nothing happen until there is room; best-effort does, and
// counts. Neither keeps anyone waiting who only notes something.
func TestFull(t *testing.T) {
	testenv.NeedRoot(t)
	for _, mode := range []string{config.AuditStrict, config.AuditBestEffort} {
		d := newDesk(t, mode)
		d.smallDisk()
		s := d.open()
		noted := uint64(0)
		for s.Failing() == nil {
			s.Note(trail.Event{Type: trail.Control, Outcome: trail.Success})
			noted++
			time.Sleep(time.Millisecond) // so that the queue does not become full
		}
		went := make(chan struct{}, 1)
		s.Before(trail.Event{Type: trail.CommandStart, Outcome: trail.Begun}, nil, func() { went <- struct{}{} })
		select {
		case <-went:
			if mode == config.AuditStrict {
				t.Error("strict: something began that is not recorded")
			}
		case <-time.After(2 * retryEvery):
			if mode != config.AuditStrict {
				t.Error("best-effort: it was kept waiting")
			}
		}
		if refuses := s.Refuses() != nil; refuses != (mode == config.AuditStrict) {
			t.Errorf("%s: refuses %v", mode, refuses)
		}
		d.grow()
		if mode == config.AuditStrict {
			<-went
		}
		for s.Failing() != nil {
			time.Sleep(time.Millisecond)
		}
		if err := s.Close(Stopped(0, nil)); err != nil {
			t.Fatal(err)
		}
		all := d.records()
		kept, lost, begun := uint64(len(of(all, trail.Control))), uint64(0), len(of(all, trail.CommandStart))
		for _, r := range of(all, trail.Gap) {
			lost += r.Facts.Lost
		}
		want := noted
		if mode == config.AuditBestEffort {
			want++ // the beginning
		}
		if kept+lost != want || lost == 0 || (begun == 1) != (mode == config.AuditStrict) {
			t.Errorf("%s: %d of %d events recorded, %d counted; %d beginnings", mode, kept, noted, lost, begun)
		}
		if !strings.Contains(d.said.String(), "cannot be written") || !strings.Contains(d.said.String(), "can be written again") {
			t.Errorf("%s: the log says %s", mode, d.said)
		}
	}
}

// Where the first record cannot be written, strict does not begin.
func TestFullAtStart(t *testing.T) {
	testenv.NeedRoot(t)
	d := newDesk(t, config.AuditStrict)
	dir := d.o.Audit.Dir
	if err := errors.Join(os.Mkdir(dir, 0o700), unix.Mount("none", dir, "tmpfs", 0, "size=4k,mode=700"), os.WriteFile(dir+"/x", make([]byte, 4096), 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	_, err := Open(d.o, trail.Event{Type: trail.Start})
	if exit.Code(err) != exit.Failed || !strings.Contains(err.Error(), "nothing is done without it") {
		t.Errorf("%v", err)
	}
}

func TestHashConfig(t *testing.T) {
	one := []config.File{{Path: "/a", SHA256: "s"}}
	two := append(one, config.File{Path: "/b", SHA256: "t"})
	if HashConfig(one, nil) != "s" || HashConfig(two, nil) == HashConfig(one, nil) || HashConfig(nil, []string{"a", "b"}) == HashConfig(nil, []string{"ab"}) {
		t.Error("configurations are mixed up")
	}
}
