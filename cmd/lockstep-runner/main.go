// Command lockstep-runner starts the one fixed command of one target, with a
// list on its stdin, whenever the helper asks for it. Under the name by which
// rsync knows its remote shell it is that (package connect).
//
// Trust: it and the command run in a jail of their own that shows the source
// read-only and the target; it is started by lockstep only.
package main

import (
	"maps"
	"os"
	"slices"
	"strings"

	"lockstep/internal/calm"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/ipc/wire"
	"lockstep/runner"
	"lockstep/runner/connect"
	"lockstep/sandbox/lock"
)

func main() {
	if connect.Wanted() {
		connect.Main()
	}
	fds := lock.Begin("helper", "config", "filter")
	cfg := lock.Config(fds["config"], wire.Decode[settings.Runner], func(c *settings.Runner) string { return c.Build })

	conn, err := lock.File(fds["helper"], "helper")
	if err != nil {
		lock.Fail("the helper's socket", err)
	}
	link, err := runner.NewSocket(conn)
	if err != nil {
		lock.Fail("the helper's socket", err)
	}

	// Before the filter: it asks for SIGCHLD.
	r := runner.New(cfg, working{link, calm.New()}, os.Stderr)
	if os.Getpid() == 1 {
		r.OwnNamespace()
	}

	if fd, there := fds["gate"]; there { // not when rsync is tried
		gate, err := lock.File(fd, "gate")
		if err != nil {
			lock.Fail("the supervisor's socket", err)
		}
		r.Gate(gate)
	}

	if lists := kept(fds); len(lists) > 0 {
		r.Keep(lists)
	}

	if err := lock.Enter(fds["filter"]); err != nil {
		lock.Fail("filter", err)
	}
	os.Exit(r.Serve())
}

// kept are the files for lists of a handler, in the order of their names.
func kept(fds map[string]int) []*os.File {
	var files []*os.File
	for _, name := range slices.Sorted(maps.Keys(fds)) {
		if strings.HasPrefix(name, "list-") {
			files = append(files, os.NewFile(uintptr(fds[name]), name))
		}
	}
	return files
}

// working says while jobs are under way.
type working struct {
	runner.Link
	calm *calm.Collector
}

// Receive returns what Send will answer.
func (w working) Receive() (any, *os.File, error) {
	msg, list, err := w.Link.Receive()
	if _, starts := msg.(*ipc.RunStart); starts {
		w.calm.Begin()
	}
	return msg, list, err
}

// Send ends what Receive began.
func (w working) Send(exited ipc.RunExited) error {
	defer w.calm.End()
	return w.Link.Send(exited)
}
