package sys

import (
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSealedMemfd(t *testing.T) {
	for _, text := range []string{"", "text", strings.Repeat("long", 5<<20)} {
		fd, err := SealedMemfd("test", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), "test")
		if _, err := f.WriteAt([]byte("x"), 0); err == nil {
			t.Error("it could be written")
		}
		if err := f.Truncate(1); err == nil && len(text) != 1 {
			t.Error("it could be cut")
		}
		if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_FUTURE_WRITE); err != unix.EPERM {
			t.Errorf("a seal could be added: %v", err)
		}
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("it would be inherited: %v", err)
		}
		got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
		if err != nil || string(got) != text {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestPackets(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := SendPacket(pair[0], []byte("one"), -1, 0); err != nil {
		t.Fatal(err)
	}
	if err := SendPacket(pair[0], []byte("two"), pair[0], 0); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	n, fds, cred, err := ReceivePacket(pair[1], buf)
	if string(buf[:n]) != "one" || fds != nil || cred != nil || err != nil {
		t.Errorf("%q %v %v %v", buf[:n], fds, cred, err)
	}
	n, fds, cred, err = ReceivePacket(pair[1], buf[:2])
	if n != 2 || len(fds) != 1 || cred != nil || err == nil {
		t.Errorf("cut: %q %v %v %v", buf[:n], fds, cred, err)
	}
	for _, fd := range append(fds, pair[0]) {
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	}
	if n, _, _, err := ReceivePacket(pair[1], buf); n != 0 || err != nil {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if err := SendPacket(pair[1], []byte("x"), -1, 0); err != unix.EPIPE {
		t.Errorf("to nobody: %v", err)
	}
	if err := unix.Close(pair[1]); err != nil {
		t.Error(err)
	}
	if _, _, _, err := ReceivePacket(-1, buf); err != unix.EBADF {
		t.Errorf("%v", err)
	}
}
