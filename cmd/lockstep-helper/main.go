// Lockstep-helper does the few verbs on the watched trees that the worker may
// ask for; it is started by lockstep only.
//
// Trust: it holds CAP_DAC_READ_SEARCH in a jail that shows the watched trees
// alone; what the worker and the runners send it is hostile.
package main

import (
	"fmt"
	"os"

	"lockstep/internal/buildinfo"
	"lockstep/ipc"
	"lockstep/privileged"
	"lockstep/sandbox/lock"
)

func main() {
	if buildinfo.Told() {
		return
	}
	fds, err := lock.Donated()
	if err != nil {
		lock.Fail("descriptors", err)
	}
	cfg, err := config(fds)
	if err != nil {
		lock.Fail("configuration", err)
	}

	// A timer starts the poller, which no filter allows.
	if err := lock.Poller(); err != nil {
		lock.Fail("poller", err)
	}

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

// config reads what the supervisor says, and makes sure that all is there.
func config(fds map[string]int) (ipc.HelperConfig, error) {
	for _, name := range []string{"control", "config", "inotify", "filter"} {
		if fds[name] == 0 {
			return ipc.HelperConfig{}, fmt.Errorf("%s was not donated", name)
		}
	}
	data, err := lock.Read(fds["config"])
	if err != nil {
		return ipc.HelperConfig{}, err
	}
	cfg, err := ipc.DecodeHelperConfig(data)
	if err == nil && cfg.Build != buildinfo.ID {
		err = fmt.Errorf("it is of build %q, this program is of build %q: install all programs of lockstep together", cfg.Build, buildinfo.ID)
	}
	return cfg, err
}
