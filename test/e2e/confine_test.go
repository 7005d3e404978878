//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// Capability numbers of capabilities(7).
const (
	capChown = 1 << iota
	capDACOverride
	capDACReadSearch
	capFowner
	capFsetid
)

// confined is what each confined process must be, read from outside.
func confined() map[string]uint64 {
	return map[string]uint64{
		"lockstep-helper": capDACReadSearch,
		"lockstep-worker": 0,
		"lockstep-runner": capChown | capDACOverride | capFowner | capFsetid,
		// Where a process reads for the worker.
		"lockstep-resolver": capDACReadSearch,
		// While somebody asks by the control socket.
		"lockstep-gate": 0,
	}
}

// running starts a mirror that has done some work, with a process of every role.
func running(t *testing.T) *mirror {
	t.Helper()
	return runningWith(t, "fanotify")
}

func runningWith(t *testing.T, monitor string) *mirror {
	t.Helper()
	m := newMirror(t, "--monitor", monitor)
	socket := m.run + "/control"
	m.flags = append(m.flags, "--control-socket", socket)
	write(t, m.src+"/f", "x")
	m.start().ready()
	client(t, socket)
	write(t, m.src+"/g", "x")
	m.equal()
	return m
}

// tasks are the status files of every thread.
func tasks(t *testing.T, pid int) []string {
	t.Helper()
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no threads of %d: %v", pid, err)
	}
	return paths
}

// Every thread: no new privileges, a filter, the capabilities of the role in
// no set more.
func TestEveryThreadIsConfined(t *testing.T) {
	m := running(t)
	for role, caps := range confined() {
		for _, path := range tasks(t, m.the(role).pid) {
			for name, want := range map[string]string{"NoNewPrivs": "1", "Seccomp": "2"} {
				if got := field(t, path, name); got != want {
					t.Errorf("%s: %s: %s %s, want %s", role, path, name, got, want)
				}
			}
			for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
				got, err := strconv.ParseUint(field(t, path, set), 16, 64)
				if err != nil {
					t.Fatal(err)
				}
				if got&^caps != 0 {
					t.Errorf("%s: %s: %s is %#x, at most %#x", role, path, set, got, caps)
				}
			}
			if got := field(t, path, "CapEff"); strings.TrimLeft(got, "0") != strings.TrimLeft(fmt.Sprintf("%x", caps), "0") {
				t.Errorf("%s: CapEff %s, want %#x: the role could not do its work", role, got, caps)
			}
		}
	}
	m.stop()
}

// The worker's ids are all its own: one uid, one gid, no groups, of the
// range, not nobody's, with no line in the passwd file unless it is its own.
func TestWorkerHasItsOwnIDs(t *testing.T) {
	m := running(t)
	for _, path := range tasks(t, m.the("lockstep-worker").pid) {
		for _, name := range []string{"Uid", "Gid"} {
			ids := strings.Fields(field(t, path, name))
			if len(ids) != 4 || slices.ContainsFunc(ids, func(id string) bool { return id != ids[0] }) {
				t.Errorf("%s: %v are not all the same", name, ids)
			}
			n, err := strconv.Atoi(ids[0])
			if err != nil {
				t.Fatal(err)
			}
			if _, own := passwd(t, "lockstep"); !own && (n < 61184 || n > 65519) {
				t.Errorf("%s %d is outside 61184–65519", name, n)
			}
			if n == 0 || n == 65534 {
				t.Errorf("%s is %d", name, n)
			}
		}
		if groups := field(t, path, "Groups"); groups != "" {
			t.Errorf("the worker has groups %s", groups)
		}
	}
	uid := strings.Fields(field(t, fmt.Sprintf("/proc/%d/status", m.the("lockstep-worker").pid), "Uid"))[0]
	for _, p := range procs() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
		if err == nil && bytes.Contains(text, []byte("\nUid:\t"+uid+"\t")) && p.pid != m.the("lockstep-worker").pid {
			t.Errorf("process %d %s has the worker's uid %s too", p.pid, p.role, uid)
		}
	}
	m.stop()
}

func passwd(t *testing.T, user string) (string, bool) {
	t.Helper()
	text, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, user+":") {
			return line, true
		}
	}
	return "", false
}

// mountsOf are mount point, options and type of what a process sees mounted.
func mountsOf(t *testing.T, pid int) map[string]string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		out[f[4]] = f[5]
	}
	return out
}

func hasOption(options, one string) bool { return slices.Contains(strings.Split(options, ","), one) }

// The worker sees one read-only line; the helper that and the roots; the
// runner one writable mount, the target.
func TestMountsOfTheJails(t *testing.T) {
	m := running(t)
	worker := mountsOf(t, m.the("lockstep-worker").pid)
	if len(worker) != 1 || !hasOption(worker["/"], "ro") {
		t.Errorf("worker: %v", worker)
	}
	helper := mountsOf(t, m.the("lockstep-helper").pid)
	if len(helper) != 2 {
		t.Errorf("helper: %v, want the root and one source", helper)
	}
	if gate := mountsOf(t, m.the("lockstep-gate").pid); len(gate) != 1 || !hasOption(gate["/"], "ro") {
		t.Errorf("gate: %v", gate)
	}
	resolver := mountsOf(t, m.the("lockstep-resolver").pid)
	if len(resolver) != 2 {
		t.Errorf("resolver: %v, want the root and one source", resolver)
	}
	for role, mounts := range map[string]map[string]string{"helper": helper, "resolver": resolver} {
		for at, options := range mounts {
			for _, o := range []string{"ro", "nosuid", "nodev", "noexec"} {
				if !hasOption(options, o) {
					t.Errorf("%s: %s is not %s: %s", role, at, o, options)
				}
			}
		}
	}
	for at, options := range mountsOf(t, m.the("lockstep-runner").pid) {
		if hasOption(options, "rw") != (at == m.dst) {
			t.Errorf("runner: %s is %s", at, options)
		}
		if !hasOption(options, "nosuid") || !hasOption(options, "nodev") {
			t.Errorf("runner: %s is %s", at, options)
		}
		if (at == m.src || at == m.dst) && !hasOption(options, "noexec") {
			t.Errorf("runner: %s is %s", at, options)
		}
	}
	m.stop()
}

// Each has namespaces of its own, nobody can trace it or read its memory, and
// its image is a sealed one.
func TestNamespacesAndImage(t *testing.T) {
	m := running(t)
	for role := range confined() {
		pid := m.the(role).pid
		spaces := []string{"mnt", "net", "ipc", "uts", "cgroup"}
		if role != "lockstep-helper" && role != "lockstep-resolver" { // which must see real pids
			spaces = append(spaces, "pid")
		}
		for _, ns := range spaces {
			theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, ns))
			if err != nil {
				t.Fatal(err)
			}
			if ours, err := os.Readlink("/proc/self/ns/" + ns); err != nil || ours == theirs {
				t.Errorf("%s shares the host's %s namespace (%v)", role, ns, err)
			}
		}
		// proc(5): of a process that is not dumpable these belong to root:root,
		// whatever its uid.
		info, err := os.Stat(fmt.Sprintf("/proc/%d/mem", pid))
		if err != nil {
			t.Fatal(err)
		}
		if uid := info.Sys().(*syscall.Stat_t).Uid; uid != 0 {
			t.Errorf("%s is dumpable: its memory belongs to %d", role, uid)
		}
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if err != nil || !strings.Contains(exe, "memfd:") {
			t.Errorf("%s runs %q (%v), not a sealed image", role, exe, err)
		}
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); err != nil || bytes.Contains(text, []byte("PATH=")) || bytes.Contains(text, []byte("HOME=")) {
			t.Errorf("%s: environment %q (%v)", role, text, err)
		}
	}
	m.stop()
}

// descriptors counts what a process holds, by kind.
func descriptors(t *testing.T, pid int) map[string]int {
	t.Helper()
	names, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, n := range names {
		to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, n.Name()))
		if err != nil {
			continue
		}
		kind := to
		switch {
		case strings.HasPrefix(to, "/memfd:"):
			kind = "memfd"
		case strings.HasPrefix(to, "pipe:"), strings.HasPrefix(to, "socket:"):
			kind, _, _ = strings.Cut(to, ":")
		}
		out[kind]++
	}
	return out
}

// No process holds a descriptor beyond its documented set.
func TestDescriptors(t *testing.T) {
	beside(t)
	for _, monitor := range []string{"inotify", "fanotify", "dnotify", "poll"} {
		t.Run(monitor, func(t *testing.T) { holds(t, monitor) })
	}
}

func holds(t *testing.T, monitor string) {
	m := runningWith(t, monitor)
	runtime := func(own map[string]int) map[string]int { // what every Go program has: 0 to 2 and its poller
		for kind, n := range map[string]int{"/dev/null": 1, "pipe": 2, "anon_inode:[eventpoll]": 1, "anon_inode:[eventfd]": 1} {
			own[kind] += n
		}
		return own
	}
	want := map[string]map[string]int{
		"lockstep-helper": runtime(map[string]int{"socket": 3, "anon_inode:inotify": 1, "/roots/1": 1, "memfd": 1}),                              // supervisor, worker, runner; root; its config
		"lockstep-worker": runtime(map[string]int{"socket": 2, "anon_inode:inotify": 1, "anon_inode:[eventpoll]": 1, "anon_inode:[eventfd]": 1}), // helper, supervisor; a poller of the event queue's own
		"lockstep-runner": runtime(map[string]int{"socket": 2, "memfd": 1}),                                                                      // helper, supervisor; its config
	}
	want["lockstep-gate"] = runtime(map[string]int{"socket": 3, "memfd": 1}) // the control socket, supervisor, a client; its config
	if monitor != "inotify" {                                                // in place of its queue, one in which there is nothing
		want["lockstep-helper"] = runtime(map[string]int{"socket": 3, "anon_inode:[eventfd]": 1, "/roots/1": 1, "memfd": 1})
	}
	if monitor == "poll" {
		want["lockstep-worker"] = runtime(map[string]int{"socket": 2, "anon_inode:[eventpoll]": 1, "anon_inode:[eventfd]": 2}) // the same, with a poller of it
	}
	if monitor == "fanotify" {
		want["lockstep-worker"] = runtime(map[string]int{"socket": 3})                                                                     // helper, supervisor, resolver
		want["lockstep-resolver"] = runtime(map[string]int{"socket": 1, "anon_inode:[fanotify]": 1, "/r": 1, "anon_inode:[eventpoll]": 2}) // worker; two pollers of its own
	}
	if monitor == "dnotify" {
		want["lockstep-worker"] = runtime(map[string]int{"socket": 3})
		want["lockstep-resolver"] = runtime(map[string]int{"socket": 1, "anon_inode:[signalfd]": 1, "/r": 2}) // worker; the root, and the root as the one directory
	}
	for role, most := range want {
		// A resolver opens what an event is about, of other tests' trees as well, and
		// closes it again: what it holds is there each time.
		looks := map[bool]int{true: 20, false: 1}[role == "lockstep-resolver"]
		var got, over map[string]int
		for range looks {
			got, over = descriptors(t, m.the(role).pid), map[string]int{}
			for kind, n := range got {
				if n > most[kind] {
					over[kind] = n
				}
			}
			if len(over) == 0 {
				break
			}
			pause(50 * time.Millisecond)
		}
		for kind, n := range over {
			t.Errorf("%s holds %d × %s, at most %d", role, n, kind, most[kind])
		}
		t.Logf("%s: %v", role, got)
	}
	for kind := range descriptors(t, m.cmd.Process.Pid) {
		for _, tree := range []string{m.src, m.dst} {
			if kind == tree || strings.HasPrefix(kind, tree+"/") {
				t.Errorf("the supervisor holds %s: an unmount would fail", kind)
			}
		}
	}
	m.stop()
}

// A process put into the very control group of a role cannot open a device,
// on every hierarchy that can forbid it.
func TestDevicesAreForbidden(t *testing.T) {
	m := running(t)
	cases := []struct {
		role, device string
		refused      bool
	}{
		{"lockstep-helper", "/dev/null", true}, {"lockstep-helper", "/dev/zero", true}, {"lockstep-helper", "/dev/kmsg", true},
		{"lockstep-resolver", "/dev/null", true}, {"lockstep-resolver", "/dev/kmsg", true},
		{"lockstep-gate", "/dev/null", true}, {"lockstep-gate", "/dev/kmsg", true},
		{"lockstep-worker", "/dev/null", true}, {"lockstep-worker", "/dev/urandom", true}, {"lockstep-worker", "/dev/kmsg", true},
		{"lockstep-runner", "/dev/null", false}, {"lockstep-runner", "/dev/kmsg", true}, {"lockstep-runner", "/dev/full", true},
	}
	// Which hierarchies must refuse: v1 with the devices controller, and v2.
	want := 0
	for _, controller := range []string{"devices", ""} {
		if hierarchy(controller) != "" {
			want++
		}
	}
	if want == 0 {
		testenv.Lacks(t, "no cgroup hierarchy that can forbid devices is mounted")
	}
	for _, c := range cases {
		groups := deviceGroups(t, m.the(c.role).pid)
		if len(groups) != want {
			t.Errorf("%s is in %v, want a group of its own in each of %d hierarchies", c.role, groups, want)
		}
		for _, dir := range groups {
			out := probe(t, dir, c.device)
			if refused := strings.Contains(out, "not permitted"); refused != c.refused {
				t.Errorf("%s: opening %s in %s: %q, want refused=%v", c.role, c.device, dir, out, c.refused)
			}
		}
		// The control: outside the group the same act succeeds.
		if out := probe(t, "", c.device); out != "opened" {
			t.Errorf("opening %s unconfined: %q: the refusals prove nothing", c.device, out)
		}
	}
	m.stop()
}

// deviceGroups are the groups of a process in the hierarchies that can forbid
// devices, if they are lockstep's.
func deviceGroups(t *testing.T, pid int) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 || !slices.Contains(strings.Split(f[1], ","), "devices") && f[1] != "" {
			continue
		}
		if strings.Contains(f[2], "lockstep") {
			out = append(out, filepath.Join(hierarchy(f[1]), f[2]))
		}
	}
	return out
}

// probe opens a device in a process that was moved into a group, and returns
// what came of it.
func probe(t *testing.T, group, device string) string {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `read -r go; if (: <"$0"); then echo opened; fi`, device)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if group != "" {
		if err := os.WriteFile(group+"/cgroup.procs", []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
			t.Errorf("%s cannot be entered: %v", group, err)
		}
	}
	if _, err := io.WriteString(in, "go\n"); err != nil {
		t.Error(err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		if out.Len() == 0 {
			return err.Error()
		}
	}
	return strings.TrimSpace(out.String())
}

// No confined process has another one's powers by its command: rsync, while it
// runs, has at most the runner's capabilities, and the filter.
func TestCommandIsConfined(t *testing.T) {
	beside(t)
	m := slow(t)
	p := m.any("rsync")
	path := fmt.Sprintf("/proc/%d/status", p.pid)
	for _, set := range []string{"CapPrm", "CapEff", "CapBnd"} {
		got, err := strconv.ParseUint(field(t, path, set), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got&^confined()["lockstep-runner"] != 0 {
			t.Errorf("rsync: %s is %#x", set, got)
		}
	}
	for name, want := range map[string]string{"NoNewPrivs": "1", "Seccomp": "2"} {
		if got := field(t, path, name); got != want {
			t.Errorf("rsync: %s %s, want %s", name, got, want)
		}
	}
	for kind := range descriptors(t, p.pid) {
		if kind == "anon_inode:inotify" || strings.HasPrefix(kind, "/proc") || strings.HasPrefix(kind, "anon_inode:[event") {
			t.Errorf("rsync holds %s", kind)
		}
	}
	m.stop()
}
