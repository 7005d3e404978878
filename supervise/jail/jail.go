// Package jail says what each confined program's jail holds: the declarative
// profile that sandbox builds. Who wants to know what a role can reach reads
// this file.
//
// Trust: linked into the supervisor; pure.
//
// Invariants: nothing of the host is in a jail but what is named here, and what a
// person names for a handler; only a runner's target is writable, a handler's own
// scratch directory, and what a person names to be; only a
// runner's command can be executed, and what a handler may start.
package jail

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/sandbox"
	"lockstep/supervise/host"
)

// Tree is a source or target as a jail shows it.
type Tree struct {
	Host     string // where it is on the host
	Path     string // where the runner's jail shows it
	Dev, Ino uint64 // what it was found to be
	// Recursive shows what is mounted inside as well.
	Recursive bool
}

// Machine is what the running kernel cannot do and a person has allowed, and who
// that person is.
type Machine struct {
	NoLandlock bool
	NoDevices  bool // no device filter
	NoMDWE     bool
	UID, GID   int // of who started lockstep
	Targets    int // of the helper
}

const (
	// every role has these of its own.
	namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

	readFile = unix.LANDLOCK_ACCESS_FS_READ_FILE
	readDir  = unix.LANDLOCK_ACCESS_FS_READ_DIR
	execute  = unix.LANDLOCK_ACCESS_FS_EXECUTE
	writeAll = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_REFER |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO |
		unix.LANDLOCK_ACCESS_FS_MAKE_SOCK
	makeDevices = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK
)

func capability(bits ...uint) uint64 {
	var set uint64
	for _, b := range bits {
		set |= 1 << b
	}
	return set
}

// environment is that of the Go programs: without these the runtime would read
// files of a host that is not there, or make calls that the filters refuse.
func (m Machine) environment() []string {
	env := []string{"GODEBUG=updatemaxprocs=0,containermaxprocs=0,decoratemappings=0", "TZ=UTC"}
	if m.NoMDWE {
		env = append(env, "LOCKSTEP_ALLOW=mdwe")
	}
	return env
}

// resident is the environment of those that run as long as the sync does.
//
// One processor: each does one thing at a time. With two, the runtime wakes a
// thread for each hand-over between goroutines, and its monitor polls every 20
// µs for 10 ms after each call that blocks, to take the processor back.
//
// A heap may be a quarter above what is alive in it: nearly nothing is garbage
// but what the first walk leaves, and the mirror of the tree has no pointers for
// the collector to follow, so that collecting costs little.
func (m Machine) resident() []string {
	return append(m.environment(), "GOMAXPROCS=1", "GOGC=25")
}

// sleeper is the environment of the helper, in which little stays alive: it collects
// when it has taken so much memory from the kernel, and not because two minutes have
// passed, which would wake it. Alive are some 3 MiB, and a buffer and a thread for
// each target; with less than 2 MiB beside, it would collect all the time while it
// lists a large tree. It does so, at no more than half of its processor, while it
// holds a list of some MiB.
func (m Machine) sleeper() []string {
	const mebi = 1 << 20
	limit := 8*mebi + m.Targets*mebi/4
	return append(m.environment(), "GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT="+strconv.Itoa(limit))
}

func (m Machine) probe(p sandbox.DeviceProbe) sandbox.DeviceProbe {
	if m.NoDevices {
		return sandbox.ProbeSkip
	}
	return p
}

func rlimits(files, processes uint64) []sandbox.Rlimit {
	limits := []sandbox.Rlimit{
		{Resource: unix.RLIMIT_CORE},
		{Resource: unix.RLIMIT_MEMLOCK},
		{Resource: unix.RLIMIT_MSGQUEUE},
		{Resource: unix.RLIMIT_NOFILE, Soft: files, Hard: files},
	}
	if processes > 0 {
		limits = append(limits, sandbox.Rlimit{Resource: unix.RLIMIT_NPROC, Soft: processes, Hard: processes})
	}
	return limits
}

// RootPath is where the helper's jail shows root number n (from 1).
func RootPath(n int) string { return "/roots/" + strconv.Itoa(n) }

// Helper is the jail in which only the watched roots exist, read-only. It stays
// in the host's pid namespace, to see the real pids of SCM_CREDENTIALS. With
// CAP_DAC_READ_SEARCH it lists every directory; Landlock keeps it from opening
// any file.
func Helper(m Machine, roots []Tree) sandbox.Spec {
	s := sandbox.Spec{
		Role: "helper", Argv: []string{"lockstep-helper"}, Env: m.sleeper(),
		Caps:            capability(unix.CAP_DAC_READ_SEARCH),
		Namespaces:      namespaces,
		AllowNoLandlock: m.NoLandlock,
		Rlimits:         rlimits(1024, 0),
		DeviceProbe:     m.probe(sandbox.ProbeNone),
	}
	for i, r := range roots {
		path := RootPath(i + 1)
		s.Binds = append(s.Binds, sandbox.Bind{Source: r.Host, Target: path, Recursive: r.Recursive, Dev: r.Dev, Ino: r.Ino})
		s.Opens = append(s.Opens, sandbox.Open{Name: "root" + strconv.Itoa(i+1), Path: path})
		s.Landlock = append(s.Landlock, sandbox.Rule{Path: path, Access: readDir})
	}
	return s
}

// Worker is the empty jail: no file, no capability, a uid of its own.
func Worker(m Machine, uid, gid int) sandbox.Spec {
	return sandbox.Spec{
		Role: "worker", Argv: []string{"lockstep-worker"}, Env: m.resident(),
		UID: uid, GID: gid,
		Namespaces:      namespaces | unix.CLONE_NEWPID,
		AllowNoLandlock: m.NoLandlock,
		Rlimits:         rlimits(32, 256),
		DeviceProbe:     m.probe(sandbox.ProbeNone),
	}
}

// Rights are what a runner's command needs beyond the usual.
type Rights struct {
	Devices  bool // make device nodes
	FileCaps bool // set security.capability
	DryRun   bool // the target is read-only
}

// Runner is the jail of a local copy: source read-only and target writable at
// their own paths, and the files without which the command does not start. Uid
// 0 without root's powers: under another uid rsync drops owners silently.
func Runner(m Machine, source, target Tree, c host.Command, r Rights) sandbox.Spec {
	s := copier(m, r)
	// Data first, the command's files last: a source that holds them (/usr)
	// is noexec, and must not hide them.
	reads(&s, source)
	writes(&s, target, r)
	program(&s, c)
	for link, text := range c.Links {
		if !within(link, source.Path) && !within(link, target.Path) {
			s.Links = append(s.Links, sandbox.Link{Path: link, Target: text})
		}
	}
	return s
}

// copier is the jail of a local copy without what is in it.
func copier(m Machine, r Rights) sandbox.Spec {
	s := sandbox.Spec{
		Role: "runner", Argv: []string{"lockstep-runner"}, Env: m.resident(),
		Caps:            capability(unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID),
		Namespaces:      namespaces | unix.CLONE_NEWPID,
		AllowNoLandlock: m.NoLandlock,
		Rlimits:         rlimits(1024, 0),
		DeviceProbe:     m.probe(sandbox.ProbeBasic),
	}
	if r.Devices {
		s.Caps |= capability(unix.CAP_MKNOD)
	}
	if r.FileCaps {
		s.Caps |= capability(unix.CAP_SETFCAP)
	}
	return s
}

// reads shows a tree read-only.
func reads(s *sandbox.Spec, t Tree) {
	s.Binds = append(s.Binds, sandbox.Bind{Source: t.Host, Target: t.Path, Recursive: t.Recursive, Dev: t.Dev, Ino: t.Ino})
	s.Landlock = append(s.Landlock, sandbox.Rule{Path: t.Path, Access: readFile | readDir})
}

// writes shows a tree that can be written to, but in a dry run.
func writes(s *sandbox.Spec, t Tree, r Rights) {
	s.Binds = append(s.Binds, sandbox.Bind{Source: t.Host, Target: t.Path, Recursive: t.Recursive, Dev: t.Dev, Ino: t.Ino, Writable: !r.DryRun})
	write := uint64(readFile | readDir | writeAll)
	switch {
	case r.DryRun:
		write = readFile | readDir
	case r.Devices:
		write |= makeDevices
	}
	s.Landlock = append(s.Landlock, sandbox.Rule{Path: t.Path, Access: write})
}

// program adds a program's files: what is another's already is there once.
func program(s *sandbox.Spec, c host.Command) {
	for _, file := range c.Files {
		access := uint64(readFile)
		if file == c.Program || file == c.Loader {
			access |= execute
		}
		s.Landlock = append(s.Landlock, sandbox.Rule{Path: file, Access: access})
		// Libraries as well need a mount without noexec: they are mapped
		// executable. Landlock keeps them from being executed.
		bind := sandbox.Bind{Source: file, Target: file, File: true, Exec: true}
		if !slices.Contains(s.Binds, bind) {
			s.Binds = append(s.Binds, bind)
		}
	}
}

// within says that path is in the tree at dir, which then has it already.
func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
