// Lockstep-worker is the event engine as a process: started by the supervisor
// in an empty root, without privilege, with four descriptors.
//
// Trust: untrusted from its first event on.
package main

import (
	"errors"
	"fmt"
	"os"

	"lockstep/internal/buildinfo"
	"lockstep/sandbox/lock"
	"lockstep/worker"
)

func main() {
	if buildinfo.Told() {
		return
	}
	fds, err := lock.Donated()
	if err != nil {
		lock.Fail("descriptors", err)
	}

	// The poller and every descriptor must be known to it before the filter
	// closes the door on epoll_ctl(2) and epoll_create1(2).
	if err := lock.Poller(); err != nil {
		lock.Fail("poller", err)
	}
	files := make(map[string]*os.File, 3)
	for _, name := range []string{"helper", "status", "inotify"} {
		fd, ok := fds[name]
		if !ok {
			lock.Fail("descriptors", fmt.Errorf("%s was not donated", name))
		}
		if files[name], err = lock.File(fd, name); err != nil {
			lock.Fail(name, err)
		}
	}
	filter, ok := fds["filter"]
	if !ok {
		lock.Fail("descriptors", fmt.Errorf("filter was not donated"))
	}

	if err := lock.Enter(filter); err != nil {
		lock.Fail("filter", err)
	}

	err = worker.Run(worker.Descriptors{
		Helper:  files["helper"],
		Status:  files["status"],
		Inotify: files["inotify"],
		Log:     os.Stderr,
	}, buildinfo.ID)
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "<3>%v\n", err)
	if errors.Is(err, worker.ErrRootGone) {
		os.Exit(75)
	}
	os.Exit(70)
}
