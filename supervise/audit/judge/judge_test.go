package judge

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/cgroup"
	"lockstep/sandbox"
	"lockstep/supervise/audit/facts"
	"lockstep/supervise/audit/policy"
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
)

// files are the recorded files of one process, by name. fd, ns and exe are lists of
// links: what a link is open on, a name and that, and the text.
type files map[string]string

func recorded(t *testing.T, role string) files {
	t.Helper()
	dir := filepath.Join("testdata", role)
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := files{}
	for _, n := range names {
		text, err := os.ReadFile(filepath.Join(dir, n.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[n.Name()] = string(text)
	}
	return all
}

// edit replaces a part of a file, which must be there.
func (f files) edit(t *testing.T, name, old, with string) {
	t.Helper()
	if !strings.Contains(f[name], old) {
		t.Fatalf("%s holds no %q", name, old)
	}
	f[name] = strings.Replace(f[name], old, with, 1)
}

// lay lays the files out as /proc does, and reads them as those of a process.
func (f files) lay(t *testing.T) facts.Process {
	t.Helper()
	proc := t.TempDir()
	pid := strings.Fields(f["stat"])[0]
	dir := filepath.Join(proc, pid)
	put := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, name string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"stat", "limits", "cgroup", "mountinfo"} {
		put(name, f[name])
	}
	put("mem", "")
	put("cmdline", "")
	put("environ", strings.ReplaceAll(f["environ"], "\n", "\x00"))
	put("task/"+pid+"/status", f["status"])
	if f["other"] != "" {
		put("task/9999/status", f["other"])
	}
	for i, to := range strings.Split(strings.TrimSuffix(f["fd"], "\n"), "\n") {
		link(to, "fd/"+strconv.Itoa(i))
	}
	for line := range strings.Lines(f["ns"]) {
		name, to, _ := strings.Cut(strings.TrimSpace(line), " ")
		link(to, "ns/"+name)
	}
	link(strings.TrimSpace(f["exe"]), "exe")
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	d, err := facts.Open(proc, n)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p, err := d.Read()
	if err != nil {
		t.Fatal(err)
	}
	p.MemoryOf = 0 // whoever runs the test
	p.Exe.Seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	return p
}

// declared is the policy of a role of the mirror that was recorded: from /srv/audit/www
// to /srv/audit/backup.
func declared(role string) policy.Policy {
	m := jail.Machine{Targets: 1}
	source := jail.Tree{Host: "/srv/audit/www", Path: "/srv/audit/www"}
	target := jail.Tree{Host: "/srv/audit/backup", Path: "/srv/audit/backup", Recursive: true}
	command := host.Command{Program: "/usr/bin/rsync", Files: []string{"/etc/ld.so.cache", "/usr/bin/rsync"}}
	for _, lib := range []string{"ld-linux-x86-64.so.2", "libacl.so.1.1.2301", "libc.so.6", "libcrypto.so.3", "liblz4.so.1.9.4", "libpopt.so.0.0.2",
		"libxxhash.so.0.8.1", "libz.so.1.2.13", "libzstd.so.1.5.4"} {
		command.Files = append(command.Files, "/usr/lib/x86_64-linux-gnu/"+lib)
	}
	spec := map[string]sandbox.Spec{
		"helper": jail.Helper(m, []jail.Tree{source}), "worker": jail.Worker(m, 0, 0),
		"runner": jail.Runner(m, source, target, command, jail.Rights{}),
	}[role]
	p := policy.Policy{Role: role, Image: "lockstep-" + role, Spec: spec, Targets: 1, Leased: role == "worker", Trees: map[string][]string{}}
	for _, d := range jail.Descriptors(role) {
		if d.When == "" || d.When == jail.WhenMirror {
			p.Descriptors = append(p.Descriptors, d)
		}
	}
	switch role {
	case "helper":
		p.Trees["/roots/1"] = []string{source.Host}
	case "runner":
		p.Trees[source.Path], p.Trees[target.Path] = []string{source.Host}, []string{target.Host}
		p.Programs = []string{command.Program}
		p.Limits.Devices = cgroup.DevicesBasic
	}
	return p
}

// around is where it was recorded.
func around(t *testing.T, worker facts.Process) Around {
	t.Helper()
	f := recorded(t, "supervisor")
	f["fd"], f["environ"] = "/dev/null\n", ""
	super := f.lay(t)
	return Around{
		Supervisor: super, Own: super.Spaces, Leases: []int{int(worker.Threads[0].UIDs[0])}, Instance: "mirror-bb06998a50a7aa56",
		Hierarchy: []Hierarchy{{"", "/v2"}, {"devices", "/d"}, {"memory", "/m"}, {"pids", "/p"}},
		Devices:   func(string, cgroup.Limits) error { return nil },
		Limits:    func([]string, cgroup.Limits) []string { return nil },
		Image:     func(facts.Process, string) string { return "" },
		Missing:   func(string) bool { return false },
	}
}

// told are all deviations, each with its check.
func told(all []Result) []string {
	var out []string
	for _, r := range all {
		if (len(r.Deviations) > 0) != (r.State == Deviates) {
			out = append(out, r.Check+": the state does not fit the deviations")
		}
		for _, d := range r.Deviations {
			out = append(out, r.Check+": "+d)
		}
	}
	return out
}

// What was recorded of a real mirror is as declared.
func TestRecordedIsDeclared(t *testing.T) {
	for _, role := range []string{"helper", "worker", "runner"} {
		p := recorded(t, role).lay(t)
		all := Process(p, declared(role), around(t, recorded(t, "worker").lay(t)))
		if got := told(all); len(got) > 0 || len(all) != len(checks()) {
			t.Errorf("%s: %d groups of checks\n  %s", role, len(all), strings.Join(got, "\n  "))
		}
	}
}

// deviation is one thing that is another than declared, and how it is told.
type deviation struct {
	role string
	make func(t *testing.T, f files)
	want string
}

func edits(name, old, with string) func(*testing.T, files) {
	return func(t *testing.T, f files) { f.edit(t, name, old, with) }
}

func adds(name, line string) func(*testing.T, files) {
	return func(_ *testing.T, f files) { f[name] += line + "\n" }
}

const leafPath = "/lockstep/mirror-bb06998a50a7aa56/worker-2-003"

func deviationsOfFiles() map[string]deviation {
	return map[string]deviation{
		"a capability kept":              {"worker", edits("status", "CapEff:\t0000000000000000", "CapEff:\t0000000000200000"), "capabilities: effective set: CAP_SYS_ADMIN beyond what is declared"},
		"one in the bounding set":        {"helper", edits("status", "CapBnd:\t0000000000000004", "CapBnd:\t0000000000000006"), "capabilities: bounding set: CAP_DAC_OVERRIDE beyond what is declared"},
		"one that nobody has named":      {"worker", edits("status", "CapAmb:\t0000000000000000", "CapAmb:\t8000000000000000"), "capabilities: ambient set: capability 63 beyond what is declared"},
		"a capability that is missing":   {"helper", edits("status", "CapPrm:\t0000000000000004", "CapPrm:\t0000000000000000"), "capabilities: permitted set lacks CAP_DAC_READ_SEARCH"},
		"no filter":                      {"worker", edits("status", "Seccomp:\t2", "Seccomp:\t0"), "seccomp: no system-call filter: seccomp mode 0, declared: 2"},
		"another number of filters":      {"worker", edits("status", "Seccomp_filters:\t1", "Seccomp_filters:\t0"), "seccomp: 0 system-call filters, declared: 1"},
		"no_new_privs":                   {"runner", edits("status", "NoNewPrivs:\t1", "NoNewPrivs:\t0"), "no_new_privs: no_new_privs is not set"},
		"a foreign uid":                  {"helper", edits("status", "Uid:\t0\t0\t0\t0", "Uid:\t0\t1000\t0\t0"), "ids: effective uid 1000, declared: 0"},
		"a foreign gid":                  {"runner", edits("status", "Gid:\t0\t0\t0\t0", "Gid:\t0\t0\t5\t0"), "ids: saved gid 5, declared: 0"},
		"a group":                        {"worker", edits("status", "Groups:\t", "Groups:\t27 "), "ids: supplementary groups 27, declared: none"},
		"a tracer":                       {"worker", edits("status", "TracerPid:\t0", "TracerPid:\t77"), "parent: it is traced by process 77"},
		"a thread without filter":        {"worker", otherThread("Seccomp:\t2", "Seccomp:\t0"), "seccomp: no system-call filter: seccomp mode 0, declared: 2 (1 of 2 threads)"},
		"a thread with a uid of its own": {"helper", otherThread("Uid:\t0\t0\t0\t0", "Uid:\t7\t0\t0\t0"), "ids: real uid 7, declared: 0 (1 of 2 threads)"},
		"the host's mounts":              {"worker", theirs("mnt"), "namespaces: namespace mnt is the supervisor's, declared: one of its own"},
		"the host's network":             {"runner", theirs("net"), "namespaces: namespace net is the supervisor's, declared: one of its own"},
		"another user namespace":         {"worker", edits("ns", "user user:[", "user user:[1"), "namespaces: namespace user is user:[1"},
		"pids of its own for a helper":   {"helper", edits("ns", "pid pid:[", "pid pid:[1"), "namespaces: namespace pid is pid:[1"},
		"a writable root":                {"worker", edits("mountinfo", " / / ro,", " / / rw,"), "mounts: mount / is rw,nosuid,nodev,noexec,relatime, declared: ro,nosuid,nodev,noexec"},
		"a writable source":              {"runner", edits("mountinfo", "/srv/audit/www ro,", "/srv/audit/www rw,"), "mounts: mount /srv/audit/www is rw,"},
		"an executable target":           {"runner", edits("mountinfo", "/srv/audit/backup rw,nosuid,nodev,noexec", "/srv/audit/backup rw,nosuid,nodev"), "mounts: mount /srv/audit/backup is rw,nosuid,nodev,relatime, declared: nosuid,nodev,noexec"},
		"another source":                 {"runner", edits("mountinfo", "/srv/audit/www /srv/audit/www", "/etc /srv/audit/www"), "mounts: mount /srv/audit/www shows /etc of device "},
		"a mount too many":               {"worker", adds("mountinfo", `99 1 0:22 / /proc\012x rw,relatime - proc proc rw`), `mounts: mount /proc\x0ax (rw,relatime) is not declared`},
		"a mount over another":           {"runner", adds("mountinfo", "99 1 0:99 / /srv/audit/www ro,nosuid,nodev,noexec - tmpfs x rw"), "mounts: mount /srv/audit/www is there 2 times, declared: once"},
		"a mount too few":                {"runner", edits("mountinfo", " /usr/bin/rsync /usr/bin/rsync ", " /usr/bin/rsync /srv/audit/backup/x "), "mounts: mount /usr/bin/rsync is there 0 times, declared: once"},
		"a socket too many":              {"worker", adds("fd", "socket:[1]"), "descriptors: a descriptor beyond those declared: socket:["},
		"a file":                         {"worker", adds("fd", "/etc/shadow"), "descriptors: a descriptor beyond those declared: /etc/shadow"},
		"a file with a hostile name":     {"helper", adds("fd", "/x\x1b[31m<b>"), `descriptors: a descriptor beyond those declared: /x\x1b[31m<b>`},
		"a namespace":                    {"runner", adds("fd", "mnt:[4026531840]"), "descriptors: a descriptor beyond those declared: mnt:[4026531840]"},
		"a device":                       {"helper", adds("fd", "/dev/kmsg"), "descriptors: a descriptor beyond those declared: /dev/kmsg"},
		"a second queue":                 {"helper", adds("fd", "anon_inode:inotify"), "descriptors: a descriptor beyond those declared: anon_inode:inotify"},
		"a limit":                        {"worker", edits("limits", "Max open files            32                   32 ", "Max open files            32                   64 "), "limits: limit of open files is 32 (hard 64), declared: 32 (hard 32)"},
		"core files":                     {"helper", edits("limits", "Max core file size        0                    0 ", "Max core file size        unlimited            unlimited "), "limits: limit of core file size is unlimited (hard unlimited), declared: 0 (hard 0)"},
		"another group":                  {"worker", edits("cgroup", "devices:"+leafPath, "devices:/"), "control group: control group / of the hierarchy of devices, declared: one of its own below lockstep/mirror-bb06998a50a7aa56"},
		"the group of another role": {"worker", func(_ *testing.T, f files) {
			f["cgroup"] = strings.ReplaceAll(f["cgroup"], "worker-2-003", "runner-1-001")
		}, "control group: group runner-1-001 is that of another role or sync, declared: worker"},
		"another instance's":              {"worker", func(_ *testing.T, f files) { f["cgroup"] = strings.ReplaceAll(f["cgroup"], "mirror-bb", "mirror-cc") }, "control group: control group /lockstep/mirror-cc06998a50a7aa56/worker-2-003 of version 2"},
		"a variable":                      {"worker", adds("environ", "LD_PRELOAD=/x"), "environment: variable LD_PRELOAD is not declared"},
		"another value":                   {"worker", edits("environ", "GOGC=25", "GOGC=26"), "environment: variable GOGC has another value than declared"},
		"no variable":                     {"worker", edits("environ", "TZ=UTC\n", ""), "environment: variable TZ is missing"},
		"another program":                 {"worker", edits("exe", "/memfd:lockstep-worker (deleted)", "/bin/sh\x1b"), `executable: it executes /bin/sh\x1b, declared: the image of lockstep-worker`},
		"another parent":                  {"worker", func(_ *testing.T, f files) { f["stat"] = stranger(f["stat"]) }, "parent: its parent is process 1, declared: the supervisor, "},
		"a name that looks like a status": {"worker", edits("stat", "(lockstep-worker)", "(a) S 1 (b)"), ""},
	}
}

// otherThread adds a second thread, which is another.
func otherThread(old, with string) func(*testing.T, files) {
	return func(t *testing.T, f files) {
		f["other"] = f["status"]
		f.edit(t, "other", old, with)
	}
}

// theirs gives a process the supervisor's namespace.
func theirs(space string) func(*testing.T, files) {
	return func(t *testing.T, f files) {
		of := func(f files) string {
			for line := range strings.Lines(f["ns"]) {
				if strings.HasPrefix(line, space+" ") {
					return line
				}
			}
			return ""
		}
		f.edit(t, "ns", of(f), of(recorded(t, "supervisor")))
	}
}

// stranger is a stat of whose parent is process 1.
func stranger(stat string) string {
	f := strings.Fields(stat)
	f[3] = "1"
	return strings.Join(f, " ")
}

// Each deviation is told by its name, and nothing else is.
func TestDeviationsAreTold(t *testing.T) {
	for name, d := range deviationsOfFiles() {
		f := recorded(t, d.role)
		d.make(t, f)
		a := around(t, recorded(t, "worker").lay(t))
		got := told(Process(f.lay(t), declared(d.role), a))
		if d.want == "" {
			if len(got) > 0 {
				t.Errorf("%s: %q, want none", name, got)
			}
			continue
		}
		check, _, _ := strings.Cut(d.want, ": ")
		if check == "control group" { // where it is not, no filter holds it
			got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "devices: ") })
		}
		if !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, d.want) }) ||
			slices.ContainsFunc(got, func(s string) bool { return !strings.HasPrefix(s, check+": ") }) {
			t.Errorf("%s: want %q, got\n  %s", name, d.want, strings.Join(got, "\n  "))
		}
	}
}

// What is no file of the process's own is told as well.
func TestDeviationsAround(t *testing.T) {
	for want, change := range map[string]func(*facts.Process, *Around){
		"ids: uid 61184 is not one of those leased to this instance: 61200": func(_ *facts.Process, a *Around) { a.Leases = []int{61200} },
		"executable: the image is not sealed":                               func(p *facts.Process, _ *Around) { p.Exe.Seals = 0 },
		"executable: it executes another build": func(_ *facts.Process, a *Around) {
			a.Image = func(facts.Process, string) string { return "it executes another build" }
		},
		"dumpable: it is dumpable: its memory's file belongs to uid 61184, declared: root": func(p *facts.Process, _ *Around) { p.MemoryOf = 61184 },
		"devices: no device filter holds the process": func(_ *facts.Process, a *Around) {
			a.Devices = func(string, cgroup.Limits) error { return cgroup.ErrNoFilter }
		},
		"devices: version 2: open /v2: permission denied": func(_ *facts.Process, a *Around) { a.Devices = onlyV2 },
		"control group: the limit of pids is ": func(_ *facts.Process, a *Around) {
			a.Limits = func([]string, cgroup.Limits) []string { return []string{"the limit of pids is x"} }
		},
		"namespaces: namespace ipc is that of process 5, declared: one of its own": func(p *facts.Process, a *Around) { a.Taken = map[string]int{p.Spaces["ipc"]: 5} },
		"ids: uid 61184 is that of process 5, declared: one of its own":            func(p *facts.Process, a *Around) { a.Taken = map[string]int{User(p.Threads[0].UIDs[0]): 5} },
		"seccomp: 1 system-call filters, declared: 3":                              func(_ *facts.Process, a *Around) { a.Supervisor.Threads[0].Filters = 2 },
		"namespaces: namespace net is the host's, declared: one of its own":        func(p *facts.Process, a *Around) { a.Own = map[string]string{"net": p.Spaces["net"]} },
	} {
		p := recorded(t, "worker").lay(t)
		a := around(t, p)
		a.Leases = []int{int(p.Threads[0].UIDs[0])}
		change(&p, &a)
		want = strings.ReplaceAll(want, "61184", strconv.Itoa(int(p.Threads[0].UIDs[0])))
		if p.MemoryOf == 61184 {
			p.MemoryOf = uint32(p.Threads[0].UIDs[0])
		}
		if got := told(Process(p, declared("worker"), a)); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("want %q alone, got\n  %s", want, strings.Join(got, "\n  "))
		}
	}
}

func onlyV2(dir string, _ cgroup.Limits) error {
	if strings.HasPrefix(dir, "/v2") {
		return &os.PathError{Op: "open", Err: os.ErrPermission, Path: "/v2"}
	}
	return nil
}

// What a command may be is what its runner's jail lets it, and no more.
func TestCommands(t *testing.T) {
	runner := recorded(t, "runner").lay(t)
	is := declared("runner").Commands()
	a := around(t, recorded(t, "worker").lay(t))
	a.Runner = &runner
	rsync := func(t *testing.T) files {
		f := recorded(t, "runner")
		f["exe"], f["fd"] = "/usr/bin/rsync\n", "/dev/null\npipe:[1]\nsocket:[2]\n/srv/audit/www/some\x1bfile\n/memfd:lockstep-list (deleted)\n"
		return f
	}
	if got := told(Process(rsync(t).lay(t), is, a)); len(got) > 0 {
		t.Errorf("%q", got)
	}
	for want, change := range map[string]func(*testing.T, files){
		"executable: it executes /bin/sh, which is not declared":                    edits("exe", "/usr/bin/rsync", "/bin/sh"),
		"descriptors: a descriptor beyond those declared: anon_inode:[eventpoll]":   adds("fd", "anon_inode:[eventpoll]"),
		"descriptors: a descriptor beyond those declared: /etc/shadow":              adds("fd", "/etc/shadow"),
		"namespaces: namespace net is net:[1":                                       edits("ns", "net net:[", "net net:[1"),
		"capabilities: inheritable set: CAP_SYS_ADMIN beyond what is declared":      edits("status", "CapInh:\t00000000000000", "CapInh:\t00000000002000"),
		"seccomp: 0 system-call filters, declared: 1":                               edits("status", "Seccomp_filters:\t1", "Seccomp_filters:\t0"),
		"control group: control group / of version 2, declared: its runner's":       edits("cgroup", "0::/lockstep/mirror-bb06998a50a7aa56/runner-3-005", "0::/"),
		"limits: limit of locked memory is unlimited, declared: at most 0":          edits("limits", "Max locked memory         0                    0 ", "Max locked memory         0                    unlimited "),
		"mounts: mount /srv/audit/www is rw,nosuid,nodev,noexec,relatime, declared": edits("mountinfo", "/srv/audit/www ro,", "/srv/audit/www rw,"),
	} {
		f := rsync(t)
		change(t, f)
		if got := told(Process(f.lay(t), is, a)); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("want %q alone, got\n  %s", want, strings.Join(got, "\n  "))
		}
	}
	// ssh holds no capability; its own limits it may lower.
	is.SSH, is.Programs = "/usr/bin/ssh", append(is.Programs, "/usr/bin/ssh")
	f := rsync(t)
	f["exe"] = "/usr/bin/ssh\n"
	got := told(Process(f.lay(t), is, a))
	if len(got) != 4 || !strings.HasPrefix(got[0], "capabilities: inheritable set: CAP_CHOWN ") {
		t.Errorf("%q", got)
	}
}

func TestBelongs(t *testing.T) {
	for leaf, want := range map[string][2]string{
		"helper-1-001": {"", "helper"}, "www.helper-12-0123": {"www.", "helper"}, "a.b-c.runner-1-001": {"a.b-c.", "runner"},
		"root17.worker-2-002": {"root.", "worker"}, "rootx.worker-2-002": {"rootx.", "worker"}, "trial.runner-1-001": {"trial.", "runner"}, "trial.7.runner-1-001": {"trial.", "runner"},
		"": {"", ""}, "x": {"", ""}, "a-b": {"", ""},
	} {
		if prefix, role := Belongs(leaf); prefix != want[0] || role != want[1] {
			t.Errorf("%q: %q %q, want %q", leaf, prefix, role, want)
		}
	}
}

func TestWhere(t *testing.T) {
	f := recorded(t, "supervisor")
	f["fd"] = "/dev/null\n"
	f["mountinfo"] += "90 27 8:1 / /srv rw - ext4 /dev/sda1 rw\n91 90 8:2 /vol /srv/a rw - btrfs /dev/sdb rw\n92 91 8:3 / /srv/a rw - xfs /dev/sdc rw\n"
	table := f.lay(t).Mounts
	for file, want := range map[string][2]string{
		"/": {"254:0", "/"}, "/srvx": {"254:0", "/srvx"}, "/srv": {"8:1", "/"}, "/srv/b/c": {"8:1", "/b/c"}, "/srv/a": {"8:3", "/"}, "/srv/a/x": {"8:3", "/x"}, "/proc/1": {"0:21", "/1"},
	} {
		if dev, root, ok := Where(table, file); !ok || dev != want[0] || root != want[1] {
			t.Errorf("%s: %s %s %v, want %q", file, dev, root, ok, want)
		}
	}
	if _, _, ok := Where(nil, "/x"); ok {
		t.Error("without mounts there is a place")
	}
}
