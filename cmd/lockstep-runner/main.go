// Command lockstep-runner starts the one fixed command of one target, with a
// list on its stdin, whenever the helper asks for it.
//
// Trust: it and the command run in a jail of their own that shows the source
// read-only and the target; it is started by lockstep only.
package main

import (
	"fmt"
	"os"

	"lockstep/internal/buildinfo"
	"lockstep/ipc"
	"lockstep/runner"
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
	if err := lock.Poller(); err != nil {
		lock.Fail("poller", err)
	}
	conn, err := file(fds, "helper")
	if err != nil {
		lock.Fail("the helper's socket", err)
	}
	link, err := runner.NewSocket(conn)
	if err != nil {
		lock.Fail("the helper's socket", err)
	}
	// Before the filter: it asks for SIGCHLD.
	r := runner.New(cfg, link, os.Stderr)
	if os.Getpid() == 1 {
		r.OwnNamespace()
	}
	filter, ok := fds["filter"]
	if !ok {
		lock.Fail("filter", fmt.Errorf("it was not donated"))
	}
	if err := lock.Enter(filter); err != nil {
		lock.Fail("filter", err)
	}
	os.Exit(r.Serve())
}

// config reads what the supervisor says about the target.
func config(fds map[string]int) (ipc.RunnerConfig, error) {
	fd, ok := fds["config"]
	if !ok {
		return ipc.RunnerConfig{}, fmt.Errorf("it was not donated")
	}
	data, err := lock.Read(fd)
	if err != nil {
		return ipc.RunnerConfig{}, err
	}
	cfg, err := ipc.DecodeRunnerConfig(data)
	if err != nil {
		return ipc.RunnerConfig{}, err
	}
	if cfg.Build != buildinfo.ID {
		return ipc.RunnerConfig{}, fmt.Errorf("it is of build %q, this program is of build %q: install all programs of lockstep together", cfg.Build, buildinfo.ID)
	}
	return cfg, nil
}

func file(fds map[string]int, name string) (*os.File, error) {
	fd, ok := fds[name]
	if !ok {
		return nil, fmt.Errorf("it was not donated")
	}
	return lock.File(fd, name)
}
