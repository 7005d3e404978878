// Package fold shortens a list of paths for rsync: a directory all of whose
// entries are listed is named once, with a slash behind it, in place of them.
// rsync takes that for the directory and what is in it, without recursion
// (rsync(1), --files-from), and takes two system calls for each byte of a list.
//
// Trust: part of the runner, in its jail. Paths and directories are hostile, and
// change while they are looked at.
//
// Invariants: what is listed and is not seen in its directory stays as it is, so
// that its deletion is copied; a directory in which anything is seen that is not
// listed is not folded. What comes into it afterwards may be copied with it, before
// its own event has it copied: only for trees of which nothing is left out. No link
// is followed.
package fold

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// least is how many entries of a directory have to be listed for it to be looked
// at: opening and reading it takes as long as rsync does for some hundred bytes.
const least = 8

const (
	dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK
	resolve  = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS
)

// Tree is a source below which directories are read.
type Tree struct {
	fd  int
	buf []byte
}

// Open opens a source.
func Open(source string) (*Tree, error) {
	fd, err := unix.Open(source, dirFlags, 0)
	if err != nil {
		return nil, fmt.Errorf("open the source: %w", err)
	}
	return &Tree{fd, make([]byte, 32<<10)}, nil
}

// Close gives the source back.
func (t *Tree) Close() error { return unix.Close(t.fd) }

// List is the list with what can be folded folded. Precondition: its entries end
// with NUL, each is "./" and a path, and they are sorted by their bytes
// (ipc.CheckList).
func (t *Tree) List(list []byte) []byte {
	text := string(list)
	if !strings.HasSuffix(text, "\x00") {
		return list
	}
	entries := strings.Split(text[:len(text)-1], "\x00")
	folded := false
	for dir, at := range groups(entries) {
		if len(at) < least || !t.covers(dir, entries, at) {
			continue
		}
		folded = true
	}
	if !folded {
		return list
	}
	out := make([]byte, 0, len(list))
	for _, e := range entries {
		if e != "" {
			out = append(append(out, e...), 0)
		}
	}
	return out
}

// groups has the places of each directory's entries in the list, but for the
// root's: "./" would be the root itself too.
func groups(entries []string) map[string][]int {
	out := map[string][]int{}
	for i, e := range entries {
		if slash := strings.LastIndexByte(e, '/'); slash > len(".") {
			out[e[:slash]] = append(out[e[:slash]], i)
		}
	}
	return out
}

// covers says whether all that is in a directory is listed, and if so takes it
// from the list: the first of it becomes the directory, the others "".
func (t *Tree) covers(dir string, entries []string, at []int) bool {
	names, err := t.names(dir, len(at))
	if err != nil || len(names) == 0 {
		return false // rsync looks itself, and says what is wrong
	}
	seen := make([]int, 0, len(names))
	for _, n := range names {
		i, listed := slices.BinarySearchFunc(at, n, func(i int, n string) int {
			return strings.Compare(entries[i][len(dir)+1:], n)
		})
		if !listed {
			return false
		}
		seen = append(seen, at[i])
	}
	for _, i := range seen {
		entries[i] = ""
	}
	entries[seen[0]] = dir + "/"
	return true
}

var errMore = errors.New("there is more in it than is listed")

// names reads the names in a directory, sorted, if there are no more than most.
func (t *Tree) names(dir string, most int) (names []string, err error) {
	fd, err := unix.Openat2(t.fd, dir, &unix.OpenHow{Flags: dirFlags, Resolve: resolve})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	for len(names) <= most {
		n, err := unix.Getdents(fd, t.buf)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			slices.Sort(names)
			return names, nil
		}
		_, _, names = unix.ParseDirent(t.buf[:n], -1, names)
	}
	return nil, errMore
}
