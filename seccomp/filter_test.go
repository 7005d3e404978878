package seccomp

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden shows a change of what is allowed in a review.
func TestGolden(t *testing.T) {
	for _, role := range Roles() {
		for _, arch := range []string{AMD64, ARM64} {
			var buf bytes.Buffer
			if err := Table(role, arch).Describe(&buf); err != nil {
				t.Fatal(err)
			}
			name := filepath.Join("testdata", string(role)+"."+arch+".golden")
			if *update {
				if err := os.WriteFile(name, buf.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(buf.Bytes(), want) {
				t.Errorf("%s differs from the table; when the change is meant: go test ./seccomp -update\n%s", name, buf.Bytes())
			}
		}
	}
}

// TestBudget: a worker has at most 20 calls, on every architecture.
func TestBudget(t *testing.T) {
	for _, arch := range []string{AMD64, ARM64} {
		for _, role := range []Role{Worker, UserWorker} {
			if n := Table(role, arch).Count(); n > 20 {
				t.Errorf("%s: the %s has %d calls, the budget is 20", arch, role, n)
			}
		}
	}
}

// TestLines: each line is whole, tells who needs it, and knows its arguments.
func TestLines(t *testing.T) {
	for _, set := range []Set{goRuntime(), worker(), userWorker(), helper(), resolver(), dnotify(), runner(), command(), network(), denied(), deniedRemote(), programs(), reaching()} {
		for _, c := range set.Calls {
			if c.Name == "" || len(c.Who) < 4 {
				t.Errorf("%s: %q tells not who needs it", set.Name, c.Name)
			}
			if c.Arch != "" && c.Arch != AMD64 && c.Arch != ARM64 {
				t.Errorf("%s: %s is for the unknown architecture %q", set.Name, c.Name, c.Arch)
			}
			seen := map[uint]bool{}
			for _, cond := range c.If {
				if cond.Arg > 5 || seen[cond.Arg] {
					t.Errorf("%s: %s: argument %d: libseccomp takes one condition an argument", set.Name, c.Name, cond.Arg)
				}
				if !cond.Not && cond.Value&^cond.Mask != 0 {
					t.Errorf("%s: %s: a condition that can never hold", set.Name, c.Name)
				}
				seen[cond.Arg] = true
			}
		}
	}
}

// TestNeverAllowed: what is denied to a command is allowed to nobody; the same
// name is in both lists only where arguments tell the good from the bad.
func TestNeverAllowed(t *testing.T) {
	byArgument := map[string][]Role{"clone": Roles(), "ioctl": {Runner, Remote, Handler, HandlerNetwork, Resolver}, "open_by_handle_at": {Resolver}, "memfd_create": {Helper}, "socket": {Remote, HandlerNetwork}}
	for _, role := range Roles() {
		for _, arch := range []string{AMD64, ARM64} {
			bad := map[string]bool{}
			for _, d := range merge(arch, denied()) {
				bad[d.Name] = true
			}
			for _, a := range Table(role, arch).Allow {
				if bad[a.Name] && (len(a.If) == 0 || !slices.Contains(byArgument[a.Name], role)) {
					t.Errorf("%s on %s allows %s", role, arch, a.Name)
				}
			}
		}
	}
}

// TestConfinedCannotGrow: the tables of worker, helper and resolver have no way to
// another program, process, socket, mapping that can execute, or signal.
func TestConfinedCannotGrow(t *testing.T) {
	forbidden := []string{"execve", "execveat", "fork", "vfork", "clone3", "socket", "socketpair", "connect", "open", "openat",
		"mprotect", "pkey_mprotect", "mremap", "ptrace", "kill", "tkill", "rt_sigqueueinfo", "prctl", "ioctl", "dup", "seccomp"}
	for _, role := range killing() {
		for _, c := range Table(role, AMD64).Allow {
			count := c.Name == "ioctl" && role == Resolver && slices.Equal(c.If, when(eq(1, unix.TIOCINQ)))
			if slices.Contains(forbidden, c.Name) && !count {
				t.Errorf("%s allows %s", role, c.Name)
			}
		}
	}
	// What the resolver opens it can neither list nor read, nor pass on.
	for _, c := range Table(Resolver, AMD64).Allow {
		if slices.Contains([]string{"openat2", "getdents64", "statx", "pread64", "sendmsg", "recvmsg", "name_to_handle_at"}, c.Name) {
			t.Errorf("the resolver allows %s", c.Name)
		}
	}
}

// TestCompile: the memfd is sealed, at its start, and whole.
func TestCompile(t *testing.T) {
	file, err := Compile(Table(Worker, AMD64))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	seals, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
	if err != nil {
		t.Fatal(err)
	}
	if want := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE; seals != want {
		t.Errorf("seals are %#x, want %#x", seals, want)
	}
	if _, err := file.Write([]byte{0}); err == nil {
		t.Error("a sealed filter could be written to")
	}
	pos, err := file.Seek(0, io.SeekCurrent)
	if err != nil || pos != 0 {
		t.Errorf("position %d, %v; want 0", pos, err)
	}
	again, err := Compile(Table(Worker, AMD64))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	a, errA := io.ReadAll(file)
	b, errB := io.ReadAll(again)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Error("two compilations of one table differ")
	}
}

// TestCompileRefuses: no table, no filter; an unknown name is an error and
// never a rule that is silently missing.
func TestCompileRefuses(t *testing.T) {
	for _, f := range []Filter{
		{},
		Table("nobody", AMD64),
		Table(Worker, "riscv64"),
		{Role: Worker, Arch: AMD64, Allow: []Call{{Name: "no_such_call"}}},
		{Role: Worker, Arch: ARM64, Allow: []Call{{Name: "open"}}},
		{Role: Worker, Arch: "mips", Allow: []Call{{Name: "read"}}},
		{Role: Worker, Arch: AMD64, Allow: []Call{{Name: "read", If: when(eq(9, 1))}}},
		{Role: Worker, Arch: AMD64, Allow: []Call{{Name: "read", If: when(eq(1, 1), eq(1, 2))}}},
	} {
		file, err := Compile(f)
		if err == nil {
			file.Close()
			t.Errorf("%+v was compiled", f)
		}
	}
}

func TestMerge(t *testing.T) {
	a := Set{"a", []Call{
		{Name: "x", If: when(eq(0, 1)), Who: "one"},
		{Name: "x", If: when(eq(0, 2)), Fallback: true, Who: "two"},
		{Name: "y", Fallback: true, Who: "three"},
		{Name: "z", If: when(eq(0, 1)), Fallback: true, Who: "four"},
		{Name: "w", Arch: ARM64, Who: "five"},
	}}
	b := Set{"b", []Call{
		{Name: "x", Fallback: true, Who: "six"},
		{Name: "y", If: when(eq(0, 1)), Who: "seven"},
		{Name: "z", If: when(eq(0, 1)), Fallback: true, Who: "eight"},
	}}
	got := merge(AMD64, a, b)
	if len(got) != 3 {
		t.Fatalf("merged to %+v", got)
	}
	f := Filter{Allow: got}
	if f.Count() != 2 { // x and y were needed by somebody, z is a fallback of both
		t.Errorf("count is %d, want 2: %+v", f.Count(), got)
	}
	for i, want := range []string{"x", "y", "z"} {
		if got[i].Name != want {
			t.Errorf("rule %d is %s, want %s", i, got[i].Name, want)
		}
	}
	if len(got[0].If) != 0 || len(got[1].If) != 0 || len(got[2].If) != 1 {
		t.Errorf("an unconditional rule did not win: %+v", got)
	}
	for _, who := range []string{"one", "two", "six"} {
		if !strings.Contains(got[0].Who, who) {
			t.Errorf("%q is forgotten in %q", who, got[0].Who)
		}
	}
}
