package sys

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SetName sets the name of the calling thread (PR_SET_NAME(2const)), of which
// the kernel keeps 15 bytes. The main thread's is the process's in ps(1) and in
// the kernel's records.
func SetName(name string) error {
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		return fmt.Errorf("PR_SET_NAME: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(p)), 0, 0, 0); err != nil {
		return fmt.Errorf("PR_SET_NAME: %w", err)
	}
	return nil
}
