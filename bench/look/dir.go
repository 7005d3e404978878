// Package look sees what appears on a target: by inotify, without polling,
// where one directory is enough; by cheap counts where it is a tree.
//
// Trust: linked into the benchmark only.
//
// Invariants: a moment is taken right after the event was read; nothing here
// writes to a tree.
package look

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Event is a change of one name in a directory.
type Event struct {
	Name string
	Gone bool // deleted or renamed away; else complete: renamed to this name, or closed after it was written
	At   time.Time
}

// Dir is a watched directory.
type Dir struct {
	file   *os.File
	events chan Event
	done   chan struct{}
}

// Open watches a directory; Close must be called.
func Open(path string) (*Dir, error) {
	return open(path, 0)
}

// OpenWrites also sees each write: for files that are kept open.
func OpenWrites(path string) (*Dir, error) {
	return open(path, unix.IN_MODIFY)
}

func open(path string, more uint32) (*Dir, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	const mask = unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_ONLYDIR
	if _, err := unix.InotifyAddWatch(fd, path, mask|more); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watch %s: %w", path, err)
	}
	d := &Dir{file: os.NewFile(uintptr(fd), "inotify"), events: make(chan Event, 1<<12), done: make(chan struct{})}
	go d.read()
	return d, nil
}

// Events are closed after Close.
func (d *Dir) Events() <-chan Event { return d.events }

// Close ends the watch.
func (d *Dir) Close() error {
	close(d.done)
	return d.file.Close()
}

func (d *Dir) read() {
	defer close(d.events)
	buf := make([]byte, 64<<10)
	for {
		n, err := d.file.Read(buf)
		if err != nil {
			return // closed
		}
		at := time.Now()
		for _, e := range decode(buf[:n], at) {
			select {
			case d.events <- e:
			case <-d.done:
				return
			}
		}
	}
}

// decode splits what was read from an inotify descriptor (inotify(7)).
func decode(b []byte, at time.Time) []Event {
	var out []Event
	for len(b) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(b[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
		if end > len(b) {
			break
		}
		name := strings.TrimRight(string(b[unix.SizeofInotifyEvent:end]), "\x00")
		if name != "" {
			out = append(out, Event{Name: name, Gone: mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) != 0, At: at})
		}
		b = b[end:]
	}
	return out
}
