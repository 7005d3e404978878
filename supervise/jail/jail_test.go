package jail

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/sandbox"
	"lockstep/supervise/host"
)

func command() host.Command {
	return host.Command{Program: "/usr/bin/rsync", Loader: "/usr/lib/ld.so",
		Files: []string{"/etc/ld.so.cache", "/usr/bin/rsync", "/usr/lib/ld.so", "/usr/lib/libc.so"},
		Links: map[string]string{"/lib": "usr/lib"}}
}

func runner(r Rights) sandbox.Spec {
	return Runner(Machine{}, Tree{Host: "/s", Path: "/s", Dev: 1, Ino: 2}, Tree{Host: "/t", Path: "/t", Dev: 3, Ino: 4}, command(), r)
}

// Only the target of a runner is writable, and not in a dry run.
func TestOnlyTheTargetIsWritable(t *testing.T) {
	for _, dry := range []bool{false, true} {
		for _, spec := range []sandbox.Spec{
			Helper(Machine{}, []Tree{{Host: "/s", Dev: 1, Ino: 2}}), Worker(Machine{}, 61184, 61184), runner(Rights{DryRun: dry}),
		} {
			for _, b := range spec.Binds {
				if want := b.Target == "/t" && !dry; b.Writable != want {
					t.Errorf("%s: %s writable: %v", spec.Role, b.Target, b.Writable)
				}
				if b.Devices || (!b.File && (b.Exec || b.Ino == 0)) {
					t.Errorf("%s: %+v", spec.Role, b)
				}
			}
			for _, r := range spec.Landlock {
				if want := r.Path == "/t" && !dry; (r.Access&^(readFile|readDir|execute) != 0) != want {
					t.Errorf("%s: %s may be written: %#x", spec.Role, r.Path, r.Access)
				}
			}
		}
	}
}

func TestOnlyProgramAndLoaderAreExecutable(t *testing.T) {
	var got []string
	for _, spec := range []sandbox.Spec{Helper(Machine{}, []Tree{{Host: "/s"}}), Worker(Machine{}, 1, 1), runner(Rights{Devices: true})} {
		for _, r := range spec.Landlock {
			if r.Access&execute != 0 {
				got = append(got, spec.Role+" "+r.Path)
			}
		}
	}
	if want := []string{"runner /usr/bin/rsync", "runner /usr/lib/ld.so"}; !slices.Equal(got, want) {
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
	s := Worker(Machine{}, 61184, 61185)
	if len(s.Binds)+len(s.Dirs)+len(s.Files)+len(s.Links)+len(s.Opens)+len(s.Landlock) != 0 || s.UID != 61184 || s.GID != 61185 {
		t.Errorf("%+v", s)
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
