// Package compare tells whether two trees are the same, in everything that a
// mirror promises to keep.
//
// Trust: linked into tests only. It shares no code with the product, so that a
// mistake of the product cannot hide itself here.
//
// Invariants: names are bytes; nothing is followed; paths longer than PATH_MAX
// are reached, since every step is relative to an open directory.
package compare

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Entry is what is kept of one name.
type Entry struct {
	Kind   uint32 // S_IFMT bits
	Mode   uint32 // permission, set-id and sticky bits
	UID    uint32
	GID    uint32
	Mtime  [2]int64 // seconds and nanoseconds
	Size   int64    // of files
	Rdev   uint64   // of devices
	Sum    string   // of a file's content
	Link   string   // a symbolic link's target
	Xattrs string   // names and values, sorted
	Peers  string   // the other names of the same inode in this tree, sorted

	ino   [2]uint64
	nlink uint64
}

// Tree is a snapshot: entries by path below the root, which itself is ".".
type Tree map[string]Entry

// Options say what is not compared.
type Options struct {
	Skip    func(rel string, kind uint32) bool // these are as if they were not there
	NoRoot  bool                               // leave out the root's own attributes
	NoXattr bool
}

// Read takes a snapshot of the tree at root. A tree that changes meanwhile
// makes an error or a snapshot that never was: call again.
func Read(root string, o Options) (Tree, error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", root, err)
	}
	tree := Tree{}
	dir := os.NewFile(uintptr(fd), root)
	if !o.NoRoot {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return nil, err
		}
		e := entry(&st)
		if e.Xattrs, err = xattrs(fd, o); err != nil {
			return nil, err
		}
		tree["."] = e
	}
	if err := tree.walk(dir, "", o); err != nil {
		return nil, err
	}
	tree.group()
	return tree, nil
}

func entry(st *unix.Stat_t) Entry {
	e := Entry{Kind: st.Mode & unix.S_IFMT, Mode: st.Mode &^ unix.S_IFMT, UID: st.Uid, GID: st.Gid,
		Mtime: [2]int64{st.Mtim.Sec, st.Mtim.Nsec}, ino: [2]uint64{st.Dev, st.Ino}, nlink: uint64(st.Nlink)}
	switch e.Kind {
	case unix.S_IFREG:
		e.Size = st.Size
	case unix.S_IFCHR, unix.S_IFBLK:
		e.Rdev = st.Rdev
	}
	return e
}

// walk reads one directory and closes it before it goes deeper, except for the
// chain of directories above.
func (t Tree) walk(dir *os.File, rel string, o Options) error {
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("list %q: %w", rel, err)
	}
	for _, name := range names {
		path := name
		if rel != "" {
			path = rel + "/" + name
		}
		if err := t.one(int(dir.Fd()), name, path, o); err != nil {
			return fmt.Errorf("%q: %w", path, err)
		}
	}
	return nil
}

func (t Tree) one(dirFD int, name, path string, o Options) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dirFD, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	e := entry(&st)
	if o.Skip != nil && o.Skip(path, e.Kind) {
		return nil
	}
	switch e.Kind {
	case unix.S_IFLNK:
		buf := make([]byte, 4097)
		n, err := unix.Readlinkat(dirFD, name, buf)
		if err != nil {
			return err
		}
		e.Link = string(buf[:n])
	case unix.S_IFREG, unix.S_IFDIR:
		fd, err := unix.Openat(dirFD, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), name)
		if e.Xattrs, err = xattrs(fd, o); err != nil {
			f.Close()
			return err
		}
		t[path] = e
		if e.Kind == unix.S_IFDIR {
			return t.walk(f, path, o)
		}
		e.Sum, err = content(f)
		f.Close()
		if err != nil {
			return err
		}
	}
	t[path] = e
	return nil
}

func content(f *os.File) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// xattrs are user's and the access control lists, as one comparable string.
func xattrs(fd int, o Options) (string, error) {
	if o.NoXattr {
		return "", nil
	}
	buf := make([]byte, 64<<10)
	n, err := unix.Flistxattr(fd, buf)
	if err == unix.ENOTSUP {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("list xattrs: %w", err)
	}
	var all []string
	for name := range bytes.SplitSeq(bytes.TrimRight(buf[:n], "\x00"), []byte{0}) {
		key := string(name)
		if !strings.HasPrefix(key, "user.") && !strings.HasPrefix(key, "system.posix_acl_") {
			continue
		}
		value := make([]byte, 64<<10)
		m, err := unix.Fgetxattr(fd, key, value)
		if err != nil {
			return "", fmt.Errorf("xattr %q: %w", key, err)
		}
		all = append(all, fmt.Sprintf("%q=%x", key, value[:m]))
	}
	slices.Sort(all)
	return strings.Join(all, " "), nil
}

// group fills in Peers: which names are one file.
func (t Tree) group() {
	byIno := map[[2]uint64][]string{}
	for path, e := range t {
		if e.nlink > 1 && e.Kind != unix.S_IFDIR {
			byIno[e.ino] = append(byIno[e.ino], path)
		}
	}
	for _, paths := range byIno {
		if len(paths) < 2 {
			continue // the others lie outside this tree
		}
		slices.Sort(paths)
		for _, path := range paths {
			e := t[path]
			e.Peers = fmt.Sprintf("%q", paths)
			t[path] = e
		}
	}
}

// Diff lists how want and got differ, sorted by path, at most limit lines and
// one that counts the rest. Names are quoted. Equal trees give nothing.
func Diff(want, got Tree, limit int) []string {
	var paths []string
	for path, w := range want {
		if g, ok := got[path]; !ok || w.shown() != g.shown() {
			paths = append(paths, path)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	var out []string
	for i, path := range paths {
		if i == limit {
			return append(out, fmt.Sprintf("… and %d more", len(paths)-limit))
		}
		w, inWant := want[path]
		g, inGot := got[path]
		switch {
		case !inGot:
			out = append(out, fmt.Sprintf("%s: missing (want %s)", quote(path), w.what()))
		case !inWant:
			out = append(out, fmt.Sprintf("%s: should not be there (%s)", quote(path), g.what()))
		default:
			out = append(out, fmt.Sprintf("%s: %s", quote(path), strings.Join(differences(w, g), ", ")))
		}
	}
	return out
}

// quote makes a path printable, and shows of a very long one both ends.
func quote(path string) string {
	const most = 300
	if len(path) > most {
		return fmt.Sprintf("%+q…(%d bytes)…%+q", path[:most/2], len(path), path[len(path)-most/2:])
	}
	return fmt.Sprintf("%+q", path)
}

// shown is the entry without what may differ between equal trees.
func (e Entry) shown() Entry {
	e.ino, e.nlink = [2]uint64{}, 0
	return e
}

func (e Entry) what() string {
	word := map[uint32]string{unix.S_IFREG: "file", unix.S_IFDIR: "directory", unix.S_IFLNK: "symlink", unix.S_IFIFO: "fifo",
		unix.S_IFSOCK: "socket", unix.S_IFCHR: "character device", unix.S_IFBLK: "block device"}[e.Kind]
	return fmt.Sprintf("%s %04o", word, e.Mode)
}

func differences(w, g Entry) []string {
	var d []string
	add := func(what string, differ bool, want, got any) {
		if differ {
			d = append(d, fmt.Sprintf("%s %v, want %v", what, got, want))
		}
	}
	if w.Kind != g.Kind {
		return []string{fmt.Sprintf("is a %s, want a %s", g.what(), w.what())}
	}
	add("mode", w.Mode != g.Mode, fmt.Sprintf("%04o", w.Mode), fmt.Sprintf("%04o", g.Mode))
	add("uid", w.UID != g.UID, w.UID, g.UID)
	add("gid", w.GID != g.GID, w.GID, g.GID)
	add("mtime", w.Mtime != g.Mtime, stamp(w.Mtime), stamp(g.Mtime))
	add("size", w.Size != g.Size, w.Size, g.Size)
	add("content", w.Size == g.Size && w.Sum != g.Sum, "other bytes", "of the same size")
	add("link to", w.Link != g.Link, fmt.Sprintf("%+q", w.Link), fmt.Sprintf("%+q", g.Link))
	add("device", w.Rdev != g.Rdev, w.Rdev, g.Rdev)
	add("xattrs", w.Xattrs != g.Xattrs, w.Xattrs, g.Xattrs)
	add("hard links", w.Peers != g.Peers, w.Peers, g.Peers)
	return d
}

func stamp(t [2]int64) string { return fmt.Sprintf("%d.%09d", t[0], t[1]) }

// Equal compares the trees at two paths.
func Equal(want, got string, o Options) ([]string, error) {
	w, err := Read(want, o)
	if err != nil {
		return nil, err
	}
	g, err := Read(got, o)
	if err != nil {
		return nil, err
	}
	return Diff(w, g, 20), nil
}
