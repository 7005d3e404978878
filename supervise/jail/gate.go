package jail

import (
	"golang.org/x/sys/unix"

	"lockstep/sandbox"
)

// Gate is the empty jail of who speaks to the clients of the control socket: no
// file, no network, no capability, a uid of its own. What it holds was donated.
func Gate(m Machine, uid, gid int) sandbox.Spec {
	m.Targets = 0
	return sandbox.Spec{
		Role: "gate", Argv: []string{"lockstep-gate"}, Env: m.sleeper(),
		UID: uid, GID: gid,
		Namespaces:      namespaces | unix.CLONE_NEWPID,
		AllowNoLandlock: m.NoLandlock,
		Rlimits:         rlimits(32, 256),
		DeviceProbe:     m.probe(sandbox.ProbeNone),
	}
}
