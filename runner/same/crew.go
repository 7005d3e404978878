package same

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// Crew is threads with a working directory of their own each: attributes of an
// entry can be asked for only by a path, and a name in the thread's working
// directory is one that leads nowhere else.
type Crew struct {
	mu   sync.Mutex // one run at a time: its parts may wait for each other
	work []chan func()
}

// NewCrew starts n threads. It calls unshare(2), and so must come before the
// filter is entered.
func NewCrew(n int) (*Crew, error) {
	c := &Crew{}
	var err error
	for range n {
		work, begun := make(chan func()), make(chan error)
		go member(work, begun)
		if e := <-begun; e != nil {
			err = errors.Join(err, e)
			continue
		}
		c.work = append(c.work, work)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// member never gives its thread back: it ends with it.
func member(work <-chan func(), begun chan<- error) {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		begun <- fmt.Errorf("unshare: %w", err)
		return
	}
	begun <- nil
	for f := range work {
		f()
	}
}

// Size is how many threads there are.
func (c *Crew) Size() int { return len(c.work) }

// Run has each thread do one part, from 0 on, and waits for them all. It leaves
// their working directories at /, so that nothing below is held.
func (c *Crew) Run(part func(i int)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var wg sync.WaitGroup
	errs := make([]error, len(c.work))
	for i, work := range c.work {
		wg.Add(1)
		work <- func() {
			defer wg.Done()
			part(i)
			if err := unix.Chdir("/"); err != nil {
				errs[i] = fmt.Errorf("chdir /: %w", err)
			}
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Close ends the threads.
func (c *Crew) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, work := range c.work {
		close(work)
	}
	c.work = nil
}
