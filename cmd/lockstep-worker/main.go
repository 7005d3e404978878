// Lockstep-worker is the event engine as a process: started by the supervisor
// in an empty root, without privilege, with four descriptors; of a watch, with a
// fifth, for its lines.
//
// Trust: untrusted from its first event on.
package main

import (
	"errors"
	"fmt"
	"os"

	"lockstep/internal/buildinfo"
	"lockstep/internal/calm"
	"lockstep/rules/ordered"
	"lockstep/sandbox/lock"
	"lockstep/worker"
	"lockstep/worker/pump"
	"lockstep/worker/watch"
)

func main() {
	fds := lock.Begin("helper", "status", "filter")

	// Every descriptor must be known to a poller before the filter closes the
	// door on epoll_ctl(2).
	files := make(map[string]*os.File, 3)
	for _, name := range []string{"helper", "status", "output"} {
		if _, ok := fds[name]; !ok && name == "output" {
			continue // nothing is watched for people: the others are always there
		}
		f, err := lock.File(fds[name], name)
		if err != nil {
			lock.Fail(name, err)
		}
		files[name] = f
	}

	events, err := feed(fds)
	if err != nil {
		lock.Fail("events", err)
	}

	set, err := told(fds)
	if err != nil {
		lock.Fail("rules", err)
	}

	if err := lock.Enter(fds["filter"]); err != nil {
		lock.Fail("filter", err)
	}

	ends := worker.Ends{
		Helper: pump.NewClient(files["helper"]),
		Status: files["status"],
		Events: events,
		Log:    os.Stderr,
		Calm:   calm.New(),
		Rules:  set,
	}
	if out := files["output"]; out != nil {
		ends.Output = pump.NewOutput(out)
	}
	err = worker.Run(ends, buildinfo.ID)
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "<3>%v\n", err)
	if errors.Is(err, worker.ErrRootGone) || errors.Is(err, watch.ErrGone) {
		os.Exit(75)
	}
	os.Exit(70)
}

// told are the rules that were donated, if any: the configuration's.
func told(fds map[string]int) (*ordered.Set, error) {
	fd, there := fds["rules"]
	if !there {
		return nil, nil
	}
	data, err := lock.Read(fd)
	if err != nil {
		return nil, err
	}
	return ordered.Parse("rules", data)
}

// feed is what was donated to hear of changes by: a process that reads for this
// one, or an event queue.
func feed(fds map[string]int) (worker.Feed, error) {
	if fd, there := fds["resolver"]; there {
		return pump.NewPaths(fd)
	}
	if fd, there := fds["inotify"]; there {
		return pump.NewSource(fd)
	}
	return nil, errors.New("nothing was donated that tells of changes")
}
