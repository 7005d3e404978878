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
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"lockstep/internal/testenv"
)

// watchMonitors are run with each script; compared says that changes are found
// by listings, user that lockstep is not started as root, and the script neither.
var watchMonitors = []struct {
	name     string
	flags    []string
	compared bool
	user     bool
}{
	{"inotify", []string{"--monitor", "inotify"}, false, false},
	{"fanotify", []string{"--monitor", "fanotify"}, false, false},
	{"dnotify", []string{"--monitor", "dnotify"}, true, false},
	{"poll", []string{"--monitor", "poll", "--poll-every", "100ms"}, true, false},
	{"user", []string{"--monitor", "inotify"}, false, true},
}

// someAsUser are the scripts that are run without root: some, or all.
func someAsUser(n int) bool { return n%scaled().someScripts == 0 }

// TestWatchScripts runs testdata/watch/*.txt with every monitor: a line of flags
// (or an empty one), shell that is run in the watched directory, a line of ---,
// and the lines that follow from it. A line that begins with ? may be there or
// not, and so may a type that ends with one; what begins with # before the flags
// says what the script is about, or with #before: is shell that is run before the
// watch begins.
//
// What another monitor tells stands below a line of its own, "--- poll dnotify",
// and only where it is something else. "any order" at the end of that line: the
// lines come in any order, and more than once, with what a comparison tells beside
// them (see means).
//
// Where changes are found by listings, a line of sleep ends a step: each step is
// told before the next one begins, and is over before anything is listed.
func TestWatchScripts(t *testing.T) { watchScripts(t, program(t, "lockstep")) }

// TestWatchScriptsTiny is TestWatchScripts with programs that read and send one
// event at a time, or a few that are short.
func TestWatchScriptsTiny(t *testing.T) {
	watchScripts(t, builtWith(t, "tinybuffer"))
}

// builtWith is lockstep beside programs that were built with a tag of the tests.
func builtWith(t *testing.T, tag string) string {
	t.Helper()
	testenv.NeedRoot(t)
	built := program(t, "lockstep")
	dir, err := os.MkdirTemp(filepath.Dir(built), tag+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // what is left is seen in bin
	id, err := exec.Command("../../scripts/build-id").Output()
	if err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", tag, "-ldflags", "-X lockstep/internal/buildinfo.ID="+strings.TrimSpace(string(id)), "-o", dir,
		"./cmd/lockstep-helper", "./cmd/lockstep-worker", "./cmd/lockstep-runner", "./cmd/lockstep-resolver")
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command("go", "version", "-m", filepath.Join(dir, "lockstep-resolver")).Output(); err != nil || !strings.Contains(string(out), "-tags="+tag+"\n") {
		t.Fatalf("not built with %s: %v\n%s", tag, err, out)
	}
	if out, err := exec.Command("cp", built, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "lockstep")
}

func watchScripts(t *testing.T, program string) {
	paths, err := filepath.Glob("testdata/watch/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	guide, err := os.ReadFile("../../docs/monitors.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if name := strings.TrimSuffix(filepath.Base(path), ".txt"); !strings.Contains(string(guide), "\n"+name+" ") {
			t.Errorf("the table in docs/monitors.md has no row %s", name)
		}
	}
	table := &differences{cells: map[string]string{}}
	users := forUsers(t, program)
	t.Run("with", func(t *testing.T) { // ends when all that is parallel has ended
		for _, m := range watchMonitors {
			for n, path := range paths {
				program, attr, dir := program, &syscall.SysProcAttr{Setpgid: true}, (*testing.T).TempDir
				if m.user {
					if !someAsUser(n) {
						continue
					}
					program, attr, dir = users, asAnyone(), func(t *testing.T) string { return openDir(t, anyone) }
				}
				name := strings.TrimSuffix(filepath.Base(path), ".txt")
				t.Run(m.name+"/"+name, func(t *testing.T) {
					beside(t)
					text, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					s := parseScript(t, string(text))
					s.flags = append(s.flags, m.flags...)
					s.program, s.attr, s.dir = program, attr, dir
					got := s.run(t, m.name, m.compared)
					table.note(name, m.name, s.wants["inotify"].differs(got))
					if bad := s.want(m.name).check(got); bad != "" {
						t.Fatalf("%s; got\n%s\nwant\n%s", bad, strings.Join(got, "\n"), strings.Join(s.want(m.name).lines, "\n"))
					}
				})
			}
		}
	})
	table.print(t)
}

// watchScript is a script and what it expects.
type watchScript struct {
	before []string
	flags  []string
	steps  []string // each ends with a line of sleep, or is the last
	wants  map[string]expected

	program string
	attr    *syscall.SysProcAttr      // of lockstep, and of who makes the changes
	dir     func(t *testing.T) string // makes one of theirs
}

func parseScript(t *testing.T, text string) *watchScript {
	t.Helper()
	s := &watchScript{wants: map[string]expected{}}
	for strings.HasPrefix(text, "#") {
		line, rest, _ := strings.Cut(text, "\n")
		if before, ok := strings.CutPrefix(line, "#before: "); ok {
			s.before = append(s.before, before)
		}
		text = rest
	}
	flags, rest, _ := strings.Cut(text, "\n")
	s.flags = strings.Fields(flags)
	sections := strings.Split(rest, "\n---")
	if len(sections) < 2 {
		t.Fatal("the script has no line of ---")
	}
	step := ""
	for line := range strings.Lines(sections[0] + "\n") {
		if step += line; strings.HasPrefix(line, "sleep ") {
			s.steps, step = append(s.steps, step), ""
		}
	}
	if step != "" {
		s.steps = append(s.steps, step)
	}
	for i, section := range sections[1:] {
		head, body, _ := strings.Cut(section, "\n")
		names, loose := strings.CutSuffix(head, " any order")
		if i == 0 {
			names = "inotify"
		}
		for _, name := range strings.Fields(names) {
			if !slices.ContainsFunc(monitorNames(), func(m string) bool { return m == name }) {
				t.Fatalf("--- %s: there is no such monitor", name)
			}
			s.wants[name] = expected{strings.Split(strings.TrimSpace(body), "\n"), loose}
		}
	}
	return s
}

func monitorNames() (names []string) {
	for _, m := range watchMonitors {
		names = append(names, m.name)
	}
	return names
}

func (s *watchScript) want(monitor string) expected {
	if w, ok := s.wants[monitor]; ok {
		return w
	}
	return s.wants["inotify"]
}

// run returns what was told.
func (s *watchScript) run(t *testing.T, monitor string, compared bool) (got []string) {
	t.Helper()
	dir, outside := s.dir(t), s.dir(t)
	shell := func(script string) {
		cmd := exec.Command("/bin/sh", "-eu")
		cmd.Stdin, cmd.Dir, cmd.SysProcAttr = strings.NewReader(script), dir, s.attr
		cmd.Env = append(os.Environ(), "OUT="+outside, "LC_ALL=C")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("script: %v\n%s\n%s", err, script, out)
		}
	}
	for _, script := range s.before {
		shell(script)
	}
	if compared && len(s.before) > 0 {
		// What is as new as its first listing is told once more (worker/poll: a
		// clock's tick is 50 ms at most).
		time.Sleep(60 * time.Millisecond)
	}
	w := spyAs(t, s.attr, s.program, dir, append([]string{"watch", "--format", "json"}, s.flags...)...)
	if compared {
		got = s.compared(t, w, monitor, shell)
	} else {
		shell(strings.Join(s.steps, ""))
		for _, line := range w.sync(1) {
			got = append(got, told(t, line))
		}
	}
	w.stop()
	return got
}

// compared runs the steps while the worker stands still, and then waits for what
// it finds.
func (s *watchScript) compared(t *testing.T, w *spy, monitor string, shell func(string)) (got []string) {
	t.Helper()
	// A round lists the root first, and what is new in it is walked after that:
	// when the mark of the third one is told, all that the first one could find is.
	// The fourth is for what a round that was under way had not seen.
	n := 0
	settled := func() {
		for range 4 {
			w.markOne(n)
			n++
		}
	}
	settled()
	for _, step := range s.steps {
		step, _, _ = strings.Cut(step, "\nsleep ")
		thaw := w.freeze()
		shell(step)
		thaw()
		settled()
	}
	want := s.want(monitor)
	heard := func(lines []string) []string {
		var got []string
		for _, line := range lines[1:] {
			if !strings.Contains(line, `".sync-`) {
				got = append(got, told(t, line))
			}
		}
		// The marks are entries of the root.
		return slices.DeleteFunc(got, func(line string) bool { return line == rootTouched && !slices.Contains(want.lines, line) })
	}
	w.until("all that is expected", func(lines []string) bool {
		missing, _ := want.sets(heard(lines))
		return !want.loose || len(missing) == 0
	})
	settled()
	return heard(w.until("", func([]string) bool { return true }))
}

const rootTouched = `attrib type=dir path=""`

// expected is what is to be told.
type expected struct {
	lines []string
	loose bool // in any order, and as often as may be
}

// likely is what a line may lack: a type that could not be looked at in time.
var likely = regexp.MustCompile(` type=\w+\?`)

func sameLine(got, want string) bool {
	return got == likely.ReplaceAllString(want, "") || got == strings.Replace(want, "? ", " ", 1)
}

// check says what is not as expected; "": nothing.
func (w expected) check(got []string) string {
	// Fanotify's events have the path that a directory has when they are read:
	// whether that was before or after it was renamed, no script decides.
	got = slices.DeleteFunc(slices.Clone(got), func(line string) bool {
		return strings.HasSuffix(line, "it may have been told of before the rename that brought it was")
	})
	if w.loose {
		missing, more := w.sets(got)
		switch {
		case len(missing) > 0:
			return "missing: " + strings.Join(missing, "; ")
		case len(more) > 0:
			return "more than expected: " + strings.Join(more, "; ")
		}
		return ""
	}
	at := 0
	for _, line := range w.lines {
		line, optional := strings.CutPrefix(line, "?")
		switch {
		case line == "":
		case at < len(got) && sameLine(got[at], line):
			at++
		case !optional:
			return fmt.Sprintf("line %d is not %s", at+1, line)
		}
	}
	if at < len(got) {
		return fmt.Sprintf("more than expected from line %d on", at+1)
	}
	return ""
}

// sets compares without order and number.
func (w expected) sets(got []string) (missing, more []string) {
	for _, line := range w.lines {
		line, optional := strings.CutPrefix(line, "?")
		if !optional && line != "" && !slices.ContainsFunc(got, func(g string) bool { return sameLine(g, line) }) && !slices.Contains(missing, line) {
			missing = append(missing, line)
		}
	}
	for _, g := range got {
		if !slices.ContainsFunc(w.lines, func(line string) bool { return w.means(g, strings.TrimPrefix(line, "?")) }) && !slices.Contains(more, g) {
			more = append(more, g)
		}
	}
	return missing, more
}

// means says whether a line is one that is expected or, where listings are
// compared, what comes with it: a directory's time changes with its entries, and
// of what has just been made it is told once more that it is another.
func (w expected) means(got, want string) bool {
	if sameLine(got, want) {
		return true
	}
	if !w.loose || strings.Contains(want, "cause=") {
		return false
	}
	op, _, _ := strings.Cut(want, " ")
	of := func(line string) string { return line[strings.Index(line, " path")+1:] }
	return strings.HasPrefix(got, "attrib type=dir ") || op == "create" && strings.HasPrefix(got, "modify ") && of(got) == of(want)
}

// differs says in a word how what was told differs.
func (w expected) differs(got []string) string {
	missing, more := w.sets(got)
	switch {
	case w.check(got) == "":
		return "same"
	case len(missing)+len(more) == 0:
		return "order"
	}
	return fmt.Sprintf("-%d +%d", len(missing), len(more))
}

// differences are a table of scripts and monitors.
type differences struct {
	mu    sync.Mutex
	cells map[string]string // guarded by mu
}

func (d *differences) note(script, monitor, how string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cells[script+" "+monitor] = how
}

// print shows it: -n are the lines of inotify's that are not told, +n others.
func (d *differences) print(t *testing.T) {
	var b strings.Builder
	tab := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tab, "\t%s\n", strings.Join(monitorNames(), "\t"))
	scripts := map[string]bool{}
	for cell := range d.cells {
		scripts[strings.Fields(cell)[0]] = true
	}
	for _, script := range sortedKeys(scripts) {
		fmt.Fprint(tab, script)
		for _, m := range monitorNames() {
			fmt.Fprint(tab, "\t", d.cells[script+" "+m])
		}
		fmt.Fprintln(tab)
	}
	_ = tab.Flush() // into memory
	t.Logf("against the lines of inotify:\n%s", b.String())
}

func sortedKeys(m map[string]bool) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
