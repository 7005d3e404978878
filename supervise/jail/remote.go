package jail

import (
	"fmt"
	"maps"

	"golang.org/x/sys/unix"

	"lockstep/rsync"
	"lockstep/sandbox"
	"lockstep/supervise/host"
	"lockstep/supervise/resolve"
)

// Source is where the jail of a remote target shows the source. Not at its own
// path, as other jails do: a source like /etc would lie over the jail's files.
const Source = "/source"

// Remote is what the runner of a remote target needs to reach it.
type Remote struct {
	Kind     rsync.Kind // SSH or Daemon
	Port     uint16
	UID, GID int // its own
	Hosts    resolve.Hosts
	Command  host.Remote

	// Contents of files, which the jail holds as copies of its own.
	Identity, KnownHosts []byte // SSH
	Password             []byte // Daemon; nil: none
}

// RemoteRunner is the jail of a copy to another host: the source read-only at
// Source, the files without which rsync and ssh do not start, and secrets that
// its uid alone can read. It has the host's network, since that leads to the
// target; of it, Landlock leaves TCP to the one port, and the filter TCP. Its
// one capability is to read the source; connect drops it before ssh starts.
func RemoteRunner(m Machine, source Tree, r Remote) sandbox.Spec {
	s := sandbox.Spec{
		Role: "runner", Argv: []string{"lockstep-runner"}, Env: m.resident(),
		UID: r.UID, GID: r.GID,
		Caps:            capability(unix.CAP_DAC_READ_SEARCH),
		Namespaces:      (namespaces | unix.CLONE_NEWPID) &^ unix.CLONE_NEWNET,
		AllowNoLandlock: m.NoLandlock,
		Rlimits:         rlimits(1024, 0),
		DeviceProbe:     m.probe(sandbox.ProbeBasic),
		Connect:         []uint16{r.Port},
	}
	s.Binds = []sandbox.Bind{{Source: source.Host, Target: Source, Recursive: source.Recursive, Dev: source.Dev, Ino: source.Ino}}
	s.Landlock = []sandbox.Rule{{Path: Source, Access: readFile | readDir}}
	own(&s, "/etc/hosts", r.Hosts.File(), false)
	own(&s, "/etc/nsswitch.conf", []byte("passwd: files\ngroup: files\nhosts: files\nservices: files\n"), false)
	own(&s, "/etc/host.conf", []byte("multi on\n"), false) // all addresses of a name
	program(&s, r.Command.Rsync)
	links := map[string]string{}
	maps.Copy(links, r.Command.Rsync.Links)
	switch r.Kind {
	case rsync.SSH:
		// ssh does not start without a line for its uid, nor without /dev/null.
		own(&s, "/etc/passwd", fmt.Appendf(nil, "lockstep:x:%d:%d::/nonexistent:/nonexistent\n", r.UID, r.GID), false)
		own(&s, rsync.IdentityPath, r.Identity, true)
		own(&s, rsync.KnownHostsPath, r.KnownHosts, true)
		const null = "/dev/null"
		s.Binds = append(s.Binds, sandbox.Bind{Source: null, Target: null, File: true, Devices: true})
		s.Landlock = append(s.Landlock, sandbox.Rule{Path: null, Access: readFile | unix.LANDLOCK_ACCESS_FS_WRITE_FILE})
		program(&s, r.Command.SSH)
		maps.Copy(links, r.Command.SSH.Links)
		links[rsync.SSHPath] = r.Command.SSH.Program
		s.Image = rsync.ConnectPath
		s.Landlock = append(s.Landlock, sandbox.Rule{Path: rsync.ConnectPath, Access: readFile | execute})
	case rsync.Daemon:
		if r.Password != nil {
			own(&s, rsync.PasswordPath, r.Password, true)
		}
	}
	for link, text := range links {
		s.Links = append(s.Links, sandbox.Link{Path: link, Target: text})
	}
	return s
}

// own adds a file of the jail's own, and grants reading it.
func own(s *sandbox.Spec, path string, data []byte, secret bool) {
	s.Files = append(s.Files, sandbox.File{Path: path, Data: data, Secret: secret})
	s.Landlock = append(s.Landlock, sandbox.Rule{Path: path, Access: readFile})
}

// RemoteEnv is the whole environment of the command of a remote target. connect
// is a Go program that rsync starts, so it has that of ours; ssh gets less
// (rsync.SSHEnv).
func RemoteEnv() []string {
	return append([]string{"PATH=/usr/bin", "LANG=C"}, Machine{}.environment()...)
}
