//go:build unsplit

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"lockstep/monitor"
	"lockstep/resolver"
)

// many is a batch for fanotify: fewer than the resolver lets wait. The kernel
// merges what concerns one name, so that there are as many names.
const many = 10_000

// system is a queue of the events of dir's file system, of which nobody else may
// make any.
type system struct {
	dir   string
	queue int
	files []string
}

// newSystem makes the files that will be changed, with so many to a directory.
func newSystem(dir string, each int) (*system, error) {
	s := &system{dir: dir}
	for i := range many {
		in := dir + "/d" + strconv.Itoa(i/each)
		if i%each == 0 {
			if err := os.Mkdir(in, 0o700); err != nil {
				return nil, err
			}
		}
		s.files = append(s.files, in+"/some-file-"+strconv.Itoa(i))
		if err := os.WriteFile(s.files[i], nil, 0o600); err != nil {
			return nil, err
		}
	}
	return s, s.listen()
}

// listen makes the queue, as the supervisor does it, which is linked to nothing that
// decodes.
func (s *system) listen() (err error) {
	s.queue, err = unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_REPORT_DFID_NAME_TARGET|unix.FAN_UNLIMITED_QUEUE|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return fmt.Errorf("fanotify_init: %w", err)
	}
	return unix.FanotifyMark(s.queue, unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, unix.FAN_ATTRIB|unix.FAN_ONDIR, unix.AT_FDCWD, s.dir)
}

func (s *system) cause() error {
	for _, file := range s.files {
		if err := unix.Chmod(file, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func fanotifyDecoded(dir string) (*run, error) {
	s, err := newSystem(dir, many)
	if err != nil {
		return nil, err
	}
	events, buf := 0, make([]byte, 1<<16)
	emit := func(monitor.Change) { events++ }
	return &run{cause: s.cause, read: func() (int, error) {
		for events = 0; ; {
			n, err := unix.Read(s.queue, buf)
			if err == unix.EAGAIN {
				break
			}
			if err != nil {
				return 0, err
			}
			if err := monitor.DecodeChanges(buf[:n], emit); err != nil {
				return 0, err
			}
		}
		if events != many {
			return 0, fmt.Errorf("%d events of %d", events, many)
		}
		return events, nil
	}}, nil
}

// resolvedHot has all events in one directory, whose place is asked for once.
func resolvedHot(dir string) (*run, error) { return resolved(dir, many) }

// resolvedCold has each in a directory of its own, of which nothing is known.
func resolvedCold(dir string) (*run, error) { return resolved(dir, 1) }

// resolved is a resolver as it is, with a worker that only decodes what it gets,
// on another thread. Each batch has a resolver and a queue of its own, which begins
// to read once all is caused: a resolver leaves its descriptors to the end of its
// process, and those that wait for a queue are woken by each event.
func resolved(dir string, each int) (*run, error) {
	s, err := newSystem(dir, each)
	if err != nil {
		return nil, err
	}
	root, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var pair [2]int
	var begin chan struct{}
	var done chan error
	cause := func() (err error) {
		if err := s.cause(); err != nil { // before there is a resolver, which each event would wake
			return err
		}
		if pair, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		begin, done = make(chan struct{}), make(chan error, 1)
		made := make(chan error)
		ends := resolver.Ends{Fanotify: s.queue, Worker: pair[1], Root: root, Number: 1}
		go func() { done <- resolve(ends, made, begin) }()
		return <-made
	}
	events, buf := 0, make([]byte, 1<<16)
	emit := func(e monitor.PathEvent) {
		if e.Mask == monitor.Attrib {
			events++
		}
	}
	return &run{cause: cause, read: func() (int, error) {
		close(begin)
		for events = 0; events < many; {
			n, err := unix.Read(pair[0], buf)
			if n <= 0 || err != nil {
				return 0, fmt.Errorf("%d events of %d: %w", events, many, err)
			}
			if err := monitor.DecodePaths(buf[:n], emit); err != nil {
				return 0, err
			}
		}
		if err := unix.Close(pair[0]); err != nil {
			return 0, err
		}
		return events, nil
	}, after: func() error { return errors.Join(<-done, unix.Close(pair[1]), unix.Close(s.queue), s.listen()) }}, nil
}

// resolve runs a resolver on a thread of its own: it changes the thread's working
// directory.
func resolve(ends resolver.Ends, made chan<- error, begin <-chan struct{}) error {
	runtime.LockOSThread() // and never unlocked: the thread ends with it
	err := unix.Unshare(unix.CLONE_FS)
	var r *resolver.Resolver
	if err == nil {
		r, err = resolver.New(ends)
	}
	made <- err
	if err != nil {
		return err
	}
	<-begin
	return r.Run()
}
