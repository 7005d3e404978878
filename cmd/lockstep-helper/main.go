// Lockstep-helper does the few verbs on the watched trees that the worker may
// ask for; it is started by lockstep only.
//
// Trust: it holds CAP_DAC_READ_SEARCH in a jail that shows the watched trees
// alone; what the worker and the runners send it is hostile.
package main

import (
	"os"

	"lockstep/ipc"
	"lockstep/ipc/wire"
	"lockstep/privileged"
	"lockstep/sandbox/lock"
)

func main() {
	fds := lock.Begin("control", "config", "inotify", "filter")
	cfg := lock.Config(fds["config"], wire.Decode[ipc.HelperConfig], func(c *ipc.HelperConfig) string { return c.Build })

	// The roots' threads have a working directory each, which takes unshare(2).
	helper, err := privileged.New(cfg, fds["inotify"], os.Stderr)
	if err != nil {
		lock.Fail("roots", err)
	}

	if err := lock.Enter(fds["filter"]); err != nil {
		lock.Fail("filter", err)
	}
	os.Exit(helper.Serve(fds["control"]))
}
