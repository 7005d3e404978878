// Package rootid tells whether a root is still the directory that it was: while
// lockstep runs, and across restarts.
//
// Trust: linked into the supervisor, which is root. It reads the kernel's own
// words about mounts and inodes, and a state file that only root can write.
//
// Invariants: a descriptor inside a root lives for one call only, because a held
// one would make an unmount fail; no symbolic link is followed in the last
// component; what cannot be read is never "the same".
package rootid

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
)

// Identity is what a directory is, as far as the kernel tells.
type Identity struct {
	UUID  string `json:"uuid,omitempty"` // of the file system, hex; "" when it has none to tell
	FSID  string `json:"fsid"`           // statfs f_fsid, hex
	Magic uint64 `json:"magic"`          // statfs f_type
	Ino   uint64 `json:"ino"`

	// These hold while the system runs and mean nothing after a restart.
	Dev   uint64 `json:"-"`
	Mount uint64 `json:"-"` // never used again by the kernel where it tells the unique id (6.8), else reusable
}

// Read returns the identity of the directory at path. A missing path, a file
// or a symbolic link is an error.
func Read(path string) (Identity, error) {
	fd, err := open(path)
	if err != nil {
		return Identity{}, err
	}
	id, err := identify(fd)
	if cerr := unix.Close(fd); err == nil && cerr != nil {
		err = cerr
	}
	if err != nil {
		return Identity{}, fmt.Errorf("%s: cannot be identified: %w", path, err)
	}
	return id, nil
}

func open(path string) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		switch {
		case err == nil:
			return fd, nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
			return -1, fmt.Errorf("%s: is not a directory: %w", path, unix.ENOTDIR)
		default:
			return -1, fmt.Errorf("%s: cannot be opened: %w", path, err)
		}
	}
}

func identify(fd int) (Identity, error) {
	var sfs unix.Statfs_t
	if err := unix.Fstatfs(fd, &sfs); err != nil {
		return Identity{}, fmt.Errorf("fstatfs: %w", err)
	}
	var stx unix.Statx_t
	const mask = unix.STATX_INO | unix.STATX_TYPE | unix.STATX_MNT_ID | unix.STATX_MNT_ID_UNIQUE
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, mask, &stx); err != nil {
		return Identity{}, fmt.Errorf("statx: %w", err)
	}
	if stx.Mask&unix.STATX_INO == 0 {
		return Identity{}, errors.New("the kernel tells no inode number")
	}
	id := Identity{
		FSID:  fmt.Sprintf("%08x%08x", uint32(sfs.Fsid.Val[0]), uint32(sfs.Fsid.Val[1])),
		Magic: uint64(uint32(sfs.Type)),
		Ino:   stx.Ino,
		Dev:   unix.Mkdev(stx.Dev_major, stx.Dev_minor),
		Mount: stx.Mnt_id,
	}
	uuid, err := sys.FSUUID(fd)
	switch {
	case err == nil && len(bytes.Trim(uuid, "\x00")) > 0:
		id.UUID = hex.EncodeToString(uuid)
	case err == nil, errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EBADF):
		// The kernel is older than 6.9, the file system has no UUID, or the
		// descriptor is an O_PATH one, which takes no ioctl.
	default:
		return Identity{}, fmt.Errorf("reading the file system's UUID: %w", err)
	}
	return id, nil
}

// Same says whether now is, while the system runs, the very mount and inode of
// id. A file system that was unmounted and mounted again is another mount.
func (id Identity) Same(now Identity) bool {
	return id.Dev == now.Dev && id.Ino == now.Ino && id.Mount == now.Mount && id.Magic == now.Magic
}

// SameFS compares the file systems of two identities across restarts, and
// returns "" or what differs. Device numbers are not compared: a disk may have
// another one after each boot.
func (id Identity) SameFS(now Identity) string {
	if id.Magic != now.Magic {
		return fmt.Sprintf("its file system was %s and is %s", FSName(id.Magic), FSName(now.Magic))
	}
	if id.UUID != "" && now.UUID != "" && id.UUID != now.UUID {
		return fmt.Sprintf("its file system was %s and is %s", id.UUID, now.UUID)
	}
	// f_fsid of ext4 and btrfs comes from the UUID (and the subvolume, which
	// has inode 256 in each), that of xfs from the device number.
	if id.UUID != "" && now.UUID != "" && id.Magic != unix.BTRFS_SUPER_MAGIC {
		return ""
	}
	if id.FSID != now.FSID {
		return fmt.Sprintf("its file system id was %s and is %s", id.FSID, now.FSID)
	}
	return ""
}

// Changed compares a directory across restarts, and returns "" or what differs.
func (id Identity) Changed(now Identity) string {
	if diff := id.SameFS(now); diff != "" {
		return diff
	}
	if id.Ino != now.Ino {
		return fmt.Sprintf("its directory was inode %d and is %d", id.Ino, now.Ino)
	}
	return ""
}

// fsTypes are file systems by their magic (statfs(2)), and whether changes made
// by another host or a daemon can pass unseen by this kernel's notification.
func fsTypes() map[uint64]struct {
	name  string
	blind bool
} {
	type fs = struct {
		name  string
		blind bool
	}
	return map[uint64]fs{
		0x6969: {"nfs", true}, 0xff534d42: {"cifs", true}, 0xfe534d42: {"smb2", true}, 0x517b: {"smb", true},
		0x65735546: {"fuse", true}, 0x01021997: {"9p", true}, 0x5346414f: {"afs", true}, 0x6b414653: {"afs", true},
		0x73757245: {"coda", true}, 0x00c36400: {"ceph", true}, 0x564c: {"ncp", true}, 0x01161970: {"gfs2", true},
		0x7461636f: {"ocfs2", true}, 0x0bd00bd0: {"lustre", true}, 0x786f4256: {"vboxsf", true},
		0x20030528: {"orangefs", true}, 0xbacbacbc: {"vmhgfs", true}, 0x47504653: {"gpfs", true}, 0x013111a8: {"ibrix", true},
		0xef53: {"ext4", false}, 0x58465342: {"xfs", false}, 0x9123683e: {"btrfs", false}, 0x01021994: {"tmpfs", false},
		0x794c7630: {"overlay", false}, 0x2fc12fc1: {"zfs", false}, 0xf2f52010: {"f2fs", false}, 0xca451a4e: {"bcachefs", false},
		0x4d44: {"vfat", false}, 0x2011bab0: {"exfat", false}, 0x5346544e: {"ntfs", false}, 0x7366746e: {"ntfs3", false},
		0x858458f6: {"ramfs", false}, 0x52654973: {"reiserfs", false}, 0x3153464a: {"jfs", false}, 0x9660: {"iso9660", false},
		0x73717368: {"squashfs", false}, 0xe0f5e1e2: {"erofs", false}, 0x15013346: {"udf", false},
	}
}

// FSName names a file system by its magic.
func FSName(magic uint64) string {
	if fs, ok := fsTypes()[magic]; ok {
		return fs.name
	}
	return fmt.Sprintf("type %#x", magic)
}

// Blind says that changes on this file system may pass unseen.
func (id Identity) Blind() bool { return fsTypes()[id.Magic].blind }

// KeepsCtime says that on this file system each change of an inode sets its time
// of status change (inode(7)) by this host's clock, and so does each new name:
// also one that is exchanged for another (renameat2(2)). xfs does not do the
// last, and a snapshot of btrfs appears with the times of what it was made of.
func (id Identity) KeepsCtime() bool {
	return id.Magic == unix.EXT4_SUPER_MAGIC || id.Magic == unix.TMPFS_MAGIC
}

// kernelFS are file systems that show the kernel's own state: none can be a
// root or a target, wherever they are mounted.
func kernelFS() []uint64 {
	return []uint64{
		unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC,
		unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.DEVPTS_SUPER_MAGIC,
		unix.BPF_FS_MAGIC, 0x19800202 /* mqueue */, 0x62656570 /* configfs */, 0xde5e81e4 /* efivarfs */, 0x6165676c, /* pstore */
	}
}

// Kernel says that the directory is on a file system of the kernel's own state
// (proc, sysfs, cgroup and their kind).
func (id Identity) Kernel() bool {
	for _, magic := range kernelFS() {
		if id.Magic == magic {
			return true
		}
	}
	return false
}
