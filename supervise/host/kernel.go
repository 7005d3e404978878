// Package host looks at the machine that lockstep runs on: what its kernel can
// do, the sibling programs, and the files that the command needs in its jail.
//
// Trust: linked into the supervisor. It runs before distrust begins and reads
// nothing but the kernel's tables and files that only root can write.
//
// Invariants: a feature that is missing is refused unless a person allowed it
// by name; a program is used only when its owner and its build are right, and
// from then on by its sealed image.
package host

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Kernel is what the running kernel has.
type Kernel struct {
	Release  string
	Landlock int      // ABI, 0 without
	Lacks    []string // second layers that this kernel is too old for, in words
	MDWE     bool     // PR_SET_MDWE, Linux 6.3
	missing  []missing
}

// missing is a feature that is not there; without a name it cannot be allowed.
type missing struct {
	name string
	what string
}

// CheckKernel asks the kernel for all that confinement stands on.
func CheckKernel() Kernel {
	var k Kernel
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		k.Release = unix.ByteSliceToString(uts.Release[:])
	}
	k.checkSeccomp()
	k.checkNamespaces()
	k.checkCalls()
	k.checkLandlock()
	// EINVAL before Linux 6.3.
	_, err := unix.PrctlRetInt(unix.PR_GET_MDWE, 0, 0, 0, 0)
	k.MDWE = err == nil
	if !k.MDWE {
		// A second layer: the filters of worker and helper refuse it too.
		k.Lacks = append(k.Lacks, "refusing executable memory (PR_SET_MDWE, Linux 6.3)")
	}
	return k
}

func (k *Kernel) checkSeccomp() {
	const actions = "/proc/sys/kernel/seccomp/actions_avail"
	data, err := os.ReadFile(actions)
	if err != nil {
		k.missing = append(k.missing, missing{"", "seccomp: " + actions + " cannot be read; is /proc mounted, and CONFIG_SECCOMP_FILTER set?"})
		return
	}
	if !slices.Contains(strings.Fields(string(data)), "kill_process") {
		k.missing = append(k.missing, missing{"", "seccomp: the kernel has no KILL_PROCESS (Linux 4.14)"})
	}
}

func (k *Kernel) checkNamespaces() {
	for _, ns := range []string{"mnt", "net", "ipc", "uts", "cgroup", "pid"} {
		if _, err := os.Stat("/proc/self/ns/" + ns); err != nil {
			k.missing = append(k.missing, missing{"", "the kernel has no " + ns + " namespaces"})
		}
	}
}

// checkCalls tries the calls without which nothing here works: openat2 (5.6),
// close_range (5.9), mount_setattr (5.12), pidfd_open (5.3).
func (k *Kernel) checkCalls() {
	add := func(name string, err error) {
		k.missing = append(k.missing, missing{"", fmt.Sprintf("the kernel has no %s: %v", name, err)})
	}
	fd, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
	if err != nil {
		add("openat2", err)
	} else if err := unix.Close(fd); err != nil {
		add("openat2", err)
	}
	pidfd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		add("pidfd_open", err)
	} else if err := unix.Close(pidfd); err != nil {
		add("pidfd_open", err)
	}
	// Calls that do nothing or fail for another reason when they are there.
	if err := unix.CloseRange(^uint(0)>>32, ^uint(0)>>32, unix.CLOSE_RANGE_CLOEXEC); errors.Is(err, unix.ENOSYS) {
		add("close_range", err)
	}
	if err := unix.MountSetattr(-1, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); errors.Is(err, unix.ENOSYS) {
		add("mount_setattr", err)
	}
}

// checkLandlock reads the ABI (landlock_create_ruleset(2)) and says what an
// older one cannot restrict.
func (k *Kernel) checkLandlock() {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		k.missing = append(k.missing, missing{"landlock", "Landlock is not there or switched off (Linux 5.13; lsm=landlock,…)"})
		return
	}
	k.Landlock = int(abi)
	for _, since := range []struct {
		abi  int
		what string
	}{
		{2, "Landlock: renames between directories (ABI 2, Linux 5.19: all of them are refused)"}, {3, "Landlock: truncation (ABI 3, Linux 6.2)"}, {4, "Landlock: TCP ports (ABI 4, Linux 6.7)"},
		{5, "Landlock: ioctls on devices (ABI 5, Linux 6.10)"}, {6, "Landlock: signals and abstract sockets (ABI 6, Linux 6.12)"},
	} {
		if k.Landlock < since.abi {
			k.Lacks = append(k.Lacks, since.what)
		}
	}
}

// Feature is something that a kernel lacks.
type Feature struct {
	Name string // under allow_missing; "": it cannot be allowed
	What string
}

// Missing lists what is not there.
func (k Kernel) Missing() []Feature {
	var out []Feature
	for _, m := range k.missing {
		out = append(out, Feature{m.name, m.what})
	}
	return out
}

// Refuse returns an error that names all that is missing and not allowed. What
// is missing and allowed is told to warn.
func (k Kernel) Refuse(allowed func(name string) bool, warn func(string)) error {
	var bad []string
	for _, m := range k.missing {
		switch {
		case m.name == "":
			bad = append(bad, m.what+"; a newer kernel, or a host that allows it to this container, is needed")
		case allowed(m.name):
			warn(fmt.Sprintf("running without a protection, as allowed by --allow-missing %s: %s", m.name, m.what))
		default:
			bad = append(bad, fmt.Sprintf("%s; to run without this protection: --allow-missing %s", m.what, m.name))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return errors.New(strings.Join(bad, "\n"))
}

// Need takes away the leave to go on without a feature; why says for what it is
// needed.
func (k *Kernel) Need(name, why string) {
	for i, m := range k.missing {
		if m.name == name {
			k.missing[i] = missing{"", m.what + "; " + why}
		}
	}
}

// Add takes note of a feature that others found missing.
func (k *Kernel) Add(name, what string) { k.missing = append(k.missing, missing{name, what}) }

// WatchLimit is how many watches of inotify a user may have; 0: unknown.
func WatchLimit() uint64 { return number("/proc/sys/fs/inotify/max_user_watches") }

// number reads one number of the kernel's; 0: unknown.
func number(path string) uint64 {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
