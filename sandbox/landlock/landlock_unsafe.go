package landlock

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// These calls are here and not in internal/sys because that package is part of
// the helper, which must not carry what only stage one needs.

// version is landlock_create_ruleset(2) with
// LANDLOCK_CREATE_RULESET_VERSION.
func version() (int, error) {
	r, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// create makes a ruleset. The kernel takes a structure that is larger
// than its own as long as the rest is zero, so the size need not follow the ABI.
func create(attr *unix.LandlockRulesetAttr) (int, error) {
	r, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET,
		uintptr(unsafe.Pointer(attr)), unsafe.Sizeof(*attr), 0)
	if errno != 0 {
		return -1, errno
	}
	return int(r), nil
}

// add grants access below the object that attr.Parent_fd is open on.
func add(ruleset int, attr *unix.LandlockPathBeneathAttr) error {
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset),
		unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(attr)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// netPort is struct landlock_net_port_attr; the port is in the machine's own
// byte order. x/sys has neither it nor the number of its kind of rule.
type netPort struct{ access, port uint64 }

const rulePort = 2 // LANDLOCK_RULE_NET_PORT

// addPort grants access to a port.
func addPort(ruleset int, attr *netPort) error {
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset),
		rulePort, uintptr(unsafe.Pointer(attr)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
