package sandbox

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/sandbox/landlock"
)

// TestWorker: an empty root, no rights, exactly the donated descriptors.
func TestWorker(t *testing.T) {
	j := newJail(t)
	sock, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	acts := map[string]string{
		"list:/": "EACCES", "stat:/proc": "ENOENT", "stat:/etc": "ENOENT",
		"mkdir:/x": "EROFS", "mount:/": "EPERM", "read:/etc/passwd": "ENOENT",
	}
	r := j.start(workerSpec(keys(acts)...), nil, Donation{"status", sock})
	wantActs(t, "worker", r.Acts, acts)

	if want := []string{"LOCKSTEP_FDS=hold=3,status=4", "TZ=UTC"}; !slices.Equal(sorted(r.Env), want) {
		t.Errorf("environment %q, want %q", r.Env, want)
	}
	if r.Args[0] != "probe" || r.Pid != 1 || r.Ppid != 0 || r.Umask != 0o022 || r.NoFile != 32 || r.Cwd != "/" {
		t.Errorf("argv %q pid %d ppid %d umask %o files %d cwd %q", r.Args, r.Pid, r.Ppid, r.Umask, r.NoFile, r.Cwd)
	}
	if r.UIDs != [3]int{64999, 64999, 64999} || r.GIDs != [3]int{64998, 64998, 64998} || len(r.Groups) != 0 {
		t.Errorf("uids %v gids %v groups %v", r.UIDs, r.GIDs, r.Groups)
	}
	if r.Securebits != 0xef || r.NoNewPrivs != 1 {
		t.Errorf("securebits %#x, no_new_privs %d", r.Securebits, r.NoNewPrivs)
	}
	wantThreads(t, r.PID, 0)
	wantMounts(t, r.PID, 1)
	wantFDs(t, r.PID, []string{"0", "1", "2", "3", "4"})
	wantNamespaces(t, r.PID, "mnt", "net", "ipc", "uts", "pid")

	r.release.Close()
	if code, sig, err := r.Wait(); code != 0 || sig != 0 || err != nil {
		t.Errorf("ended with %d, %v, %v", code, sig, err)
	}
}

// TestHelper: only the roots, read-only; names, but no content.
func TestHelper(t *testing.T) {
	j := newJail(t)
	dir := realDir(t)
	for _, d := range []string{"a/secret", "a/sub/deep", "b"} {
		mustDo(t, os.MkdirAll(filepath.Join(dir, d), 0o700))
	}
	mustDo(t, os.WriteFile(filepath.Join(dir, "a/file"), []byte("content"), 0o600))
	mustDo(t, os.Chown(filepath.Join(dir, "a/secret"), 1000, 1000))
	spec := helperSpec(t, dir)
	acts := map[string]string{
		"list:/roots/1": "ok", "list:/roots/1/secret": "ok", "stat:/roots/1/file": "ok", "listdir-fd:4": "ok",
		"read:/roots/1/file": "EACCES", "write:/roots/1/new": "EROFS", "mkdir:/roots/2/x": "EROFS",
		"list:/roots": "EACCES", "chown:/roots/1/file": "EROFS", "stat:/etc": "ENOENT", "mount:/roots/1": "EPERM",
		"write:/new": "EROFS", "kill0:" + strconv.Itoa(os.Getpid()): "EPERM",
	}
	spec.Argv = append(spec.Argv, keys(acts)...)
	r := j.start(spec, nil)
	wantActs(t, "helper", r.Acts, acts)
	wantThreads(t, r.PID, 1<<unix.CAP_DAC_READ_SEARCH)
	lines := wantMounts(t, r.PID, 3)
	for _, line := range lines {
		f := strings.Fields(line)
		if f[4] != "/" && !strings.HasPrefix(f[4], "/roots/") || !strings.Contains(f[5], "nosuid,nodev,noexec") {
			t.Errorf("mount %q", line)
		}
		if strings.Contains(line, "shared:") || strings.Contains(line, "master:") {
			t.Errorf("mount %q is not private", line)
		}
	}
	wantFDs(t, r.PID, []string{"0", "1", "2", "3", "4", "5"})
	if !slices.Contains(r.Env, "LOCKSTEP_FDS=hold=3,root1=4,root2=5") {
		t.Errorf("environment %q", r.Env)
	}
	// The twin: without the jail each act on the trees succeeds.
	twin := map[string]string{
		"read:" + dir + "/a/file": "ok", "write:" + dir + "/a/new": "ok", "mkdir:" + dir + "/b/x": "ok",
		"stat:/etc": "ok", "chown:" + dir + "/a/file": "ok", "kill0:" + strconv.Itoa(os.Getpid()): "ok",
	}
	wantActs(t, "twin", unconfined(t, keys(twin)...), twin)
}

// TestHelperWithoutRules: it is Landlock that denies the content, the mount
// that denies the write.
func TestHelperWithoutRules(t *testing.T) {
	j := newJail(t)
	dir := realDir(t)
	mustDo(t, os.MkdirAll(filepath.Join(dir, "a"), 0o700))
	mustDo(t, os.MkdirAll(filepath.Join(dir, "b"), 0o700))
	mustDo(t, os.WriteFile(filepath.Join(dir, "a/file"), []byte("content"), 0o600))
	spec := helperSpec(t, dir)
	for i := range spec.Landlock {
		spec.Landlock[i].Access = 1<<16 - 1 // all rights of all versions
	}
	acts := map[string]string{"read:/roots/1/file": "ok", "write:/roots/1/new": "EROFS", "read:/roots/2": "EISDIR"}
	spec.Argv = append(spec.Argv, keys(acts)...)
	wantActs(t, "helper", j.start(spec, nil).Acts, acts)
}

// TestRunner: source read-only, target writable, files of its own, links.
func TestRunner(t *testing.T) {
	j := newJail(t)
	dir := realDir(t)
	for _, d := range []string{"src", "dst", "bin"} {
		mustDo(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	mustDo(t, os.WriteFile(filepath.Join(dir, "src/file"), []byte("content"), 0o600))
	mustDo(t, os.WriteFile(filepath.Join(dir, "bin/tool"), []byte("x"), 0o755))
	rights := uint64(1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID)
	const read, write = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR, 1<<16 - 1
	acts := map[string]string{
		"read:/src/file": "ok", "write:/src/new": "EROFS", "chown:/src/file": "EROFS",
		"write:/dst/new": "ok", "chown:/dst/new": "ok", "mkdir:/dst/dir": "ok", "null:/dst/null": "EPERM",
		"read:/etc/hosts": "ok", "write:/etc/hosts": "EROFS", "read:/alias": "ok",
		"stat:/bin/tool": "ok", "read:/bin/tool": "EACCES", "stat:/bin/other": "ENOENT",
	}
	spec := Spec{
		Role: "runner", Argv: append([]string{"probe"}, acts2(acts, "write:/dst/new", "chown:/dst/new")...),
		Caps: rights, Namespaces: allNamespaces | unix.CLONE_NEWPID,
		Dirs:  []string{"/empty/below"},
		Links: []Link{{"/alias", "etc/hosts"}, {"/more/link", "/nowhere"}},
		Files: []File{{Path: "/etc/hosts", Data: []byte(strings.Repeat("127.0.0.1 localhost\n", 500))}},
		Binds: []Bind{
			{Source: dir + "/bin/tool", Target: "/bin/tool", File: true, Exec: true},
			{Source: dir + "/dst", Target: "/dst", Writable: true},
			{Source: dir + "/src", Target: "/src"},
		},
		Landlock: []Rule{{Path: "/src", Access: read}, {Path: "/dst", Access: write}, {Path: "/etc/hosts", Access: read}},
	}
	r := j.start(spec, nil)
	wantActs(t, "runner", r.Acts, acts)
	wantThreads(t, r.PID, rights)
	wantMounts(t, r.PID, 4, "/dst")
	if r.UIDs != [3]int{0, 0, 0} || r.Securebits != 0xef || len(r.Groups) != 0 {
		t.Errorf("uids %v, securebits %#x, groups %v", r.UIDs, r.Securebits, r.Groups)
	}
	if len(r.Env) != 1 {
		t.Errorf("environment %q", r.Env)
	}
	info, err := os.Stat(filepath.Join(dir, "dst/new"))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != 1 {
		t.Errorf("the write through the jail: %v, %v", info, err)
	}
}

// TestOtherUIDKeepsCaps: capabilities survive a change of ids.
func TestOtherUIDKeepsCaps(t *testing.T) {
	j := newJail(t)
	spec := workerSpec()
	spec.Caps = 1 << unix.CAP_DAC_READ_SEARCH
	r := j.start(spec, nil)
	wantThreads(t, r.PID, spec.Caps)
	if r.UIDs != [3]int{64999, 64999, 64999} {
		t.Errorf("uids %v", r.UIDs)
	}
}

// TestRecursive: mounts inside a source are shown only on request, protected
// as the others.
func TestRecursive(t *testing.T) {
	j := newJail(t)
	dir := realDir(t)
	inner := filepath.Join(dir, "a/inner")
	mustDo(t, os.MkdirAll(inner, 0o755))
	mustDo(t, os.MkdirAll(filepath.Join(dir, "b"), 0o755))
	mustDo(t, unix.Mount("test", inner, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { mustDo(t, unix.Unmount(inner, 0)) })
	mustDo(t, os.WriteFile(filepath.Join(inner, "file"), nil, 0o644))

	spec := helperSpec(t, dir)
	spec.Argv = append(spec.Argv, "stat:/roots/1/inner/file")
	r := j.start(spec, nil)
	wantActs(t, "not recursive", r.Acts, map[string]string{"stat:/roots/1/inner/file": "ENOENT"})
	wantMounts(t, r.PID, 3)

	spec.Binds[0].Recursive = true
	acts := map[string]string{"stat:/roots/1/inner/file": "ok", "chown:/roots/1/inner/file": "EROFS"}
	spec.Argv = append([]string{"probe"}, keys(acts)...)
	r = j.start(spec, nil)
	wantActs(t, "recursive", r.Acts, acts)
	wantMounts(t, r.PID, 4)
}

// TestIdentity: another object, or none, in a root's place ends with 75.
func TestIdentity(t *testing.T) {
	j := newJail(t)
	dir := realDir(t)
	mustDo(t, os.MkdirAll(filepath.Join(dir, "a"), 0o755))
	mustDo(t, os.MkdirAll(filepath.Join(dir, "b"), 0o755))
	spec := helperSpec(t, dir)
	if r := j.start(spec, nil); r.PID == 0 {
		t.Fatal("the control did not start")
	}
	mustDo(t, os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "c")))
	if text := j.fails(spec, nil, 75); !strings.Contains(text, "no longer what it was") {
		t.Error(text)
	}
	mustDo(t, os.Mkdir(filepath.Join(dir, "a"), 0o755))
	j.fails(spec, nil, 75)
	mustDo(t, os.Remove(filepath.Join(dir, "a")))
	mustDo(t, os.Symlink("c", filepath.Join(dir, "a")))
	j.fails(spec, nil, 75)
}

// helperSpec shows dir/a and dir/b as roots 1 and 2.
func helperSpec(t *testing.T, dir string) Spec {
	t.Helper()
	spec := Spec{
		Role: "helper", Argv: []string{"probe"}, Env: []string{"TZ=UTC"},
		Caps: 1 << unix.CAP_DAC_READ_SEARCH, Namespaces: allNamespaces,
	}
	for i, name := range []string{"a", "b"} {
		var st unix.Stat_t
		mustDo(t, unix.Stat(filepath.Join(dir, name), &st))
		root := "/roots/" + strconv.Itoa(i+1)
		spec.Binds = append(spec.Binds, Bind{Source: filepath.Join(dir, name), Target: root, Dev: st.Dev, Ino: st.Ino})
		spec.Opens = append(spec.Opens, Open{Name: "root" + strconv.Itoa(i+1), Path: root})
		spec.Landlock = append(spec.Landlock, Rule{Path: root, Access: unix.LANDLOCK_ACCESS_FS_READ_DIR})
	}
	return spec
}

// realDir is a fresh directory without a symbolic link in its path.
func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func mustDo(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

// acts2 are the acts of m, those in first before the others.
func acts2(m map[string]string, first ...string) []string {
	all := slices.Clone(first)
	for _, k := range keys(m) {
		if !slices.Contains(first, k) {
			all = append(all, k)
		}
	}
	return all
}

// wantThreads checks all five sets and no_new_privs of every thread.
func wantThreads(t *testing.T, pid int, caps uint64) {
	t.Helper()
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	tasks, err := os.ReadDir(dir)
	if err != nil || len(tasks) < 2 {
		t.Fatalf("%d threads: %v", len(tasks), err)
	}
	for _, task := range tasks {
		f := status(t, filepath.Join(dir, task.Name(), "status"))
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
			if have, err := strconv.ParseUint(f[set], 16, 64); err != nil || have != caps {
				t.Errorf("thread %s: %s is %s, want %x", task.Name(), set, f[set], caps)
			}
		}
		if f["NoNewPrivs"] != "1" || f["Groups"] != "" {
			t.Errorf("thread %s: NoNewPrivs %s Groups %q", task.Name(), f["NoNewPrivs"], f["Groups"])
		}
	}
}

// wantMounts checks that the jail has n mounts, all but writable read-only.
func wantMounts(t *testing.T, pid, n int, writable ...string) []string {
	t.Helper()
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) != n {
		t.Errorf("%d mounts, want %d:\n%s", len(lines), n, data)
	}
	for _, line := range lines {
		f := strings.Fields(line)
		if ro := strings.HasPrefix(f[5], "ro"); ro == slices.Contains(writable, f[4]) {
			t.Errorf("mount %q", line)
		}
	}
	return lines
}

func wantFDs(t *testing.T, pid int, want []string) {
	t.Helper()
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil || strings.HasPrefix(target, "anon_inode:[event") {
			continue // the Go runtime's own epoll and eventfd
		}
		have = append(have, e.Name())
	}
	if !slices.Equal(have, want) {
		t.Errorf("descriptors %v, want %v", have, want)
	}
}

// wantNamespaces checks that the process has namespaces of its own.
func wantNamespaces(t *testing.T, pid int, kinds ...string) {
	t.Helper()
	for _, kind := range kinds {
		ours, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		if its, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/" + kind); err != nil || its == ours {
			t.Errorf("%s namespace is %s (%v), ours %s", kind, its, err, ours)
		}
	}
}

// TestNoNetwork: no port can be reached, even where the host's network is in
// sight.
func TestNoNetwork(t *testing.T) {
	j := newJail(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	mustDo(t, err)
	defer l.Close()
	act := "dial:" + l.Addr().String()
	wantActs(t, "twin", unconfined(t, act), map[string]string{act: "ok"})
	spec := workerSpec(act)
	spec.Namespaces &^= unix.CLONE_NEWNET
	wantActs(t, "worker with the host's network", j.start(spec, nil).Acts, map[string]string{act: "EACCES"})
}

// TestConnect: a port that is named can be reached, and no other.
func TestConnect(t *testing.T) {
	j := newJail(t)
	if abi, err := landlock.ABI(); err != nil || abi < 4 {
		testenv.Lacks(t, "this kernel's Landlock does not restrict TCP")
	}
	var ports [2]uint16
	var acts [2]string
	for i := range ports {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		mustDo(t, err)
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).AddrPort().Port()
		acts[i] = "dial:" + l.Addr().String()
	}
	wantActs(t, "twin", unconfined(t, acts[:]...), map[string]string{acts[0]: "ok", acts[1]: "ok"})
	spec := workerSpec(acts[:]...)
	spec.Namespaces &^= unix.CLONE_NEWNET
	spec.Connect = []uint16{ports[0]}
	wantActs(t, "program", j.start(spec, nil).Acts, map[string]string{acts[0]: "ok", acts[1]: "EACCES"})
	spec.Connect = []uint16{landlock.AnyPort}
	wantActs(t, "any port", j.start(spec, nil).Acts, map[string]string{acts[0]: "ok", acts[1]: "ok"})
}

// TestSecret: a secret is the program's alone, and neither can be changed.
func TestSecret(t *testing.T) {
	j := newJail(t)
	acts := map[string]string{"read:/own/key": "ok", "write:/own/key": "EACCES", "chmod:/own/key": "EROFS", "read:/own/other": "EACCES"}
	spec := workerSpec(keys(acts)...)
	spec.Files = []File{{Path: "/own/key", Data: []byte("secret"), Secret: true}, {Path: "/own/other", Data: []byte("public")}}
	spec.Landlock = []Rule{{Path: "/own/key", Access: 1<<16 - 1}}
	r := j.start(spec, nil)
	wantActs(t, "program", r.Acts, acts)
	root := "/proc/" + strconv.Itoa(r.PID) + "/root"
	for name, want := range map[string]string{"/own/key": "400 64999 64998 secret", "/own/other": "444 0 0 public"} {
		info, err := os.Lstat(root + name)
		mustDo(t, err)
		data, err := os.ReadFile(root + name)
		mustDo(t, err)
		st := info.Sys().(*syscall.Stat_t)
		if got := fmt.Sprintf("%o %d %d %s", info.Mode(), st.Uid, st.Gid, data); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestImage: the program's image can be executed where the spec says, and
// nothing else of the root can; it is as unchangeable as the rest.
func TestImage(t *testing.T) {
	j := newJail(t)
	acts := map[string]string{"exec:/own/run/again": "ok", "write:/own/run/again": "EACCES", "write:/own/run/more": "EROFS",
		"list:/own/run": "ok", "exec:/own/file": "EACCES", "mkdir:/own/run/x": "EROFS"}
	spec := workerSpec(keys(acts)...)
	spec.Image = "/own/run/again"
	spec.Files = []File{{Path: "/own/file", Data: []byte("#!/own/run/again\n")}}
	spec.Landlock = []Rule{{Path: "/own", Access: 1<<16 - 1}}
	r := j.start(spec, nil)
	wantActs(t, "program", r.Acts, acts)
	lines := wantMounts(t, r.PID, 2)
	for _, line := range lines {
		if f := strings.Fields(line); f[4] == "/own/run" && !strings.HasPrefix(f[5], "ro,nosuid,nodev,") || f[4] == "/" && !strings.Contains(f[5], "noexec") {
			t.Errorf("mount %q", line)
		}
	}
	copied, err := os.ReadFile("/proc/" + strconv.Itoa(r.PID) + "/root/own/run/again")
	mustDo(t, err)
	own, err := os.ReadFile("/proc/self/fd/" + strconv.Itoa(int(j.probe.Fd())))
	mustDo(t, err)
	if !bytes.Equal(copied, own) {
		t.Errorf("the copy has %d bytes, the image %d, or they differ", len(copied), len(own))
	}
}
