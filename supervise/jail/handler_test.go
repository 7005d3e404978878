package jail

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/config"
	"lockstep/sandbox"
	"lockstep/sandbox/landlock"
	"lockstep/supervise/host"
)

func testHandler() host.Handler {
	return host.Handler{Program: "/etc/h/sync.sh", Dev: 1, Ino: 2, Dirs: []string{"/usr", "/etc/alternatives"}, Links: map[string]string{"/bin": "usr/bin"},
		Files: []string{"/etc/passwd"}, Devices: []string{"/dev/null"}}
}

// What a handler can write to it cannot execute, by mounts and by Landlock; what
// it can execute it cannot write to; and it has no network.
func TestHandlerJail(t *testing.T) {
	source, target := Tree{Host: "/s", Path: "/s", Dev: 1, Ino: 3}, Tree{Host: "/t", Path: "/t", Dev: 1, Ino: 4}
	s := HandlerRunner(Machine{}, source, target, testHandler(), Rights{})
	plain := Runner(Machine{}, source, target, host.Command{}, Rights{})
	if s.Namespaces != plain.Namespaces || s.Namespaces&unix.CLONE_NEWNET == 0 || s.Caps != plain.Caps || len(s.Connect) > 0 || s.Unrestricted != 0 {
		t.Errorf("namespaces %#x, capabilities %#x", s.Namespaces, s.Caps)
	}
	writable := map[string]bool{}
	for _, b := range s.Binds {
		if b.Writable && (b.Exec || b.Devices) {
			t.Errorf("%s is writable, and more", b.Target)
		}
		writable[b.Target] = b.Writable
	}
	for path, want := range map[string]bool{"/t": true, Scratch: true, "/s": false, "/usr": false, "/etc/h/sync.sh": false, "/etc/passwd": false, "/dev/null": false, "/etc/alternatives": false} {
		if got, there := writable[path]; !there || got != want {
			t.Errorf("%s: there %v, writable %v", path, there, got)
		}
	}
	const write = writeAll | makeDevices
	for _, r := range s.Landlock {
		if r.Access&execute != 0 && r.Access&write != 0 {
			t.Errorf("%s: written to and executed", r.Path)
		}
		if r.Access&write != 0 && r.Path != "/t" && r.Path != Scratch && r.Path != "/dev/null" {
			t.Errorf("%s can be written to", r.Path)
		}
		if r.Access&execute != 0 && (strings.HasPrefix(r.Path, "/s") || strings.HasPrefix(r.Path, "/t") || r.Path == Scratch) {
			t.Errorf("%s can be executed", r.Path)
		}
	}
	if !slices.Contains(s.Links, sandbox.Link{Path: "/bin", Target: "usr/bin"}) {
		t.Errorf("links %v", s.Links)
	}
}

// A hook has the jail of a handler, with all targets; where the trees are not there, or
// held, it is without them.
func TestHookJail(t *testing.T) {
	source := Tree{Host: "/s", Path: "/s", Dev: 1, Ino: 3}
	targets := []Tree{{Host: "/t", Path: "/t", Dev: 1, Ino: 4}, {Host: "/u", Path: "/u", Dev: 1, Ino: 5}}
	one := Hook(Machine{}, &source, targets[:1], testHandler(), Rights{})
	if want := HandlerRunner(Machine{}, source, targets[0], testHandler(), Rights{}); !reflect.DeepEqual(one, want) {
		t.Errorf("%+v\nand that of a handler: %+v", one, want)
	}
	both, none := Hook(Machine{}, &source, targets, testHandler(), Rights{}), Hook(Machine{}, nil, nil, testHandler(), Rights{})
	if len(both.Binds) != len(one.Binds)+1 || len(none.Binds) != len(one.Binds)-2 || len(none.Landlock) != len(one.Landlock)-2 || none.Caps != one.Caps || none.Namespaces != one.Namespaces {
		t.Errorf("%d and %d mounts, %d with one target", len(both.Binds), len(none.Binds), len(one.Binds))
	}
	for _, b := range both.Binds {
		if want := b.Target == "/t" || b.Target == "/u" || b.Target == Scratch; b.Writable != want {
			t.Errorf("%s: writable %v", b.Target, b.Writable)
		}
	}
}

// With a user of its own a handler has that user's ids, no capability, and else the
// same jail; so has a hook.
func TestHandlerUserJail(t *testing.T) {
	source, target := Tree{Host: "/s", Path: "/s", Dev: 1, Ino: 3}, Tree{Host: "/t", Path: "/t", Dev: 1, Ino: 4}
	for _, r := range []Rights{{}, {Devices: true, FileCaps: true}} {
		h := testHandler()
		plain, bare := HandlerRunner(Machine{}, source, target, h, r), HandlerRunner(Machine{}, source, Tree{}, h, r)
		h.IDs = config.IDs{UID: 33, GID: 34}
		for own, other := range map[*sandbox.Spec]sandbox.Spec{
			new(HandlerRunner(Machine{}, source, target, h, r)): plain,
			new(HandlerRunner(Machine{}, source, Tree{}, h, r)): bare,
			new(Hook(Machine{}, &source, []Tree{target}, h, r)): plain,
		} {
			if own.UID != 33 || own.GID != 34 || own.Caps != 0 || other.Caps == 0 {
				t.Errorf("uid %d, gid %d, capabilities %#x", own.UID, own.GID, own.Caps)
			}
			if own.UID, own.GID, own.Caps = 0, 0, other.Caps; !reflect.DeepEqual(*own, other) {
				t.Errorf("%+v\nand without a user: %+v", own, other)
			}
		}
	}
}

// A program in a directory that is shown is not shown twice.
func TestHandlerWithin(t *testing.T) {
	h := testHandler()
	h.Program = "/usr/local/bin/x"
	s := HandlerRunner(Machine{}, Tree{Host: "/s", Path: "/s"}, Tree{Host: "/t", Path: "/t"}, h, Rights{Devices: true})
	for _, b := range s.Binds {
		if b.Target == h.Program {
			t.Error("it has a mount of its own")
		}
	}
	if s.Caps&capability(unix.CAP_MKNOD) == 0 {
		t.Error("no device nodes")
	}
}

// Nothing of the environment has a program looked for in the working directory, which
// is a hostile tree.
func TestHandlerEnv(t *testing.T) {
	env := map[string]string{}
	for _, e := range HandlerEnv() {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	if env["PYTHONSAFEPATH"] != "1" {
		t.Errorf("Python imports from the source: %q", env)
	}
	for dir := range strings.SplitSeq(env["PATH"], ":") {
		if !filepath.IsAbs(dir) {
			t.Errorf("PATH has %q", dir)
		}
	}
}

// Of a module's jail the program is our own, at a place of its own; the module can be
// mapped as code, and neither started nor written to. One in a directory that is
// shown is not shown twice.
func TestModuleJail(t *testing.T) {
	h := testHandler()
	h.Program, h.Module = "/opt/lockstep/lockstep-plugin", host.Module{Path: "/opt/x.so", Dev: 5, Ino: 6}
	s := HandlerRunner(Machine{}, Tree{Host: "/s", Path: "/s"}, Tree{Host: "/t", Path: "/t"}, h, Rights{})
	for _, want := range []sandbox.Bind{
		{Source: h.Program, Target: PluginPath, File: true, Exec: true, Dev: 1, Ino: 2},
		{Source: "/opt/x.so", Target: "/opt/x.so", File: true, Exec: true, Dev: 5, Ino: 6},
	} {
		if !slices.Contains(s.Binds, want) {
			t.Errorf("no %+v in %+v", want, s.Binds)
		}
	}
	rules := map[string]uint64{}
	for _, r := range s.Landlock {
		rules[r.Path] |= r.Access
	}
	if _, there := rules[h.Program]; rules[PluginPath] != readFile|execute || rules["/opt/x.so"] != readFile || there {
		t.Errorf("rules %v", rules)
	}
	h.Module.Path, h.Program = "/usr/lib/x.so", "/usr/libexec/lockstep/lockstep-plugin"
	s = HandlerRunner(Machine{}, Tree{Host: "/s", Path: "/s"}, Tree{Host: "/t", Path: "/t"}, h, Rights{})
	shown := false
	for _, b := range s.Binds {
		if b.Target == h.Module.Path {
			t.Error("it has a mount of its own")
		}
		shown = shown || b.Target == PluginPath
	}
	if !shown {
		t.Error("what calls it is not where the runner looks")
	}
}

// Without a target there is nothing to write to but the directory in memory, and no
// right but to read. What a person names is shown, never to be executed; a network is
// there where it was asked for alone.
func TestHandlerBeside(t *testing.T) {
	h := testHandler()
	s := HandlerRunner(Machine{}, Tree{Host: "/s", Path: "/s"}, Tree{}, h, Rights{Devices: true})
	if s.Caps != capability(unix.CAP_DAC_READ_SEARCH) || s.Namespaces&unix.CLONE_NEWNET == 0 || len(s.Connect) > 0 {
		t.Errorf("capabilities %#x, namespaces %#x, ports %v", s.Caps, s.Namespaces, s.Connect)
	}
	for _, b := range s.Binds {
		if b.Writable && b.Target != Scratch || b.Target == "" {
			t.Errorf("%+v", b)
		}
	}
	h.Shows, h.Writes = []host.Shown{{Path: "/r", Dev: 1, Ino: 5, Dir: true}, {Path: "/key", Dev: 1, Ino: 6}}, []host.Shown{{Path: "/w", Dev: 1, Ino: 7, Dir: true}}
	h.Network, h.Names = true, "/run/names"
	s = HandlerRunner(Machine{}, Tree{Host: "/s", Path: "/s"}, Tree{}, h, Rights{})
	if s.Namespaces != (namespaces|unix.CLONE_NEWPID)&^unix.CLONE_NEWNET || !slices.Equal(s.Connect, []uint16{landlock.AnyPort}) {
		t.Errorf("namespaces %#x, ports %v", s.Namespaces, s.Connect)
	}
	for _, want := range []sandbox.Bind{{Source: "/r", Target: "/r", Dev: 1, Ino: 5}, {Source: "/key", Target: "/key", Dev: 1, Ino: 6, File: true},
		{Source: "/w", Target: "/w", Dev: 1, Ino: 7, Writable: true}, {Source: "/run/names", Target: NamesPath, File: true}} {
		if !slices.Contains(s.Binds, want) {
			t.Errorf("there is no %+v", want)
		}
	}
	for _, r := range s.Landlock {
		switch r.Path {
		case "/r", "/key", NamesPath:
			if r.Access&^(readFile|readDir) != 0 {
				t.Errorf("%s: %#x", r.Path, r.Access)
			}
		case "/w":
			if r.Access&(execute|makeDevices) != 0 {
				t.Errorf("%s: %#x", r.Path, r.Access)
			}
		}
	}
}
