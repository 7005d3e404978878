//go:build !twin

package lock

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
)

// confine does Enter's steps that bind. The thread is kept: no_new_privs is a
// thread's own, and TSYNC takes it over from the thread that calls seccomp(2).
func confine(filter []unix.SockFilter, allow []Allowance) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// execve makes a process dumpable again, so this cannot be stage one's.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("PR_SET_DUMPABLE: %w", err)
	}
	if err := refuseExecGain(allow); err != nil {
		return err
	}
	if err := assertNoNewPrivs(); err != nil {
		return err
	}
	return sys.SeccompTsync(filter)
}
