// Package survey walks a source and a target side by side and says how many
// entries of the target a whole pass of rsync may delete at most, and if asked
// where the trees differ in what the pass would mend.
//
// Trust: part of the runner, in its jail. Names are hostile, and both trees
// change while they are read; names and what package same sees are compared, no
// content is read.
//
// Invariants: without Unsure, and if neither tree changes, Bound is not less than
// what --max-delete counts; with Compared, what differs is in Compare's set; no
// link is followed; descriptors and memory are bounded.
package survey

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
	"lockstep/runner/narrow"
	"lockstep/runner/same"
)

// Result is what is known of a pass before it runs.
type Result struct {
	Entries uint64 // on the target
	// Bound is not less than what rsync's --max-delete would count, if neither
	// tree changes; meaningless when the survey is unsure.
	Bound  uint64
	Unsure bool
	Rough  bool // Bound has entries that the source was not asked for
	// Compared says that all was compared: what differs is in Compare's set.
	Compared bool
	Alike    uint64 // directories that are the same on both sides, with the files in them
}

// maxDepth bounds the directories that are held open at once. What is deeper is
// not counted, which makes the limit smaller, and the survey unsure.
const maxDepth = 128

// maxNames bounds the names that one walker holds, in bytes. Beyond it the
// survey is unsure.
const maxNames = 64 << 20

// askEvery is after how many entries of one directory the end is asked about.
const askEvery = 1024

// MaxWalkers share the work: each waits for the kernel most of the time.
const MaxWalkers = 2

const dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK

// One name at a time, and that of a directory: no file system, whatever names
// it lists, leads out of the one that is open.
const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS

var ErrOver = errors.New("stopped")

// place is one directory of the target, and what the source has under its name.
type place struct {
	src, dst int    // descriptors; src is -1 when the source has nothing to keep dst's entries
	key      uint64 // of the path, for hidden
	depth    int    // 0 is above the root
	counted  bool   // on the target's file system: its entries are entries of the target
	compared bool   // with the source's, entry by entry
}

// frame is a place that has been listed.
type frame struct {
	place
	start, next, end int // names of directories in walker.names: all, and those still to be entered
	path             int // how much of walker.path is its own
}

// How a directory of the target is entered.
const (
	together = 'b' // with the source's
	doomed   = 'd' // alone: all that is in it may be deleted
)

// walker lists directories of both trees side by side.
type walker struct {
	Result
	over   func() bool
	hidden *Hidden
	team   *team
	dev    uint64 // of the target
	spare  uint64 // percentage of the entries that may be taken for deleted unseen

	set   *narrow.Set // what differs; nil: nothing is compared
	eye   *same.Eye
	path  []byte   // below the roots, of the directory that is being looked at
	below []uint32 // directories in it and in those above it, of both sides

	frames         []frame
	names          []byte // how, name, NUL; a stack as frames is
	source, target listing
	buf            [32 << 10]byte
	stat           unix.Stat_t
}

// Trees walks the target, and of the source what the target has as well.
// It follows no link. The entries of the target are counted within its file
// system, the bound wherever rsync deletes. Up to spare percent of the entries
// may be in the bound only because the source was not asked: that saves its
// directories from being read. With c, all are read, and compared as long as
// they differ little.
func Trees(source, target string, h *Hidden, spare uint32, over func() bool, c *Compare) (Result, error) {
	p := place{counted: true, compared: c != nil}
	var err error
	if p.dst, err = unix.Open(target, dirFlags, 0); err != nil {
		return Result{}, fmt.Errorf("open %s: %w", target, err)
	}
	if p.src, err = unix.Open(source, dirFlags, 0); err != nil {
		return Result{}, errors.Join(fmt.Errorf("open %s: %w", source, err), unix.Close(p.dst))
	}
	var st unix.Stat_t
	if err := unix.Fstat(p.dst, &st); err != nil {
		return Result{}, errors.Join(fmt.Errorf("stat %s: %w", target, err), p.close())
	}
	walkers := make([]walker, min(runtime.GOMAXPROCS(0), MaxWalkers))
	if c != nil {
		walkers = make([]walker, c.Crew.Size())
	}
	t := newTeam(len(walkers))
	first := &walkers[0]
	first.names = append(first.names, together, '.', 0)
	first.frames = append(first.frames, frame{place: p, end: len(first.names)})
	for i := range walkers {
		w := &walkers[i]
		w.over, w.hidden, w.team, w.dev, w.spare = over, h, t, st.Dev, uint64(spare)
	}
	if c != nil && !c.begin(walkers) {
		first.frames[0].compared = false
	}
	errs := make([]error, len(walkers))
	errs = append(errs, run(c, len(walkers), func(i int) { errs[i] = walkers[i].work() }), t.close())
	sum, err := total(walkers), errors.Join(errs...)
	sum.Compared = err == nil && c != nil && !sum.Unsure && !c.Found.Over()
	return sum, err
}

// run has the walkers work: on the crew's threads, where there is one.
func run(c *Compare, walkers int, part func(i int)) error {
	if c != nil {
		return c.Crew.Run(part)
	}
	var wg sync.WaitGroup
	for i := range walkers {
		wg.Go(func() { part(i) })
	}
	wg.Wait()
	return nil
}

func total(walkers []walker) Result {
	var sum Result
	for i := range walkers {
		sum.Entries += walkers[i].Entries
		sum.Bound += walkers[i].Bound
		sum.Alike += walkers[i].Alike
		sum.Unsure = sum.Unsure || walkers[i].Unsure
		sum.Rough = sum.Rough || walkers[i].Rough
	}
	return sum
}

// work walks until nobody has anything left.
func (w *walker) work() error {
	for {
		for len(w.frames) > 0 {
			if w.team.hungry() {
				w.share()
			}
			if err := w.step(); err != nil {
				w.team.end()
				return errors.Join(err, w.leave(0))
			}
		}
		if !w.team.take(w) {
			return nil
		}
	}
}

// step enters one directory, or leaves one that has been gone through.
func (w *walker) step() error {
	f := &w.frames[len(w.frames)-1]
	if f.next == f.end {
		return w.leave(len(w.frames) - 1)
	}
	how := w.names[f.next]
	name := w.names[f.next+1:]
	name = name[:bytes.IndexByte(name, 0)+1]
	f.next += 1 + len(name)
	if f.depth == maxDepth {
		w.Unsure = true
		return nil
	}
	p := place{src: -1, depth: f.depth + 1, counted: f.counted, compared: f.compared && how == together}
	if w.path = w.path[:f.path]; f.depth > 0 {
		w.path = join(w.path, name)
	}
	var e unix.Errno
	if p.dst, e = sys.Openat2(f.dst, name, dirFlags, resolve); e != 0 {
		w.Unsure = true // it cannot be read, or was exchanged this moment
		return nil
	}
	if err := unix.Fstat(p.dst, &w.stat); err != nil {
		return errors.Join(fmt.Errorf("fstat: %w", err), p.close())
	}
	p.counted = p.counted && w.stat.Dev == w.dev
	if err := w.list(&p); err != nil {
		return errors.Join(err, p.close())
	}
	if how == together && (w.comparing(&p) || w.compares()) {
		// What cannot be opened is taken for missing: rsync may find it so.
		p.src, _ = sys.Openat2(f.src, name, dirFlags, resolve)
		if f.depth > 0 {
			p.key = w.hidden.key(f.key, name[:len(name)-1])
		}
	}
	if err := w.judge(&p); err != nil {
		return errors.Join(err, p.close())
	}
	return nil
}

// leave forgets the frames from n on, with all that they have not entered.
func (w *walker) leave(n int) error {
	var err error
	for i := len(w.frames) - 1; i >= n; i-- {
		err = errors.Join(err, w.frames[i].close())
		w.names = w.names[:w.frames[i].start]
	}
	w.frames = w.frames[:n]
	return err
}

func (p *place) close() error {
	err := unix.Close(p.dst)
	if p.src >= 0 {
		err = errors.Join(err, unix.Close(p.src))
	}
	if err != nil {
		return fmt.Errorf("close a directory: %w", err)
	}
	return nil
}

// list reads a directory of the target.
func (w *walker) list(p *place) error {
	if w.over() {
		return ErrOver
	}
	err := w.target.read(p.dst, w.buf[:], w.over)
	if errors.Is(err, ErrOver) {
		return err
	}
	if err != nil {
		w.Unsure = true
	}
	if p.counted {
		w.Entries += uint64(w.target.count)
	}
	return nil
}

// compares says whether the source has to be asked about what was listed. Not
// when nothing is there, and not when there is enough to spare: then all of it
// is taken for deleted. A directory with others in it is always compared, since
// for one listing it saves all that is below.
func (w *walker) compares() bool {
	n := uint64(w.target.count)
	if n == 0 || w.target.dirs > 0 {
		return n > 0
	}
	if w.Bound+n > w.Entries*w.spare/100 {
		return true
	}
	w.Rough = true
	return false
}

// judge counts what may be deleted of what was listed, and makes a frame of it
// if there are directories in it. Without an error it takes the descriptors.
func (w *walker) judge(p *place) error {
	known := p.src >= 0
	if known {
		err := w.source.read(p.src, w.buf[:], w.over)
		if errors.Is(err, ErrOver) {
			return err
		}
		known = err == nil // else rsync deletes nothing here, or sees more than we do
	}
	w.below = append(w.below[:p.depth-1], uint32(w.source.dirs+w.target.dirs))
	if !known {
		w.Bound += uint64(w.target.count)
		if w.comparing(p) {
			w.enters(p, w.path)
		}
	}
	if !known && w.target.dirs == 0 {
		return p.close()
	}
	f := frame{place: *p, start: len(w.names), next: len(w.names), path: len(w.path)}
	kept := w.Bound
	asks := known && w.hidden.in(p.key)
	for isDir, name := range w.target.all() {
		how := byte(together)
		if !known || !w.source.has(name, isDir) || asks && w.hidden.name(p.key, name[:len(name)-1]) {
			how = doomed
		}
		if known && how == doomed {
			w.Bound++
		}
		if !isDir {
			continue
		}
		if known && how == doomed && w.comparing(p) {
			w.set.Enter(w.child(name), w.below)
		}
		if len(w.names)+len(name) >= maxNames {
			w.Unsure = true
			continue
		}
		w.names = append(append(w.names, how), name...)
	}
	if w.comparing(p) {
		if err := w.differences(p, w.Bound > kept); err != nil {
			w.names = w.names[:f.start]
			return err
		}
		f.compared = p.compared
	}
	if f.end = len(w.names); f.end == f.start {
		return p.close()
	}
	w.frames = append(w.frames, f)
	return nil
}

// readDir calls visit for every entry but "." and "..", with the NUL at the end
// of its name. Sizes and offsets are of struct linux_dirent64: getdents(2).
func readDir(fd int, buf []byte, over func() bool, visit func(name []byte, kind uint8)) error {
	const lengthAt, kindAt, nameAt = 16, 18, 19
	entries := 0
	for {
		n, e := sys.Getdents(fd, buf)
		if e != 0 {
			return fmt.Errorf("getdents: %w", e)
		}
		if n == 0 {
			return nil
		}
		for rest := buf[:n]; len(rest) > nameAt; {
			length := int(binary.NativeEndian.Uint16(rest[lengthAt:]))
			if length <= nameAt || length > len(rest) {
				return errors.New("getdents: a record of no sense")
			}
			name := rest[nameAt:length]
			end := bytes.IndexByte(name, 0)
			if end < 0 {
				return errors.New("getdents: a name without an end")
			}
			kind := rest[kindAt]
			rest = rest[length:]
			if name[0] == '.' && (end == 1 || end == 2 && name[1] == '.') {
				continue
			}
			if entries++; entries%askEvery == 0 && over() {
				return ErrOver
			}
			visit(name[:end+1], kind)
		}
	}
}

// EmptyDir says whether a directory has no entry at all.
func EmptyDir(path string) (bool, error) {
	fd, err := unix.Open(path, dirFlags, 0)
	if err != nil {
		return false, fmt.Errorf("open %s: %w", path, err)
	}
	var buf [4 << 10]byte
	empty := true
	err = readDir(fd, buf[:], func() bool { return !empty }, func([]byte, uint8) { empty = false })
	closed := unix.Close(fd)
	if errors.Is(err, ErrOver) {
		err = nil
	}
	return empty, errors.Join(err, closed)
}
