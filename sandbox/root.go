package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// rootAttrs are the flags of the jail's root while it is built.
const rootAttrs = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC

// errChanged marks a bound object that is no longer the one that was meant.
var errChanged = errors.New("it is no longer what it was")

// leaveHost cuts the mount namespace off from the host's: without it, what is
// mounted and unmounted here would happen there, and the reverse.
func (s *stage) leaveHost() error {
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
}

// cloneSources makes a detached copy of every bound mount, with the flags it
// is to have. Only then is it attached anywhere: it can be seen unprotected at
// no time.
func (s *stage) cloneSources() error {
	// Parents before what is bound below them.
	slices.SortStableFunc(s.spec.Binds, func(a, b Bind) int { return strings.Compare(a.Target, b.Target) })
	for _, b := range s.spec.Binds {
		tree, err := s.cloneSource(b)
		if err != nil {
			return fmt.Errorf("%s: %w", b.Source, err)
		}
		s.trees = append(s.trees, tree)
	}
	return nil
}

// cloneSource opens a bind's source, checks that it is the object that is
// meant, and returns a protected, detached copy of its mount.
func (s *stage) cloneSource(b Bind) (int, error) {
	if b.Scratch > 0 {
		mount, err := newTmpfs(b.Scratch/os.Getpagesize(), b.Scratch/os.Getpagesize(), int(bindAttrs(b)))
		if err == nil && b.Writable {
			err = unix.Fchownat(mount, "", s.spec.UID, s.spec.GID, unix.AT_EMPTY_PATH)
		}
		return mount, err
	}
	fd, err := unix.Openat2(unix.AT_FDCWD, b.Source, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return -1, fmt.Errorf("open: %w", missing(err, b.Dev != 0 || b.Ino != 0))
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return -1, fmt.Errorf("stat: %w", err)
	}
	if err := same(st, b.Dev, b.Ino); err != nil {
		return -1, err
	}
	if isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR; isDir == b.File {
		return -1, fmt.Errorf("directory %t, want %t", isDir, !b.File)
	}
	recursive := uint(0)
	if b.Recursive {
		recursive = unix.AT_RECURSIVE
	}
	tree, err := unix.OpenTree(fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|recursive)
	if err != nil {
		return -1, fmt.Errorf("open_tree: %w", err)
	}
	attr := unix.MountAttr{Attr_set: bindAttrs(b), Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|recursive, &attr); err != nil {
		return -1, fmt.Errorf("mount_setattr (Linux 5.12 has it): %w", err)
	}
	return tree, unix.Close(fd)
}

// missing is why a path could not be opened; when it is one of an object that was
// there, a path that leads nowhere means another object.
func missing(err error, known bool) error {
	gone := errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
	if known && gone {
		return fmt.Errorf("%w: %w", errChanged, err)
	}
	return err
}

// same makes sure that what was opened is the object that is meant; 0, 0: any.
func same(st unix.Stat_t, dev, ino uint64) error {
	if (dev != 0 || ino != 0) && (st.Dev != dev || st.Ino != ino) {
		return fmt.Errorf("%w: device %#x inode %d, want device %#x inode %d", errChanged, st.Dev, st.Ino, dev, ino)
	}
	return nil
}

// bindAttrs are the flags that are set on a bind's mount; those that the host's
// mount has already stay.
func bindAttrs(b Bind) uint64 {
	attrs := uint64(unix.MOUNT_ATTR_NOSUID)
	if !b.Writable {
		attrs |= unix.MOUNT_ATTR_RDONLY
	}
	if !b.Devices {
		attrs |= unix.MOUNT_ATTR_NODEV
	}
	if !b.Exec {
		attrs |= unix.MOUNT_ATTR_NOEXEC
	}
	return attrs
}

// mountRoot puts an empty tmpfs, no larger than what it is to hold, on top of
// the host's root: a mount point that is always there. Look-ups of absolute
// paths still begin below it, at the host's root. It becomes the working
// directory.
func (s *stage) mountRoot() error {
	inodes := 1 + len(s.spec.tree())
	pages := 1 // size=0 would mean: no limit
	for _, f := range s.spec.Files {
		pages += (len(f.Data) + 4095) / 4096
	}
	for _, l := range s.spec.Links {
		pages += (len(l.Target) + 4095) / 4096
	}
	root, err := newTmpfs(pages, inodes, rootAttrs)
	if err != nil {
		return err
	}
	if err := unix.MoveMount(root, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount: %w", err)
	}
	return errors.Join(unix.Fchdir(root), unix.Close(root))
}

// newTmpfs makes a tmpfs of so many pages and inodes, attached nowhere.
func newTmpfs(pages, inodes, attrs int) (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen: %w", err)
	}
	for _, o := range [][2]string{
		{"source", "jail"}, {"mode", "0755"},
		{"size", strconv.Itoa(pages * os.Getpagesize())}, {"nr_inodes", strconv.Itoa(inodes)},
	} {
		if err := unix.FsconfigSetString(fs, o[0], o[1]); err != nil {
			return -1, fmt.Errorf("tmpfs option %s=%s: %w", o[0], o[1], err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("create tmpfs: %w", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return -1, fmt.Errorf("fsmount: %w", err)
	}
	return mount, unix.Close(fs)
}

// mountImage makes a mount that holds a copy of the program's image, which can
// be executed, and returns it read-only and attached nowhere. (The image itself
// is a memfd, and those cannot be bound.)
func (s *stage) mountImage() (int, error) {
	var st unix.Stat_t
	if err := unix.Fstat(s.image, &st); err != nil {
		return -1, fmt.Errorf("stat: %w", err)
	}
	page := int64(os.Getpagesize())
	mount, err := newTmpfs(int((st.Size+page-1)/page), 2, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return -1, err
	}
	to, err := unix.Openat(mount, path.Base(s.spec.Image), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o555)
	if err != nil {
		return -1, fmt.Errorf("create: %w", err)
	}
	for at := int64(0); at < st.Size; {
		n, err := unix.Sendfile(to, s.image, &at, int(st.Size-at))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			err = errors.New("it ended early")
		}
		if err != nil {
			return -1, fmt.Errorf("copy: %w", err)
		}
	}
	// Nobody may write to it while it is executed: ETXTBSY.
	if err := unix.Close(to); err != nil {
		return -1, err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(mount, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return -1, fmt.Errorf("make it read-only: %w", err)
	}
	return mount, nil
}

// fillRoot makes the directories, files, mount points and, last, links: what
// is made before it cannot be led astray by one.
func (s *stage) fillRoot() error {
	root, err := os.OpenRoot(".")
	if err != nil {
		return err
	}
	defer root.Close()
	dirs := slices.Clone(s.spec.Dirs)
	files := slices.Clone(s.spec.Files)
	for _, b := range s.spec.Binds {
		if b.File {
			files = append(files, File{Path: b.Target})
		} else {
			dirs = append(dirs, b.Target)
		}
	}
	if s.spec.Image != "" {
		dirs = append(dirs, path.Dir(s.spec.Image))
	}
	for _, d := range dirs {
		if err := root.MkdirAll(inRoot(d), 0o755); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := s.makeFile(root, f); err != nil {
			return err
		}
	}
	for _, l := range s.spec.Links {
		if err := root.MkdirAll(inRoot(path.Dir(l.Path)), 0o755); err != nil {
			return err
		}
		if err := root.Symlink(l.Target, inRoot(l.Path)); err != nil {
			return err
		}
	}
	return nil
}

// makeFile writes one file of the jail's own, or a file's mount point.
func (s *stage) makeFile(root *os.Root, f File) error {
	if err := root.MkdirAll(inRoot(path.Dir(f.Path)), 0o755); err != nil {
		return err
	}
	mode := os.FileMode(0o444)
	if f.Secret {
		mode = 0o400
	}
	file, err := root.OpenFile(inRoot(f.Path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(f.Data)
	if f.Secret {
		err = errors.Join(err, file.Chown(s.spec.UID, s.spec.GID))
	}
	return errors.Join(err, file.Close())
}

// inRoot makes a clean absolute path relative to the working directory.
func inRoot(p string) string {
	if p == "/" {
		return "."
	}
	return p[1:]
}

// attachBinds moves the protected copies to their places, the image's mount
// last: data never hides it.
func (s *stage) attachBinds() error {
	for i, b := range s.spec.Binds {
		if err := attach(s.trees[i], b.Target); err != nil {
			return err
		}
	}
	if s.spec.Image == "" {
		return nil
	}
	mount, err := s.mountImage()
	if err != nil {
		return fmt.Errorf("copy of the program's image: %w", err)
	}
	return attach(mount, path.Dir(s.spec.Image))
}

// attach moves a detached mount to its place in the root, and closes it.
func attach(mount int, target string) error {
	at, err := unix.Openat2(unix.AT_FDCWD, inRoot(target), &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return fmt.Errorf("mount point %s: %w", target, err)
	}
	err = unix.MoveMount(mount, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("move_mount to %s: %w", target, err)
	}
	if err := errors.Join(unix.Close(at), unix.Close(mount)); err != nil {
		return fmt.Errorf("%s: %w", target, err)
	}
	return nil
}

// enterRoot makes the working directory the root and detaches the host's whole
// tree. pivot_root(2), NOTES: with "." twice the old root ends up mounted on
// top of the new one, where umount2 finds it.
func (s *stage) enterRoot() error {
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("chdir: %w", err)
	}
	attr := unix.MountAttr{Attr_set: rootAttrs | unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, &attr); err != nil {
		return fmt.Errorf("make the root read-only: %w", err)
	}
	return nil
}

// openDirs opens the directories of Spec.Opens, inside the jail, and puts each
// in the place that was kept for it.
func (s *stage) openDirs() error {
	for _, o := range s.spec.Opens {
		fd, err := unix.Openat2(unix.AT_FDCWD, o.Path, &unix.OpenHow{
			Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS})
		if err != nil {
			return fmt.Errorf("%s: %w", o.Path, missing(err, o.Dev != 0 || o.Ino != 0))
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return fmt.Errorf("%s: stat: %w", o.Path, err)
		}
		if err := same(st, o.Dev, o.Ino); err != nil {
			return fmt.Errorf("%s: %w", o.Path, err)
		}
		if err := unix.Dup3(fd, s.fds[o.Name], unix.O_CLOEXEC); err != nil {
			return fmt.Errorf("%s: dup3: %w", o.Path, err)
		}
		if err := unix.Close(fd); err != nil {
			return fmt.Errorf("%s: %w", o.Path, err)
		}
	}
	return nil
}
