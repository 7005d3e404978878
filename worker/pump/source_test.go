package pump

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/pace"
	"lockstep/monitor"
)

// startSource reads a real inotify queue that watches dir.
func startSource(t *testing.T, dir string) *Source {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_DELETE); err != nil {
		t.Fatal(err)
	}
	s, err := NewSource(fd)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run() }()
	t.Cleanup(func() {
		// What can only be written takes the queue's place: reading it fails.
		null, err := unix.Open(os.DevNull, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Dup3(null, fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		s.rouse()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatal("the reader did not end with its descriptor")
		}
		for _, fd := range []int{fd, null, s.poll, s.wake} {
			if err := unix.Close(fd); err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

func receive(t *testing.T, s *Source) []byte {
	t.Helper()
	select {
	case b := <-s.Full:
		return b
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came from the reader")
		return nil
	}
}

// TestMarkComesBehindEvents: whatever was in the queue when mark was called is
// delivered before the nil buffer, every time, also when the reader sleeps.
func TestMarkComesBehindEvents(t *testing.T) {
	dir := t.TempDir()
	s := startSource(t, dir)
	for round := range 200 {
		made := round % 3 // also none: the reader sleeps with an empty queue
		for i := range made {
			name := filepath.Join(dir, "f")
			if err := os.WriteFile(name, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(name); err != nil {
				t.Fatal(err, i)
			}
		}
		s.Mark()
		events := 0
		for {
			b := receive(t, s)
			if b == nil {
				break
			}
			if err := monitor.Decode(b, func(monitor.Event) { events++ }); err != nil {
				t.Fatal(err)
			}
			s.Empty <- b[:cap(b)]
		}
		if events != 2*made {
			t.Fatalf("round %d: %d events before the mark, want %d", round, events, 2*made)
		}
	}
}

// TestStreamIsReadInFewReads: the kernel's queue gathers what comes one by one.
func TestStreamIsReadInFewReads(t *testing.T) {
	dir := t.TempDir()
	s := startSource(t, dir)
	const changes = 300
	go func() {
		for range changes {
			name := filepath.Join(dir, "f")
			_ = os.WriteFile(name, nil, 0o600)
			_ = os.Remove(name)
			time.Sleep(300 * time.Microsecond)
		}
	}()
	began, reads, events := time.Now(), 0, 0
	for events < 2*changes {
		b := receive(t, s)
		reads++
		if err := monitor.Decode(b, func(monitor.Event) { events++ }); err != nil {
			t.Fatal(err)
		}
		s.Empty <- b[:cap(b)]
	}
	if most := pace.FreeReads + 4 + 2*int(time.Since(began)/pace.MostRest); reads > most {
		t.Errorf("%d reads of %d events, at most %d are needed", reads, events, most)
	}
}

// TestMarkInAStream: a mark is answered while events go on to come, more often
// than the reader rests. (Else nothing that waits for one, as does all of which
// the type is looked at, would come before the stream ends.)
func TestMarkInAStream(t *testing.T) {
	if monitor.ReadSize < 2*monitor.MinBuffer {
		return // tinybuffer: an event a read is less than comes
	}
	dir := t.TempDir()
	s := startSource(t, dir)
	var stream sync.WaitGroup
	stop := make(chan struct{})
	stream.Go(func() {
		name := filepath.Join(dir, "f")
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.WriteFile(name, nil, 0o600)
			_ = os.Remove(name)
			time.Sleep(300 * time.Microsecond)
		}
	})
	defer stream.Wait()
	defer close(stop)
	for range 5 * pace.FreeReads { // until it rests as long as it ever does
		s.Release(receive(t, s))
	}
	const most = 50 // reads: one would do
	for range 20 {
		s.Mark()
		reads := 0
		for b := receive(t, s); b != nil; b = receive(t, s) {
			if s.Release(b); reads == most {
				t.Fatalf("no answer behind %d reads", most)
			}
			reads++
		}
	}
}
