package rsync

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/ipc"
)

// These tests pin what the installed rsync does with lists, because the plan of
// a batch is built on it.

func dirs(t *testing.T) Options {
	t.Helper()
	testenv.NeedTool(t, "rsync")
	return Options{Source: t.TempDir(), Target: t.TempDir()}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func stamp(t *testing.T, path string, mode uint32) {
	t.Helper()
	must(t, unix.Chmod(path, mode))
	ts := []unix.Timespec{{Sec: 1e9, Nsec: 123456789}, {Sec: 1e9, Nsec: 123456789}}
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, unix.AT_SYMLINK_NOFOLLOW))
}

func sameAttributes(t *testing.T, o Options, rel string) {
	t.Helper()
	var a, b unix.Stat_t
	must(t, unix.Lstat(filepath.Join(o.Source, rel), &a))
	must(t, unix.Lstat(filepath.Join(o.Target, rel), &b))
	if a.Mode != b.Mode || a.Mtim != b.Mtim {
		t.Errorf("%q: mode %o and time %v, want %o and %v", rel, b.Mode, b.Mtim, a.Mode, a.Mtim)
	}
}

func TestParentsOfADeletedName(t *testing.T) {
	o := dirs(t)
	tree{"d": "d", "d/e": "d", "d/keep": "f:x"}.write(t, o.Source)
	tree{"d": "d", "d/e": "d", "d/e/gone": "d", "d/e/gone/x": "f:", "d/other": "f:y"}.write(t, o.Target)
	stamp(t, o.Source+"/d/e", 0o751)
	stamp(t, o.Source+"/d", 0o2750)
	stamp(t, o.Source, 0o711)
	mustRun(t, Argv(ipc.JobList, o), "./d/e/gone\x00")
	for _, rel := range []string{"", "d", "d/e"} {
		sameAttributes(t, o, rel)
	}
	diff(t, "deletion", read(t, o.Target), tree{"d": "d", "d/e": "d", "d/other": "f:y"})
}

func TestRootsAttributesComeWithAnyEntry(t *testing.T) {
	for _, entry := range []string{"./none", "./d", "./f"} {
		o := dirs(t)
		tree{"d": "d", "d/x": "f:", "f": "f:"}.write(t, o.Source)
		stamp(t, o.Source, 0o701)
		mustRun(t, Argv(ipc.JobAttr, o), entry+"\x00")
		sameAttributes(t, o, "")
	}
}

func TestDirectoryEntryIsItsAttributesOnly(t *testing.T) {
	o := dirs(t)
	tree{"d": "d", "d/x": "f:x"}.write(t, o.Source)
	stamp(t, o.Source+"/d", 0o1777)
	mustRun(t, Argv(ipc.JobList, o), "./d\x00")
	diff(t, "directory", read(t, o.Target), tree{"d": "d"})
	sameAttributes(t, o, "d")
}

func TestBelowWhatIsMissing(t *testing.T) {
	o := dirs(t)
	tree{"file": "f:"}.write(t, o.Source)
	for entry, want := range map[string]int{"./none/x": 24, "./file/x": 23} {
		if code, out := run(t, Argv(ipc.JobList, o), entry+"\x00"); code != want {
			t.Errorf("%s: exit code %d, want %d: %s", entry, code, want, out)
		}
	}
}

func TestTypeChanges(t *testing.T) {
	o := dirs(t)
	tree{"a": "f:new", "b": "d", "b/x": "f:x"}.write(t, o.Source)
	tree{"a": "d", "a/full": "f:", "b": "f:old"}.write(t, o.Target)
	mustRun(t, Argv(ipc.JobList, o), "./a\x00./b\x00./b/x\x00")
	diff(t, "type change", read(t, o.Target), read(t, o.Source))
}

func TestEditThatKeepsSizeAndTime(t *testing.T) {
	o := dirs(t)
	tree{"f": "f:old"}.write(t, o.Source)
	stamp(t, o.Source+"/f", 0o600)
	mustRun(t, Argv(ipc.JobList, o), "./f\x00")
	must(t, os.WriteFile(o.Source+"/f", []byte("new"), 0o600))
	stamp(t, o.Source+"/f", 0o600)
	mustRun(t, Argv(ipc.JobList, o), "./f\x00")
	diff(t, "edit", read(t, o.Target), tree{"f": "f:new"})
}

func TestEditWithinOneSecond(t *testing.T) {
	o := dirs(t)
	tree{"f": "f:new"}.write(t, o.Source)
	tree{"f": "f:old"}.write(t, o.Target)
	for i, path := range []string{o.Source, o.Target} {
		ts := unix.Timespec{Sec: 1e9, Nsec: int64(i)}
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path+"/f", []unix.Timespec{ts, ts}, 0))
	}
	mustRun(t, Argv(ipc.JobInitial, o), "")
	diff(t, "edit", read(t, o.Target), tree{"f": "f:new"})
}

// deepTree makes one file whose path has so many bytes.
func deepTree(t *testing.T, root string, bytes int) string {
	t.Helper()
	var parts []string
	for left := bytes; left > 0; {
		n := min(200, left)
		if left-n == 1 {
			n--
		}
		parts = append(parts, strings.Repeat("n", n))
		left -= n + 1
	}
	rel := strings.Join(parts, "/")
	fd, err := unix.Open(root, unix.O_PATH, 0)
	must(t, err)
	for _, part := range parts[:len(parts)-1] {
		must(t, unix.Mkdirat(fd, part, 0o700))
		next, err := unix.Openat(fd, part, unix.O_PATH|unix.O_NOFOLLOW, 0)
		must(t, err)
		must(t, unix.Close(fd))
		fd = next
	}
	file, err := unix.Openat(fd, parts[len(parts)-1], unix.O_CREAT|unix.O_WRONLY, 0o600)
	must(t, err)
	must(t, unix.Close(file))
	must(t, unix.Close(fd))
	return rel
}

func filesBelow(t *testing.T, root string) int {
	t.Helper()
	out, err := exec.Command("find", root, "-type", "f", "-printf", "x").Output()
	must(t, err)
	return len(out)
}

func TestMaxRel(t *testing.T) {
	for _, c := range []struct{ bytes, copied int }{{MaxRel, 1}, {MaxRel + 1, 0}} {
		o := dirs(t)
		rel := deepTree(t, o.Source, c.bytes)
		mustRun(t, Argv(ipc.JobList, o), "./"+rel+"\x00") // 0 and silence in both cases
		if got := filesBelow(t, o.Target); got != c.copied {
			t.Errorf("a path of %d bytes: %d files copied, want %d", c.bytes, got, c.copied)
		}
	}
}

func TestMaxRule(t *testing.T) {
	o := dirs(t)
	rel := deepTree(t, o.Source, MaxRel)
	rule := Rule(Exclude, rel, Itself)
	mustRun(t, Argv(ipc.JobInitial, o), rule+"\x00")
	if got := filesBelow(t, o.Target); got != 0 {
		t.Errorf("a rule of %d bytes did not exclude", len(rule))
	}
	long := "- /" + strings.Repeat("x", MaxRule-3)
	mustRun(t, Argv(ipc.JobInitial, o), long+"\x00")
	if code, out := run(t, Argv(ipc.JobInitial, o), long+"x\x00"); code != 0 || !strings.Contains(out, "discarding") {
		t.Errorf("a rule of %d bytes: exit code %d, %q", len(long)+1, code, out)
	}
}

func TestHardLinkThatIsAddedLater(t *testing.T) {
	o := dirs(t)
	tree{"a": "f:x"}.write(t, o.Source)
	mustRun(t, Argv(ipc.JobInitial, o), "")
	must(t, os.Link(o.Source+"/a", o.Source+"/b"))
	mustRun(t, Argv(ipc.JobList, o), "./a\x00./b\x00")
	var a, b unix.Stat_t
	must(t, unix.Lstat(o.Target+"/a", &a))
	must(t, unix.Lstat(o.Target+"/b", &b))
	if a.Ino != b.Ino {
		t.Error("two files on the target, want one")
	}
}

func TestUserXattrsOnly(t *testing.T) {
	testenv.NeedRoot(t)
	setpriv := testenv.NeedTool(t, "setpriv")
	// struct vfs_cap_data, revision 2: CAP_NET_RAW permitted (capabilities(7)).
	capability := append([]byte{0, 0, 0, 2, 0, 0x20, 0, 0}, make([]byte, 12)...)
	for _, drop := range []bool{false, true} {
		o := dirs(t)
		o.Xattrs = XattrsUser
		for path, content := range map[string]string{o.Source: "new", o.Target: "old"} {
			must(t, os.WriteFile(path+"/f", []byte(content), 0o600))
			must(t, os.WriteFile(path+"/same", nil, 0o600))
			at := time.Unix(1e9, 0) // else a tick of the clock between them makes them two files
			must(t, os.Chtimes(path+"/same", at, at))
		}
		for _, name := range []string{"f", "same"} {
			must(t, unix.Lsetxattr(o.Source+"/"+name, "user.new", []byte("1"), 0))
			must(t, unix.Lsetxattr(o.Source+"/"+name, "security.capability", capability, 0))
			must(t, unix.Lsetxattr(o.Source+"/"+name, "trusted.source", []byte("1"), 0))
			must(t, unix.Lsetxattr(o.Target+"/"+name, "user.old", []byte("1"), 0))
			must(t, unix.Lsetxattr(o.Target+"/"+name, "trusted.target", []byte("1"), 0))
		}
		argv := Argv(ipc.JobAttr, o)
		cmd := exec.Command("rsync", argv[1:]...)
		if drop { // as in the jail: neither CAP_SETFCAP nor CAP_SYS_ADMIN
			cmd = exec.Command(setpriv, append([]string{"--bounding-set", "-setfcap,-sys_admin",
				"--inh-caps", "-setfcap,-sys_admin", "rsync"}, argv[1:]...)...)
		}
		cmd.Stdin = strings.NewReader("./f\x00./same\x00")
		if out, err := cmd.CombinedOutput(); err != nil || len(out) != 0 {
			t.Fatalf("dropped %v: %v %s", drop, err, out)
		}
		for _, name := range []string{"f", "same"} {
			for attr, want := range map[string]bool{"user.new": true, "user.old": false,
				"security.capability": false, "trusted.source": false} {
				_, err := unix.Lgetxattr(o.Target+"/"+name, attr, nil)
				if (err == nil) != want {
					t.Errorf("dropped %v: %s of %s is there: %v, want %v", drop, attr, name, err == nil, want)
				}
			}
		}
		// A file that only got other attributes keeps those of other namespaces.
		if _, err := unix.Lgetxattr(o.Target+"/same", "trusted.target", nil); err != nil && !drop {
			t.Errorf("dropped %v: trusted.target of same: %v", drop, err)
		}
	}
}

// TestExactMeansTheSame compares with git itself what is copied.
func TestExactMeansTheSame(t *testing.T) {
	testenv.NeedTool(t, "git")
	for i := range seeds(t) {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("%d seed %#x", i, seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			o := dirs(t)
			tr := simpleTree(r)
			tr.write(t, o.Source)
			patterns := simplePatterns(r)
			o.Excludes = Exact(patterns)
			if len(o.Excludes) != len(patterns) {
				t.Fatalf("%q: only %q", patterns, o.Excludes)
			}
			mustRun(t, Argv(ipc.JobInitial, o), "")
			want := tr
			for _, rel := range ignored(t, tr, patterns) {
				want = want.without(rel)
			}
			diff(t, fmt.Sprintf("patterns %q", patterns), read(t, o.Target), want)
		})
	}
}

func simpleTree(r *rand.Rand) tree {
	names := []string{"a", "b", "ab", "abc", "a.tmp", ".a", "b b"}
	tr := make(tree)
	parents := []string{""}
	for range 120 {
		rel := parents[r.IntN(len(parents))] + names[r.IntN(len(names))]
		if _, twice := tr[rel]; twice || strings.Count(rel, "/") > 3 {
			continue
		}
		if r.IntN(2) == 0 {
			tr[rel] = "d"
			parents = append(parents, rel+"/")
		} else {
			tr[rel] = "f:"
		}
	}
	return tr
}

func simplePatterns(r *rand.Rand) []string {
	parts := []string{"a", "b", "ab", "*.tmp", "a*", "*b", "*b*c", ".a", "b b"}
	var out []string
	for range 1 + r.IntN(4) {
		p := parts[r.IntN(len(parts))]
		for r.IntN(3) == 0 {
			p += "/" + parts[r.IntN(len(parts))]
		}
		p = []string{"", "", "/", "**/"}[r.IntN(4)] + p + []string{"", "", "/"}[r.IntN(3)]
		if r.IntN(4) == 0 {
			p = "!" + p
		}
		out = append(out, p)
	}
	return out
}

// ignored asks git which paths of the tree the patterns exclude.
func ignored(t *testing.T, tr tree, patterns []string) []string {
	t.Helper()
	repo := t.TempDir()
	git := func(stdin string, args ...string) []byte {
		cmd := exec.Command("git", append([]string{"-C", repo}, args...)...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1"}
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.Output()
		if err != nil && cmd.ProcessState.ExitCode() != 1 { // 1: none is ignored
			t.Fatalf("git %q: %v", args, err)
		}
		return out
	}
	git("", "init", "-q")
	tr.write(t, repo)
	must(t, os.WriteFile(repo+"/.git/info/exclude", []byte(strings.Join(patterns, "\n")+"\n"), 0o600))
	var list strings.Builder
	for rel := range tr {
		list.WriteString(rel + "\x00")
	}
	var out []string
	for rel := range bytes.SplitSeq(git(list.String(), "check-ignore", "-z", "--stdin"), []byte{0}) {
		if len(rel) > 0 {
			out = append(out, string(rel))
		}
	}
	slices.Sort(out)
	return out
}
