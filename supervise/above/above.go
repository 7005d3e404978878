// Package above notices that another directory may have taken the place of a root.
//
// A root that is deleted, or moved aside for another one, shows in the directory
// that holds it: the kernel tells nobody who holds a directory of its end
// (inotify(7): IN_DELETE_SELF comes when the last one lets go of it), and a helper
// holds it. That a directory further up was moved shows in that one.
//
// Trust: linked into the supervisor. Who can write to such a directory chooses the
// names in its events: they are skipped, and only the kernel's numbers are read.
//
// Invariants: one goroutine (loop) owns all state; whatever is asked of a file system
// is asked by a goroutine that nobody waits for, one for each directory at most; a
// directory costs one event and two looks at its roots in a Least, and less while
// events go on.
package above

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// first leaves the first instances of inotify to the syncs: a user may have few.
	first = 10 * time.Second
	// Least is how long a directory is left alone after an event; it doubles as long
	// as the next one comes within four times that, up to Most.
	Least = 2 * time.Second
	Most  = time.Minute
)

const (
	holds = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO // a name in it may be a root's
	moves = unix.IN_MOVE_SELF | unix.IN_DELETE_SELF
	// Once: what goes on in a directory is no reason to be woken again and again.
	once = unix.IN_ONESHOT | unix.IN_ONLYDIR | unix.IN_MASK_ADD
)

// Watcher watches the directories above roots.
type Watcher struct {
	say func(error)
	do  chan func() // by the loop
	end chan struct{}

	wait, least, most time.Duration // first, Least, Most

	// The loop's:
	file *os.File // an inotify instance; nil: there is none yet
	dirs map[string]*dir
	wds  map[int32][]*dir
	said map[string]bool
}

// root is one of a Watcher's.
type root struct{ poke func() }

// dir is one directory.
type dir struct {
	path  string
	mask  uint32
	roots map[*root]bool

	due     time.Time // when it is to be watched; zero: it is, or is asked
	asked   bool      // the kernel, which has not answered
	again   bool      // it is to be asked once more then
	wd      int32     // its watch; 0: none
	watched time.Time // since when it was, the last time
	gap     time.Duration
	tries   int // in vain
}

// New makes a watcher. say is told, once for each reason, what cannot be watched; it
// is tried again.
func New(say func(error)) *Watcher { return start(say, first, Least, Most) }

func start(say func(error), wait, least, most time.Duration) *Watcher {
	w := &Watcher{say: say, do: make(chan func()), end: make(chan struct{}), wait: wait, least: least, most: most,
		dirs: map[string]*dir{}, wds: map[int32][]*dir{}, said: map[string]bool{}}
	go w.loop()
	return w
}

// ask has the loop do something, unless it has ended.
func (w *Watcher) ask(f func()) {
	select {
	case w.do <- f:
	case <-w.end:
	}
}

// Add has poke called, which must not wait, whenever another directory may have
// taken the place of the one at path: also when nothing was watched for a while. It
// returns what ends that.
func (w *Watcher) Add(path string, poke func()) (remove func()) {
	r := &root{poke}
	w.ask(func() {
		for path, mask := filepath.Dir(path), uint32(holds|moves); ; path, mask = filepath.Dir(path), moves {
			d := w.dirs[path]
			if d == nil {
				d = &dir{path: path, roots: map[*root]bool{}, gap: w.least, due: time.Now().Add(w.wait)}
				w.dirs[path] = d
			}
			if d.mask|mask != d.mask {
				d.mask |= mask
				if d.due.IsZero() {
					d.due = time.Now()
				}
			}
			d.roots[r] = true
			if path == "/" || path == "." {
				return
			}
		}
	})
	return func() { w.ask(func() { w.remove(r) }) }
}

func (w *Watcher) remove(r *root) {
	for path, d := range w.dirs {
		if delete(d.roots, r); len(d.roots) == 0 {
			delete(w.dirs, path)
			w.forget(d)
		}
	}
}

// forget ends a directory's watch, if no other one has it too.
func (w *Watcher) forget(d *dir) {
	wd := d.wd
	if d.wd = 0; wd == 0 {
		return
	}
	left := slices.DeleteFunc(w.wds[wd], func(o *dir) bool { return o == d })
	if w.wds[wd] = left; len(left) > 0 {
		return
	}
	delete(w.wds, wd)
	if conn, err := w.file.SyscallConn(); err == nil {
		// EINVAL: it has told, and is no more.
		_ = conn.Control(func(fd uintptr) { _, _ = unix.InotifyRmWatch(int(fd), uint32(wd)) })
	}
}

// Close ends it. It does not wait for what a file system does not answer.
func (w *Watcher) Close() error {
	w.ask(func() {
		if w.file != nil {
			go w.file.Close() // which waits until the last has let go of it
		}
		close(w.end)
	})
	return nil
}

func (w *Watcher) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Stop()
		if next, any := w.next(); any {
			timer.Reset(max(time.Until(next), 0))
		}
		select {
		case f := <-w.do:
			f()
		case <-timer.C:
			w.place(time.Now())
		}
		select {
		case <-w.end:
			return
		default:
		}
	}
}

// next is when the first directory is to be watched again.
func (w *Watcher) next() (next time.Time, any bool) {
	for _, d := range w.dirs {
		if !d.due.IsZero() && (!any || d.due.Before(next)) {
			next, any = d.due, true
		}
	}
	return next, any
}

// place has all directories watched that are due.
func (w *Watcher) place(now time.Time) {
	var due []*dir
	for _, path := range slices.Sorted(maps.Keys(w.dirs)) {
		if d := w.dirs[path]; !d.due.IsZero() && !d.due.After(now) {
			due = append(due, d)
		}
	}
	if len(due) > 0 && w.file == nil {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		if err != nil {
			for _, d := range due {
				d.due = now.Add(w.most)
			}
			w.fail(fmt.Errorf("inotify: %w", err))
			return
		}
		w.file = os.NewFile(uintptr(fd), "above")
		go w.read(w.file)
	}
	for _, d := range due {
		d.due = time.Time{}
		if d.asked {
			d.again = true
			continue
		}
		d.asked = true
		go w.watch(w.file, d, d.path, d.mask)
	}
}

// watch asks the kernel, which may ask a server that does not answer.
func (w *Watcher) watch(file *os.File, d *dir, path string, mask uint32) {
	conn, err := file.SyscallConn()
	wd := -1
	if err == nil {
		control := conn.Control(func(fd uintptr) { wd, err = unix.InotifyAddWatch(int(fd), path, mask|once) })
		if err == nil {
			err = control
		}
	}
	w.ask(func() { w.placed(d, int32(wd), err) })
}

// placed takes the answer. What has happened since it was last watched is seen by the
// look that is asked for.
func (w *Watcher) placed(d *dir, wd int32, err error) {
	now := time.Now()
	if d.asked = false; d.again { // for more, or the path may lead elsewhere since
		d.again, d.due = false, now
	}
	if err != nil {
		const soon = 5
		wait := w.least
		if d.tries++; d.tries > soon {
			wait = w.most
		}
		d.due = now.Add(wait)
		w.fail(fmt.Errorf("%s: %w", d.path, err))
		return
	}
	if d.wd != wd {
		w.forget(d)
		d.wd, w.wds[wd] = wd, append(w.wds[wd], d)
	}
	if len(d.roots) == 0 { // it was removed meanwhile
		w.forget(d)
	}
	d.tries, d.watched = 0, now
	d.poke()
}

func (d *dir) poke() {
	for r := range d.roots {
		r.poke()
	}
}

// told takes an event, after which the kernel watches its directory no more.
func (w *Watcher) told(wd int32) {
	now := time.Now()
	for _, d := range w.wds[wd] {
		d.wd = 0
		if now.Sub(d.watched) < 4*d.gap {
			d.gap = min(2*d.gap, w.most)
		} else {
			d.gap = w.least
		}
		d.due = now.Add(d.gap)
		for _, below := range w.dirs { // others may be at their places now
			if strings.HasPrefix(below.path, d.path+"/") {
				below.due = d.due
			}
		}
		d.poke()
	}
	delete(w.wds, wd)
}

// fail says each reason once.
func (w *Watcher) fail(err error) {
	if !w.said[err.Error()] {
		w.said[err.Error()] = true
		w.say(err)
	}
}

// read passes the numbers of watches on until the instance is closed.
func (w *Watcher) read(file *os.File) {
	buf := make([]byte, 16<<10)
	for {
		n, err := file.Read(buf)
		if err != nil {
			return // it was closed
		}
		for _, wd := range numbers(buf[:n]) {
			w.ask(func() { w.told(wd) })
		}
	}
}

// numbers are those of the watches in events: of each its first four bytes, and the
// length of the name that is skipped is its last four (inotify(7)).
func numbers(events []byte) (wds []int32) {
	const header = unix.SizeofInotifyEvent
	for len(events) >= header {
		wds = append(wds, int32(binary.NativeEndian.Uint32(events)))
		size := uint64(binary.NativeEndian.Uint32(events[header-4:]))
		if size > uint64(len(events)-header) {
			return wds
		}
		events = events[header+size:]
	}
	return wds
}
