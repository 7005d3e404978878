// Package connect is what rsync takes for its remote shell: it gives up all
// rights to read the source, and becomes ssh with a fixed command line.
//
// Trust: the runner's program under another name, in the runner's jail, started
// by rsync, which is not trusted: it may as well start ssh itself. What this is
// for is that ssh, which talks to a stranger, holds no capability.
//
// Invariants: it becomes ssh without a capability in any set that it can
// change, or it ends; it takes no option for ssh from its caller.
package connect

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"lockstep/rsync"
)

// exitFailed is the code with which it ends; rsync ends with 12 or 255 then,
// and its message has this one's.
const exitFailed = 71

// Wanted says that the program was started as rsync's remote shell.
func Wanted() bool { return len(os.Args) > 0 && os.Args[0] == rsync.ConnectPath }

// Main becomes ssh. It does not return.
func Main() {
	// Capabilities are a thread's own. execve makes this thread the process.
	runtime.LockOSThread()
	argv, err := rsync.ParseConnect(os.Args[1:])
	if err == nil {
		err = dropAll()
	}
	if err == nil {
		err = unix.Exec(rsync.SSHPath, argv, rsync.SSHEnv())
		err = fmt.Errorf("start ssh: %w", err)
	}
	// Nobody else could be told.
	_, _ = fmt.Fprintf(os.Stderr, "lockstep-connect: %q\n", err.Error())
	os.Exit(exitFailed)
}

// dropAll empties the calling thread's permitted, effective, inheritable and
// ambient sets, and reads them back. The bounding set stays, since without
// CAP_SETPCAP nobody can change it; without file capabilities, which no_new_privs
// voids, nothing comes of it.
func dropAll() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("ambient capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none, have [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	if err := unix.Capget(&header, &have[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	if have != none {
		return fmt.Errorf("capabilities are %x after they were dropped", have)
	}
	for bit := range uintptr(64) {
		set, err := unix.PrctlRetInt(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET, bit, 0, 0)
		if errors.Is(err, unix.EINVAL) && bit > unix.CAP_DAC_READ_SEARCH {
			break // the kernel knows no more
		}
		if err != nil || set != 0 {
			return fmt.Errorf("ambient capability %d: %d, %w", bit, set, err)
		}
	}
	return nil
}
