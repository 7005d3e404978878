package sys

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxFilter is the most instructions that the kernel takes in one filter
// (BPF_MAXINSNS of <linux/bpf_common.h>).
const MaxFilter = 4096

// SeccompTsync installs the filter in all threads of the process, or in none:
// seccomp(2), SECCOMP_SET_MODE_FILTER with SECCOMP_FILTER_FLAG_TSYNC. The
// calling thread must have no_new_privs; the kernel gives it to the others.
func SeccompTsync(filter []unix.SockFilter) error {
	if len(filter) == 0 || len(filter) > MaxFilter {
		return fmt.Errorf("seccomp filter of %d instructions: must be 1 to %d", len(filter), MaxFilter)
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: unsafe.SliceData(filter)}
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	// A positive result is no success: it is the id of a thread that could not
	// be brought under the filter, and then no thread is.
	if r != 0 {
		return errors.New("seccomp: a thread could not be brought under the filter")
	}
	return nil
}
