package jail

import (
	"strconv"

	"golang.org/x/sys/unix"

	"lockstep/config/choose"
	"lockstep/sandbox"
	"lockstep/seccomp/role"
)

// Profile is one column of the table of jails: what a supervisor that is root
// builds, or one that is not.
type Profile struct {
	Name    string // as --stats tells it
	Helper  func(Machine, []Tree) sandbox.Spec
	Worker  func(m Machine, uid, gid int) sandbox.Spec
	Dnotify func(Machine, Tree) sandbox.Spec

	WorkerFilter role.Role
	Filters      []role.Role // all that are compiled

	// Refuses are monitors that cannot be had, and why.
	Refuses map[string]string
	holds   func(Guard) bool
}

// AsRoot is the whole of it.
func AsRoot() Profile {
	return Profile{
		Name: "root", Helper: Helper, Worker: Worker, Dnotify: Dnotify, WorkerFilter: role.Worker,
		Filters: []role.Role{role.Helper, role.Worker, role.Runner, role.Remote, role.Handler, role.HandlerNetwork, role.Resolver, role.Dnotify, role.Gate},
		holds:   func(Guard) bool { return true },
	}
}

// AsUser is what a process can do to itself: for `lockstep watch` of who is not
// root, on a kernel with this version of Landlock. There is no user namespace in
// it: docs/adr/0017-watch-without-root.md.
func AsUser(landlock int) Profile {
	p := Profile{
		Name: "user", Helper: userHelper, Worker: userWorker, Dnotify: userDnotify, WorkerFilter: role.UserWorker,
		Filters: []role.Role{role.Helper, role.UserWorker, role.Dnotify},
		Refuses: map[string]string{
			choose.Fanotify: "it needs root: a mark on a file system takes CAP_SYS_ADMIN, and those that the kernel gives to others (Linux 5.13) are on single inodes",
		},
		holds: func(g Guard) bool { return g.User },
	}
	// The resolver says to whom the kernel is to send its signals. As root it sees
	// nobody else; here Landlock alone keeps it from all that its user runs.
	if landlock < scopesSignals {
		p.Refuses[choose.Dnotify] = "without root it needs a kernel whose Landlock keeps signals in (ABI 6, Linux 6.12)"
	}
	return p
}

const scopesSignals = 6

// Guard is one thing that holds a confined process.
type Guard struct {
	Name string
	What string
	User bool // it holds without root, too
}

// Guards are all of them.
func Guards() []Guard {
	return []Guard{
		{"seccomp", "a filter that kills at any other system call", true},
		{"landlock", "no file but the names below the roots; no TCP; no signals and abstract sockets to others", true},
		{"no_new_privs", "nothing that is executed gains rights", true},
		{"no_capabilities", "none, but what the role needs", true},
		{"descriptors", "those that were donated, and no other", true},
		{"limits", "of open files, locked memory, core files", true},
		{"not_dumpable", "no other process of the same user reads it", true},
		{mdwe, "no memory becomes executable", true},
		{"death_signal", "it ends with the supervisor", true},
		{"environment", "empty but for the runtime's needs", true},
		{"own_uid", "a uid and gid that nothing else has, no groups", false},
		{"empty_root", "a root that holds nothing, or the watched roots alone", false},
		{"namespaces", "of mounts, network, processes, IPC, names", false},
		{"no_devices", "a filter that refuses them", false},
		{"control_group", "limits of memory and processes; killed as a group", false},
	}
}

const mdwe = "no_exec_memory"

// Guards are the names of those that hold in this column, and of those that
// would if lockstep was started as root.
func (p Profile) Guards(m Machine) (hold, needRoot []string) {
	for _, g := range Guards() {
		switch {
		case g.Name == mdwe && m.NoMDWE: // the kernel is too old, as is told
		case p.holds(g):
			hold = append(hold, g.Name)
		default:
			needRoot = append(needRoot, g.Name)
		}
	}
	return hold, needRoot
}

// userHelper opens the roots where they are. Landlock leaves it the listing of
// directories below what was opened; its uid, what its user may list.
func userHelper(m Machine, roots []Tree) sandbox.Spec {
	s := userSpec(m, "helper", rlimits(1024, 0))
	s.Env = m.sleeper()
	for i, r := range roots {
		s.Opens = append(s.Opens, userOpen("root"+strconv.Itoa(i+1), r))
	}
	return s
}

// userWorker has no file at all. Its number of processes is not limited: that
// limit counts all that its user runs, and the filter makes threads alone.
func userWorker(m Machine, _, _ int) sandbox.Spec { return userSpec(m, "worker", rlimits(32, 0)) }

// userDnotify has as many files as Dnotify has.
func userDnotify(m Machine, root Tree) sandbox.Spec {
	s := userSpec(m, "resolver", allFiles())
	s.Opens = []sandbox.Open{userOpen("root1", root)}
	return s
}

// userSpec grants nothing.
func userSpec(m Machine, role string, limits []sandbox.Rlimit) sandbox.Spec {
	return sandbox.Spec{
		Role: role, Argv: []string{"lockstep-" + role}, Env: m.resident(),
		Unprivileged: true, UID: m.UID, GID: m.GID, Rlimits: limits,
	}
}

func userOpen(name string, r Tree) sandbox.Open {
	return sandbox.Open{Name: name, Path: r.Host, Dev: r.Dev, Ino: r.Ino, Access: readDir}
}

// allFiles are the limits without that of open files.
func allFiles() []sandbox.Rlimit {
	var limits []sandbox.Rlimit
	for _, l := range rlimits(0, 0) {
		if l.Resource != unix.RLIMIT_NOFILE {
			limits = append(limits, l)
		}
	}
	return limits
}
