//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// keptLists is what is in the files of a directory, sorted by line, for order is hash's
// for clsync; what nothing was written to is left out.
func keptLists(t *testing.T, dir string) []string {
	t.Helper()
	all := []string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 0 {
			lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
			slices.Sort(lines)
			all = append(all, strings.Join(lines, "\n"))
		}
	}
	slices.Sort(all)
	return all
}

// With --dont-unlink-lists the lists of a first pass stay: what is in them is what the
// real clsync leaves, in mode shell to the letter.
func TestKeptListsBesideClsync(t *testing.T) {
	real, mode := realClsync(t), "shell"
	s := newSide(t, "clsync", mode, "mkdir d; echo x >a; echo y >d/f; echo z >x.bak; echo n >'a b'")
	write(t, s.dir+"/rules", "-f\\.bak$\n")
	words := []string{"-H", "/NULL/", "-M", mode, "-U", "-L", s.dir + "/tmp", "-l", "lab", "-W", s.src(), "-D", s.dst(), "-S", "/bin/true", "-R", s.dir + "/rules", "-t0", "-w0"}
	// It is nobody's that writes them, in a directory of nobody else's.
	if err := os.Chmod(s.dir+"/tmp", 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), testenv.NeedTool(t, "chown"), "nobody", s.dir+"/tmp").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), real, append(words, "--only-initialsync")...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := keptLists(t, s.dir+"/tmp")
	if len(want) != 1 {
		t.Fatalf("clsync leaves %q", want)
	}
	run := clsync(t, words...)
	text, err := run("--print-config").Output()
	found := regexp.MustCompile(`"(/run/lockstep/clsync-[0-9a-f]{16})"`).FindSubmatch(text)
	if err != nil || found == nil {
		t.Fatalf("%v\n%s", err, text)
	}
	dir := string(found[1])
	t.Cleanup(func() { _ = os.RemoveAll(dir + "/lists") })
	if out, err := run("--only-initialsync").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// What is so fresh that it may have changed during the pass is told once more.
	if got := keptLists(t, dir+"/lists/lab/1"); !slices.Contains(got, want[0]) {
		t.Errorf("lockstep leaves\n%q\nand clsync\n%q", got, want)
	}
}

// tries is a handler that looks for the files in which its lists are kept: by their
// place on the host, which the first word is, and by descriptors.
const tries = `#!/bin/bash
[ -e "DIR" ] && echo "sees DIR"
exec 2>/dev/null
for ((n = 3; n < 256; n++)); do
	echo evil >&"$n" && echo "reaches descriptor"
done
cat "$3"
case "$3" in (*/list-[01][0-9]) echo "named as it is kept" ;; esac
exit 0
`

// What stays is bounded, root's alone to read, and out of the handler's reach; it is
// there when lockstep has ended, and gone when it has started again without the key.
func TestKeptLists(t *testing.T) {
	beside(t)
	m := untargeted(t, "shell", "")
	lists := m.run + "/lists"
	text := strings.ReplaceAll(tries, "DIR", lists)
	if err := os.WriteFile(m.flags[3], []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, m.src+"/f", "x")
	m.start("--delay", "20ms", "--max-delay", "20ms", "--handler-keep-lists")
	m.await(0, "the first pass", limit, says("named as it is kept"))
	m.await(0, "readiness", limit, m.isReady)
	const calls = 20
	for i := range calls {
		write(t, fmt.Sprintf("%s/new-%d.", m.src, i), "y")
		m.await(0, "what came", limit, says(fmt.Sprintf(" new-%d.", i)))
	}
	m.signal(syscall.SIGTERM) // and not stop, for which nothing may be left behind
	if code := m.wait(30 * time.Second); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	if out := m.output(); strings.Contains(out, "reaches descriptor") || strings.Contains(out, "sees "+lists) {
		t.Errorf("the handler has what is kept:\n%s", out)
	}
	got := keptLists(t, lists+"/src/1")
	if len(got) != 16 || !strings.HasSuffix(got[len(got)-1], fmt.Sprintf("new-%d.", 9)) || slices.ContainsFunc(got, func(l string) bool { return strings.HasSuffix(l, " f") }) {
		t.Errorf("kept are %d lists: %q", len(got), got)
	}
	for path, mode := range map[string]os.FileMode{lists: 0o700, lists + "/src/1": 0o700, lists + "/src/1/list-01": 0o600} {
		if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", path, info, err)
		}
	}
	if code := m.once("--once"); code != 0 {
		t.Errorf("exit code %d\n%s", code, m.output())
	}
	if left, err := os.ReadDir(lists); err == nil {
		t.Errorf("without the key there are %v", left)
	}
	// The handler's look finds what there is.
	file, err := os.Create(t.TempDir() + "/list-01")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	mkdir(t, lists)
	// (Of what this process has from its own parents nothing is written to.)
	if err := os.WriteFile(m.flags[3], []byte(strings.Replace(text, "n < 256", "n < 4", 1)), 0o755); err != nil {
		t.Fatal(err)
	}
	twin := exec.CommandContext(t.Context(), m.flags[3], "synclist", "src", file.Name())
	twin.ExtraFiles, twin.WaitDelay = []*os.File{file}, time.Second
	if out, err := twin.CombinedOutput(); err != nil || !strings.Contains(string(out), "reaches descriptor") || !strings.Contains(string(out), "sees "+lists) {
		t.Errorf("the twin: %v\n%s", err, out)
	}
}
