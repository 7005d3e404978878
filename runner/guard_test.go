package runner

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/rsync"
	"lockstep/runner/survey"
)

// pair is a source and a target with rsync as the command.
type pair struct {
	src, dst string
	cfg      settings.Runner
}

func newPair(t *testing.T, percent uint32, entries uint64) *pair {
	t.Helper()
	path := testenv.NeedTool(t, "rsync")
	p := &pair{src: t.TempDir(), dst: t.TempDir(), cfg: program(t, path)}
	o := rsync.Options{Source: p.src, Target: p.dst}
	for kind := ipc.JobInitial; kind < ipc.NumJobKinds; kind++ {
		p.cfg.Argv[kind] = rsync.Argv(kind, o)
	}
	p.cfg.Probe = rsync.Probe(o)
	p.cfg.Source, p.cfg.Target = p.src, p.dst
	p.cfg.MaxDeletePercent, p.cfg.MaxDeleteEntries = percent, entries
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func touch(t *testing.T, dir, prefix string, n int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := os.WriteFile(fmt.Sprintf("%s/%s%d", dir, prefix, i), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func count(t *testing.T, dir string) int {
	t.Helper()
	s, err := survey.Trees(dir, dir, &survey.Hidden{}, 0, func() bool { return false }, nil)
	must(t, err)
	return int(s.Entries)
}

func TestGuardEmptySource(t *testing.T) {
	p := newPair(t, 50, 1000)
	touch(t, p.dst, "old", 3)
	b := serve(t, p.cfg)
	if got := b.run(ipc.JobInitial, ""); got.End != ipc.EndHeldEmpty || got.Entries != 3 || got.Deletes != 3 {
		t.Errorf("%+v", got)
	}
	if count(t, p.dst) != 3 {
		t.Error("a held pass deleted")
	}
	// Something in the source: few enough.
	touch(t, p.src, "new", 1)
	if got := b.run(ipc.JobInitial, ""); got.End != ipc.EndExited || got.Code != 0 {
		t.Errorf("%+v %s", got, got.Tail)
	}
	if count(t, p.dst) != 1 {
		t.Error("not in step")
	}
}

func TestGuardBothEmpty(t *testing.T) {
	p := newPair(t, 50, 1000)
	if got := serve(t, p.cfg).run(ipc.JobInitial, ""); got.End != ipc.EndExited || got.Code != 0 {
		t.Errorf("%+v %s", got, got.Tail)
	}
}

func TestGuardMany(t *testing.T) {
	p := newPair(t, 50, 10)
	touch(t, p.src, "keep", 20)
	touch(t, p.dst, "keep", 20)
	touch(t, p.dst+"/d", "old", 29) // 30 of 50 entries with the directory
	b := serve(t, p.cfg)
	got := b.run(ipc.JobInitial, "")
	if got.End != ipc.EndHeldMany || got.Entries != 50 || got.Deletes < 26 || got.Deletes > 30 {
		t.Errorf("%+v %s", got, got.Tail)
	}
	if n := count(t, p.dst); n != 50 {
		t.Errorf("%d entries, want 50: a held pass deleted", n)
	}
	// What a rule protects is not deleted, and not counted.
	rules := rsync.Rule(rsync.Exclude, "d/", rsync.Itself) + "\x00"
	if got := b.run(ipc.JobInitial, rules); got.End != ipc.EndExited || got.Code != 0 || count(t, p.dst) != 50 {
		t.Errorf("%+v %s", got, got.Tail)
	}
	// One entry less than half, and it may go.
	touch(t, p.src+"/d", "old", 5)
	if got := b.run(ipc.JobInitial, ""); got.End != ipc.EndExited || got.Code != 0 || count(t, p.dst) != 26 {
		t.Errorf("%+v %s", got, got.Tail)
	}
}

func TestGuardDirectoryThatBecameAFile(t *testing.T) {
	p := newPair(t, 50, 10)
	touch(t, p.src, "keep", 1)
	touch(t, p.src, "d", 1)
	touch(t, p.dst+"/d0", "old", 40)
	b := serve(t, p.cfg)
	if got := b.run(ipc.JobInitial, ""); got.End != ipc.EndHeldMany || got.Deletes < 21 {
		t.Errorf("%+v %s", got, got.Tail)
	}
	if n := count(t, p.dst); n != 41 {
		t.Errorf("%d entries: a held pass deleted", n)
	}
}

func TestGuardConsent(t *testing.T) {
	p := newPair(t, 50, 10)
	p.cfg.Accept = true
	touch(t, p.src, "keep", 1)
	touch(t, p.dst, "old", 100)
	b := serve(t, p.cfg)
	if got := b.run(ipc.JobInitial, ""); got.End != ipc.EndExited || got.Code != 0 || count(t, p.dst) != 1 {
		t.Errorf("%+v %s", got, got.Tail)
	}
	// The consent was for one pass.
	touch(t, p.dst, "old", 100)
	if got := b.run(ipc.JobInitial, ""); got.End != ipc.EndHeldMany || got.Entries != 101 {
		t.Errorf("%+v %s", got, got.Tail)
	}
}

func TestGuardOff(t *testing.T) {
	p := newPair(t, 50, 10)
	p.cfg.Probe = nil
	touch(t, p.dst, "old", 100)
	if got := serve(t, p.cfg).run(ipc.JobInitial, ""); got.End != ipc.EndExited || got.Code != 0 || count(t, p.dst) != 0 {
		t.Errorf("%+v %s", got, got.Tail)
	}
}

// Two zeros are the strictest limit, not the absence of one.
func TestGuardZero(t *testing.T) {
	p := newPair(t, 0, 0)
	touch(t, p.dst, "old", 1)
	b := serve(t, p.cfg)
	if got := b.run(ipc.JobInitial, ""); got.End != ipc.EndHeldEmpty || count(t, p.dst) != 1 {
		t.Errorf("%+v %s", got, got.Tail)
	}
	touch(t, p.src, "new", 1)
	if got := b.run(ipc.JobInitial, ""); got.End != ipc.EndHeldMany || got.Deletes != 1 || count(t, p.dst) != 1 {
		t.Errorf("%+v %s", got, got.Tail)
	}
	touch(t, p.src, "old", 1)
	if got := b.run(ipc.JobInitial, ""); got.End != ipc.EndExited || got.Code != 0 || count(t, p.dst) != 2 {
		t.Errorf("nothing to delete: %+v %s", got, got.Tail)
	}
}

// Consent is used up by a pass that ran, also when it could not do all paths.
func TestConsentAndCodes(t *testing.T) {
	for code, used := range map[int]bool{0: true, 23: true, 24: true, 11: false, 12: false} {
		p := newPair(t, 50, 10)
		flag := t.TempDir() + "/ran"
		p.cfg = shellPass(t, p.cfg, fmt.Sprintf("[ -e %s ] || { : >%s; exit %d; }", flag, flag, code))
		p.cfg.Accept = true
		touch(t, p.dst, "old", 3)
		b := serve(t, p.cfg)
		if got := b.run(ipc.JobInitial, ""); got.End != ipc.EndExited || int(got.Code) != code {
			t.Errorf("code %d: %+v %s", code, got, got.Tail)
		}
		// The source is empty: without consent that is held.
		if got := b.run(ipc.JobInitial, ""); (got.End == ipc.EndHeldEmpty) != used {
			t.Errorf("after code %d: %+v", code, got)
		}
		b.end() // a process can have one runner at a time
	}
}

// Later takes the place of the whole pass once that has gone through, without a
// guard: it deletes nothing.
func TestLater(t *testing.T) {
	for code, later := range map[int]bool{0: true, 24: true, 23: false, 11: false} {
		p := newPair(t, 50, 10)
		touch(t, p.src, "f", 1)
		p.cfg = shellPass(t, p.cfg, fmt.Sprintf("exit %d", code))
		p.cfg.Later = []string{"sh", "-c", "echo later; exit 3"}
		b := serve(t, p.cfg)
		if got := b.run(ipc.JobInitial, ""); got.End != ipc.EndExited || int(got.Code) != code {
			t.Errorf("code %d: %+v %s", code, got, got.Tail)
		}
		touch(t, p.dst, "old", 30) // more than may be deleted
		if err := os.Remove(p.src + "/f0"); err != nil {
			t.Fatal(err)
		}
		if got := b.run(ipc.JobInitial, ""); (got.Code == 3 && string(got.Tail) == "later\n") != later {
			t.Errorf("after code %d: %+v %s", code, got, got.Tail)
		}
		b.end()
	}
}

// shellPass is cfg with a script as its whole pass.
func shellPass(t *testing.T, cfg settings.Runner, script string) settings.Runner {
	t.Helper()
	sh := shell(t)
	cfg.Program, cfg.ProgDev, cfg.ProgIno = sh.Program, sh.ProgDev, sh.ProgIno
	cfg.Argv[ipc.JobInitial] = []string{"sh", "-c", script}
	return cfg
}

func TestGuardCountTimesOut(t *testing.T) {
	p := newPair(t, 50, 10)
	p.cfg.Timeout = time.Nanosecond
	touch(t, p.dst, "old", 1)
	if got := serve(t, p.cfg).run(ipc.JobInitial, ""); got.End != ipc.EndTimeout || count(t, p.dst) != 1 {
		t.Errorf("%+v %s", got, got.Tail)
	}
}

func TestGuardMissingPlaces(t *testing.T) {
	p := newPair(t, 50, 10)
	touch(t, p.dst, "old", 1)
	for _, c := range []struct{ src, dst string }{{p.src + "/none", p.dst}, {p.src, p.dst + "/none"}} {
		p.cfg.Source, p.cfg.Target = c.src, c.dst
		b := serve(t, p.cfg)
		if got := b.run(ipc.JobInitial, ""); got.End != ipc.EndRefused || len(got.Tail) == 0 {
			t.Errorf("%v: %+v %s", c, got, got.Tail)
		}
		b.end() // a process can have one runner at a time
	}
}

func TestLimit(t *testing.T) {
	for _, c := range []struct {
		entries uint64
		percent uint32
		number  uint64
		want    uint64
	}{
		{0, 50, 0, 0}, {100, 50, 10, 50}, {100, 50, 1000, 1000}, {101, 50, 0, 50},
		{1 << 63, 50, 0, 1 << 62}, {^uint64(0), 100, 0, ^uint64(0)}, {100, 200, 0, 100}, {100, 0, 7, 7},
	} {
		if got := limit(c.entries, c.percent, c.number); got != c.want {
			t.Errorf("limit(%d, %d, %d) = %d, want %d", c.entries, c.percent, c.number, got, c.want)
		}
	}
}

// starts has the pass and its dry run tell of each start, and returns what
// counts them.
func (p *pair) starts(t *testing.T) func() string {
	t.Helper()
	sh := shell(t)
	p.cfg.Program, p.cfg.ProgDev, p.cfg.ProgIno = sh.Program, sh.ProgDev, sh.ProgIno
	p.cfg.Env = append(p.cfg.Env, "PATH="+os.Getenv("PATH"))
	log := t.TempDir() + "/log"
	told := func(word string, argv []string) []string {
		script := fmt.Sprintf("printf %s >>%s; exec \"$0\" \"$@\"", word, log)
		return append([]string{"sh", "-c", script}, argv...)
	}
	p.cfg.Argv[ipc.JobInitial] = told("p", p.cfg.Argv[ipc.JobInitial])
	p.cfg.Probe = told("d", p.cfg.Probe)
	return func() string {
		b, err := os.ReadFile(log)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if err := os.Truncate(log, 0); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(b)
	}
}

// A pass of which the survey knows that it deletes little is the only rsync
// that runs; one of which it does not has a dry run before it.
func TestGuardStartsOneCommand(t *testing.T) {
	p := newPair(t, 50, 10)
	starts := p.starts(t)
	for i := range 10 {
		touch(t, fmt.Sprintf("%s/d%d", p.src, i), "x", 9)
	}
	b := serve(t, p.cfg)
	deep := strings.Repeat("d/", 200)
	for _, c := range []struct {
		what, rules, want string
		change            func()
	}{
		{"an empty target", "", "p", func() {}},
		{"in step", "", "p", func() {}},
		{"some deletions", "", "p", func() { touch(t, p.dst+"/old", "x", 29) }},
		{"nearly too many", "", "p", func() { touch(t, p.dst+"/old", "x", 90) }},
		{"too many", "", "d", func() { touch(t, p.dst+"/old", "x", 110) }},
		{"too many, but protected", "- /old/\x00", "dp", func() {}},
		{"in step again", "", "p", func() { must(t, os.RemoveAll(p.dst+"/old")) }},
		{"few hidden", "H /d0/x1\x00H /d9\x00", "p", func() {}},
		{"many hidden", "H /d1\x00H /d2\x00H /d3\x00H /d4\x00H /d5\x00H /d6\x00H /d7\x00", "d", func() {}},
		{"a rule that is not understood", "P /d1\x00", "dp", func() {}},
		{"too deep to be looked at", "", "dp", func() {
			must(t, os.MkdirAll(p.src+"/"+deep, 0o700))
			must(t, os.MkdirAll(p.dst+"/"+deep, 0o700))
		}},
	} {
		c.change()
		got := b.run(ipc.JobInitial, c.rules)
		if held := c.want == "d"; held != (got.End == ipc.EndHeldMany) || !held && (got.End != ipc.EndExited || got.Code != 0) {
			t.Errorf("%s: %+v %s", c.what, got, got.Tail)
		}
		if ran := starts(); ran != c.want {
			t.Errorf("%s: ran %q, want %q", c.what, ran, c.want)
		}
	}
}
