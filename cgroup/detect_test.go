package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/mountinfo"
	"lockstep/internal/testenv"
)

func TestHierarchies(t *testing.T) {
	const table = `23 0 254:0 / / rw,relatime - ext4 /dev/root rw,discard
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 /docker/abc /sys/fs/cgroup/mem\040ory rw,relatime shared:7 master:1 - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
`
	list, err := mountinfo.Parse([]byte(table))
	if err != nil {
		t.Fatal(err)
	}
	got := hierarchies(list)
	if len(got) != 2 || got[0].unified || got[0].root != "/docker/abc" || got[0].dir != "/sys/fs/cgroup/mem ory" ||
		!slices.Equal(got[0].options, []string{"rw", "memory"}) || !got[1].unified {
		t.Errorf("got %+v", got)
	}
}

func TestOwnGroup(t *testing.T) {
	for _, c := range []struct {
		file, root, want string
		ok               bool
	}{
		{"0::/\n", "/", "", true},
		{"4:memory:/x\n0::/system.slice/a.service\n", "/", "/system.slice/a.service", true},
		{"0::/docker/abc/sub\n", "/docker/abc", "/sub", true},
		{"0::/docker/abc\n", "/docker/abc", "", true},
		{"0::/docker/abcd\n", "/docker/abc", "", false},
		{"0::/other\n", "/docker/abc", "", false},
		{"0::/../other\n", "/", "", false},
		{"4:memory:/x\n", "/", "", false},
	} {
		got, ok := ownGroup(c.file, c.root)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%q below %q: %q, %t", c.file, c.root, got, ok)
		}
	}
}

// TestFindV1: each controller once, under its name, together where they share
// a hierarchy.
func TestFindV1(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"memory,pids", "devices", "odd"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []string{"memory", "pids"} {
		if err := os.Symlink("memory,pids", filepath.Join(dir, l)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := findV1([]mount{
		{dir: filepath.Join(dir, "odd"), options: []string{"rw", "devices"}}, // not under its name
		{dir: filepath.Join(dir, "memory,pids"), options: []string{"rw", "memory", "pids"}},
		{dir: filepath.Join(dir, "devices"), options: []string{"rw", "devices"}},
		{dir: filepath.Join(dir, "devices"), options: []string{"rw", "devices"}}, // mounted twice
	})
	if err != nil || len(got) != 2 || !slices.Equal(got[0].controllers, []string{"memory", "pids"}) ||
		!slices.Equal(got[1].controllers, []string{"devices"}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestNothing: a host without control groups names all that is missing, and
// everything is then without effect.
func TestNothing(t *testing.T) {
	h, err := detect(func(mount) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range h.Missing() {
		names = append(names, f.Name)
	}
	if !slices.Equal(names, []string{"cgroup-kill", "cgroup-devices", "cgroup-memory", "cgroup-pids"}) {
		t.Errorf("missing %q", names)
	}
	g, err := h.Create("none")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := g.Leaf("none", Limits{Memory: 1, Pids: 1})
	if err != nil || leaf.FD() != -1 || len(leaf.Join()) != 0 {
		t.Errorf("leaf %+v, %v", leaf, err)
	}
	for _, f := range []func() error{leaf.Kill, leaf.Remove, g.Remove} {
		if err := f(); err != nil {
			t.Error(err)
		}
	}
}

// TestDelegated: below a group that systemd has marked, this process moves into
// a leaf of its own so that the group can pass controllers on.
func TestDelegated(t *testing.T) {
	testenv.NeedRoot(t)
	h, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	if h.v2 == nil {
		testenv.Lacks(t, "this host has no cgroup v2")
	}
	dir := filepath.Join(h.v2.base, instance(t))
	if err := os.Mkdir(dir, dirMode); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Rmdir(dir); err != nil {
			t.Error(err)
		}
	}()
	if yes, err := isDelegated(dir); yes || err != nil {
		t.Errorf("an ordinary group is delegated: %t, %v", yes, err)
	}
	if err := unix.Lsetxattr(dir, "user.delegate", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	if yes, err := isDelegated(dir); !yes || err != nil {
		t.Errorf("a marked group is not delegated: %t, %v", yes, err)
	}
}

// TestPassOn: a group that holds this process passes a controller on only after
// it has moved away, which it does only if the group was delegated.
func TestPassOn(t *testing.T) {
	testenv.NeedRoot(t)
	h, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	if h.v2 == nil {
		testenv.Lacks(t, "this host has no cgroup v2")
	}
	offered, err := words(filepath.Join(h.v2.base, controllersFile))
	if err != nil || len(offered) == 0 {
		testenv.Lacks(t, fmt.Sprintf("v2 has no controller here to try with (%v)", err))
	}
	c := offered[0]
	passed, err := words(filepath.Join(h.v2.base, subtreeFile))
	if err != nil {
		t.Fatal(err)
	}
	root := &v2{base: h.v2.base}
	if err := root.enable(root.base, c); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(passed, c) {
		defer func() {
			if err := writeFile(filepath.Join(root.base, subtreeFile), "-"+c); err != nil {
				t.Error(err)
			}
		}()
	}
	out, err := testChild(t, h.v2.base, instance(t), c)
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// testChild runs TestPassOnChild in a process of its own, which may move.
func testChild(t *testing.T, base, name, controller string) (string, error) {
	t.Helper()
	dir := filepath.Join(base, name)
	if err := os.Mkdir(dir, dirMode); err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, d := range []string{filepath.Join(dir, selfGroup), dir} {
			if err := removeEmpty(d); err != nil {
				t.Error(err)
			}
		}
	}()
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestPassOnChild$", "-test.v")
	cmd.Env = append(os.Environ(), "CGROUP_CHILD="+dir+" "+controller)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestPassOnChild is the body of the process that TestPassOn starts.
func TestPassOnChild(t *testing.T) {
	dir, c, ok := strings.Cut(os.Getenv("CGROUP_CHILD"), " ")
	if !ok {
		return
	}
	if err := writeFile(filepath.Join(dir, procsFile), "0"); err != nil {
		t.Fatal(err)
	}
	v := &v2{base: dir}
	if err := v.enable(dir, c); !errors.Is(err, unix.EBUSY) {
		t.Fatalf("not delegated: %v, want EBUSY", err)
	}
	v.delegated = true
	if err := v.enable(dir, c); err != nil {
		t.Fatalf("delegated: %v", err)
	}
	if passed, err := words(filepath.Join(dir, subtreeFile)); err != nil || !slices.Contains(passed, c) {
		t.Errorf("passes on %q, %v", passed, err)
	}
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil || !strings.Contains(string(data), "/"+filepath.Base(dir)+"/"+selfGroup+"\n") {
		t.Errorf("this process is in %s, %v", data, err)
	}
}

// What a killed lockstep of the same pid left is no obstacle.
func TestLeftoverTry(t *testing.T) {
	testenv.NeedRoot(t)
	h, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	if h.v2 == nil {
		testenv.Lacks(t, "this host has no cgroup v2")
	}
	left := "try-" + strconv.Itoa(os.Getpid())
	if err := makeBelow(h.v2.base, left); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(unix.Rmdir(filepath.Join(h.v2.base, top, left)), removeTop(h.v2.base)); err != nil {
			t.Error(err)
		}
	}()
	if _, err := Detect(); err != nil {
		t.Error(err)
	}
}
