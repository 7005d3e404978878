package watch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/ipc"
	"lockstep/ipc/output"
	"lockstep/ipc/settings"
	"lockstep/ipc/status"
	"lockstep/monitor"
	"lockstep/worker/listing"
)

func inotify() settings.Watch { return settings.Watch{Monitor: settings.MonitorInotify} }

// What is there at the start is not told; what happens then is, in its order.
func TestTellsWhatHappens(t *testing.T) {
	cfg := inotify()
	cfg.Exclude = []string{"*.tmp"}
	r := newRig(t, 1, cfg)
	r.mkdir("old/deep")
	r.write("old/f", "x")
	r.start()
	at := r.want(0)
	r.rename("old/f", "old/g")
	r.settle(time.Second)
	at = r.want(at, "move old/g old/f")
	r.mkdir("new/a")
	r.settle(time.Second)
	at = r.want(at, "create new", "create new/a")
	r.write("x.tmp", "x")
	r.rename("x.tmp", "x")
	r.settle(time.Second)
	at = r.want(at, "create x")
	r.rename("x", "y.tmp") // it leaves for those who see no such names
	r.settle(time.Second)
	at = r.want(at, "delete x")
	r.rename("new", "old/new")
	r.remove("old")
	r.settle(time.Second)
	r.want(at, "move old/new new", "delete old/new/a", "delete old/new", "delete old/g", "delete old/deep", "delete old")
}

// A loss is told at once, and a rescan when all is told again; what that took is in
// the numbers, and so is what a verification takes.
func TestLossAndCost(t *testing.T) {
	r := newRig(t, 1, inotify())
	r.mkdir("a/b", "c")
	r.start()
	r.mkdir("a/untold")
	r.lose()
	r.want(0, "overflow")
	r.settle(time.Second)
	at := r.want(0, "overflow", "rescan")
	rep := r.report()
	if rep.Rescans != 1 || rep.RescansOverflow != 1 || rep.RescanDirs != 5 || rep.RescanNanos == 0 || rep.VerifyDirs != 0 {
		t.Errorf("after a loss: %+v", rep)
	}
	r.write("a/untold/f", "x") // it is watched
	r.settle(time.Second)
	at = r.want(at, "create a/untold/f", "modify a/untold/f", "modify a/untold/f")
	r.root.Command(status.CommandVerify)
	r.root.Advance()
	r.settle(time.Second)
	r.want(at)
	after := r.report()
	if after.Verified != 1 || after.VerifyDirs != 5 || after.VerifyNanos == 0 || after.RescanDirs != rep.RescanDirs || after.Stale+after.Missing != 0 {
		t.Errorf("after a verification: %+v", after)
	}
}

// A reader who takes no lines loses some, and is told so when it takes them again.
func TestSlowReader(t *testing.T) {
	r := newRig(t, 1, inotify())
	r.mkdir("d")
	r.start()
	r.room = 1
	for i := range 5 {
		r.mkdir(fmt.Sprintf("d/%d", i))
	}
	r.settle(time.Second)
	r.want(0, "create d/0")
	if next := r.root.Next(); next.IsZero() || next.After(r.Now().Add(time.Second)) {
		t.Errorf("nobody looks whether the reader reads again: %v", next)
	}
	r.room = -1
	r.root.Advance()
	r.want(0, "create d/0", "overflow", "rescan")
	if n := r.report().Rescans; n != 1 {
		t.Errorf("%d rescans", n)
	}
}

// A list has each directory once, and its end their number; a second one waits for
// nobody, and nothing is told in lines when nobody traces.
func TestListAndTrace(t *testing.T) {
	r := newRig(t, 1, inotify())
	r.mkdir("a/b", "c\n")
	r.start()
	r.root.Command(status.CommandList)
	r.root.Command(status.CommandList) // while one is under way
	r.root.Advance()
	if got := slices.Sorted(slices.Values(r.lines(output.List))); !slices.Equal(got, []string{".", "a", "a/b", `c\x0a`}) {
		t.Errorf("the list is %q", got)
	}
	if done := r.lines(output.Done); len(done) != 1 || done[0] != "4" {
		t.Errorf("its end is %q", done)
	}
	if n := len(r.lines(output.Trace)); n != 0 {
		t.Errorf("%d traces", n)
	}
	r.root.Command(status.CommandTrace)
	r.mkdir("traced")
	r.settle(time.Second)
	if got := strings.Join(r.lines(output.Trace), "\n"); !strings.Contains(got, "CREATE|ISDIR") || !strings.Contains(got, "walk traced") {
		t.Errorf("the trace is %q", got)
	}
}

// What is asked for before the root is ready is done when it is: who asks waits for it.
func TestAskedTooEarly(t *testing.T) {
	r := newRig(t, 1, inotify())
	r.mkdir("a/b")
	r.root.Command(status.CommandList)
	r.root.Command(status.CommandVerify)
	r.start()
	if list, done := r.lines(output.List), r.lines(output.Done); !slices.Equal(slices.Sorted(slices.Values(list)), []string{".", "a", "a/b"}) || len(done) != 1 {
		t.Errorf("%q, %q", list, done)
	}
	if n := r.report().Verified; n != 1 {
		t.Errorf("%d verifications", n)
	}
}

// Without watches for all, a person is told the sysctl, and a rescan comes at times.
func TestTooFewWatches(t *testing.T) {
	r := newRig(t, 1, inotify())
	r.watches = 3
	for i := range 6 {
		r.mkdir(fmt.Sprint(i))
	}
	r.start()
	if len(r.warnings) != 1 || !strings.Contains(r.warnings[0], "of 4 of 7 directories") {
		t.Errorf("the warnings are %q", r.warnings)
	}
	r.settle(limitEvery + time.Second)
	r.want(0, "rescan")
	if rep := r.report(); rep.Unwatched != 4 || rep.Rescans != 1 || rep.RescansUnwatched != 1 {
		t.Errorf("%+v", rep)
	}
}

// A directory that cannot be listed is told to people, tried again, and when it is
// watched, has to be looked at.
func TestRefusedDirectory(t *testing.T) {
	r := newRig(t, 1, inotify())
	r.mkdir("a/b", "c")
	r.refuse["a"] = ipc.Status(listing.EIO)
	r.start()
	if len(r.warnings) != 1 || !strings.Contains(r.warnings[0], "cannot watch or list a: input/output error") {
		t.Errorf("the warnings are %q", r.warnings)
	}
	delete(r.refuse, "a")
	r.settle(retryWalk + time.Second)
	at := r.want(0, "rescan a")
	if rep := r.report(); rep.Rescans != 1 || rep.RescansOverflow+rep.RescansUnwatched != 0 {
		t.Errorf("a rescan of another cause: %+v", rep)
	}
	r.mkdir("a/b/new")
	r.settle(time.Second)
	r.want(at, "create a/b/new")
}

// The root that is moved away ends all, unless it is to be followed.
func TestRootMoved(t *testing.T) {
	for _, follow := range []bool{false, true} {
		cfg := inotify()
		cfg.Follow = follow
		r := newRig(t, 1, cfg)
		r.mkdir("d")
		r.start()
		from := r.dir
		r.dir += "-moved"
		r.rename("../"+from[strings.LastIndexByte(from, '/')+1:], "")
		r.mkdir("d/e")
		r.settle(time.Second)
		if gone := errors.Is(r.failed, ErrGone); gone == follow {
			t.Errorf("follow %t: it ended with %v", follow, r.failed)
		}
		if follow {
			r.want(0, "create d/e")
		}
		r.remove("")
		r.close()
	}
}

// The same with fanotify, whose resolver tells it; and that a root is deleted ends
// all, also one that is followed.
func TestRootMovedByPath(t *testing.T) {
	for _, c := range []struct {
		follow bool
		mask   monitor.Op
		gone   bool
	}{
		{false, monitor.MoveSelf, true}, {true, monitor.MoveSelf, false},
		{true, monitor.DeleteSelf, true}, {true, monitor.MoveSelf | monitor.DeleteSelf, true},
	} {
		for _, walked := range []bool{false, true} {
			r := newRig(t, 1, settings.Watch{Monitor: settings.MonitorFanotify, Follow: c.follow})
			r.start()
			if walked {
				r.root.Command(status.CommandVerify)
				r.settle(time.Second)
			}
			r.root.Path(monitor.PathEvent{Root: 1, Mask: c.mask | monitor.IsDir})
			r.settle(time.Second)
			if gone := errors.Is(r.failed, ErrGone); gone != c.gone {
				t.Errorf("%+v, walked %t: it ended with %v", c, walked, r.failed)
			}
			r.close()
		}
	}
}

// What is compared is told with what a comparison can know.
func TestPollTells(t *testing.T) {
	r := newRig(t, 1, settings.Watch{Monitor: settings.MonitorPoll, PollEvery: time.Second, Inodes: true})
	r.mkdir("d/e")
	r.write("d/f", "x")
	r.start()
	r.settle(5 * time.Second)
	told := func(after int) (all []string) {
		for _, line := range r.lines(output.Event)[after:] {
			if c := parse(t, line); c.Op != "attrib" {
				all = append(all, c.Op+" "+c.Path)
			}
		}
		return all
	}
	at := len(r.lines(output.Event))
	r.rename("d/f", "d/g")
	r.remove("d/e")
	r.settle(5 * time.Second)
	if got := strings.Join(told(at), ", "); !strings.HasPrefix(got, "create d/g, ") || !strings.Contains(got, "delete d/f") || !strings.Contains(got, "delete d/e") || strings.Contains(got, "rescan") {
		t.Errorf("told %q", got)
	}
}

// In a tree in which something always is listed, too, what is in doubt is told.
func TestDoubtInATreeThatNeverRests(t *testing.T) {
	r := newRig(t, 1, inotify())
	r.start()
	at := r.want(0)
	r.root.doubt("x", "why")
	r.mkdir("a")
	for r.hear() { // and nobody answers
	}
	r.pass(impatience / 2)
	for r.hear() {
	}
	at = r.want(at, "create a")
	r.pass(impatience)
	for r.hear() {
	}
	r.want(at, "rescan x")
	if len(r.pending) == 0 {
		t.Error("nothing is under way")
	}
}

// Who is told to end says that lines were dropped before it does.
func TestEndTellsOfDroppedLines(t *testing.T) {
	r := newRig(t, 1, inotify())
	r.start()
	at := r.want(0)
	r.room = 0
	r.mkdir("a")
	r.settle(0)
	r.draining = true
	if r.root.Advance(); r.root.Done() {
		t.Error("it has ended, and nothing says that a line is missing")
	}
	r.room = -1
	if r.root.Advance(); !r.root.Done() {
		t.Error("there is no end")
	}
	r.want(at, "overflow", "rescan")
}
