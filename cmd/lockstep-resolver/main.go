// Lockstep-resolver reads what changes on a whole file system and passes on to
// the worker what lies below its root; or it watches each directory below its
// root by dnotify. It is started by lockstep only.
//
// Trust: it holds CAP_DAC_READ_SEARCH in a jail that shows the root alone; the
// events and names that it reads and what the worker sends it are hostile.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"lockstep/resolver"
	"lockstep/sandbox/lock"
)

// theRoot is the number of the one root: each sync has a resolver of its own.
const theRoot = 1

func main() {
	fds := lock.Begin("worker", "filter")
	events, queue := fds["fanotify"]
	if !queue {
		signalled(fds)
		return
	}
	root, there := fds["root1"]
	if !there {
		lock.Fail("descriptors", errors.New("no root was donated"))
	}
	r, err := resolver.New(resolver.Ends{Fanotify: events, Worker: fds["worker"], Root: root, Number: theRoot})
	if err != nil {
		lock.Fail("root", err)
	}
	if err := lock.Enter(fds["filter"]); err != nil {
		lock.Fail("filter", err)
	}
	if err := r.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "<3>%v\n", err)
		os.Exit(70)
	}
	// The worker has gone. The supervisor is about to end this process, too: if
	// it ended by itself, its end would be the news, not the worker's.
	time.Sleep(time.Second)
}
