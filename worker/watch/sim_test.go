package watch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/ipc/output"
	"lockstep/ipc/settings"
	"lockstep/ipc/status"
	"lockstep/monitor"
	"lockstep/test/subtree"
	"lockstep/worker/deliver"
)

func components(rel string) []string {
	if rel == "" {
		return nil
	}
	return strings.Split(rel, "/")
}

// asked is a request that the helper has not served yet, or an answer that has
// not arrived yet.
type asked struct {
	m      ipc.Message
	flight deliver.Flight
	final  bool
}

// sim is a root between a model's resolver and its helper, each of which takes
// its time, and a reader who applies the lines to a copy of the names.
type sim struct {
	tb       testing.TB
	m        *model
	r        *Root
	now      time.Time
	requests []asked
	answers  []asked
	barriers []func()

	ready, lost                         bool
	copy                                map[string]string
	doubts                              map[string]bool
	before                              int // requests before ready
	lines, rescans, overflows, compared int
	slow                                int             // which of the four parties takes its time; 4: none
	strange                             map[string]bool // lines about what was not so, and that no line says is to be looked at

	log []string
}

func (s *sim) Now() time.Time { return s.now }
func (s *sim) Ask(m ipc.Message, f deliver.Flight) {
	if !s.ready {
		s.before++
	}
	s.requests = append(s.requests, asked{m: m, flight: f})
}
func (s *sim) Barrier(f func()) {
	if s.barriers = append(s.barriers, f); len(s.barriers) == 1 {
		s.m.mark()
	}
}
func (s *sim) Unwatch(int32)                     { s.tb.Fatal("a watch is ended, and there is none") }
func (s *sim) Printf(_, format string, a ...any) { s.logf(format, a...) }
func (s *sim) Fail(err error)                    { s.tb.Fatal(err) }
func (s *sim) Draining() bool                    { return false }
func (s *sim) Calm() bool                        { return true }
func (s *sim) Empty() bool                       { return true }

func (s *sim) logf(format string, a ...any) { s.log = append(s.log, fmt.Sprintf(format, a...)) }

// Put applies a line to the copy.
func (s *sim) Put(line []byte) bool {
	s.logf("  line %s", bytes.TrimSpace(line))
	switch output.Class(line[0]) {
	case output.Ready:
		s.ready = true
		s.m.root.all(func(n *inode) {
			if rel, _ := s.m.path(n); rel != "" {
				s.copy[rel] = typeName(n)
			}
		})
	case output.Event:
		s.event(line[1:])
	}
	return true
}

func typeName(n *inode) string {
	if n.kids != nil {
		return "dir"
	}
	return "file"
}

func (s *sim) event(line []byte) {
	var e struct{ Op, Type, Path, From string }
	if err := json.Unmarshal(line, &e); err != nil {
		s.tb.Fatalf("%v: %s", err, line)
	}
	s.lines++
	kind, there := s.copy[e.Path]
	odd := false
	switch e.Op {
	case "create":
		// A file that comes with a rename may be told twice: what a listing has shown
		// may be what it replaced.
		odd = there && (kind == "dir" || e.Type == "dir")
		subtree.Cut(s.copy, e.Path) // what is new has nothing in it
		s.copy[e.Path] = e.Type
	case "delete":
		subtree.Cut(s.copy, e.Path)
		subtree.Cut(s.doubts, e.Path)
		subtree.Cut(s.strange, e.Path)
	case "move":
		_, from := s.copy[e.From]
		unsure := subtree.Any(s.doubts, e.From) // so what is moved from there is not known
		subtree.Cut(s.copy, e.Path)
		subtree.Cut(s.doubts, e.Path)
		odd = !from
		subtree.Move(s.copy, e.From, e.Path)
		subtree.Move(s.doubts, e.From, e.Path)
		if unsure {
			s.doubts[e.Path] = true
		}
	case "modify", "attrib":
		odd = !there || e.Type != "" && kind != "" && kind != e.Type
	case "overflow":
		s.lost = true
		s.overflows++
	case "rescan":
		s.rescans++
		s.lost = s.lost && e.Path != ""
		subtree.Cut(s.copy, e.Path)
		subtree.Cut(s.strange, e.Path)
		s.doubts[e.Path] = true
	}
	if odd && !subtree.Any(s.doubts, e.Path) && !subtree.Any(s.doubts, e.From) && !s.lost {
		s.strange[e.Path] = true
		s.logf("  strange")
	}
}

// step lets one of all that can go on go on; false: nothing can.
func (s *sim) step() bool {
	var can []func()
	for i, one := range []struct {
		open bool
		do   func()
	}{
		{len(s.m.queue) > 0 || s.m.marking, s.m.read},
		{len(s.m.sent) > 0, s.hear},
		{len(s.requests) > 0, s.serve},
		{len(s.answers) > 0, s.take},
	} {
		if one.open && (i != s.slow || len(can) == 0 || s.m.next(10) == 0) {
			can = append(can, one.do)
		}
	}
	if len(can) == 0 {
		return false
	}
	can[s.m.next(len(can))]()
	s.r.Advance()
	return true
}

func (s *sim) hear() {
	e := s.m.sent[0]
	s.m.sent = s.m.sent[1:]
	if !e.IsMark() {
		s.logf("event %s/%s %v %d", e.Dir, e.Name, e.Mask, e.Cookie)
		s.r.Path(e)
		return
	}
	f := s.barriers[0]
	if s.barriers = s.barriers[1:]; len(s.barriers) > 0 {
		s.m.mark()
	}
	f()
}

func (s *sim) serve() {
	q := s.requests[0]
	s.requests = s.requests[1:]
	all := s.m.answer(q.m)
	for i, m := range all {
		s.answers = append(s.answers, asked{m, q.flight, i == len(all)-1})
	}
}

func (s *sim) take() {
	a := s.answers[0]
	s.answers = s.answers[1:]
	s.logf("answer %+v", a.m)
	if err := a.flight(a.m, a.final); err != nil {
		s.tb.Fatal(err)
	}
}

// settle waits until nothing moves, and time changes nothing.
func (s *sim) settle() {
	for range 50 {
		for s.step() {
		}
		s.now = s.now.Add(time.Second)
		s.r.Advance()
	}
}

func newSim(tb testing.TB, next func(int) int) *sim {
	s := &sim{tb: tb, m: newModel(next), now: time.Unix(1e9, 0), copy: map[string]string{}, doubts: map[string]bool{}, strange: map[string]bool{}}
	var err error
	s.r, err = New(s, s, &settings.Watch{Root: 1, Monitor: settings.MonitorFanotify, JSON: true}, "root")
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// stands says whether a place of the copy is in a directory of the copy: of what
// is not, a line gave a path that nothing has led to, and who makes it cannot.
func (s *sim) stands(rel string) bool {
	i := strings.LastIndexByte(rel, '/')
	return i < 0 || s.copy[rel[:i]] == "dir" && s.stands(rel[:i])
}

// compare wants the copy to be what is there, both ways.
func (s *sim) compare() {
	seen := map[string]bool{}
	s.m.root.all(func(n *inode) {
		rel, _ := s.m.path(n)
		if seen[rel] = true; rel == "" || subtree.Any(s.doubts, rel) {
			return
		}
		s.compared++
		switch told, there := s.copy[rel]; {
		case !there:
			s.tb.Errorf("%s is there, and no line says so", rel)
		case told != "" && told != typeName(n):
			s.tb.Errorf("%s is a %s, and the lines say %s", rel, typeName(n), told)
		}
	})
	for rel := range s.copy {
		if !seen[rel] && !subtree.Any(s.doubts, rel) && s.stands(rel) {
			s.tb.Errorf("%s is not there, and the lines say that it is", rel)
		}
	}
}

// run is one life.
func (s *sim) run(seed uint64) {
	renames := seed%2 == 0
	s.m.plain = !renames
	s.slow = s.m.next(5)
	for range 30 + s.m.next(60) { // a tree that nobody walks
		s.m.change(true)
	}
	s.r.Start()
	s.r.Advance()
	for !s.ready {
		if !s.step() {
			s.tb.Fatal("it is never ready")
		}
	}
	if s.before > 0 {
		s.tb.Errorf("%d requests before it was ready", s.before)
	}
	for range 200 {
		switch p := s.m.next(100); {
		case p < 45:
			s.m.change(renames)
		case p < 46 && seed%5 == 0:
			s.m.happens(happening{to: s.m.root, mask: monitor.Overflow})
		case p < 47 && seed%3 == 0:
			s.r.Command([]status.Command{status.CommandVerify, status.CommandList}[s.m.next(2)])
		case p < 49:
			s.now = s.now.Add(time.Duration(s.m.next(700)) * time.Millisecond)
			s.r.Advance()
		default:
			s.step()
		}
	}
	s.settle()
	if s.lost {
		s.tb.Error("after an overflow no line says from when on all is told again")
	}
	s.compare()
	if !renames && len(s.strange) > 0 {
		s.tb.Errorf("lines are about what was not so: %v", s.strange)
	}
	if len(s.r.fresh) > 0 || len(s.r.full) > 0 || !s.r.arrivals.Idle() {
		s.tb.Errorf("something is kept: %v", s.r.fresh)
	}
}

// A root with fanotify is ready without having asked for anything, and who applies
// its lines to what was there then has what is there in the end, but for what a
// line says is to be looked at: with listings that come late, events that were
// merged, and paths that renames have given since; whether or not the tree is
// walked meanwhile.
func TestFanotifySimulation(t *testing.T) {
	var total struct{ lines, rescans, compared, overflows, merged int }
	count := testenv.Seeds(t, 600, func(t *testing.T, seed uint64, _ bool) {
		s := newSim(t, rand.New(rand.NewPCG(seed, 7)).IntN)
		s.run(seed)
		total.lines += s.lines
		total.rescans += s.rescans
		total.overflows += s.overflows
		total.merged += s.m.merged
		total.compared += s.compared
		if t.Failed() {
			t.Logf("%s", strings.Join(s.log, "\n"))
		}
	})
	t.Logf("%+v", total)
	if count >= 500 && (total.lines == 0 || total.compared < total.lines/100 || total.rescans == 0 || total.overflows == 0 || total.merged == 0) {
		t.Error("the simulation does not meet what it is there for")
	}
}
