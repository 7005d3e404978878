package jail

import (
	"golang.org/x/sys/unix"

	"lockstep/sandbox"
)

// resolverRoot is where the resolver's jail shows the root: as short as can be,
// since it is a part of each path that the kernel tells there, and those have at
// most 4095 bytes.
const resolverRoot = "/r"

// Resolver is the jail in which only the root exists, read-only. It stays in the
// host's pid namespace, to see the real pids of those who make changes.
//
// CAP_DAC_READ_SEARCH opens the handles of events; the filter has them opened in
// one way only, by which nothing can be listed or read. Listing is the one right
// that Landlock does not take: to find the place of a directory that is not in
// its caches, the kernel lists the one above it, in this process's name. That one
// may have no place yet either, so that no rule could grant it, and an event
// would be lost for a directory that is said to have gone.
func Resolver(m Machine, root Tree) sandbox.Spec {
	return sandbox.Spec{
		Role: "resolver", Argv: []string{"lockstep-resolver"}, Env: m.resident(),
		Caps:            capability(unix.CAP_DAC_READ_SEARCH),
		Namespaces:      namespaces,
		AllowNoLandlock: m.NoLandlock,
		Unrestricted:    readDir,
		Rlimits:         rlimits(32, 0),
		DeviceProbe:     m.probe(sandbox.ProbeNone),
		Binds:           []sandbox.Bind{{Source: root.Host, Target: resolverRoot, Dev: root.Dev, Ino: root.Ino}},
		Opens:           []sandbox.Open{{Name: "root1", Path: resolverRoot}},
	}
}
