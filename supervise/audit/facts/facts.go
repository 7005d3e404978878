// Package facts reads what the kernel says of one process: ids, capabilities,
// filters, namespaces, mounts, descriptors, limits, groups, environment, image.
//
// Trust: linked into the supervisor's program; runs as root. Names, arguments,
// environment and mount points are hostile bytes: they are read up to a limit, and
// whoever shows them escapes them.
//
// Invariants: all of one Process is of one process, whatever becomes of its number
// (everything is read below one descriptor of its directory in /proc); what could
// not be read is an error, never a blank; nothing is opened through a name of the
// process's own, so that no file system that it sees is asked anything.
package facts

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/internal/mountinfo"
)

// Limits of what is read of a process.
const (
	maxText    = 64 << 10 // status, limits, cgroup, environ, cmdline
	maxMounts  = 16 << 20
	maxThreads = 1 << 12
	maxFDs     = 1 << 20
)

// Process is what the kernel says of one process at one moment.
type Process struct {
	PID, PPID int
	Start     uint64 // ticks since boot: with PID, who it is
	Name      string // as the kernel has it: hostile
	Args      []string
	Threads   []Status
	Exe       Exe
	Spaces    map[string]string // of namespaces, by their names in /proc
	Mounts    []mountinfo.Mount
	Holds     []string // what its descriptors are open on
	Limits    map[string]Limit
	Groups    []Group
	Env       []string
	MemoryOf  uint32 // who owns its memory's file: root, unless it is dumpable
}

// Exe is a process's executable.
type Exe struct {
	Link     string
	Dev, Ino uint64
	Seals    int // -1: it is no memory file
}

// Sealed says that nobody can change it any more.
func (e Exe) Sealed() bool {
	const all = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	return e.Seals >= 0 && e.Seals&all == all
}

// Group is a control group.
type Group struct {
	Controllers string // of version 1; "": version 2
	Path        string
}

// Limit is a resource limit, as the kernel writes it.
type Limit struct{ Soft, Hard string }

// ErrGone: it has ended meanwhile.
var ErrGone = errors.New("it has ended")

// Dir is a process's directory in /proc, which no other process ever takes over.
type Dir struct {
	PID int
	fd  int
}

// Open opens the directory of a process below proc.
func Open(proc string, pid int) (Dir, error) {
	fd, err := unix.Open(filepath.Join(proc, strconv.Itoa(pid)), unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	return Dir{pid, fd}, gone(err)
}

// Close closes it.
func (d Dir) Close() { _ = unix.Close(d.fd) }

// FD is its descriptor.
func (d Dir) FD() int { return d.fd }

// gone makes one error of the kernel's ways to say that a process has ended.
func gone(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	return err
}

// PIDs are the processes that there are.
func PIDs(proc string) ([]int, error) {
	names, err := list(unix.AT_FDCWD, proc, 1<<22)
	if err != nil {
		return nil, err
	}
	var all []int
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			all = append(all, pid)
		}
	}
	slices.Sort(all)
	return all, nil
}

// Brief reads who it is and where it belongs: pid, parent, start and groups.
func (d Dir) Brief() (p Process, err error) {
	p.PID = d.PID
	text, err := d.text("stat", maxText)
	if err == nil {
		err = p.stat(text)
	}
	if err != nil {
		return p, err
	}
	if text, err = d.text("cgroup", maxText); err == nil {
		p.Groups, err = ParseGroups(text)
	}
	return p, err
}

// Read reads all.
func (d Dir) Read() (Process, error) {
	p, err := d.Brief()
	if err != nil {
		return p, err
	}
	for _, one := range []struct {
		name string
		read func(*Process) error
	}{
		{"cmdline", d.args}, {"task", d.threads}, {"exe", d.exe}, {"ns", d.spaces}, {"mountinfo", d.mounts},
		{"fd", d.holds}, {"limits", d.limits}, {"environ", d.env}, {"mem", d.memory},
	} {
		if err := one.read(&p); err != nil {
			return p, fmt.Errorf("/proc/%d/%s: %w", d.PID, one.name, err)
		}
	}
	// What was read of a process that is ending is half of it.
	again, err := d.Brief()
	if err != nil {
		return p, err
	}
	p.PPID = again.PPID
	return p, nil
}

// text reads a file of the process's, whole.
func (d Dir) text(name string, most int) ([]byte, error) {
	return read(d.fd, name, most)
}

func read(dir int, name string, most int) ([]byte, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, gone(err)
	}
	defer unix.Close(fd)
	// Not by os.File, which asks the poller for each: two calls more, in vain.
	data := make([]byte, 0, 4096)
	for len(data) <= most {
		data = slices.Grow(data, 1024)
		n, err := unix.Read(fd, data[len(data):cap(data)])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, gone(err)
		}
		if n == 0 {
			return data, nil
		}
		data = data[:len(data)+n]
	}
	return nil, fmt.Errorf("%s has more than %d bytes", name, most)
}

// list lists a directory of /proc.
func list(dir int, name string, most int) ([]string, error) {
	fd, err := unix.Openat(dir, name, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, gone(err)
	}
	f := os.NewFile(uintptr(fd), name)
	names, err := f.Readdirnames(most + 1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, gone(err)
	}
	if len(names) > most {
		return nil, fmt.Errorf("more than %d entries", most)
	}
	return names, nil
}

// link reads a link of /proc. One whose text has no room is cut, which no text that
// is expected is.
func link(dir int, name string) (string, error) {
	buf := make([]byte, 4096)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", gone(err)
	}
	return string(buf[:n]), nil
}

func (d Dir) args(p *Process) error {
	text, err := d.text("cmdline", maxText)
	p.Args = Words(text)
	return err
}

func (d Dir) env(p *Process) error {
	text, err := d.text("environ", maxText)
	p.Env = Words(text)
	return err
}

// threads reads the status of each thread. One that ends meanwhile is none.
func (d Dir) threads(p *Process) error {
	ids, err := list(d.fd, "task", maxThreads)
	if err != nil {
		return err
	}
	slices.Sort(ids)
	for _, id := range ids {
		text, err := d.text("task/"+id+"/status", maxText)
		if errors.Is(err, ErrGone) {
			continue
		}
		var s Status
		if err == nil {
			s, err = ParseStatus(text)
		}
		if err != nil {
			return fmt.Errorf("thread %s: %w", id, err)
		}
		p.Threads = append(p.Threads, s)
	}
	if len(p.Threads) == 0 {
		return ErrGone
	}
	return nil
}

// exe looks at the image through the kernel's link, which is no name of a file
// system.
func (d Dir) exe(p *Process) (err error) {
	if p.Exe.Link, err = link(d.fd, "exe"); err != nil {
		return err
	}
	p.Exe.Seals = -1
	if !strings.HasPrefix(p.Exe.Link, "/memfd:") {
		return nil
	}
	image, err := d.Image()
	if err != nil {
		return nil // it has gone, as is seen below, or is not known to be sealed
	}
	defer image.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(image.Fd()), &st); err != nil {
		return err
	}
	p.Exe.Dev, p.Exe.Ino = st.Dev, st.Ino
	if seals, err := unix.FcntlInt(image.Fd(), unix.F_GET_SEALS, 0); err == nil {
		p.Exe.Seals = seals
	}
	return nil
}

// Image opens the executable.
func (d Dir) Image() (*os.File, error) { return d.Held("exe") }

// Held opens what a link of the process's directory leads to, as "fd/3" does.
func (d Dir) Held(name string) (*os.File, error) {
	fd, err := unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, gone(err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (d Dir) spaces(p *Process) error {
	names, err := list(d.fd, "ns", 64)
	if err != nil {
		return err
	}
	p.Spaces = map[string]string{}
	for _, n := range names {
		if strings.HasSuffix(n, "_for_children") {
			continue
		}
		if p.Spaces[n], err = link(d.fd, "ns/"+n); err != nil {
			return err
		}
	}
	return nil
}

func (d Dir) mounts(p *Process) error {
	text, err := d.text("mountinfo", maxMounts)
	if err == nil {
		p.Mounts, err = mountinfo.Parse(text)
	}
	return err
}

// holds reads what each descriptor is open on; one that is closed meanwhile is
// none.
func (d Dir) holds(p *Process) error {
	p.Holds = nil
	return d.EachFD(func(_ string, to string) { p.Holds = append(p.Holds, to) })
}

// Info are the lines that the kernel has of a descriptor.
func (d Dir) Info(name string) ([]string, error) {
	text, err := d.text("fdinfo/"+name, maxMounts)
	return strings.Split(string(text), "\n"), err
}

// EachFD tells of each descriptor, and of what it is open on.
func (d Dir) EachFD(tell func(name, to string)) error {
	names, err := list(d.fd, "fd", maxFDs)
	if err != nil {
		return err
	}
	for _, n := range names {
		to, err := link(d.fd, "fd/"+n)
		if errors.Is(err, ErrGone) {
			continue
		}
		if err != nil {
			return err
		}
		tell(n, to)
	}
	return nil
}

func (d Dir) limits(p *Process) error {
	text, err := d.text("limits", maxText)
	if err == nil {
		p.Limits, err = ParseLimits(text)
	}
	return err
}

func (d Dir) memory(p *Process) error {
	var st unix.Stat_t
	err := unix.Fstatat(d.fd, "mem", &st, unix.AT_SYMLINK_NOFOLLOW)
	p.MemoryOf = st.Uid
	return gone(err)
}
