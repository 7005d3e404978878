package pump

import (
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/monitor"
)

func TestPaths(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	p, err := NewPaths(pair[1])
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- p.Run() }()
	event := monitor.PathEvent{Root: 1, Mask: monitor.Create, Dir: []byte("a"), Name: []byte("b")}
	send := func(events ...monitor.PathEvent) {
		t.Helper()
		var packet []byte
		for _, e := range events {
			packet = monitor.AppendPath(packet, e)
		}
		if _, err := unix.Write(pair[0], packet); err != nil {
			t.Fatal(err)
		}
	}
	// next is how many events the next buffer holds; -1: it answers a mark.
	next := func() int {
		t.Helper()
		b := <-p.Filled()
		if b == nil {
			return -1
		}
		n := 0
		if err := p.Decode(b, monitor.Takers{Path: func(monitor.PathEvent) { n++ }}); err != nil {
			t.Fatal(err)
		}
		p.Release(b)
		return n
	}
	// More than there are buffers: they come back.
	for range 2 * eventBuffers {
		send(event, event)
		if n := next(); n != 2 {
			t.Fatalf("%d events", n)
		}
	}
	for want := uint32(1); want <= 2; want++ {
		p.Mark()
		var buf [8]byte
		n, err := unix.Read(pair[0], buf[:])
		if err != nil || n != 4 || binary.LittleEndian.Uint32(buf[:]) != want {
			t.Fatalf("a mark of %d bytes, %x, %v", n, buf, err)
		}
		send(event, monitor.PathEvent{Cookie: want - 1}) // a late answer to the one before
		send(event)
		send(event, monitor.PathEvent{Cookie: want}, event)
		for i, want := range []int{1, 1, 2, -1} {
			if n := next(); n != want {
				t.Errorf("buffer %d holds %d, want %d", i, n, want)
			}
		}
	}
	if err := unix.Close(pair[0]); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, io.EOF) {
		t.Errorf("ended by %v", err)
	}
}
