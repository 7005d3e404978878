package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"lockstep/resolver/dnotify"
	"lockstep/sandbox/lock"
)

// codeNoRoom: there are more directories than can be watched. A restart mends
// nothing.
const codeNoRoom = 73

// signalled is the program where directories are watched one by one: it has no
// event queue.
func signalled(fds map[string]int) {
	root, there := fds["root1"]
	crossed, cross := fds["crossed1"]
	if cross {
		root = crossed
	}
	if !there && !cross {
		lock.Fail("descriptors", errors.New("no event queue and no root was donated"))
	}
	m, err := dnotify.New(dnotify.Config{
		Roots:  []dnotify.Root{{Number: theRoot, FD: root, Cross: cross}},
		Socket: fds["worker"],
		Say:    func(line string) { fmt.Fprintf(os.Stderr, "<4>%s\n", line) },
	})
	if err != nil {
		lock.Fail("watching", err)
	}
	if err := lock.Enter(fds["filter"]); err != nil {
		lock.Fail("filter", err)
	}
	err = m.Run()
	if errors.Is(err, dnotify.ErrGone) {
		time.Sleep(time.Second) // see main
		return
	}
	fmt.Fprintf(os.Stderr, "<3>%v\n", err)
	if full := (*dnotify.FullError)(nil); errors.As(err, &full) {
		os.Exit(codeNoRoom)
	}
	os.Exit(70)
}
