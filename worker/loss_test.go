package worker

import (
	"strings"
	"testing"
	"time"

	"lockstep/ipc"
	"lockstep/ipc/status"
	"lockstep/monitor"
	"lockstep/worker/account"
	"lockstep/worker/pump"
)

// answering is a helper that answers what a test lets it, in order. Of a list it
// says that it went well.
type answering struct {
	*several
	list    func(rel string, watch bool) ipc.Dir
	asked   []ipc.Message
	first   uint32        // sequence number of the first of asked
	most    int           // requests to list that were under way at most
	walks   uint64        // and walks
	longest time.Duration // to apply one packet
}

func newAnswering(t *testing.T, list func(rel string, watch bool) ipc.Dir) *answering {
	s := newSeveral(t, 1)
	s.ends(s.started(), 0)
	h := &answering{several: s, list: list, first: 1}
	s.e.helper, s.asks.Flying = h, 0 // walks are sent from now on
	return h
}

func (h *answering) Answers() <-chan pump.Answer { return nil }
func (h *answering) Errs() <-chan error          { return nil }

func (h *answering) Request(m ipc.Message, _ []byte) uint32 {
	h.asked = append(h.asked, m)
	return h.first + uint32(len(h.asked)) - 1
}

// serve answers one request after the other until there are none, and does what
// comes between two listings.
func (h *answering) serve(between func()) {
	h.t.Helper()
	for h.root.advance(); len(h.asked) > 0; {
		h.most = max(h.most, h.asks.Flying)
		h.walks = max(h.walks, h.track.Counters().InFlight)
		m, f := h.asked[0], h.e.flights[h.first]
		delete(h.e.flights, h.first)
		h.asked, h.first = h.asked[1:], h.first+1
		packets := h.answer(m)
		for i, p := range packets {
			began := time.Now()
			if err := f(p, i == len(packets)-1); err != nil {
				h.t.Fatal(err)
			}
			h.root.advance()
			h.longest = max(h.longest, time.Since(began))
			if start, ok := p.(*ipc.StartAnswer); ok {
				h.ends(start.Job, 0)
			}
			if _, listing := m.(*ipc.Watch); listing && between != nil {
				between()
			}
		}
	}
}

// full is about how many names a packet of 64 KiB holds.
const full = 1500

// answer is an answer's packets.
func (h *answering) answer(m ipc.Message) (packets []ipc.Message) {
	switch m := m.(type) {
	case *ipc.Watch:
		a, names := &ipc.WatchAnswer{}, 0
		for i, rel := range m.Rels {
			d := h.list(rel, m.Watch)
			d.Index = uint16(i)
			if names += len(d.Entries); names > full && len(a.Dirs) > 0 {
				packets, a, names = append(packets, a), &ipc.WatchAnswer{}, len(d.Entries)
			}
			a.Dirs = append(a.Dirs, d)
		}
		return append(packets, a)
	case *ipc.Stat:
		var a ipc.StatAnswer
		for _, rel := range m.Rels {
			stat := ipc.PathStat{Kind: ipc.KindDir}
			if d := h.list(rel, false); d.Status != 0 {
				stat = ipc.PathStat{Status: d.Status}
			}
			a.Stats = append(a.Stats, stat)
		}
		return []ipc.Message{&a}
	case *ipc.Start:
		h.job++
		return []ipc.Message{&ipc.StartAnswer{Job: h.job}}
	}
	h.t.Fatalf("a %T", m)
	return nil
}

// world is a file system of directories alone: path → watch descriptor.
type world map[string]int32

const refused = -28 // for a descriptor: there is no watch left

func (w world) list(rel string, watch bool) ipc.Dir {
	wd, there := w[rel]
	switch {
	case !there:
		return ipc.Dir{WD: -1, Status: 2}
	case wd == refused && watch:
		return ipc.Dir{WD: -1, Status: 28}
	}
	d := ipc.Dir{WD: max(wd, -1)}
	for one := range w {
		dir, name := "", one
		if i := strings.LastIndexByte(one, '/'); i >= 0 {
			dir, name = one[:i], one[i+1:]
		}
		if one != "" && dir == rel {
			d.Entries = append(d.Entries, ipc.Entry{Kind: ipc.KindDir, Name: name})
		}
	}
	return d
}

// numbers are the report's, as the supervisor gets it.
func (s *several) numbers() status.Report {
	var rep status.Report
	s.root.report(&rep)
	return rep
}

func newWorld(t *testing.T) (*answering, world) {
	w := world{"": 1, "a": 2, "a/b": 3, "c": 4}
	s := newAnswering(t, w.list)
	s.event(mkdir("a"))
	s.event(mkdir("c"))
	s.serve(nil)
	if got := s.numbers(); got.Dirs != 4 || got.Rescans+got.Repairs+got.Unpaired+got.Unwatched+got.RescanDirs != 0 {
		t.Fatalf("%+v", got)
	}
	return s, w
}

// moveDir is one half of a rename.
func moveDir(mask monitor.Op, wd int32, name string) monitor.Event {
	return monitor.Event{WD: wd, Mask: mask | monitor.IsDir, Cookie: 7, Name: []byte(name)}
}

// wait lets time pass, and all be done that has become due.
func (h *answering) wait(d time.Duration) {
	h.e.now = h.e.now.Add(d)
	h.serve(nil)
}

// losses are all causes of a number in the account, each with what brings it
// about and the numbers that it moves.
func losses() map[string]struct {
	cause func(s *answering, w world)
	want  status.Report
} {
	return map[string]struct {
		cause func(s *answering, w world)
		want  status.Report
	}{
		"overflow": {func(s *answering, _ world) { s.event(monitor.Event{WD: -1, Mask: monitor.Overflow}) },
			status.Report{Overflows: 1, Rescans: 1, RescansOverflow: 1, RescanDirs: 8, Verified: 1}},
		"asked for": {func(s *answering, _ world) { s.e.command(status.CommandResync) },
			status.Report{Rescans: 1, RescansAsked: 1, RescanDirs: 4, Verified: 1}},
		"verified": {func(s *answering, _ world) { s.e.command(status.CommandVerify) },
			status.Report{Verified: 1, VerifyDirs: 4}},
		"moved out": {func(s *answering, w world) {
			s.event(moveDir(monitor.MovedFrom, 1, "a"))
			delete(w, "a")
			delete(w, "a/b")
			s.serve(nil)
			s.wait(time.Second)
		}, status.Report{Unpaired: 1}},
		"moved, and thought to be out": {func(s *answering, w world) {
			w["new"], w["new/b"] = w["a"], w["a/b"]
			delete(w, "a")
			delete(w, "a/b")
			s.event(moveDir(monitor.MovedFrom, 1, "a"))
			s.wait(time.Second)
			s.event(moveDir(monitor.MovedTo, 1, "new"))
		}, status.Report{Unpaired: 1, Returned: 1}},
		"moved in pairs": {func(s *answering, w world) {
			w["new"], w["new/b"] = w["a"], w["a/b"]
			delete(w, "a")
			delete(w, "a/b")
			s.event(moveDir(monitor.MovedFrom, 1, "a"))
			s.event(moveDir(monitor.MovedTo, 1, "new"))
		}, status.Report{}},
		"missing": {func(s *answering, w world) {
			w["c/new"] = 9
			s.e.command(status.CommandVerify)
		}, status.Report{Repairs: 1, Missing: 1, Verified: 1, VerifyDirs: 5}},
		"stale": {func(s *answering, w world) {
			delete(w, "a/b")
			s.e.command(status.CommandVerify)
		}, status.Report{Repairs: 1, Stale: 1, Verified: 1, VerifyDirs: 3}},
		"no watches left": {func(s *answering, w world) {
			w["d"] = refused
			s.event(mkdir("d"))
		}, status.Report{Unwatched: 1}},
		"no watches left for long": {func(s *answering, w world) {
			w["d"] = refused
			s.event(mkdir("d"))
			s.serve(nil)
			s.wait(s.limit.Every)
		}, status.Report{Unwatched: 1, Rescans: 1, RescansUnwatched: 1, RescanDirs: 6, Verified: 1}},
		"refused for a while": {func(s *answering, w world) {
			s.event(mkdir("d"))
			s.list = func(rel string, watch bool) ipc.Dir {
				if rel == "d" {
					return ipc.Dir{WD: -1, Status: ipc.StatusTimeout}
				}
				return w.list(rel, watch)
			}
			s.serve(nil)
			w["d"], s.list = 9, w.list
			s.wait(retryWalk)
			s.wait(retryWalk)
		}, status.Report{Rescans: 1, RescansRefused: 1, RescanDirs: 5, Verified: 1}},
	}
}

// Each cause of a number in the account of losses moves that number and no
// other one.
func TestEachLossIsCounted(t *testing.T) {
	for name, c := range losses() {
		t.Run(name, func(t *testing.T) {
			s, w := newWorld(t)
			before := s.numbers()
			c.cause(s, w)
			s.serve(nil)
			got := s.numbers()
			for _, one := range []struct {
				name           string
				is, was, wants uint64
			}{
				{"overflows", got.Overflows, before.Overflows, c.want.Overflows},
				{"rescans", got.Rescans, before.Rescans, c.want.Rescans},
				{"rescans_overflow", got.RescansOverflow, before.RescansOverflow, c.want.RescansOverflow},
				{"rescans_unwatched", got.RescansUnwatched, before.RescansUnwatched, c.want.RescansUnwatched},
				{"rescans_asked", got.RescansAsked, before.RescansAsked, c.want.RescansAsked},
				{"rescans_refused", got.RescansRefused, before.RescansRefused, c.want.RescansRefused},
				{"rescans_forgotten", got.RescansForgotten, before.RescansForgotten, c.want.RescansForgotten},
				{"rescan_dirs", got.RescanDirs, before.RescanDirs, c.want.RescanDirs},
				{"verified", got.Verified, before.Verified, c.want.Verified},
				{"verify_dirs", got.VerifyDirs, before.VerifyDirs, c.want.VerifyDirs},
				{"unpaired", got.Unpaired, before.Unpaired, c.want.Unpaired},
				{"returned", got.Returned, before.Returned, c.want.Returned},
				{"unwatched", got.Unwatched, before.Unwatched, c.want.Unwatched},
				{"repairs", got.Repairs, before.Repairs, c.want.Repairs},
				{"stale", got.Stale, before.Stale, c.want.Stale},
				{"missing", got.Missing, before.Missing, c.want.Missing},
			} {
				if one.is-one.was != one.wants {
					t.Errorf("%s rose by %d, want %d", one.name, one.is-one.was, one.wants)
				}
			}
		})
	}
}

// verify_every: since the last time that everything was listed; what it found is
// told, and mended.
func TestVerifyEvery(t *testing.T) {
	s, w := newWorld(t)
	var log strings.Builder
	s.e.log.W = &log
	s.account.Every = time.Hour
	s.serve(nil)
	if wait := s.next().Sub(s.e.now); wait != time.Hour {
		t.Fatalf("due after %v", wait)
	}
	before := s.numbers()
	s.wait(time.Hour - time.Second)
	s.serve(nil)
	if got := s.numbers(); got.Verified != before.Verified {
		t.Fatal("too early")
	}
	w["c/new"] = 9
	s.wait(time.Second)
	s.serve(nil)
	got := s.numbers()
	if got.Verified != before.Verified+1 || got.Missing != 1 || got.Dirs != before.Dirs+1 {
		t.Errorf("%+v", got)
	}
	if want := "verified 5 directories in 0s: 0 stale, 1 missing, 1 mended"; !strings.Contains(log.String(), want) {
		t.Errorf("the log has no %q:\n%s", want, log.String())
	}
	s.e.now = s.e.now.Add(30 * time.Minute)
	s.demand("asked for")
	s.serve(nil)
	if wait := s.account.Next(s.seen()).Sub(s.e.now); wait != time.Hour {
		t.Errorf("after a whole pass it is due after %v", wait)
	}
	s.account.Every = 0
	s.wait(100 * time.Hour)
	if s.numbers().Verified != got.Verified+1 || !s.account.Next(s.seen()).IsZero() {
		t.Error("it is off, and is made")
	}
}

// Without watches for all, and without comparisons because of it, nothing but the
// state and one line in the log tells.
func TestUnwatchedIsOnlyTold(t *testing.T) {
	s, w := newWorld(t)
	var log strings.Builder
	s.e.log.W, s.limit.Every, s.limit.Text = &log, 0, account.WatchLimit(0, 0)
	w["d"] = refused
	s.event(mkdir("d"))
	s.serve(nil)
	s.wait(100 * time.Hour)
	if got := s.numbers(); got.Unwatched != 1 || got.Rescans != 0 || strings.Count(log.String(), "NOT SEEN") != 1 {
		t.Errorf("%+v\n%s", got, log.String())
	}
}
