//go:build escape

package escape

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// aQueue is a message queue of the host's.
func aQueue(t *testing.T, name string) {
	t.Helper()
	at, err := unix.BytePtrFromString(name)
	must(t, err)
	fd, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(at)), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o600, 0, 0, 0)
	if errno != 0 {
		t.Fatalf("mq_open: %v", errno)
	}
	unix.Close(int(fd))
	t.Cleanup(func() {
		if _, _, errno := unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(at)), 0, 0); errno != 0 {
			t.Errorf("mq_unlink: %v", errno)
		}
	})
}
