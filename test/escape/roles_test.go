//go:build escape

package escape

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/config"
	"lockstep/internal/memfd"
	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/ipc/control"
	"lockstep/ipc/settings"
	"lockstep/ipc/wire"
	"lockstep/rsync"
	"lockstep/sandbox"
	"lockstep/seccomp"
	"lockstep/supervise/fanotify"
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
	"lockstep/supervise/resolve"
)

// build id of programs that were built without one.
const buildID = "dev"

func tree(t *testing.T, path string) jail.Tree {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	return jail.Tree{Host: path, Path: path, Dev: st.Dev, Ino: st.Ino}
}

// sealed is a configuration.
func sealed(t *testing.T, m wire.Value) *os.File {
	t.Helper()
	data, err := wire.Append(nil, m)
	must(t, err)
	f, err := memfd.Sealed("config", data)
	must(t, err)
	return f
}

func events(t *testing.T) *os.File {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	must(t, err)
	return os.NewFile(uintptr(fd), "inotify")
}

func helper(t *testing.T) *jailed {
	t.Helper()
	testenv.NeedRoot(t)
	source := tree(t, planted(t))
	j := &jailed{spec: jail.Helper(jail.Machine{Targets: 1}, []jail.Tree{source}), world: newWorld(t)}
	j.world.Peer, j.world.Source = 3, jail.RootPath(1)
	j.donate = func(t *testing.T) []sandbox.Donation {
		return []sandbox.Donation{{Name: "control", File: pair(t)}, {Name: "config", File: sealed(t, &ipc.HelperConfig{Build: buildID, Deadline: 10 * time.Second,
			Roots: []ipc.HelperRoot{{Root: ipc.Root{ID: 1, Name: "root"}, FD: 7}}})}, {Name: "inotify", File: events(t)}}
	}
	return j.ready(t, "lockstep/cmd/lockstep-helper", seccomp.Helper)
}

// ran is a runner, in the jail of its target.
func (j *jailed) ran(t *testing.T, cfg settings.Runner, table seccomp.Role) *jailed {
	t.Helper()
	testenv.NeedRoot(t)
	cfg.Build, cfg.Timeout, cfg.Grace = buildID, time.Minute, time.Second
	w := newWorld(t)
	w.Peer, w.Source, w.Target = 3, j.world.Source, j.world.Target
	j.world = w
	j.donate = func(t *testing.T) []sandbox.Donation {
		return []sandbox.Donation{{Name: "helper", File: pair(t)}, {Name: "config", File: sealed(t, &cfg)}, {Name: "gate", File: pair(t)}}
	}
	return j.ready(t, "lockstep/cmd/lockstep-runner", table)
}

func runner(t *testing.T) *jailed {
	t.Helper()
	testenv.NeedTool(t, "rsync")
	command, err := host.Inspect("/usr/bin/rsync")
	must(t, err)
	source, target := tree(t, planted(t)), tree(t, planted(t))
	j := &jailed{spec: jail.Runner(jail.Machine{}, source, target, command, jail.Rights{})}
	j.world.Source, j.world.Target = source.Path, target.Path
	return j.ran(t, settings.Runner{Program: command.Program, ProgDev: command.Dev, ProgIno: command.Ino, Source: source.Path, Target: target.Path}, seccomp.Runner)
}

// remote is the runner of a target that is reached by ssh.
func remote(t *testing.T) *jailed {
	t.Helper()
	testenv.NeedTool(t, "ssh")
	command, err := host.Inspect("/usr/bin/rsync")
	must(t, err)
	r := jail.Remote{Kind: rsync.SSH, Port: 22, UID: free, GID: free, Identity: []byte("none"), KnownHosts: []byte("none"),
		Hosts: resolve.Hosts{Name: "target", Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}}
	r.Command, err = host.InspectRemote(command, rsync.SSH, host.DefaultSSH)
	must(t, err)
	j := &jailed{spec: jail.RemoteRunner(jail.Machine{}, tree(t, planted(t)), r)}
	j.world.Source = jail.Source
	return j.ran(t, settings.Runner{Program: command.Program, ProgDev: command.Dev, ProgIno: command.Ino, Source: jail.Source}, seccomp.Remote)
}

// command is a handler, a person's program, which makes the acts: the runner becomes
// it, under its filter.
func command(t *testing.T) *jailed {
	return handler(t, config.Sync{Mode: "shell"}, seccomp.Handler)
}

// networked is one that has the host's network.
func networked(t *testing.T) *jailed {
	return handler(t, config.Sync{Mode: "shell", Network: true}, seccomp.HandlerNetwork)
}

func handler(t *testing.T, s config.Sync, table seccomp.Role) *jailed {
	t.Helper()
	s.Handler = build(t, "lockstep/test/escape/body")
	h, err := host.InspectHandler(s)
	must(t, err)
	source, target := tree(t, planted(t)), tree(t, planted(t))
	j := &jailed{spec: jail.HandlerRunner(jail.Machine{}, source, target, h, jail.Rights{}), become: h.Program}
	j.world.Source, j.world.Target = source.Path, target.Path
	return j.ran(t, settings.Runner{Program: h.Program, ProgDev: h.Dev, ProgIno: h.Ino, Source: source.Path, Target: target.Path}, table)
}

// module is the process in which a module's functions are called.
func module(t *testing.T) *jailed {
	t.Helper()
	testenv.NeedTool(t, "gcc")
	h, err := host.InspectHandler(config.Sync{Mode: "shell", Handler: build(t, "lockstep/test/escape/body")})
	must(t, err)
	h.Module = host.Module{Path: h.Program, Dev: h.Dev, Ino: h.Ino} // a file that is shown; nothing is loaded before the act
	h.Program = build(t, "lockstep/cmd/lockstep-plugin", "-buildmode=pie")
	plugin := tree(t, h.Program)
	h.Dev, h.Ino = plugin.Dev, plugin.Ino
	source, target := tree(t, planted(t)), tree(t, planted(t))
	j := &jailed{spec: jail.HandlerRunner(jail.Machine{}, source, target, h, jail.Rights{}), become: jail.PluginPath}
	j.world.Source, j.world.Target = source.Path, target.Path
	return j.ran(t, settings.Runner{Program: jail.PluginPath, ProgDev: h.Dev, ProgIno: h.Ino, Source: source.Path, Target: target.Path}, seccomp.Handler)
}

func resolver(t *testing.T) *jailed {
	t.Helper()
	testenv.NeedRoot(t)
	source := tree(t, planted(t))
	j := &jailed{spec: jail.Resolver(jail.Machine{}, source), world: newWorld(t)}
	j.world.Peer, j.world.Source = 4, "/r"
	j.donate = func(t *testing.T) []sandbox.Donation {
		queue, err := fanotify.Open(fanotify.Tree{Path: source.Host, Dev: source.Dev, Ino: source.Ino})
		must(t, err)
		return []sandbox.Donation{{Name: "fanotify", File: queue}, {Name: "worker", File: pair(t)}}
	}
	return j.ready(t, "lockstep/cmd/lockstep-resolver", seccomp.Resolver)
}

func dnotify(t *testing.T) *jailed {
	t.Helper()
	testenv.NeedRoot(t)
	j := &jailed{spec: jail.Dnotify(jail.Machine{}, tree(t, planted(t))), world: newWorld(t)}
	j.world.Peer, j.world.Source = 3, "/r"
	j.donate = func(t *testing.T) []sandbox.Donation { return []sandbox.Donation{{Name: "worker", File: pair(t)}} }
	return j.ready(t, "lockstep/cmd/lockstep-resolver", seccomp.Dnotify)
}

func gate(t *testing.T) *jailed {
	t.Helper()
	testenv.NeedRoot(t)
	j := &jailed{spec: jail.Gate(jail.Machine{}, free, free), world: newWorld(t)}
	j.world.Peer = 4
	j.donate = func(t *testing.T) []sandbox.Donation {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: realDir(t) + "/control"})
		must(t, err)
		defer l.Close()
		clients, err := l.File()
		must(t, err)
		return []sandbox.Donation{{Name: "clients", File: clients}, {Name: "supervisor", File: pair(t)}, {Name: "config", File: sealed(t, &control.Config{Build: buildID, Syncs: []string{"x"}})}}
	}
	return j.ready(t, "lockstep/cmd/lockstep-gate", seccomp.Gate)
}
