package polled

import (
	"io"
	"os"
	"syscall"
	"testing"

	"lockstep/ipc"
)

// TestEveryPacketArrives: more packets than the socket holds, and the end.
func TestEveryPacketArrives(t *testing.T) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, b := os.NewFile(uintptr(fds[0]), "a"), os.NewFile(uintptr(fds[1]), "b")
	defer a.Close()
	ra, err := a.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	rb, err := b.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	const packets = 5000 // more than the socket holds
	packet, err := ipc.Append(nil, 3, &ipc.Drain{})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer b.Close()
		for range packets {
			if err := Send(rb, packet, -1); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	buf := make([]byte, ipc.MaxPacket)
	for range packets {
		if p, err := Receive(ra, buf); err != nil || p.Header.Type != ipc.TypeDrain || p.Cred != nil || p.FD != -1 {
			t.Fatalf("%+v %v", p, err)
		}
	}
	if _, err := Receive(ra, buf); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}
