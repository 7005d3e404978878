package worker

import (
	"bytes"
	"strings"
	"testing"

	"lockstep/ipc"
	"lockstep/monitor"
	"lockstep/worker/listing"
	"lockstep/worker/pump"
	"lockstep/worker/track"
	"lockstep/worker/walks"
)

// refusing is a root whose directories are what the test says, some of which cannot
// be listed.
type refusing struct {
	*several
	Helper
	dirs  map[string]string // the directories in each
	fails map[string]bool
	wds   map[string]int32
	asked map[uint32]ipc.Message
	rules []string // of the last pass
	log   bytes.Buffer
}

func (f *refusing) Request(m ipc.Message, list []byte) uint32 {
	if start, ok := m.(*ipc.Start); ok && start.Kind == ipc.JobInitial {
		f.rules = strings.Split(strings.Trim(string(list), "\x00"), "\x00")
	}
	seq := f.Helper.Request(m, list)
	f.asked[seq] = m
	return seq
}

// serve does what is asked of helper and runner: nothing that is asked for is there.
func (f *refusing) serve() {
	for seq, m := range f.asked {
		delete(f.asked, seq)
		flight := f.e.flights[seq]
		delete(f.e.flights, seq)
		var err error
		switch m := m.(type) {
		case *ipc.Stat:
			a := &ipc.StatAnswer{}
			for range m.Rels {
				a.Stats = append(a.Stats, ipc.PathStat{Status: ipc.Status(listing.ENOENT)})
			}
			err = flight(a, true)
		case *ipc.Start:
			f.job++
			if err = flight(&ipc.StartAnswer{Job: f.job}, true); err == nil {
				f.ends(f.job, 0)
			}
		}
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

func newRefusing(t *testing.T) *refusing {
	f := &refusing{several: &several{root: testRoot(t, 1), t: t}, dirs: map[string]string{}, fails: map[string]bool{}, wds: map[string]int32{}, asked: map[uint32]ipc.Message{}}
	f.Helper, f.e.helper = f.e.helper, f
	f.e.log = pump.Log{W: &f.log}
	f.asks.Flying = walks.Most
	return f
}

// answer answers every walk, and what comes of it.
func (f *refusing) answer() {
	for f.advance(); len(f.asks.List) > 0; f.advance() {
		w := f.asks.List[0]
		f.asks.List = f.asks.List[1:]
		l := track.Listing{Serial: w.Serial, WD: -1}
		if f.fails[w.Rel] {
			l.Status = listing.EIO
		} else {
			if f.wds[w.Rel] == 0 {
				f.wds[w.Rel] = int32(len(f.wds) + 1)
			}
			l.WD = f.wds[w.Rel]
			for _, name := range strings.Fields(f.dirs[w.Rel]) {
				l.Entries = append(l.Entries, track.Entry{Kind: listing.KindDir, Name: name})
			}
		}
		f.root.track.Listing(l, f.e.now)
	}
}

// pass makes a whole pass and ends it.
func (f *refusing) pass() {
	f.t.Helper()
	f.rules = nil
	f.demand("overflow")
	for range 20 {
		if f.answer(); f.rules != nil {
			f.serve()
			return
		}
		f.serve()
		f.e.now = f.next()
	}
	f.t.Fatal("no pass is made")
}

func (f *refusing) leavesOut(want ...string) {
	f.t.Helper()
	if got := strings.Join(f.rules, " "); got != strings.Join(want, " ") {
		f.t.Errorf("the pass leaves out %q, want %q", f.rules, want)
	}
}

// A directory that can be listed again is in every pass from then on, whatever else
// fails for ever.
func TestDirectoryThatIsListedAgainIsInThePasses(t *testing.T) {
	f := newRefusing(t)
	f.dirs[""] = "d e"
	f.fails["d"], f.fails["e"] = true, true
	f.pass()
	if len(f.rules) != 2 {
		t.Errorf("the first pass leaves out %q", f.rules)
	}
	f.fails["e"] = false
	f.e.now = f.retryAt
	f.answer()
	f.pass()
	f.leavesOut("- /d")
	if n := strings.Count(f.log.String(), "cannot"); n != 2 {
		t.Errorf("told %d times:\n%s", n, f.log.String())
	}
	f.fails["d"] = false
	for range 2 { // it is listed, and the next time nothing is left to be
		f.e.now = f.retryAt
		f.answer()
	}
	if !f.targets[0].Queue.Whole() {
		t.Error("everything can be listed again, and no pass is owed")
	}
}

// What cannot be listed is left out where it is, not where it was; under its new name
// it is told of once.
func TestDirectoryThatFailsIsLeftOutWhereItIs(t *testing.T) {
	f := newRefusing(t)
	f.dirs[""], f.dirs["a"] = "a", "d"
	f.fails["a/d"] = true
	f.pass()
	f.leavesOut("- /a/d")
	event := func(mask monitor.Op, name string, cookie uint32) {
		f.root.track.Event(monitor.Event{WD: 1, Mask: mask | monitor.IsDir, Cookie: cookie, Name: []byte(name)}, f.e.now)
	}
	f.wds["b"] = f.wds["a"]
	f.wds["a"], f.wds["a/d"] = 10, 11
	f.dirs[""], f.dirs["b"] = "a b", "d"
	delete(f.fails, "a/d")
	f.fails["b/d"] = true
	event(monitor.MovedFrom, "a", 1)
	event(monitor.MovedTo, "b", 1)
	event(monitor.Create, "a", 0)
	f.answer()
	for range 2 {
		f.pass()
		f.leavesOut("- /b/d")
	}
	if n := strings.Count(f.log.String(), " b/d"); n != 1 {
		t.Errorf("told %d times of b/d:\n%s", n, f.log.String())
	}
}
