package resolver

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
	"lockstep/monitor"
)

// What is known is bounded by entries and by the bytes of their handles and
// paths. When it is full, all of it is forgotten: it is won back at 5 µs each.
const (
	maxPlaces = 1 << 16
	maxKnown  = 16 << 20
)

// places tells where the directories are that handles name.
//
// It asks the kernel for the path that a directory has now, and remembers the
// answer until a directory is renamed anywhere on the file system (forget). So
// an answer that is out of date is given only between such a rename and the
// moment at which its event is read. Whoever acts on that event looks at the
// whole of the directory at its new place, and later than anything was done
// about which an old answer was given.
type places struct {
	mount int    // the root's descriptor, open for more than O_PATH
	at    []byte // where the jail shows the root

	known map[string]*place
	size  int    // of handles and paths
	epoch uint64 // what is of an earlier one is forgotten
	moved bool   // the working directory is not the root
	buf   []byte
}

type place struct {
	path   []byte
	inside bool
	epoch  uint64
}

func newPlaces(mount int) (*places, error) {
	p := &places{mount: mount, known: map[string]*place{}, epoch: 1, buf: make([]byte, unix.PathMax), moved: true}
	if err := p.leave(); err != nil {
		return nil, err
	}
	n, e := getcwd(p.buf)
	if e != 0 || n < 2 || p.buf[0] != '/' {
		return nil, fmt.Errorf("the root's own path: %q, %w", p.buf[:n], e)
	}
	p.at = bytes.TrimSuffix(bytes.Clone(p.buf[:n-1]), []byte{'/'})
	return p, nil
}

// forget: a directory was renamed, or an event that would say so was lost.
func (p *places) forget() { p.epoch++ }

// find returns the path of a directory below the root ("" is the root itself),
// valid until forget, or that it is not there: outside, or deleted.
func (p *places) find(h monitor.Handle) (path []byte, inside bool, err error) {
	known := p.known[string(h)]
	if known != nil && known.epoch == p.epoch {
		return known.path, known.inside, nil
	}
	path, inside, err = p.ask(h)
	if err != nil {
		return nil, false, err
	}
	if known == nil && len(p.known) >= maxPlaces || p.size+len(h)+len(path) > maxKnown {
		clear(p.known)
		p.size, known = 0, nil
	}
	if known == nil {
		known = &place{}
		p.known[string(h)] = known
		p.size += len(h)
	}
	p.size += len(path) - len(known.path)
	known.path, known.inside, known.epoch = append(known.path[:0], path...), inside, p.epoch
	return known.path, inside, nil
}

// ask has the kernel tell. The working directory is the process's: only the one
// goroutine that resolves has a use for it.
func (p *places) ask(h monitor.Handle) (path []byte, inside bool, err error) {
	fd, e := p.open(h)
	switch e {
	case 0:
	case unix.ESTALE:
		// It is gone, which its parent's events say. Or it was moved while the
		// kernel looked for its place, and the event of that is still to come.
		return nil, false, nil
	default:
		return nil, false, fmt.Errorf("open_by_handle_at: %w", e)
	}
	p.moved = true
	e = sys.Fchdir(fd)
	if err := unix.Close(fd); err != nil || e != 0 {
		return nil, false, fmt.Errorf("fchdir and close: %w, %v", e, err)
	}
	n, e := getcwd(p.buf)
	switch {
	case e == unix.ENOENT: // deleted, and somebody has it open
		return nil, false, nil
	case e == unix.ENAMETOOLONG, e == unix.ERANGE: // no path of ours is as long
		return nil, false, nil
	case e != 0 || n < 2:
		return nil, false, fmt.Errorf("getcwd: %d bytes, %w", n, e)
	}
	path, inside = p.below(p.buf[:n-1])
	return path, inside, nil
}

// open is openHandle, which says ENOMEM of a directory whose end is under way.
func (p *places) open(h monitor.Handle) (fd int, e unix.Errno) {
	const tries = 12
	for try := range tries {
		if fd, e = openHandle(p.mount, h); e != unix.ENOMEM {
			break
		}
		t := unix.NsecToTimespec(10_000 << try)
		_ = unix.Nanosleep(&t, nil) // EINTR: then it was shorter
	}
	return fd, e
}

// below cuts the root's own path off. What is not below it begins with
// "(unreachable)" (getcwd(2), NOTES).
func (p *places) below(cwd []byte) ([]byte, bool) {
	rest, ok := bytes.CutPrefix(cwd, p.at)
	switch {
	case !ok:
		return nil, false
	case len(rest) == 0:
		return nil, true
	case rest[0] == '/':
		return rest[1:], true
	}
	return nil, false
}

// leave goes back to the root, so that no other directory is kept in use.
func (p *places) leave() error {
	if !p.moved {
		return nil
	}
	p.moved = false
	if e := sys.Fchdir(p.mount); e != 0 {
		return fmt.Errorf("fchdir to the root: %w", e)
	}
	return nil
}
