package jail

import (
	"golang.org/x/sys/unix"

	"lockstep/sandbox"
)

// Dnotify is the jail of a resolver that holds a descriptor of each directory: in
// it only the root exists, read-only, as in the helper's, and Landlock lets it
// list directories alone. Its pid namespace is its own: the signals that it asks
// the kernel for can reach nobody else.
//
// How many files it may have open is not set here: it is as many as the
// supervisor may, since that is how many directories it can watch. The same goes
// for signals that wait.
func Dnotify(m Machine, root Tree) sandbox.Spec {
	s := sandbox.Spec{
		Role: "resolver", Argv: []string{"lockstep-resolver"}, Env: m.resident(),
		Caps:            capability(unix.CAP_DAC_READ_SEARCH),
		Namespaces:      namespaces | unix.CLONE_NEWPID,
		AllowNoLandlock: m.NoLandlock,
		DeviceProbe:     m.probe(sandbox.ProbeNone),
		Binds:           []sandbox.Bind{{Source: root.Host, Target: resolverRoot, Recursive: root.Recursive, Dev: root.Dev, Ino: root.Ino}},
		Rlimits:         allFiles(),
		Opens:           []sandbox.Open{{Name: "root1", Path: resolverRoot}},
		Landlock:        []sandbox.Rule{{Path: resolverRoot, Access: readDir}},
	}
	if root.Recursive {
		s.Opens[0].Name = "crossed1" // what is mounted in it belongs to it
	}
	return s
}
