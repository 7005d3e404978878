package ipc

import (
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/sys"
)

func sockets(t *testing.T) (int, int) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, fd := range fds {
			if err := syscall.Close(fd); err != nil && !errors.Is(err, syscall.EBADF) {
				t.Error(err)
			}
		}
	})
	return fds[0], fds[1]
}

func drain(t *testing.T) []byte {
	t.Helper()
	pkt, err := Append(nil, 3, &Drain{})
	if err != nil {
		t.Fatal(err)
	}
	return pkt
}

func TestSocket(t *testing.T) {
	a, b := sockets(t)
	if err := syscall.SetsockoptInt(b, syscall.SOL_SOCKET, syscall.SO_PASSCRED, 1); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := sys.SendPacket(a, drain(t), int(w.Fd()), 0); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, MaxPacket)
	p, err := Receive(b, buf)
	if err != nil || p.Header != (Header{TypeDrain, true, 3}) || len(p.Payload) != 0 || p.FD < 3 {
		t.Fatalf("%+v %v", p, err)
	}
	if p.Cred == nil || int(p.Cred.Pid) != os.Getpid() || int(p.Cred.Uid) != os.Getuid() {
		t.Errorf("credentials %+v", p.Cred)
	}
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(p.FD), syscall.F_GETFD, 0)
	if errno != 0 || flags&syscall.FD_CLOEXEC == 0 {
		t.Errorf("the descriptor would be inherited: %v", errno)
	}
	if err := syscall.Close(p.FD); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Shutdown(a, syscall.SHUT_RDWR); err != nil {
		t.Fatal(err)
	}
	if _, err := Receive(b, buf); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if err := sys.SendPacket(b, drain(t), -1, 0); err != syscall.EPIPE {
		t.Errorf("after the end: %v", err)
	}
}

// TestStraysAreClosed sends what is refused with descriptors, and sees that
// none stays open.
func TestStraysAreClosed(t *testing.T) {
	cases := map[string]struct {
		pkt  []byte
		many int
	}{
		"two":       {drain(t), 2},
		"ten":       {drain(t), 10}, // beyond the buffer: MSG_CTRUNC
		"truncated": {make([]byte, MaxPacket+1), 1},
		"short":     {[]byte{1, 2, 3}, 1},
		"flags":     {[]byte{14, 0, 8, 0, 1, 0, 0, 0}, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a, b := sockets(t)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var fds []int
			for range c.many {
				fds = append(fds, int(w.Fd()))
			}
			if err := syscall.Sendmsg(a, c.pkt, syscall.UnixRights(fds...), nil, 0); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			p, err := Receive(b, make([]byte, MaxPacket))
			if err == nil || p.FD != -1 || p.Payload != nil {
				t.Fatalf("%+v %v", p, err)
			}
			if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Fatalf("a descriptor is still open: %d, %v", n, err)
			}
		})
	}
}
