package dnotify

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// spare are descriptors for everything that is no directory of the tree.
const spare = 32

// FullError says that the trees have more directories than the process may hold
// descriptors.
type FullError struct {
	Directories int // how many there are
	Limit       int // RLIMIT_NOFILE as it is
}

// Needed is the least limit that would do.
func (e *FullError) Needed() int { return e.Directories + spare }

func (e *FullError) Error() string {
	return fmt.Sprintf("dnotify: %d directories need a limit of %d open files (RLIMIT_NOFILE), which is %d here: "+
		"raise it (LimitNOFILE= of the service, or ulimit -n) and fs.nr_open with it, or choose another monitor",
		e.Directories, e.Needed(), e.Limit)
}

// openFiles is the soft limit of the process.
func openFiles() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("dnotify: the limit of open files: %w", err)
	}
	return int(min(limit.Cur, math.MaxInt32)), nil
}

// full counts the directories, holding no descriptor but one at a time.
func (m *Monitor) full() error {
	total := 0
	for _, p := range m.places {
		n, err := m.countBelow(p)
		if err != nil {
			return err
		}
		total += n
	}
	return &FullError{Directories: max(total, m.tree.count+1), Limit: m.limit + spare}
}

func (m *Monitor) countBelow(p *place) (int, error) {
	total := 0
	for rest := []string{"."}; len(rest) > 0; {
		path := rest[len(rest)-1]
		rest = rest[:len(rest)-1]
		fd, err := openBelow(p.top.fd, path, p.cross)
		switch {
		case err == nil:
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
			return 0, fmt.Errorf("dnotify: counting directories: %w", err)
		default:
			continue // gone, or not to be opened: it would need no descriptor
		}
		total++
		// What cannot be listed counts as empty.
		_ = subdirectories(fd, m.listing, func(name []byte, _ uint64) {
			if below := path + "/" + string(name); len(below) <= maxPath {
				rest = append(rest, below)
			}
		})
		if err := unix.Close(fd); err != nil {
			return 0, err
		}
	}
	return total, nil
}
