package rootid

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// above watches the directories that hold roots. A root that is deleted or moved
// aside, so that another one can take its place, shows there: the kernel tells
// nobody who holds a directory of its end (inotify(7): IN_DELETE_SELF comes when the
// last one lets go of it), and the helper does.
//
// Who can write there chooses the names in the events. They are not looked at: that
// there was one is enough, and it is told once in aboveGap.
type above struct {
	tell func()
	end  chan struct{}
	gap  time.Duration // aboveGap

	mu     sync.Mutex
	roots  []string
	file   *os.File // an inotify instance; nil while there is none
	ended  bool
	failed func(error)
	said   map[string]bool
}

const (
	// aboveGap is how long events wait after others: what is written all the time
	// beside a root costs a look at the roots so often.
	aboveGap = 2 * time.Second
	// aboveRetry is how soon what could not be watched is tried again.
	aboveRetry = time.Minute
	// aboveMask is what makes a path mean something else. Of a directory further up
	// nothing is told.
	aboveMask = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_MOVE_SELF | unix.IN_DELETE_SELF | unix.IN_ONLYDIR
)

func newAbove(tell func()) *above {
	return &above{tell: tell, end: make(chan struct{}), gap: aboveGap, said: map[string]bool{}}
}

func (a *above) add(failed func(error), roots []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := a.failed == nil
	a.failed = failed
	a.roots = append(a.roots, roots...)
	a.letGo()
	if first {
		go a.loop()
	}
}

// letGo has the loop make another instance.
func (a *above) letGo() {
	if a.file != nil {
		_ = a.file.Close() // nothing was written to it
		a.file = nil
	}
}

// close ends the loop. It does not wait for it: to look at a directory may take for
// ever on a file system whose server has gone.
func (a *above) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return
	}
	a.ended = true
	close(a.end)
	a.letGo()
}

// loop has a fresh instance after each event, so that what is watched is what the
// paths lead to by now. What came before it is seen by the look that it asks for, and
// so is, once in aboveRetry, what cannot be watched. At the start it leaves the
// first instances to the syncs: a user may have few.
func (a *above) loop() {
	for wait := a.gap; ; {
		select {
		case <-a.end:
			return
		case <-time.After(wait):
		}
		file, whole := a.open()
		a.tell()
		if wait = a.gap; file == nil {
			wait = aboveRetry
			continue
		}
		hear(file, whole)
		a.mu.Lock()
		a.letGo()
		a.mu.Unlock()
	}
}

// hear waits for an event, or until it is time to try again.
func hear(file *os.File, whole bool) {
	if !whole {
		_ = file.SetReadDeadline(time.Now().Add(aboveRetry)) // fails when it has been closed
	}
	var events [4096]byte
	// An error says that the time is over, or that the file was closed: then, too,
	// there is to be another instance.
	_, _ = file.Read(events[:])
}

// open makes an instance that watches the directory of each root; whole says that
// all of them are watched. Without an instance there is no file.
func (a *above) open() (file *os.File, whole bool) {
	a.mu.Lock()
	roots := a.roots
	a.mu.Unlock()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		a.say(fmt.Errorf("inotify: %w", err))
		return nil, false
	}
	whole = true
	for _, root := range roots {
		dir := filepath.Dir(root)
		if _, err := unix.InotifyAddWatch(fd, dir, aboveMask); err != nil {
			a.say(fmt.Errorf("%s: %w", dir, err))
			whole = false
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.file = os.NewFile(uintptr(fd), "above")
	if a.ended || len(roots) < len(a.roots) { // not these any more
		file = a.file
		a.letGo()
		return file, whole
	}
	return a.file, whole
}

// say tells of each reason once.
func (a *above) say(err error) {
	a.mu.Lock()
	failed := a.failed
	if a.said[err.Error()] {
		failed = nil
	}
	a.said[err.Error()] = true
	a.mu.Unlock()
	if failed != nil {
		failed(err)
	}
}
