package track

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lockstep/internal/testenv"
	"lockstep/monitor"
)

// told is one event of the model's fanotify group.
type told struct {
	dir    *inode
	name   string
	isDir  bool
	mask   monitor.Op
	pid    int32
	to     *inode // of a rename (FAN_RENAME, one event of both names)
	as     string
	rename bool
}

func (a told) same(b told) bool {
	a.mask, b.mask = 0, 0
	return a == b
}

// fanotify is a group with a mark on the whole model file system, and the resolver
// that reads it: exact in what may go wrong. An event is merged into one of the
// same names that waits, before others that are older. What a directory's handle
// is resolved to is where it is by then, or where it was when it was resolved last
// if since then no rename of a directory, and no overflow, has been read. One that has no name any more,
// or is not below the root, is not told.
type fanotify struct {
	k          *kernel
	next       func(int) int
	queue      []told
	maxQueue   int
	overflowed bool
	read       []told // by the resolver, in one go
	sent       []monitor.PathEvent
	known      map[*inode]string
	cookie     uint32
	pid        int32
	merged     uint64
	dropped    uint64
}

func (f *fanotify) notify(e told) {
	e.pid = f.pid
	for i := len(f.queue) - 1; i >= 0 && i >= len(f.queue)-128; i-- {
		if f.queue[i].same(e) {
			f.queue[i].mask |= e.mask
			f.merged++
			return
		}
	}
	if len(f.queue) >= f.maxQueue {
		if !f.overflowed {
			f.overflowed = true
			f.queue = append(f.queue, told{mask: monitor.Overflow})
		}
		return
	}
	f.queue = append(f.queue, e)
}

// take is one event of an operation, as emit has it.
func (f *fanotify) take(e emit) {
	switch {
	case e.name == "" && e.mask.Has(monitor.Attrib):
		f.notify(told{dir: e.node, mask: e.mask})
	case e.name == "" || e.mask.Has(monitor.MovedTo): // comes with the other half
	case e.mask.Has(monitor.MovedFrom):
		f.notify(told{dir: e.node, name: e.name, isDir: e.mask.Has(monitor.IsDir), mask: e.mask, to: e.to, as: e.as, rename: true})
	default:
		f.notify(told{dir: e.node, name: e.name, isDir: e.mask.Has(monitor.IsDir), mask: e.mask})
	}
}

func (f *fanotify) idle() bool { return len(f.queue)+len(f.read)+len(f.sent) == 0 }

// step reads some events, or resolves one.
func (f *fanotify) step() {
	if len(f.read) == 0 {
		n := min(1+f.next(8), len(f.queue))
		f.read, f.queue = f.queue[:n:n], f.queue[n:]
		return
	}
	e := f.read[0]
	f.read = f.read[1:]
	if e.mask.Has(monitor.Overflow) {
		f.overflowed = false
		clear(f.known) // renames may be among what was lost
		f.sent = append(f.sent, monitor.PathEvent{Root: 1, Mask: monitor.Overflow})
		return
	}
	if !e.rename {
		f.send(e.dir, e.name, e.mask, 0, e.pid)
		return
	}
	f.cookie++
	f.send(e.dir, e.name, e.mask, f.cookie, e.pid)
	f.send(e.to, e.as, e.mask&^monitor.MovedFrom|monitor.MovedTo, f.cookie, e.pid)
	if e.isDir {
		clear(f.known)
	}
}

func (f *fanotify) send(dir *inode, name string, mask monitor.Op, cookie uint32, pid int32) {
	rel, ok := f.resolve(dir)
	if !ok {
		f.dropped++
		return
	}
	f.sent = append(f.sent, monitor.PathEvent{
		Root: 1, Mask: mask, Cookie: cookie, PID: pid, Dir: []byte(rel), Name: []byte(name),
	})
}

func (f *fanotify) resolve(dir *inode) (string, bool) {
	if rel, ok := f.known[dir]; ok && f.next(8) > 0 {
		return rel, true
	}
	rel, ok := f.k.pathOf(dir)
	if ok {
		f.known[dir] = rel
	}
	return rel, ok
}

// pathOf is where a directory is below the root now.
func (k *kernel) pathOf(dir *inode) (string, bool) {
	if dir == k.root {
		return "", true
	}
	if dir.up == nil {
		return "", false
	}
	above, ok := k.pathOf(dir.up)
	if !ok {
		return "", false
	}
	for name, kid := range dir.up.kids {
		if kid == dir {
			return join(above, name), true
		}
	}
	return "", false
}

// readPath lets the resolver do one thing, or applies what it has sent; false:
// there is nothing.
func (s *sim) readPath() bool {
	f := s.k.fan
	if f == nil || f.idle() {
		return false
	}
	if len(f.sent) == 0 || s.next(2) == 0 && len(f.queue)+len(f.read) > 0 {
		f.step()
		return true
	}
	e := f.sent[0]
	f.sent = f.sent[1:]
	s.logf("event %q %q %v cookie %d", e.Dir, e.Name, e.Mask, e.Cookie)
	s.t.Path(e, s.now)
	return true
}

// queued says whether there are events that were not applied.
func (s *sim) queued() bool {
	return len(s.k.queue) > 0 || s.k.fan != nil && !s.k.fan.idle()
}

// path applies the next event that the resolver has sent, or sends.
func (s *scripted) path() bool {
	f := s.k.fan
	if f == nil {
		return false
	}
	for len(f.sent) == 0 && len(f.queue)+len(f.read) > 0 {
		f.step()
	}
	if len(f.sent) == 0 {
		return false
	}
	e := f.sent[0]
	f.sent = f.sent[1:]
	s.effect("event", strconv.Quote(string(e.Dir)), strconv.Quote(string(e.Name)), e.Mask.String())
	s.t.Path(e, s.now)
	return true
}

// told applies an event as a script words it.
func (s *scripted) told(words []string) {
	e := monitor.PathEvent{Root: 1}
	for i, at := range []*[]byte{&e.Dir, &e.Name} {
		if words[i] != "." {
			*at = []byte(words[i])
		}
	}
	for bit := monitor.Op(1); bit != 0; bit <<= 1 {
		if slices.Contains(strings.Split(words[2], "|"), bit.String()) {
			e.Mask |= bit
		}
	}
	if len(words) > 3 {
		n, err := strconv.Atoi(words[3])
		if err != nil {
			s.tb.Fatal(err)
		}
		e.Cookie = uint32(n)
	}
	s.t.Path(e, s.now)
}

// newPathSim is a sim whose events come by path.
func newPathSim(tb testing.TB, next func(int) int) *sim {
	s := newSim(tb, next)
	s.h.noWatch(tb)
	s.noMarks, s.loses, s.twins = 0, false, false // which directory it is nobody tells
	s.k.fan = &fanotify{k: s.k, next: next, maxQueue: s.k.maxQueue, known: map[*inode]string{}}
	cfg := s.t.cfg
	cfg.Paths = true
	s.t = New(cfg, s)
	return s
}

// noWatch: no directory is watched.
func (h *helper) noWatch(tb testing.TB) {
	h.asks = func(w Walk) {
		if w.Watch {
			tb.Fatalf("a watch is asked for: %+v", w)
		}
	}
}

// TestPathSimulation is TestSimulation with events that come by path.
func TestPathSimulation(t *testing.T) {
	total, merged, dropped := coverage{}, uint64(0), uint64(0)
	count := testenv.Seeds(t, 1500, func(t *testing.T, seed uint64, alone bool) {
		s := newPathSim(t, rand.New(rand.NewPCG(seed, 11)).IntN)
		s.keepLog = alone
		s.run(3, map[bool]int{true: 6000, false: 300}[seed%100 == 99])
		total.add(s.cover)
		merged += s.k.fan.merged
		dropped += s.k.fan.dropped
	})
	t.Logf("%+v, %d events merged, %d of places outside", total, merged, dropped)
	if count >= 500 && (merged == 0 || dropped == 0 || total.overflows == 0 || total.unpaired == 0 || total.exchanges == 0 || total.suspects == 0) {
		t.Error("the simulation does not meet what it is there for")
	}
}

// FuzzPathTracker is FuzzTracker with events that come by path.
func FuzzPathTracker(f *testing.F) {
	f.Add([]byte("\x00\x05\x05\x01\x02\x00\x03\x10\x10\x10\x10\x10\x10 a life of some length, to begin with"))
	f.Add([]byte(strings.Repeat("0123456789", 7)))
	f.Fuzz(func(t *testing.T, choices []byte) {
		if len(choices) > 4096 {
			return
		}
		newPathSim(t, choose(choices)).run(2, max(len(choices), 1))
	})
}
