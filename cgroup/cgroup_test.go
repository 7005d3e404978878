package cgroup

import (
	"bufio"
	"errors"
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

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
)

// TestMain: the test binary is also the process that is put into a group. Its
// arguments are the cgroup.procs files to join, then "--", then acts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "member" {
		member(os.Args[2:])
	}
	os.Exit(m.Run())
}

func member(args []string) {
	split := slices.Index(args, "--")
	for _, procs := range args[:split] {
		if err := os.WriteFile(procs, []byte("0"), 0); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	for _, act := range args[split+1:] {
		kind, arg, _ := strings.Cut(act, ":")
		fmt.Printf("%s=%s\n", act, errno(doAct(kind, arg)))
	}
	fmt.Println("ready")
	if slices.Contains(args, "stay") {
		_ = syscall.Pause() // a killed parent does not end it
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

func doAct(kind, arg string) error {
	switch kind {
	case "stay":
		return nil
	case "read", "write":
		flag := os.O_RDONLY
		if kind == "write" {
			flag = os.O_WRONLY
		}
		f, err := os.OpenFile(arg, flag, 0)
		if err != nil {
			return err
		}
		return f.Close()
	case "char", "block":
		mode := uint32(unix.S_IFCHR)
		if kind == "block" {
			mode = unix.S_IFBLK
		}
		return unix.Mknod(arg, mode|0o600, int(unix.Mkdev(1, 7)))
	case "fifo":
		return unix.Mkfifo(arg, 0o600)
	case "tree": // that many processes, each the parent of the next
		n, _ := strconv.Atoi(arg)
		if n == 0 {
			return nil
		}
		cmd := exec.Command("/proc/self/exe", "member", "--", "tree:"+strconv.Itoa(n-1), "stay")
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		cmd.Stdin, cmd.Stderr = os.Stdin, cmd.Stdout // nil would be /dev/null
		if err := cmd.Start(); err != nil {
			return err
		}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if result, ok := strings.CutPrefix(lines.Text(), "tree:"); ok && !strings.HasSuffix(result, "=ok") {
				return errors.New(result)
			}
			if lines.Text() == "ready" {
				return nil
			}
		}
		return errors.New("no child")
	case "eat": // that many bytes of memory
		n, _ := strconv.Atoi(arg)
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i)
		}
		return nil
	}
	return errors.New("unknown act")
}

func errno(err error) string {
	var e syscall.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &e):
		return unix.ErrnoName(e)
	}
	return err.Error()
}

// modes are the kinds of host that this one can be.
func modes() map[string]func(mount) bool {
	return map[string]func(mount) bool{
		"as it is": func(mount) bool { return true },
		"v1":       func(m mount) bool { return !m.unified },
		"v2":       func(m mount) bool { return m.unified },
		noBirths:   func(m mount) bool { return m.unified },
	}
}

// noBirths is the kind of host with v2 alone, and no clone3 (RestrictNamespaces=).
const noBirths = "v2 without clone3"

// eachMode runs a test with a group of its own in each kind of host.
func eachMode(t *testing.T, test func(t *testing.T, h *Host, g *Group)) {
	t.Helper()
	testenv.NeedRoot(t)
	for name, use := range modes() {
		t.Run(name, func(t *testing.T) {
			h, err := detect(use)
			if err != nil {
				t.Fatal(err)
			}
			if name == noBirths && h.v2 != nil {
				h.v2.births = false
			}
			if len(h.roots()) == 0 {
				testenv.Lacks(t, "this host has no control groups of this kind")
			}
			g, err := h.Create(instance(t))
			if err != nil {
				t.Fatal(err)
			}
			test(t, h, g)
			if err := g.Remove(); err != nil {
				t.Error(err)
			}
			wantNothing(t, h, instance(t))
		})
	}
}

func instance(t *testing.T) string {
	return fmt.Sprintf("test-%d-%s", os.Getpid(), strings.NewReplacer("/", "-", " ", "_").Replace(t.Name()))
}

// wantNothing checks that no directory of the instance is left.
func wantNothing(t *testing.T, h *Host, instance string) {
	t.Helper()
	for _, root := range h.roots() {
		if there, err := has(filepath.Join(root, top, instance)); there || err != nil {
			t.Errorf("%s is left in %s: %v", instance, root, err)
		}
	}
}

// process is a member of a leaf.
type process struct {
	*exec.Cmd
	in   io.Closer
	acts map[string]string
}

// startIn starts a process in a leaf; nil: in none.
func startIn(t *testing.T, leaf *Leaf, acts ...string) *process {
	t.Helper()
	args := []string{"member"}
	attr := &syscall.SysProcAttr{}
	if leaf != nil {
		if fd := leaf.FD(); fd >= 0 {
			attr.UseCgroupFD, attr.CgroupFD = true, fd
		}
		for _, f := range leaf.Join() {
			args = append(args, f.Name())
		}
	}
	cmd := exec.Command("/proc/self/exe", append(append(args, "--"), acts...)...)
	cmd.SysProcAttr, cmd.Stderr = attr, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: cmd, in: in, acts: map[string]string{}}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "ready" {
			return p
		}
		k, v, _ := strings.Cut(lines.Text(), "=")
		p.acts[k] = v
	}
	p.acts["ended"] = fmt.Sprint(cmd.Wait())
	return p
}

func (p *process) want(t *testing.T, want map[string]string) {
	t.Helper()
	for act, result := range want {
		if p.acts[act] != result {
			t.Errorf("%s: %s, want %s (all: %v)", act, p.acts[act], result, p.acts)
		}
	}
}

func acts(m map[string]string) []string {
	var all []string
	for act := range m {
		all = append(all, act)
	}
	return all
}

// end kills and removes a leaf and reaps its process.
func end(t *testing.T, leaf *Leaf, procs ...*process) {
	t.Helper()
	if err := leaf.Kill(); err != nil {
		t.Error(err)
	}
	for _, p := range procs {
		if err := p.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Errorf("process %d ended with %v", p.Process.Pid, err)
		}
	}
	if err := leaf.Remove(); err != nil {
		t.Error(err)
	}
}

// TestDevicesNone: no device opens, none is made; the twin outside does both.
func TestDevicesNone(t *testing.T) {
	eachMode(t, func(t *testing.T, h *Host, g *Group) {
		if !h.devices {
			t.Fatalf("no device filter here: %+v", h.Missing())
		}
		dir := t.TempDir()
		leaf, err := g.Leaf("none", Limits{})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"read:/dev/null": "EPERM", "write:/dev/null": "EPERM", "read:/dev/zero": "EPERM", "read:/dev/urandom": "EPERM",
			"read:/dev/full": "EPERM", "char:" + dir + "/char": "EPERM", "block:" + dir + "/block": "EPERM",
			"fifo:" + dir + "/fifo": "ok",
		}
		p := startIn(t, leaf, acts(want)...)
		p.want(t, want)
		end(t, leaf, p)

		twin := map[string]string{
			"read:/dev/null": "ok", "write:/dev/null": "ok", "read:/dev/zero": "ok", "read:/dev/urandom": "ok",
			"read:/dev/full": "ok", "char:" + dir + "/char": "ok", "block:" + dir + "/block": "ok",
		}
		p = startIn(t, nil, acts(twin)...)
		p.want(t, twin)
		p.in.Close()
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// TestDevicesBasic: four devices open; nodes are made only when asked for.
func TestDevicesBasic(t *testing.T) {
	eachMode(t, func(t *testing.T, _ *Host, g *Group) {
		for _, mknod := range []bool{false, true} {
			dir := t.TempDir()
			leaf, err := g.Leaf("basic", Limits{Devices: DevicesBasic, Mknod: mknod})
			if err != nil {
				t.Fatal(err)
			}
			made := "EPERM"
			if mknod {
				made = "ok"
			}
			want := map[string]string{
				"read:/dev/null": "ok", "write:/dev/null": "ok", "read:/dev/zero": "ok", "read:/dev/random": "ok",
				"read:/dev/urandom": "ok", "read:/dev/full": "EPERM", "read:/dev/tty0": "EPERM", "read:/dev/fuse": "EPERM",
				"char:" + dir + "/char": made, "block:" + dir + "/block": made,
			}
			p := startIn(t, leaf, acts(want)...)
			for _, device := range []string{"read:/dev/tty0", "read:/dev/fuse"} {
				if p.acts[device] == "ENOENT" {
					delete(want, device)
				}
			}
			p.want(t, want)
			end(t, leaf, p)
		}
	})
}

// TestKillTree: all of a tree of processes die, also those whose parents have
// ended; a second leaf is not touched.
func TestKillTree(t *testing.T) {
	eachMode(t, func(t *testing.T, _ *Host, g *Group) {
		one, err := g.Leaf("one", Limits{})
		if err != nil {
			t.Fatal(err)
		}
		other, err := g.Leaf("other", Limits{})
		if err != nil {
			t.Fatal(err)
		}
		p, q := startIn(t, one, "tree:5"), startIn(t, other)
		p.want(t, map[string]string{"tree:5": "ok"})
		if procs := members(t, one); len(procs) != 6 {
			t.Errorf("members %v, want 6", procs)
		}
		// The parent ends: its children are orphans, still in the leaf.
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = p.Wait() // "signal: killed"
		procs := members(t, one)
		if len(procs) != 5 {
			t.Errorf("members %v, want 5", procs)
		}
		if err := one.Kill(); err != nil {
			t.Fatal(err)
		}
		for _, pid := range procs {
			if alive(pid) {
				t.Errorf("process %d is still there", pid)
			}
		}
		if err := one.Kill(); err != nil {
			t.Errorf("kill of an empty leaf: %v", err)
		}
		if err := one.Remove(); err != nil {
			t.Error(err)
		}
		if !alive(q.Process.Pid) {
			t.Error("the other leaf's process was killed")
		}
		end(t, other, q)
	})
}

// members lists a leaf's processes, which must be the same everywhere.
func members(t *testing.T, l *Leaf) []int {
	t.Helper()
	var all []int
	for i, path := range l.paths {
		procs, err := readProcs(path)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(procs)
		if i > 0 && !slices.Equal(procs, all) {
			t.Errorf("%s has %v, %s has %v", l.paths[0], all, path, procs)
		}
		all = procs
	}
	return all
}

// alive reports whether a process has not ended (a zombie has).
func alive(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	return fields[0] != "Z" && fields[0] != "X"
}

// TestLimits: memory and processes, where their controllers are.
func TestLimits(t *testing.T) {
	eachMode(t, func(t *testing.T, h *Host, g *Group) {
		limited := func(c string) bool { return h.inV1(c) || h.v2 != nil && slices.Contains(h.v2.passed, c) }
		for _, c := range []string{memory, pids} {
			missing := slices.ContainsFunc(h.Missing(), func(f Feature) bool { return f.Name == "cgroup-"+c })
			if missing == limited(c) {
				t.Errorf("%s: usable %t, missing %t", c, limited(c), missing)
			}
		}
		leaf, err := g.Leaf("limited", Limits{Memory: 64 << 20, Pids: 24})
		if err != nil {
			t.Fatal(err)
		}
		p := startIn(t, leaf, "tree:8")
		if ok := p.acts["tree:8"] == "ok"; ok == limited(pids) {
			t.Errorf("9 Go processes under a limit of 24 tasks: %v", p.acts)
		}
		end(t, leaf, p)
		if leaf, err = g.Leaf("limited", Limits{Memory: 64 << 20, Pids: 24}); err != nil {
			t.Fatal(err)
		}
		p = startIn(t, leaf, "eat:"+strconv.Itoa(256<<20))
		if killed := strings.Contains(p.acts["ended"], "killed"); killed != limited(memory) {
			t.Errorf("256 MiB under a limit of 64: %v", p.acts)
		}
		if p.acts["ended"] != "" {
			end(t, leaf)
			return
		}
		end(t, leaf, p)
	})
}

// TestFreshLeaf: leaves are never used twice, since a killed one kills on.
func TestFreshLeaf(t *testing.T) {
	eachMode(t, func(t *testing.T, _ *Host, g *Group) {
		seen := map[string]bool{}
		for range 3 {
			leaf, err := g.Leaf("same", Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if seen[leaf.paths[0]] {
				t.Errorf("%s was used before", leaf.paths[0])
			}
			seen[leaf.paths[0]] = true
			end(t, leaf, startIn(t, leaf))
		}
	})
}

// TestSweep: what a killed supervisor left is killed and removed; a second
// Create finds a clean place.
func TestSweep(t *testing.T) {
	eachMode(t, func(t *testing.T, h *Host, g *Group) {
		var procs []*process
		for _, name := range []string{"helper", "worker"} {
			leaf, err := g.Leaf(name, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			procs = append(procs, startIn(t, leaf, "tree:2"))
		}
		if _, err := h.Create(instance(t)); !errors.Is(err, os.ErrExist) {
			t.Errorf("a second Create: %v", err)
		}
		if err := h.Sweep(instance(t)); err != nil {
			t.Fatal(err)
		}
		for _, p := range procs {
			_ = p.Wait()
		}
		wantNothing(t, h, instance(t))
		if err := h.Sweep(instance(t)); err != nil {
			t.Errorf("nothing to sweep: %v", err)
		}
	})
}

// TestV2WithoutKill: the way of kernels before 5.14.
func TestV2WithoutKill(t *testing.T) {
	eachMode(t, func(t *testing.T, h *Host, g *Group) {
		if h.v2 == nil {
			return
		}
		leaf, err := g.Leaf("old", Limits{})
		if err != nil {
			t.Fatal(err)
		}
		leaf.kills = false
		end(t, leaf, startIn(t, leaf, "tree:4"))
	})
}

// TestRefused: names that are paths, and a leaf under a group that is gone.
func TestRefused(t *testing.T) {
	eachMode(t, func(t *testing.T, h *Host, g *Group) {
		for _, name := range []string{"", ".", "..", "a/b", "a\n", strings.Repeat("x", 300)} {
			if _, err := h.Create(name); err == nil {
				t.Errorf("group %q was made", name)
			}
			if _, err := g.Leaf(name, Limits{}); err == nil {
				t.Errorf("leaf %q was made", name)
			}
			if err := h.Sweep(name); err == nil {
				t.Errorf("group %q was swept", name)
			}
		}
	})
}
