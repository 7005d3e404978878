package jail

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/rsync"
	"lockstep/sandbox"
	"lockstep/supervise/host"
	"lockstep/supervise/resolve"
)

func command() host.Command {
	return host.Command{Program: "/usr/bin/rsync", Loader: "/usr/lib/ld.so",
		Files: []string{"/etc/ld.so.cache", "/usr/bin/rsync", "/usr/lib/ld.so", "/usr/lib/libc.so"},
		Links: map[string]string{"/lib": "usr/lib"}}
}

func runner(r Rights) sandbox.Spec {
	return Runner(Machine{}, Tree{Host: "/s", Path: "/s", Dev: 1, Ino: 2}, Tree{Host: "/t", Path: "/t", Dev: 3, Ino: 4}, command(), r)
}

func remoteSpec(kind rsync.Kind) sandbox.Spec {
	c := host.Remote{Rsync: command()}
	if kind == rsync.SSH {
		c.SSH = host.Command{Program: "/usr/bin/ssh", Loader: "/usr/lib/ld.so", Files: []string{"/usr/bin/ssh", "/usr/lib/ld.so", "/usr/lib/libc.so"}}
	}
	return RemoteRunner(Machine{}, Tree{Host: "/s", Path: "/s", Dev: 1, Ino: 2}, Remote{Kind: kind, Port: 2222, UID: 61190, GID: 61191,
		Hosts: resolve.Hosts{Name: "web2"}, Command: c, Password: []byte("x")})
}

// Only the target of a runner is writable, and not in a dry run.
func TestOnlyTheTargetIsWritable(t *testing.T) {
	for _, dry := range []bool{false, true} {
		for _, spec := range []sandbox.Spec{
			Helper(Machine{}, []Tree{{Host: "/s", Dev: 1, Ino: 2}}), Worker(Machine{}, 61184, 61184), runner(Rights{DryRun: dry}),
			Gate(Machine{}, 61184, 61184), Resolver(Machine{}, Tree{Host: "/s", Dev: 1, Ino: 2}), Dnotify(Machine{}, Tree{Host: "/s", Dev: 1, Ino: 2}),
			remoteSpec(rsync.SSH), remoteSpec(rsync.Daemon),
		} {
			for _, b := range spec.Binds {
				if want := b.Target == "/t" && !dry; b.Writable != want {
					t.Errorf("%s: %s writable: %v", spec.Role, b.Target, b.Writable)
				}
				if b.Target == "/dev/null" && b.File && !b.Exec {
					continue
				}
				if b.Devices || (!b.File && (b.Exec || b.Ino == 0)) {
					t.Errorf("%s: %+v", spec.Role, b)
				}
			}
			for _, r := range spec.Landlock {
				if r.Path == "/dev/null" {
					continue
				}
				if want := r.Path == "/t" && !dry; (r.Access&^(readFile|readDir|execute) != 0) != want {
					t.Errorf("%s: %s may be written: %#x", spec.Role, r.Path, r.Access)
				}
			}
		}
	}
}

func TestOnlyProgramAndLoaderAreExecutable(t *testing.T) {
	var got []string
	for _, spec := range []sandbox.Spec{Helper(Machine{}, []Tree{{Host: "/s"}}), Worker(Machine{}, 1, 1), Gate(Machine{}, 1, 1), Resolver(Machine{}, Tree{Host: "/s"}), Dnotify(Machine{}, Tree{Host: "/s"}), runner(Rights{Devices: true}),
		remoteSpec(rsync.Daemon), remoteSpec(rsync.SSH)} {
		for _, r := range spec.Landlock {
			if r.Access&execute != 0 {
				got = append(got, spec.Role+" "+r.Path)
			}
		}
	}
	one := []string{"runner /usr/bin/rsync", "runner /usr/lib/ld.so"}
	if want := slices.Concat(one, one, one, []string{"runner /usr/bin/ssh", "runner /usr/lib/ld.so", "runner " + rsync.ConnectPath}); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestCapabilities(t *testing.T) {
	for _, c := range []struct {
		spec sandbox.Spec
		want uint64
	}{
		{Helper(Machine{}, nil), 1 << unix.CAP_DAC_READ_SEARCH},
		{Worker(Machine{}, 61184, 61184), 0},
		{Gate(Machine{}, 61184, 61184), 0},
		{Dnotify(Machine{}, Tree{Host: "/s"}), 1 << unix.CAP_DAC_READ_SEARCH},
		{remoteSpec(rsync.SSH), 1 << unix.CAP_DAC_READ_SEARCH},
		{remoteSpec(rsync.Daemon), 1 << unix.CAP_DAC_READ_SEARCH},
		{runner(Rights{}), 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID},
		{runner(Rights{Devices: true, FileCaps: true}), 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER |
			1<<unix.CAP_FSETID | 1<<unix.CAP_MKNOD | 1<<unix.CAP_SETFCAP},
	} {
		if c.spec.Caps != c.want {
			t.Errorf("%s: %#x, want %#x", c.spec.Role, c.spec.Caps, c.want)
		}
		if c.spec.AllowNoLandlock || c.spec.DeviceProbe == sandbox.ProbeSkip {
			t.Errorf("%s goes on without protection", c.spec.Role)
		}
	}
}

func TestWorkerIsEmpty(t *testing.T) {
	for _, s := range []sandbox.Spec{Worker(Machine{}, 61184, 61185), Gate(Machine{}, 61184, 61185)} {
		if len(s.Binds)+len(s.Dirs)+len(s.Files)+len(s.Links)+len(s.Opens)+len(s.Landlock)+len(s.Connect) != 0 || s.UID != 61184 || s.GID != 61185 || s.Unrestricted != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// A source that holds the program is bound before it, or the program would be
// hidden behind a noexec mount.
func TestDataIsBoundFirst(t *testing.T) {
	s := Runner(Machine{}, Tree{Host: "/usr", Path: "/usr"}, Tree{Host: "/t", Path: "/t"}, command(), Rights{})
	if s.Binds[0].Target != "/usr" || !slices.ContainsFunc(s.Binds[2:], func(b sandbox.Bind) bool { return b.Target == "/usr/bin/rsync" && b.Exec }) {
		t.Errorf("%+v", s.Binds)
	}
}

// A remote target's runner alone has a network, for one port, and its own uid;
// the source is where it can hide nothing of the jail's own.
func TestRemoteJail(t *testing.T) {
	for _, spec := range []sandbox.Spec{Helper(Machine{}, nil), Worker(Machine{}, 1, 1), runner(Rights{})} {
		if spec.Namespaces&unix.CLONE_NEWNET == 0 || len(spec.Connect) > 0 || spec.Image != "" {
			t.Errorf("%s has a network, or more", spec.Role)
		}
	}
	for _, kind := range []rsync.Kind{rsync.SSH, rsync.Daemon} {
		s := remoteSpec(kind)
		if !slices.Equal(s.Connect, []uint16{2222}) || s.UID != 61190 || s.GID != 61191 ||
			s.Namespaces != unix.CLONE_NEWNS|unix.CLONE_NEWPID|unix.CLONE_NEWIPC|unix.CLONE_NEWUTS|unix.CLONE_NEWCGROUP {
			t.Errorf("%+v", s)
		}
		if b := s.Binds[0]; b.Target != Source || b.Source != "/s" || b.Ino != 2 {
			t.Errorf("%+v", b)
		}
		seen := map[string]bool{}
		for _, b := range s.Binds {
			if seen[b.Target] || b.Target != Source && within(b.Target, Source) {
				t.Errorf("%s is bound twice, or in the source", b.Target)
			}
			seen[b.Target] = true
		}
		for _, f := range s.Files {
			if want := strings.HasPrefix(f.Path, "/lockstep/"); f.Secret != want {
				t.Errorf("%s: secret %v", f.Path, f.Secret)
			}
		}
	}
}

// TestDnotifyJail: directories of the root can be listed, and nothing else of it
// opened; signals reach nobody outside; as many files may be open as the
// supervisor may have.
func TestDnotifyJail(t *testing.T) {
	for _, crossed := range []bool{false, true} {
		s := Dnotify(Machine{}, Tree{Host: "/s", Dev: 1, Ino: 2, Recursive: crossed})
		if s.Namespaces&unix.CLONE_NEWPID == 0 || s.Namespaces&unix.CLONE_NEWNET == 0 || s.Unrestricted != 0 {
			t.Errorf("%+v", s)
		}
		if len(s.Landlock) != 1 || s.Landlock[0] != (sandbox.Rule{Path: resolverRoot, Access: readDir}) {
			t.Errorf("%+v", s.Landlock)
		}
		if name := map[bool]string{false: "root1", true: "crossed1"}[crossed]; s.Opens[0].Name != name || s.Binds[0].Recursive != crossed {
			t.Errorf("%+v %+v", s.Opens, s.Binds)
		}
		for _, l := range s.Rlimits {
			if l.Resource == unix.RLIMIT_NOFILE {
				t.Errorf("%d files", l.Hard)
			}
		}
	}
}
