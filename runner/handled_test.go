package runner

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/handler"
	"lockstep/ipc"
	"lockstep/ipc/settings"
)

// dump is a handler that shows how it was called, with its lists; text follows.
const dump = `#!/bin/sh
for w in "$@"; do
	case $w in */list-*) echo "list $(tr '\n' ',' <$w)";; *) echo "word $w";; esac
done
echo "in $(pwd) env $CLSYNC_STATUS $CLSYNC_ITERATION $PATH stdin $(wc -c)"
`

// handles serves a script as a handler.
func handles(t *testing.T, mode, text string, change func(*settings.Runner)) *bench {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"source/d", "target", "lists"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, mode := range map[string]os.FileMode{"handler": 0o755, "source/d/f": 0o644, "target/old": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	cfg := program(t, filepath.Join(dir, "handler"))
	cfg.Source, cfg.Target = filepath.Join(dir, "source"), filepath.Join(dir, "target")
	cfg.Handler = settings.Handler{Mode: mode, Label: "lab", Destination: cfg.Target, PID: 7, Lists: filepath.Join(dir, "lists")}
	if change != nil {
		change(&cfg)
	}
	b := serve(t, cfg)
	t.Cleanup(func() {
		b.end()
		if rest, err := os.ReadDir(cfg.Handler.Lists); err != nil || len(rest) > 0 {
			t.Errorf("lists stay: %v %v", rest, err)
		}
	})
	return b
}

func toldOf(all ...handler.Told) string {
	var out []byte
	for _, one := range all {
		out = handler.AppendTold(out, one)
	}
	return string(out)
}

func (b *bench) said() string {
	return strings.ReplaceAll(b.log.String(), "<6>", "")
}

// A handler gets words, lists and environment, and nothing else; what it says goes
// to the log.
func TestHandler(t *testing.T) {
	t.Setenv("RUNNER_TEST_SECRET", "x")
	for _, c := range []struct{ mode, list, whole string }{
		{"shell", "word synclist\nword lab\nlist sync lab 8 d/f,\n", "word synclist\nword lab\nlist sync lab 1073742080 ,sync lab 1073742080 d,sync lab 256 d/f,\n"},
		{"rsyncshell", "word rsynclist\nword lab\nlist /d,/d/f,\nlist \n", "word rsynclist\nword lab\nlist /***,\nlist \n"},
		{"direct", "word d/f\nword TARGET/\n", "word .\nword d\nword d/f\nword TARGET/\n"},
		{"simple", "word sync\nword lab\nword 8\nword SOURCE/d/f\n", ""},
	} {
		b := handles(t, c.mode, dump, nil)
		got := b.run(ipc.JobList, toldOf(handler.Told{Path: "d/f", Mask: 8}))
		plain := func(s string) string {
			return strings.NewReplacer(b.cfg.Source, "SOURCE", b.cfg.Target, "TARGET").Replace(s)
		}
		if want := c.list + "in SOURCE env running 0 /usr/bin:/bin stdin 0\n"; got.End != ipc.EndExited || got.Code != 0 || len(got.Tail) > 0 || plain(b.said()) != want {
			t.Errorf("%s: %+v\ngot  %q\nwant %q", c.mode, got, plain(b.said()), want)
		}
		b.log.Reset()
		got = b.run(ipc.JobInitial, "")
		if want := c.whole + "in SOURCE env initsync 1 /usr/bin:/bin stdin 0\n"; got.Code != 0 || c.whole != "" && plain(b.said()) != want {
			t.Errorf("%s: %+v\ngot  %q\nwant %q", c.mode, got, plain(b.said()), want)
		}
		b.end()
	}
}

// A failure is told with what the handler said last, and ends the job; a code that
// a person ignores does not.
func TestHandlerFails(t *testing.T) {
	b := handles(t, "simple", "#!/bin/sh\necho said >&2; echo ran; case $4 in */bad) exit 5;; *) exit 3;; esac\n", func(c *settings.Runner) { c.Handler.Ignore = "\x03" })
	all := toldOf(handler.Told{Path: "a", Mask: 8}, handler.Told{Path: "bad", Mask: 8}, handler.Told{Path: "z", Mask: 8})
	got := b.run(ipc.JobList, all)
	if got.End != ipc.EndExited || got.Code != 5 || string(got.Tail) != "said\n" || strings.Count(b.said(), "ran") != 2 || !strings.Contains(b.log.String(), "<5>said\n") {
		t.Errorf("%+v %q %q", got, got.Tail, b.log.String())
	}
	b.end()
	b = handles(t, "shell", "#!/bin/sh\nkill -9 $$\n", nil)
	if got := b.run(ipc.JobList, all); got.End != ipc.EndSignalled || got.Code != 9 {
		t.Errorf("%+v", got)
	}
	b.end()
	b = handles(t, "shell", "#!/bin/sh\nexec sleep 1000\n", func(c *settings.Runner) { c.Timeout = 50 * time.Millisecond })
	if got := b.run(ipc.JobList, all); got.End != ipc.EndTimeout {
		t.Errorf("%+v", got)
	}
}

// fifo is one by which a handler says that it has come to a place, or waits at it.
type fifo struct{ *os.File }

func newFIFO(t *testing.T) fifo {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0) // both ends: nobody waits to open his
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return fifo{f}
}

func (f fifo) await(t *testing.T) {
	t.Helper()
	if err := f.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read(make([]byte, 1)); err != nil {
		t.Fatalf("the handler does not come there: %v", err)
	}
}

// One job's calls end before another's begin, and one that waits can be stopped;
// each begins with an empty directory of its own.
func TestHandlerOneAtATime(t *testing.T) {
	begun, goOn := newFIFO(t), newFIFO(t)
	b := handles(t, "simple", "#!/bin/sh\nls $LISTS; : >$LISTS/left; mkdir $TARGET/lock || exit 4; echo in; case $4 in */slow) echo >$BEGUN; read -r go <$GO;; esac; rmdir $TARGET/lock\n",
		func(c *settings.Runner) {
			c.Env = append(c.Env, "TARGET="+c.Target, "LISTS="+c.Handler.Lists, "BEGUN="+begun.Name(), "GO="+goOn.Name())
		})
	slow := b.start(ipc.JobList, toldOf(handler.Told{Path: "slow", Mask: 8}))
	begun.await(t)
	waits := b.start(ipc.JobList, toldOf(handler.Told{Path: "a", Mask: 8}))
	b.in <- packet{msg: &ipc.RunStop{Job: waits}}
	if got := b.wait(); got.Job != waits || got.End != ipc.EndStopped {
		t.Errorf("%+v", got)
	}
	next := b.start(ipc.JobList, toldOf(handler.Told{Path: "b", Mask: 8}))
	if _, err := goOn.WriteString("\n"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []ipc.JobID{slow, next} {
		if got := b.wait(); got.Job != id || got.End != ipc.EndExited || got.Code != 0 {
			t.Errorf("%+v", got)
		}
	}
	if b.said() != "in\nin\n" {
		t.Errorf("%q", b.said())
	}
	if err := os.Remove(filepath.Join(b.cfg.Handler.Lists, "left")); err != nil {
		t.Error(err)
	}
}

// A handler may remove its lists itself.
func TestHandlerRemovesItsList(t *testing.T) {
	b := handles(t, "rsyncshell", "#!/bin/sh\nrm \"$3\" \"$4\"\n", nil)
	if got := b.run(ipc.JobList, toldOf(handler.Told{Path: "a", Mask: 8})); got.End != ipc.EndExited || got.Code != 0 {
		t.Errorf("%+v %q", got, got.Tail)
	}
}

// A job that is stopped makes no further call.
func TestHandlerIsStopped(t *testing.T) {
	begun := newFIFO(t)
	b := handles(t, "simple", "#!/bin/sh\necho >$BEGUN; exec sleep 1000\n", func(c *settings.Runner) { c.Env = append(c.Env, "BEGUN="+begun.Name()) })
	id := b.start(ipc.JobInitial, "")
	begun.await(t)
	b.in <- packet{msg: &ipc.RunStop{Job: id}}
	if got := b.wait(); got.End != ipc.EndStopped {
		t.Errorf("%+v", got)
	}
}

// What is no list of what happened, and kinds of jobs that a handler has not, are
// refused; a target that is asked for is there.
func TestHandlerJobs(t *testing.T) {
	b := handles(t, "shell", dump, nil)
	for kind, want := range map[ipc.JobKind]ipc.End{ipc.JobList: ipc.EndRefused, ipc.JobAttr: ipc.EndRefused, ipc.JobWide: ipc.EndRefused, ipc.JobKnock: ipc.EndExited} {
		if got := b.run(kind, "./a\x00"); got.End != want {
			t.Errorf("%d: %+v", kind, got)
		}
	}
	for kind, want := range map[ipc.JobKind]ipc.End{ipc.JobPrune: ipc.EndRefused, ipc.JobContent: ipc.EndExited} {
		if got := b.run(kind, "- *\x00"); got.End != want {
			t.Errorf("%d: %+v", kind, got)
		}
	}
	if b.said() != "" {
		t.Errorf("it was called: %q", b.said())
	}
	b.end()
	b = handles(t, "nothing", dump, nil)
	if got := b.run(ipc.JobList, ""); got.End != ipc.EndRefused || !bytes.Contains(got.Tail, []byte("does not exist")) {
		t.Errorf("%+v %q", got, got.Tail)
	}
}

// A source that is empty is handed over to no handler while the target is not,
// before a person says so.
func TestHandlerEmptySourceIsHeld(t *testing.T) {
	empty := func(c *settings.Runner) {
		if err := os.RemoveAll(filepath.Join(c.Source, "d")); err != nil {
			t.Fatal(err)
		}
	}
	b := handles(t, "rsyncshell", dump, empty)
	if got := b.run(ipc.JobInitial, ""); got.End != ipc.EndHeldEmpty || b.said() != "" {
		t.Errorf("%+v %q", got, b.said())
	}
	b.end()
	b = handles(t, "rsyncshell", dump, func(c *settings.Runner) { empty(c); c.Accept = true })
	if got := b.run(ipc.JobInitial, ""); got.End != ipc.EndExited || b.said() == "" {
		t.Errorf("%+v", got)
	}
	if got := b.run(ipc.JobInitial, ""); got.End != ipc.EndHeldEmpty {
		t.Errorf("consent is for more than one pass: %+v", got)
	}
	b.end()
	b = handles(t, "rsyncshell", dump, func(c *settings.Runner) {
		empty(c)
		if err := os.Remove(filepath.Join(c.Target, "old")); err != nil {
			t.Fatal(err)
		}
	})
	if got := b.run(ipc.JobInitial, ""); got.End != ipc.EndExited {
		t.Errorf("both are empty: %+v", got)
	}
	// Without a target, what the source once had counts where lists are rsync's.
	for _, c := range []struct {
		mode    string
		entries uint64
		want    ipc.End
	}{{"rsyncshell", 7, ipc.EndHeldEmpty}, {"rsyncshell", 0, ipc.EndExited}, {"shell", 7, ipc.EndExited}} {
		b.end()
		b = handles(t, c.mode, dump, func(r *settings.Runner) {
			empty(r)
			r.Target, r.Handler.Destination, r.Entries = "", "", c.entries
		})
		if got := b.run(ipc.JobInitial, ""); got.End != c.want || (c.want == ipc.EndHeldEmpty) != (b.said() == "") {
			t.Errorf("%+v: %+v %q", c, got, b.said())
		}
	}
}

// What no list can carry is told, and escaped.
func TestHandlerLeaves(t *testing.T) {
	b := handles(t, "shell", dump, nil)
	var all []handler.Told
	for _, c := range "abcdefg" {
		all = append(all, handler.Told{Path: "x\n<3>" + string(c), Mask: 8})
	}
	if got := b.run(ipc.JobList, toldOf(all...)); got.End != ipc.EndExited || got.Code != 0 {
		t.Errorf("%+v", got)
	}
	log := b.log.String()
	if strings.Count(log, "<4>") != 6 || !strings.Contains(log, `x\x0a<3>a`) || !strings.Contains(log, "2 more paths") || strings.Contains(log, "\n<3>") {
		t.Errorf("%q", log)
	}
}

// A whole pass tells of all, however many calls fail, and ends with the worst of
// them; what is wrong with the runner, or a stop, ends it.
func TestHandlerFailsInAPass(t *testing.T) {
	text := "#!/bin/sh\necho ran; case $4 in */d) echo at d >&2; exit 5;; */f) exit 3;; esac\n"
	b := handles(t, "simple", text, nil)
	got := b.run(ipc.JobInitial, "")
	if got.End != ipc.EndExited || got.Code != 5 || string(got.Tail) != "at d\n" || strings.Count(b.said(), "ran\n") != 3 || !strings.Contains(b.log.String(), "<4>at d") {
		t.Errorf("%+v %q %q", got, got.Tail, b.log.String())
	}
	b.end()
	b = handles(t, "simple", "#!/bin/sh\necho ran; case $4 in */d) kill -9 $$;; */f) exit 3;; esac\n", nil)
	if got := b.run(ipc.JobInitial, ""); got.End != ipc.EndSignalled || got.Code != 9 || strings.Count(b.said(), "ran\n") != 3 {
		t.Errorf("%+v %q", got, b.said())
	}
	b.end()
	b = handles(t, "shell", dump, nil)
	if err := os.Remove(b.cfg.Program); err != nil {
		t.Fatal(err)
	}
	if got := b.run(ipc.JobInitial, ""); got.End != ipc.EndRefused {
		t.Errorf("%+v", got)
	}
}

// What a whole pass cannot tell is said at each but the first.
func TestHandlerPassAgain(t *testing.T) {
	for mode, want := range map[string]int{"shell": 2, "direct": 2, "rsyncshell": 0} {
		b := handles(t, mode, "#!/bin/sh\n", nil)
		for range 3 {
			if got := b.run(ipc.JobInitial, ""); got.Code != 0 || got.End != ipc.EndExited {
				t.Errorf("%s: %+v", mode, got)
			}
		}
		if n := strings.Count(b.said(), "not what is gone"); n != want {
			t.Errorf("%s: said %d times", mode, n)
		}
		b.end()
	}
}
