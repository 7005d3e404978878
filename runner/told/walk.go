package told

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/internal/escape"
	"lockstep/rsync"
)

// Rejected reads the rules of a whole pass, as the worker makes them: the paths
// that it leaves out, each with all below it. A rule that leaves out a name as one
// kind of thing only leaves it out here in any case.
func Rejected(rules []byte) ([]string, error) {
	var out []string
	for rule := range bytes.SplitSeq(bytes.TrimSuffix(rules, []byte{0}), []byte{0}) {
		text := string(rule)
		switch {
		case text == "":
			if len(rules) > 0 {
				return nil, errors.New("an empty rule")
			}
			continue
		case text == rsync.Exclude+rsync.Children:
			out = append(out, "") // all: see package omit
			continue
		case strings.HasPrefix(text, rsync.Include+"/") && strings.HasSuffix(text, rsync.ItselfBelow):
			continue // what comes after leaves out the same name, as another kind of thing
		case strings.HasPrefix(text, rsync.Exclude):
			text = rsync.Hide + strings.TrimSuffix(strings.TrimPrefix(text, rsync.Exclude), rsync.Directory)
		}
		rel, hides, ok := rsync.Hidden([]byte(text))
		if !ok || !hides {
			return nil, fmt.Errorf("a rule that is not understood: %.64q", rule)
		}
		out = append(out, rel)
	}
	return out, nil
}

const (
	dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK
	resolve  = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS
)

// errOver says that the job is to end.
var errOver = errors.New("stopped")

// walker goes through a tree.
type walker struct {
	root  int
	left  map[string]bool
	over  func() bool
	visit func(rel string, isDir bool) error
	lost  func(error) error // of a directory that cannot be read
	buf   []byte
}

// Walk visits the root ("") and all that is below it but for what is rejected, a
// directory before what is in it, and then ends. No link is followed; what goes
// while it looks is left out. Of a directory that cannot be read lost decides: with
// nil the walk goes on; the root's own failure ends it.
func Walk(root string, rejected []string, over func() bool, visit func(rel string, isDir bool) error, lost func(error) error, end func() error) (err error) {
	fd, err := unix.Open(root, dirFlags, 0)
	if err != nil {
		return fmt.Errorf("open the source: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	w := walker{root: fd, left: map[string]bool{}, over: over, visit: visit, lost: lost, buf: make([]byte, 32<<10)}
	for _, rel := range rejected {
		w.left[rel] = true
	}
	if w.left[""] {
		return nil
	}
	if err := visit("", true); err != nil {
		return err
	}
	for dirs := []string{""}; len(dirs) > 0; {
		dir := dirs[len(dirs)-1]
		below, err := w.dir(dir)
		if err != nil {
			return err
		}
		slices.Reverse(below)
		dirs = append(dirs[:len(dirs)-1], below...)
	}
	return end()
}

// name is one of a directory.
type name struct {
	text  string
	isDir bool
}

// dir visits what is in a directory, and returns the directories among it.
func (w *walker) dir(rel string) (below []string, err error) {
	if w.over() {
		return nil, errOver
	}
	names, err := w.list(rel)
	if err != nil {
		err = fmt.Errorf("%s: a directory of the source cannot be read: %w", escape.Name(cmp.Or(rel, ".")), err)
		if rel == "" {
			return nil, err
		}
		if err = w.lost(err); err != nil {
			return nil, err
		}
	}
	for _, n := range names {
		path := n.text
		if rel != "" {
			path = rel + "/" + path
		}
		if w.left[path] {
			continue
		}
		if err := w.visit(path, n.isDir); err != nil {
			return nil, err
		}
		if n.isDir {
			below = append(below, path)
		}
	}
	return below, nil
}

// list reads the names of a directory, sorted; none of one that has gone, and those
// that were read before an error.
func (w *walker) list(rel string) (names []name, err error) {
	if rel == "" {
		rel = "."
	}
	fd, err := unix.Openat2(w.root, rel, &unix.OpenHow{Flags: dirFlags, Resolve: resolve})
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	for {
		n, err := unix.Getdents(fd, w.buf)
		if err != nil || n == 0 {
			slices.SortFunc(names, func(a, b name) int { return strings.Compare(a.text, b.text) })
			if gone(err) {
				err = nil
			}
			return names, err
		}
		if names, err = w.records(fd, w.buf[:n], names); err != nil {
			return names, err
		}
	}
}

// records reads what getdents64(2) wrote.
func (w *walker) records(fd int, buf []byte, names []name) ([]name, error) {
	const lengthAt, kindAt, nameAt = 16, 18, 19
	for len(buf) > 0 {
		if len(buf) <= nameAt {
			return names, errors.New("getdents: a record of no sense")
		}
		length := int(binary.NativeEndian.Uint16(buf[lengthAt:]))
		if length <= nameAt || length > len(buf) {
			return names, errors.New("getdents: a record of no sense")
		}
		text := unix.ByteSliceToString(buf[nameAt:length])
		kind := buf[kindAt]
		if buf = buf[length:]; text == "." || text == ".." || text == "" || strings.Contains(text, "/") {
			continue
		}
		isDir := kind == unix.DT_DIR
		if kind == unix.DT_UNKNOWN {
			var st unix.Stat_t
			if unix.Fstatat(fd, text, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
				continue
			}
			isDir = st.Mode&unix.S_IFMT == unix.S_IFDIR
		}
		names = append(names, name{text, isDir})
	}
	return names, nil
}

// gone says that a directory is not there any more, or is none.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}
