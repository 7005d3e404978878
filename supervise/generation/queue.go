package generation

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"lockstep/config/choose"
	"lockstep/supervise/host"
)

// newQueue makes the event queue that the helper fills with watches and the worker
// reads; where changes are heard of in another way, one in which there never is
// anything: a user has few of the other kind.
func newQueue(monitor string) (*os.File, error) {
	var fd int
	var err error
	if monitor != choose.Inotify {
		if fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
			return nil, fmt.Errorf("eventfd: %w", err)
		}
	} else if fd, err = unix.InotifyInit1(unix.IN_CLOEXEC); err != nil {
		most := host.Instances()
		return nil, fmt.Errorf("inotify: %w; each directory that is watched takes one event queue of its user, who may have %d: set sysctl fs.inotify.max_user_instances to at least %d", err, most, most+1)
	}
	// Non-blocking only now: os.NewFile would give a non-blocking one to this
	// process's poller, which would then wake for each event.
	f := os.NewFile(uintptr(fd), "inotify")
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(fmt.Errorf("inotify: %w", err), f.Close())
	}
	return f, nil
}
