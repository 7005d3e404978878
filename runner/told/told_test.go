package told

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/handler"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/rsync"
)

func rule(parts ...string) []byte {
	var out []byte
	for _, p := range parts {
		out = append(append(out, p...), 0)
	}
	return out
}

func TestRejected(t *testing.T) {
	names := []string{"a", "d/b", "*", "a*b", "[x]", `back\slash`, `b\*`, "-", " ", "H ", "x\ny", "d/"}
	var rules []byte
	for _, n := range names[:len(names)-1] {
		rules = append(rules, rule(rsync.Rule(rsync.Exclude, n, rsync.Itself))...)
	}
	rules = append(rules, rule(rsync.Rule(rsync.Exclude, "d", rsync.Directory), rsync.Rule(rsync.Include, "k*", rsync.ItselfBelow),
		rsync.Rule(rsync.Exclude, "k*", rsync.Itself), rsync.Rule(rsync.Hide, "s?", rsync.Itself))...)
	got, err := Rejected(rules)
	want := append(slices.Clone(names[:len(names)-1]), "d", "k*", "s?")
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q %v", got, err)
	}
	if got, err := Rejected(nil); err != nil || len(got) > 0 {
		t.Errorf("no rules: %q %v", got, err)
	}
	if got, err := Rejected(rule("- /*")); err != nil || !slices.Equal(got, []string{""}) {
		t.Errorf("all: %q %v", got, err)
	}
	for _, bad := range []string{"- *", "P /x", "- /a/**", "- /a*", "- x", "H /", "+ /x"} {
		if got, err := Rejected(rule(bad)); err == nil {
			t.Errorf("%q is read as %q", bad, got)
		}
	}
	if _, err := Rejected([]byte("- /a\x00\x00")); err == nil {
		t.Error("an empty rule is read")
	}
}

// place makes a source with hostile names.
func place(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"d/deep", "e", "left/in", "-dir"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"a", "d/deep/f", "d/b", "left/in/x", "-dir/new\nline", "100%", "%%", "\xff"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/usr", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "e/fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// caller is a function as a Caller.
type caller func(Call) error

func (c caller) Call(one Call) error  { return c(one) }
func (c caller) Lost(err error) error { return err }

func never() bool { return false }

// Each thing once, a directory before what is in it, no link followed, and nothing
// of what is rejected.
func TestWalk(t *testing.T) {
	var got []string
	ended := false
	err := Walk(place(t), []string{"left", "100%"}, never, func(rel string, isDir bool) error {
		if isDir {
			rel += "/"
		}
		got = append(got, rel)
		return nil
	}, hopeless, func() error { ended = true; return nil })
	want := []string{"/", "%%", "-dir/", "a", "d/", "e/", "link", "\xff", "-dir/new\nline", "d/b", "d/deep/", "d/deep/f", "e/fifo"}
	if err != nil || !ended || !slices.Equal(got, want) {
		t.Errorf("%v %q", err, got)
	}
}

// hopeless ends a walk at what cannot be read.
func hopeless(err error) error { return err }

// A directory that cannot be read is left out, and the walk goes on: the user whose
// it is must not be able to keep the others from being told.
func TestWalkGoesOn(t *testing.T) {
	root := t.TempDir()
	// Deeper than a path can say.
	deep, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("d", 250)
	for range 20 {
		if err := unix.Mkdirat(deep, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(deep, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err := errors.Join(err, unix.Close(deep)); err != nil {
			t.Fatal(err)
		}
		deep = next
	}
	if err := unix.Close(deep); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"a", "z"} {
		if err := os.WriteFile(filepath.Join(root, f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var lost []error
	found := map[string]bool{}
	if err := Walk(root, nil, never, func(rel string, _ bool) error { found[rel] = true; return nil },
		func(err error) error { lost = append(lost, err); return nil }, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if len(lost) != 1 || !errors.Is(lost[0], unix.ENAMETOOLONG) || !found["a"] || !found["z"] || !found[name+"/"+name] {
		t.Errorf("%v, %d found", lost, len(found))
	}
	if err := Walk(root, nil, never, func(string, bool) error { return nil }, hopeless, nil); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Error(err)
	}
}

func TestWalkEnds(t *testing.T) {
	boom := errors.New("boom")
	if err := Walk(place(t), nil, never, func(rel string, _ bool) error {
		if rel == "d/b" {
			return boom
		}
		return nil
	}, hopeless, func() error { t.Error("it went on"); return nil }); !errors.Is(err, boom) {
		t.Error(err)
	}
	if err := Walk(place(t), nil, func() bool { return true }, func(string, bool) error { return nil }, hopeless, nil); err == nil {
		t.Error("it is not to be stopped")
	}
	if err := Walk(place(t)+"/gone", nil, never, nil, hopeless, nil); err == nil {
		t.Error("a source that is not there")
	}
	if err := Walk(place(t), []string{""}, never, func(string, bool) error { t.Error("visited"); return nil }, hopeless, nil); err != nil {
		t.Error(err)
	}
}

// bench makes a teller that takes down its calls, with the content of its lists.
type bench struct {
	*Teller
	t     *testing.T
	calls []string
	fail  int // the call that wants no more; 0: none
}

func make1(t *testing.T, mode string, change func(*settings.Handler)) *bench {
	t.Helper()
	c := settings.Handler{Mode: mode, Label: "lab", Destination: "/to", PID: 7, Lists: t.TempDir()}
	if change != nil {
		change(&c)
	}
	teller, err := New(c, "/h", place(t))
	if err != nil {
		t.Fatal(err)
	}
	return &bench{Teller: teller, t: t}
}

func (b *bench) tell(kind ipc.JobKind, list []byte) (string, []handler.Left, error) {
	b.calls = nil
	left, err := b.Tell(kind, list, never, caller(func(c Call) error {
		text := strings.Join(c.Argv, "|") + " " + strings.Join(c.Env, " ")
		for _, word := range c.Argv {
			if !strings.HasPrefix(word, b.c.Lists) {
				continue
			}
			data, err := os.ReadFile(word)
			if err != nil {
				b.t.Error(err)
			}
			text = strings.Replace(text, word, fmt.Sprintf("{%s}", data), 1)
		}
		b.calls = append(b.calls, strings.ReplaceAll(text, b.source, "/w"))
		if len(b.calls) == b.fail {
			return ErrEnded
		}
		return nil
	}))
	if rest, e := os.ReadDir(b.c.Lists); e != nil || len(rest) > 0 {
		b.t.Errorf("lists stay: %v %v", rest, e)
	}
	return strings.Join(b.calls, "\n"), left, err
}

func list(all ...handler.Told) []byte {
	var out []byte
	for _, one := range all {
		out = handler.AppendTold(out, one)
	}
	return out
}

func TestTellLists(t *testing.T) {
	changed := list(handler.Told{Path: "-dir/x", Mask: 8}, handler.Told{Path: "d", Mask: 0x40000104}, handler.Told{Path: "gone", Mask: 0x200}, handler.Told{Path: "new\nline", Mask: 8})
	for _, c := range []struct{ mode, want string }{
		{"shell", "/h|synclist|lab|{sync lab 8 -dir/x\nsync lab 1073742084 d\nsync lab 512 gone\n} CLSYNC_STATUS=running CLSYNC_ITERATION=0"},
		{"rsyncshell", "/h|rsynclist|lab|{/-dir\n/-dir/x\n/d\n/gone\n/gone/**\n/new[^\x01-\x09\x0b-\xff]line\n}|{} CLSYNC_STATUS=running CLSYNC_ITERATION=0"},
		{"direct", "/h|./-dir/x|d|gone|new\nline|/to/ CLSYNC_STATUS=running CLSYNC_ITERATION=0"},
		{"simple", "/h|sync|lab|8|/w/-dir/x CLSYNC_STATUS=running CLSYNC_ITERATION=0\n/h|sync|lab|1073742084|/w/d CLSYNC_STATUS=running CLSYNC_ITERATION=0\n" +
			"/h|sync|lab|512|/w/gone CLSYNC_STATUS=running CLSYNC_ITERATION=0\n/h|sync|lab|8|/w/new\nline CLSYNC_STATUS=running CLSYNC_ITERATION=0"},
	} {
		b := make1(t, c.mode, nil)
		got, left, err := b.tell(ipc.JobList, changed)
		if err != nil || got != c.want {
			t.Errorf("%s: %v\ngot  %q\nwant %q", c.mode, err, got, c.want)
		}
		if (c.mode == "shell") != (len(left) == 1) {
			t.Errorf("%s: left %+v", c.mode, left)
		}
		if got, _, err := b.tell(ipc.JobList, list(handler.Told{Path: "a", Mask: 8})); err != nil || !strings.Contains(got, "CLSYNC_ITERATION=1") {
			t.Errorf("%s: the next job: %v %q", c.mode, err, got)
		}
	}
}

func TestTellWhole(t *testing.T) {
	rules := rule("- /left", "- /d/b")
	for _, c := range []struct{ mode, want string }{
		{"rsyncshell", "/h|rsynclist|lab|{/***\n}|{/d/b\n/left\n} CLSYNC_STATUS=initsync CLSYNC_ITERATION=0"},
		{"shell", "/h|synclist|lab|{sync lab 1073742080 \nsync lab 256 %%\nsync lab 1073742080 -dir\nsync lab 256 100%\nsync lab 256 a\nsync lab 1073742080 d\nsync lab 1073742080 d/deep\n" +
			"sync lab 256 d/deep/f\nsync lab 1073742080 e\nsync lab 256 e/fifo\nsync lab 256 link\nsync lab 256 \xff\n} CLSYNC_STATUS=initsync CLSYNC_ITERATION=0"},
		{"direct", "/h|.|%%|./-dir|./-dir/new\nline|100%|a|d|d/deep|d/deep/f|e|e/fifo|link|\xff|/to/ CLSYNC_STATUS=initsync CLSYNC_ITERATION=0"},
	} {
		got, _, err := make1(t, c.mode, nil).tell(ipc.JobInitial, rules)
		if err != nil || got != c.want {
			t.Errorf("%s: %v\ngot  %q\nwant %q", c.mode, err, got, c.want)
		}
	}
	b := make1(t, "simple", nil)
	got, _, err := b.tell(ipc.JobInitial, rules)
	if lines := strings.Count(got, "CLSYNC_STATUS=initsync CLSYNC_ITERATION=0"); err != nil || lines != 13 || !strings.HasPrefix(got, "/h|sync|lab|1073742080|/w ") {
		t.Errorf("%v: %d lines: %q", err, lines, got)
	}
}

// What patterns leave out is in the exclude list of every call, whoever has seen it.
func TestTellExcludes(t *testing.T) {
	b := make1(t, "rsyncshell", func(c *settings.Handler) { c.Excludes = []string{"- *.bak"} })
	got, _, err := b.tell(ipc.JobList, list(handler.Told{Path: "gone", Mask: 0x200}))
	if err != nil || !strings.Contains(got, "{/gone\n/gone/**\n}|{- *.bak\n}") {
		t.Errorf("%v %q", err, got)
	}
	got, _, err = b.tell(ipc.JobInitial, rule("- /left"))
	if err != nil || !strings.Contains(got, "{/***\n}|{- *.bak\n/left\n}") {
		t.Errorf("%v %q", err, got)
	}
}

// A call that fails is the last one; what cannot be done is refused; some jobs have
// nothing to tell.
func TestTellEnds(t *testing.T) {
	b := make1(t, "simple", nil)
	b.fail = 2
	if _, _, err := b.tell(ipc.JobInitial, nil); !errors.Is(err, ErrEnded) || len(b.calls) != 2 {
		t.Errorf("%v %q", err, b.calls)
	}
	for kind := ipc.JobNone; kind < ipc.NumJobKinds; kind++ {
		got, _, err := make1(t, "shell", nil).tell(kind, nil)
		refused := kind == ipc.JobNone || kind == ipc.JobPrune || kind == ipc.JobAttr || kind == ipc.JobWide
		if (err != nil) != refused || (got != "") != (kind == ipc.JobInitial) {
			t.Errorf("kind %d: %v %q", kind, err, got)
		}
	}
	for _, bad := range [][]byte{[]byte("./a\x00"), []byte("./=8\x00"), []byte("x")} {
		if got, _, err := make1(t, "shell", nil).tell(ipc.JobList, bad); err == nil || got != "" {
			t.Errorf("%q: %v %q", bad, err, got)
		}
	}
	if got, _, err := make1(t, "rsyncshell", nil).tell(ipc.JobInitial, rule("P /x")); err == nil || got != "" {
		t.Errorf("a rule of no sense: %v %q", err, got)
	}
	// Without a list of what is left out, a whole pass would hand it over.
	bare := func(c *settings.Handler) { c.Arguments = []string{"%INCLUDE-LIST-PATH%"} }
	if got, _, err := make1(t, "rsyncshell", bare).tell(ipc.JobInitial, rule("- /left")); err == nil || got != "" {
		t.Errorf("no exclude list: %v %q", err, got)
	}
}

func TestArguments(t *testing.T) {
	b := make1(t, "shell", func(c *settings.Handler) {
		c.Arguments = []string{"%PID%-%mode%", "%INCLUDE-LIST%", "%destination-dir%", "%%"}
	})
	got, _, err := b.tell(ipc.JobList, list(handler.Told{Path: "x%label%y", Mask: 8}))
	if err != nil || got != "/h|7-shell|x%label%y|/to|% CLSYNC_STATUS=running CLSYNC_ITERATION=0" {
		t.Errorf("%v %q", err, got)
	}
	for _, bad := range []settings.Handler{{Mode: "nothing"}, {Mode: "shell", Label: "a\nb"}} {
		if _, err := New(bad, "/h", "/w"); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

func TestFine(t *testing.T) {
	shell, lists := make1(t, "shell", func(c *settings.Handler) { c.Ignore = "\x17\xff" }), make1(t, "rsyncshell", nil)
	for code := range 256 {
		if got := shell.Fine(uint8(code)); got != (code == 0 || code == 23 || code == 255) {
			t.Errorf("shell: %d", code)
		}
		if got := lists.Fine(uint8(code)); got != (code == 0 || code == 24) {
			t.Errorf("rsyncshell: %d", code)
		}
	}
}

// A list is never written through a name that is there already.
func TestListIsNew(t *testing.T) {
	b := make1(t, "shell", nil)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(b.c.Lists, "list-1")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Tell(ipc.JobList, list(handler.Told{Path: "a", Mask: 8}), never, caller(func(Call) error { t.Error("called"); return nil })); err == nil {
		t.Error("a link is followed")
	}
	if data, err := os.ReadFile(victim); err != nil || string(data) != "mine" {
		t.Errorf("%q %v", data, err)
	}
}

// lists has a job told, and says how many calls it takes and how much the lists of
// the largest have.
func (b *bench) lists(kind ipc.JobKind, list []byte) (calls int, largest int64) {
	b.t.Helper()
	if _, err := b.Tell(kind, list, never, caller(func(Call) error {
		calls++
		names, err := os.ReadDir(b.c.Lists)
		if err != nil {
			return err
		}
		size := int64(0)
		for _, n := range names {
			info, err := n.Info()
			if err != nil {
				return err
			}
			size += info.Size()
		}
		largest = max(largest, size)
		return nil
	})); err != nil {
		b.t.Error(err)
	}
	return calls, largest
}

// Lists stay far below what there is room for, however long or deep paths are:
// whoever can name a file must not be able to stop a target.
func TestListsAreBounded(t *testing.T) {
	const room = 16 << 20
	var deep []handler.Told
	for i := range 17 {
		deep = append(deep, handler.Told{Path: strings.Repeat("d/", 2040) + fmt.Sprint(i), Mask: 8})
	}
	b := make1(t, "rsyncshell", nil)
	if calls, largest := b.lists(ipc.JobList, list(deep...)); calls < 1 || largest > room {
		t.Errorf("deep: %d calls, %d bytes", calls, largest)
	}
	apart := slices.Clone(deep)
	for i := range apart {
		apart[i].Path = fmt.Sprintf("%x/", i) + deep[i].Path[:4000] + "f"
	}
	if calls, largest := b.lists(ipc.JobList, list(apart...)); calls < 8 || largest > room {
		t.Errorf("deep, and in other directories: %d calls, %d bytes", calls, largest)
	}

	b = make1(t, "shell", nil)
	dir := filepath.Join(b.source, strings.Repeat(strings.Repeat("n", 249)+"/", 15))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 2500 {
		if err := os.WriteFile(fmt.Sprintf("%s/%d", dir, i), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if calls, largest := b.lists(ipc.JobInitial, nil); calls < 2 || largest > maxList+8192 {
		t.Errorf("long names: %d calls, %d bytes", calls, largest)
	}
}
