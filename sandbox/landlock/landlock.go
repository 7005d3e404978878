// Package landlock makes Landlock rulesets (landlock(7)) that refuse whatever
// the running kernel can refuse and no rule grants.
//
// Trust: linked into the supervisor and stage one. Its input comes from the
// supervisor.
//
// Invariants: a right that a rule asks for and the kernel does not know is left
// out, and so is refused or not restricted at all, as Missing says; an error
// leaves no ruleset.
package landlock

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// onFiles are the rights that a rule on anything but a directory may grant
// (landlock_add_rule(2): EINVAL for the others).
const onFiles = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
	unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

// parts are what each version of Landlock brought (landlock(7),
// VERSIONS), oldest first.
func parts() []part {
	return []part{
		{abi: 1, fs: 1<<13 - 1, lacks: "access to files"},
		{abi: 2, fs: unix.LANDLOCK_ACCESS_FS_REFER, lacks: "renaming between directories (always refused)"},
		{abi: 3, fs: unix.LANDLOCK_ACCESS_FS_TRUNCATE, lacks: "truncating files (never refused)"},
		{abi: 4, net: unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP,
			lacks: "TCP (never refused)"},
		{abi: 5, fs: unix.LANDLOCK_ACCESS_FS_IOCTL_DEV, lacks: "ioctl on devices (never refused)"},
		{abi: 6, scoped: unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL,
			lacks: "signals and abstract sockets to processes outside (never refused)"},
	}
}

type part struct {
	abi             int
	fs, net, scoped uint64
	lacks           string
}

// ABI is the version of Landlock that the running kernel offers; 0:
// none, because it is not built in, not in the kernel's list of security
// modules, or switched off.
func ABI() (int, error) {
	abi, err := version()
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("landlock: %w", err)
	}
	return abi, nil
}

// Missing says what a kernel with this version of Landlock cannot
// restrict, of what lockstep would.
func Missing(abi int) []string {
	var lacks []string
	for _, p := range parts() {
		if abi < p.abi {
			lacks = append(lacks, p.lacks)
		}
	}
	return lacks
}

// handled is everything that abi can restrict: a right that is handled and not
// granted is refused.
func handled(abi int) unix.LandlockRulesetAttr {
	var attr unix.LandlockRulesetAttr
	for _, p := range parts() {
		if abi >= p.abi {
			attr.Handled_access_fs |= p.fs
			attr.Handled_access_net |= p.net
			attr.Scoped |= p.scoped
		}
	}
	return attr
}

// Rule grants access rights (LANDLOCK_ACCESS_FS_*) to Path and all below it; when
// FD is not 0, to what that descriptor is open on, whatever Path leads to.
// Rights that the kernel does not know, or that do not apply to what is no
// directory, are left out.
type Rule struct {
	Path   string
	FD     int // this process's: no specification can name one
	Access uint64
}

// ErrNone: the kernel has no Landlock.
var ErrNone = errors.New("the kernel has no Landlock")

// AnyPort is every port, where ports are named to which it may be connected. No
// connection goes to the number itself.
const AnyPort = 0

// Ruleset makes the ruleset that grants rules, the rights of free on whatever
// file, and TCP connections to the ports of connect on whatever host, and nothing
// else. It returns its descriptor.
// Paths are looked up in the root as it is now, without following symbolic
// links. Where the kernel cannot restrict TCP (see Missing), ports say nothing.
func Ruleset(rules []Rule, free uint64, connect ...uint16) (int, error) {
	abi, err := ABI()
	if err != nil {
		return -1, err
	}
	if abi == 0 {
		return -1, ErrNone
	}
	if free&^unix.LANDLOCK_ACCESS_FS_READ_DIR != 0 {
		return -1, fmt.Errorf("landlock: rights %#x on any file: only listing directories is ever left free", free)
	}
	attr := handled(abi)
	attr.Handled_access_fs &^= free
	if slices.Contains(connect, AnyPort) {
		attr.Handled_access_net &^= unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	ruleset, err := create(&attr)
	if err != nil {
		return -1, fmt.Errorf("landlock: create the ruleset: %w", err)
	}
	for _, r := range rules {
		if err := grant(ruleset, attr.Handled_access_fs, r); err != nil {
			return -1, errors.Join(fmt.Errorf("landlock: rule for %q: %w", r.Path, err), unix.Close(ruleset))
		}
	}
	if attr.Handled_access_net&unix.LANDLOCK_ACCESS_NET_CONNECT_TCP == 0 {
		return ruleset, nil
	}
	for _, port := range connect {
		rule := netPort{access: unix.LANDLOCK_ACCESS_NET_CONNECT_TCP, port: uint64(port)}
		if err := addPort(ruleset, &rule); err != nil {
			return -1, errors.Join(fmt.Errorf("landlock: rule for port %d: %w", port, err), unix.Close(ruleset))
		}
	}
	return ruleset, nil
}

// Restrict puts the calling thread, and what it will start, under the ruleset
// for good. The thread must have no_new_privs or CAP_SYS_ADMIN.
func Restrict(ruleset int) error {
	if _, _, e := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0); e != 0 {
		return e
	}
	return nil
}

// grant adds one rule, without the rights that the kernel or the kind of the
// object does not know.
func grant(ruleset int, known uint64, r Rule) error {
	if r.FD != 0 {
		return grantOpen(ruleset, known, r.FD, r.Access)
	}
	fd, err := unix.Openat2(unix.AT_FDCWD, r.Path, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	return errors.Join(grantOpen(ruleset, known, fd, r.Access), unix.Close(fd))
}

func grantOpen(ruleset int, known uint64, fd int, access uint64) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	access &= known
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= onFiles
	}
	if access == 0 {
		return nil // an empty rule is ENOMSG; it would grant nothing
	}
	return add(ruleset, &unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)})
}
