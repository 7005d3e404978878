package pump

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/monitor"
)

// startSource reads a real inotify queue that watches dir.
func startSource(t *testing.T, dir string) (*Source, *os.File) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_DELETE); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	s := NewSource(f)
	ended := make(chan error, 1)
	go func() { ended <- s.Run() }()
	t.Cleanup(func() {
		_ = f.Close()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("the reader did not end with its descriptor")
		}
	})
	return s, f
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
	s, _ := startSource(t, dir)
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
