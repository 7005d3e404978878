package scribe

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/config"
	"lockstep/internal/testenv"
	"lockstep/trail"
	"lockstep/trail/store"
)

var control = trail.Event{Type: trail.Control, Outcome: trail.Success}

// inBubble runs a test in which time passes when all wait.
func (d *desk) inBubble(f func(t *testing.T, s *Scribe)) {
	synctest.Test(d.t, func(t *testing.T) {
		s, err := Open(d.o, trail.Event{Type: trail.Start, Outcome: trail.Success})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f(t, s)
	})
}

// fill writes until nothing more can be written.
func fill(s *Scribe) {
	for s.Failing() == nil {
		s.Note(control)
		synctest.Wait()
	}
}

// While nothing can be written, events come faster than it is tried again: it is tried
// all the same, each second.
func TestMendsWhileEventsCome(t *testing.T) {
	for _, mode := range []string{config.AuditStrict, config.AuditBestEffort} {
		d := newDesk(t, mode)
		d.smallDisk()
		d.inBubble(func(t *testing.T, s *Scribe) {
			fill(s)
			went := false
			s.Before(trail.Event{Type: trail.CommandStart, Outcome: trail.Begun}, nil, func() { went = true })
			d.grow()
			for range 30 {
				s.Note(control)
				time.Sleep(retryEvery / 10)
			}
			synctest.Wait()
			if err := s.Failing(); err != nil || !went {
				t.Errorf("%s: three seconds after there is room again: %v, begun %v", mode, err, went)
			}
			if err := s.Close(Stopped(0, nil)); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is not signed is, five seconds later, also when something is recorded meanwhile.
func TestSignedInTime(t *testing.T) {
	d := newDesk(t, config.AuditBestEffort)
	d.inBubble(func(t *testing.T, s *Scribe) {
		for range 10 {
			s.Note(control)
			time.Sleep(signSoon - signSoon/50)
		}
		synctest.Wait()
		if n := len(of(d.records(), trail.Checkpoint)); n < 5 {
			t.Errorf("%d checkpoints after ten events in 49 seconds", n)
		}
		if err := s.Close(Stopped(0, nil)); err != nil {
			t.Error(err)
		}
	})
}

// Where the disk hangs, a command waits with strict, and with best-effort it does not.
func TestWhoWaitsForTheDisk(t *testing.T) {
	for _, mode := range []string{config.AuditStrict, config.AuditBestEffort} {
		d := newDesk(t, mode)
		d.inBubble(func(t *testing.T, s *Scribe) {
			hangs := make(chan struct{})
			s.mu.Lock()
			s.add(entry{Record: trail.Record{Event: control}, then: func() { <-hangs }})
			s.mu.Unlock()
			synctest.Wait()
			went := false
			s.Before(trail.Event{Type: trail.CommandStart, Outcome: trail.Begun}, nil, func() { went = true })
			synctest.Wait()
			if went != (mode == config.AuditBestEffort) {
				t.Errorf("%s: begun while the disk hangs: %v", mode, went)
			}
			close(hangs)
			synctest.Wait()
			if !went {
				t.Errorf("%s: it was not begun at all", mode)
			}
			if err := s.Close(Stopped(0, nil)); err != nil {
				t.Error(err)
			}
		})
	}
}

// What nobody waits for any more is not kept while nothing can be written, and does not
// begin; what is still waited for at the end does not either. Both are counted.
func TestWithdrawn(t *testing.T) {
	d := newDesk(t, config.AuditStrict)
	d.smallDisk()
	d.inBubble(func(t *testing.T, s *Scribe) {
		fill(s)
		begins, gone := func() { t.Error("it began") }, make(chan struct{})
		e := trail.Event{Type: trail.CommandStart, Outcome: trail.Begun}
		for range 100 {
			s.Before(e, gone, begins)
		}
		synctest.Wait()
		before := s.missed
		close(gone)
		s.Before(e, nil, begins)
		synctest.Wait()
		if len(s.held) != 1 || s.missed != before+100 {
			t.Errorf("%d are kept, %d more are counted", len(s.held), s.missed-before)
		}
		d.grow()
		if err := s.Close(Stopped(0, nil)); err != nil {
			t.Error(err)
		}
		lost := uint64(0)
		for _, r := range of(d.records(), trail.Gap) {
			lost += r.Facts.Lost
		}
		if want := before + 100 + 1 + 1; lost != want { // the one that is kept, the stop
			t.Errorf("%d are counted, want %d", lost, want)
		}
	})
	// Also where they wait for a disk that hangs.
	d = newDesk(t, config.AuditStrict)
	d.inBubble(func(t *testing.T, s *Scribe) {
		hangs, gone := make(chan struct{}), make(chan struct{})
		s.mu.Lock()
		s.add(entry{Record: trail.Record{Event: control}, then: func() { <-hangs }})
		s.mu.Unlock()
		synctest.Wait()
		for range maxQueue {
			s.Before(control, gone, func() {})
		}
		close(gone)
		s.Before(control, nil, func() {})
		if n := len(s.queue); n != 1 {
			t.Errorf("%d are kept", n)
		}
		close(hangs)
		if err := s.Close(Stopped(0, nil)); err != nil {
			t.Error(err)
		}
	})
}

// heard is what a log daemon heard: type and hash by number.
func heard(t *testing.T, text string) map[uint64]trail.Record {
	t.Helper()
	out := map[uint64]trail.Record{}
	for line := range strings.Lines(text) {
		var r struct {
			Seq       uint64
			Type, Sum string
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if _, twice := out[r.Seq]; twice {
			t.Errorf("record %d is told twice", r.Seq)
		}
		out[r.Seq] = trail.Record{Event: trail.Event{Type: trail.Type(r.Type)}, Sum: r.Sum}
	}
	return out
}

// Each record is told to who else is to hear of it, also those that the files need
// themselves, with its own number and hash.
func TestEveryRecordIsTold(t *testing.T) {
	d := newDesk(t, config.AuditBestEffort)
	d.o.Audit.Size = 8 << 10
	d.inBubble(func(t *testing.T, s *Scribe) {
		var told testenv.Buffer
		s.also = slog.New(slog.NewJSONHandler(&told, nil))
		for range 100 {
			s.Note(control)
		}
		if err := s.Close(Stopped(0, nil)); err != nil {
			t.Error(err)
		}
		all, also := d.records(), heard(t, told.String())
		for _, r := range all[3:] { // the first were written before
			if got := also[r.Seq]; got.Sum != r.Sum || got.Type != r.Type {
				t.Errorf("record %d, %s %s: what is told is %s %s", r.Seq, r.Type, r.Sum, got.Type, got.Sum)
			}
		}
		if len(of(all, trail.Rotate)) < 3 {
			t.Errorf("only %d files were ended", len(of(all, trail.Rotate)))
		}
	})
}

// That the trail is not as it was left is told, is in the log, and is signed at once.
func TestBrokenIsTold(t *testing.T) {
	d := newDesk(t, config.AuditBestEffort)
	d.inBubble(func(t *testing.T, s *Scribe) {
		var told testenv.Buffer
		s.also = slog.New(slog.NewJSONHandler(&told, nil))
		if err := os.Remove(filepath.Join(d.o.Audit.Dir, store.FileName(1))); err != nil {
			t.Fatal(err)
		}
		s.Note(control)
		synctest.Wait()
		data, err := os.ReadFile(filepath.Join(d.o.Audit.Dir, store.FileName(2)))
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
		var types []trail.Type
		also := heard(t, told.String())
		for _, line := range lines {
			p, err := trail.Parse(line)
			if err != nil {
				t.Fatal(err)
			}
			types = append(types, p.Type)
			if also[p.Seq].Sum != p.Sum {
				t.Errorf("record %d, %s, is not told", p.Seq, p.Type)
			}
		}
		if len(types) != 4 || types[1] != trail.Violation || types[3] != trail.Checkpoint {
			t.Errorf("the records are %v", types)
		}
		if !strings.Contains(d.said.String(), "not as it was left: audit-00000001.jsonl was removed") {
			t.Errorf("the log says %s", d.said)
		}
		if err := s.Close(Stopped(0, nil)); err != nil {
			t.Error(err)
		}
	})
}

// What is lost at the very end is told with a reason.
func TestLostAtTheEnd(t *testing.T) {
	s := newDesk(t, config.AuditBestEffort).open()
	s.mu.Lock()
	s.lost, s.closed = 3, true
	s.mu.Unlock()
	s.wake <- struct{}{}
	<-s.done
	if s.bad == nil || strings.Contains(s.bad.Error(), "%!") || !strings.Contains(s.bad.Error(), "3 event(s)") {
		t.Errorf("%v", s.bad)
	}
}
