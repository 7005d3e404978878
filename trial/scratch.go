package trial

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/rsync"
)

// scratch is a source and a target that the trial makes, and what it found.
type scratch struct {
	src, dst string
	want     rsync.Options
	hidden   string // in the source, but must not be on the target
	only     []string
	found    findings
}

const (
	owner, group = 61000, 61001
	attrFile     = "attributes"
	fifo         = "fifo"
	device       = "device"
	hardFirst    = "hard one"
	hardSecond   = "hard two"
	many         = "many"
)

// oddNames are names that a list, a rule or a shell could read as something
// else.
func oddNames() []string {
	return []string{"new\nline", "#comment", ";comment", "-e sh", "- *", "+ x", "!", "*", "**", "a?[b]*", `back\slash`,
		`[\]`, " lead", "trail ", "host:x", "\xff\xfe\x9b", "\x1b[2J", strings.Repeat("n", 255), "..."}
}

// build makes the first state of both trees.
func (s *scratch) build() error {
	w := &writer{}
	w.mkdir(s.src)
	w.mkdir(s.dst)
	for _, dir := range []string{"odd", "full", "full/deeper", "dir to file", "owned", many} {
		w.mkdir(s.src + "/" + dir)
	}
	for _, file := range []string{"same size", "change", "delete", "full/x", "full/deeper/y", "old name", "file to dir",
		"dir to file/x", hardFirst, "owned/file", attrFile, "hide [*", "x.excluded", many + "/0"} {
		w.file(s.src+"/"+file, "first")
	}
	for _, name := range oddNames() {
		w.file(s.src+"/"+name, name)
		w.file(s.src+"/odd/"+name, "")
	}
	w.do(os.Symlink("first/../nowhere", s.src+"/link"))
	w.do(unix.Mkfifo(s.src+"/"+fifo, 0o640))
	if s.want.Devices {
		w.do(unix.Mknod(s.src+"/"+device, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	}
	w.do(os.Lchown(s.src+"/owned/file", owner, group))
	w.do(os.Lchown(s.src+"/owned", owner, group))
	w.do(unix.Chmod(s.src+"/owned/file", 0o4751)) // after chown, which clears it
	w.do(unix.Chmod(s.src+"/owned", 0o2750))
	w.do(os.Lchown(s.src+"/link", owner, group))
	s.attrs(w)
	for _, path := range []string{"owned/file", "link", fifo, "owned", ""} {
		w.times(s.src+"/"+path, 1)
	}
	// On the target alone: one to be deleted, two that are protected.
	w.file(s.dst+"/stale", "")
	w.file(s.dst+"/keep\\*", "")
	w.file(s.dst+"/y.excluded", "")
	s.hidden = "hide [*"
	s.only = []string{"keep\\*", "y.excluded"}
	return w.err
}

// attrs sets extended attributes where the scratch trees' file system has them.
func (s *scratch) attrs(w *writer) {
	for _, a := range []struct {
		on    bool
		name  string
		value []byte
		what  string
	}{
		{s.want.Xattrs != rsync.XattrsNone, "user.lockstep", []byte("one"), "extended attributes"},
		{s.want.ACLs, "system.posix_acl_access", acl(), "access control lists"},
		{s.want.Xattrs == rsync.XattrsAll, "security.capability", fileCapability(), "file capabilities"},
	} {
		if !a.on {
			continue
		}
		err := unix.Lsetxattr(s.src+"/"+attrFile, a.name, a.value, 0)
		if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM) {
			s.found.warnings = append(s.found.warnings,
				fmt.Sprintf("%s were not tried: the state directory's file system does not take them (%v)", a.what, err))
			continue
		}
		w.do(err)
	}
}

// acl is user::rw-, user:61000:r--, group::r--, mask::r--, other::--- in the
// form of <linux/posix_acl_xattr.h>.
func acl() []byte {
	const userObj, user, groupObj, mask, other, none = 1, 2, 4, 0x10, 0x20, ^uint32(0)
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{userObj, 6, none}, {user, 4, owner}, {groupObj, 4, none}, {mask, 4, none}, {other, 0, none}} {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

// fileCapability is CAP_NET_RAW, permitted, in the form of capabilities(7):
// struct vfs_cap_data, revision 2.
func fileCapability() []byte {
	const revision2, netRaw = 0x02000000, 1 << 13
	b := binary.LittleEndian.AppendUint32(nil, revision2)
	b = binary.LittleEndian.AppendUint32(b, netRaw)
	return append(b, make([]byte, 12)...)
}

// rules are the first pass's: one name hidden, one protected.
func (s *scratch) rules() (string, error) {
	return rsync.Rule(rsync.Hide, s.hidden, rsync.Itself) + "\x00" +
		rsync.Rule(rsync.Exclude, "keep\\*", rsync.Itself) + "\x00", nil
}

// change makes the second state, and lists what differs from the first.
func (s *scratch) change() (string, error) {
	w := &writer{}
	src := s.src + "/"
	var before unix.Stat_t
	w.do(unix.Lstat(src+"same size", &before))
	w.file(src+"same size", "FIRST")
	if w.err == nil {
		w.do(unix.UtimesNanoAt(unix.AT_FDCWD, src+"same size", []unix.Timespec{before.Mtim, before.Mtim}, 0))
	}
	w.file(src+"change", "second, and longer")
	w.do(os.Remove(src + "delete"))
	w.do(os.RemoveAll(src + "full"))
	w.do(os.Rename(src+"old name", src+"new name"))
	w.do(os.Remove(src + "file to dir"))
	w.mkdir(src + "file to dir")
	w.file(src+"file to dir/x", "second")
	w.do(os.RemoveAll(src + "dir to file"))
	w.file(src+"dir to file", "second")
	w.do(os.Remove(src + "link"))
	w.do(os.Symlink("second", src+"link"))
	w.do(os.Link(src+hardFirst, src+hardSecond))
	list := []string{"same size", "change", "delete", "full", "old name", "new name", "file to dir", "file to dir/x",
		"dir to file", "link", hardFirst, hardSecond, fifo}
	for i, name := range oddNames() {
		list = append(list, name, "odd/"+name)
		if i%2 == 0 {
			w.do(os.Remove(src + name))
			w.file(src+"odd/"+name, "second")
		} else {
			w.file(src+name, "second")
			w.do(os.Remove(src + "odd/" + name))
		}
	}
	return entries(list), w.err
}

// attributes changes a directory's and a file's, and the root's.
func (s *scratch) attributes() (string, error) {
	w := &writer{}
	w.do(unix.Chmod(s.src+"/change", 0o444))
	w.do(unix.Chmod(s.src+"/odd", 0o1711))
	w.times(s.src+"/odd", 2)
	w.do(unix.Chmod(s.src, 0o710))
	w.times(s.src, 3)
	return entries([]string{"change", "odd"}), w.err
}

// overfill puts more on the target than the guard lets a pass delete.
func (s *scratch) overfill() (string, error) {
	w := &writer{}
	for i := range 2 * maxDelete {
		name := fmt.Sprintf("%s/extra %d", many, i)
		w.file(s.dst+"/"+name, "")
		s.only = append(s.only, name)
	}
	w.times(s.dst+"/"+many, 4)
	w.times(s.src+"/"+many, 4)
	rules, err := s.rules()
	return rules, errors.Join(err, w.err)
}

// prune has all that is too much in one directory deleted, and nothing else.
func (s *scratch) prune() (string, error) {
	w := &writer{}
	w.file(s.dst+"/odd/stays", "")
	w.times(s.dst+"/odd", 2)
	s.only = []string{"keep\\*", "y.excluded", "odd/stays"}
	return rsync.Rule(rsync.Include, many, rsync.ItselfBelow) + "\x00- *\x00", w.err
}

func entries(list []string) string {
	var b strings.Builder
	for _, rel := range list {
		b.WriteString("./" + rel + "\x00")
	}
	return b.String()
}

// writer makes files until the first error.
type writer struct {
	err error
}

func (w *writer) do(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) mkdir(path string) {
	if w.err == nil {
		w.err = os.Mkdir(path, 0o700)
	}
}

func (w *writer) file(path, content string) {
	if w.err == nil {
		w.err = os.WriteFile(path, []byte(content), 0o600)
	}
}

// times sets a time with odd nanoseconds, a different one for each n.
func (w *writer) times(path string, n int64) {
	if w.err != nil {
		return
	}
	ts := unix.NsecToTimespec(n*int64(time.Hour) + 123456789)
	w.err = unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}
