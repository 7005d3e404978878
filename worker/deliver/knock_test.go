package deliver

import (
	"strings"
	"testing"
	"time"

	"lockstep/ipc"
	"lockstep/rsync"
	"lockstep/worker/links"
	"lockstep/worker/queue"
)

// away is a live target with changes waiting, and what it asks for.
type away struct {
	*Target
	h *reviewHost
	t *testing.T
}

func newAway(t *testing.T) *away {
	h := &reviewHost{now: time.Now(), idx: links.New()}
	tg := New(h, 1, "t", queue.Config{RetryMin: time.Second, RetryMax: 5 * time.Minute})
	tg.live = true
	a := &away{tg, h, t}
	for _, rel := range []string{"a", "b", "c"} {
		tg.Queue.Add(rel, queue.Content, h.now)
	}
	return a
}

// next lets time go by to when something is due, and returns what is asked for.
func (a *away) next() ipc.Message {
	a.t.Helper()
	at := a.Next()
	if at.IsZero() {
		a.t.Fatal("nothing is due")
	}
	if at.After(a.h.now) {
		a.h.now = at
	}
	before := len(a.h.asked)
	a.Advance()
	if len(a.h.asked) != before+1 {
		a.t.Fatalf("%d requests at once", len(a.h.asked)-before)
	}
	return a.h.asked[before]
}

// answer answers the last request.
func (a *away) answer(m ipc.Message) {
	a.t.Helper()
	if err := a.h.last(m, true); err != nil {
		a.t.Fatal(err)
	}
}

func (a *away) ends(code uint8, tail string) {
	a.lanes[laneNormal].Exited(ipc.Exited{End: ipc.EndExited, Code: code, Tail: []byte(tail)})
}

const refused = "ssh: connect to host h port 22: Connection refused\r\n"

// A target that is away is knocked on, ever more rarely, and nothing is planned
// for it; the failure is told once a minute at most; what was planned before it
// went away follows as soon as it is back.
func TestAwayTargetIsKnockedOn(t *testing.T) {
	a := newAway(t)
	if _, ok := a.next().(*ipc.Stat); !ok {
		t.Fatalf("%T", a.h.asked)
	}
	a.answer(&ipc.StatAnswer{Stats: make([]ipc.PathStat, 3)})
	a.answer(&ipc.StartAnswer{Job: 1})
	a.ends(255, refused)
	begin := a.h.now
	knocks := 0
	for a.h.now.Sub(begin) < time.Hour {
		m, ok := a.next().(*ipc.Start)
		if !ok || m.Kind != ipc.JobKnock {
			t.Fatalf("%#v", m)
		}
		if a.BeginPass() {
			t.Fatal("a pass begins")
		}
		knocks++
		if knocks%3 == 0 {
			a.answer(&ipc.StartAnswer{Status: ipc.StatusNoRunner})
		} else {
			a.answer(&ipc.StartAnswer{Job: 1})
			a.ends(255, refused)
		}
	}
	if knocks > 30 || knocks < 10 {
		t.Errorf("knocked on %d times in an hour", knocks)
	}
	told := 0
	for _, line := range a.h.said {
		if strings.Contains(line, "unreachable: ") {
			told++
		}
	}
	if told > knocks || told < 5 {
		t.Errorf("told %d times", told)
	}
	if r := a.Report(); rsync.FaultOf(r.Fault) != rsync.FaultUnreachable || r.Queue != 3 || r.Attempts == 0 {
		t.Errorf("%+v", r)
	}
	a.Retry() // its runner was replaced, say
	if at := a.Next(); at.After(a.h.now) {
		t.Error("the back-off was not lifted:", at.Sub(a.h.now))
	}
	a.next()
	a.answer(&ipc.StartAnswer{Job: 2})
	a.ends(0, "")
	if !a.BeginPass() {
		t.Error("it is back after an hour, and not compared")
	}
}

// What is back may be another one, or without what it took last.
func TestBackTargetIsCompared(t *testing.T) {
	for _, c := range []struct {
		what, tail string
		code       uint8
		away       time.Duration
		pass       bool
	}{
		{"a short gap of the network", refused, 255, 3 * time.Second, false},
		{"a host that may have started anew", refused, 255, time.Minute, true},
		{"a busy daemon", "@ERROR: max connections (1) reached -- try again later\n", 5, time.Hour, false},
		{"a host that was installed anew", "Host key verification failed.\r\n", 255, 2 * time.Second, true},
		{"a disk that was not mounted", "rsync: [Receiver] change_dir#3 \"/backup\" failed: No such file or directory (2)\n", 3, 2 * time.Second, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			a := newAway(t)
			leave := func() {
				a.next()
				a.answer(&ipc.StatAnswer{Stats: make([]ipc.PathStat, 3)})
				a.answer(&ipc.StartAnswer{Job: 1})
				a.ends(c.code, c.tail)
			}
			back := func() {
				a.h.now = a.h.now.Add(c.away)
				a.Retry()
				if m, ok := a.next().(*ipc.Start); !ok || m.Kind != ipc.JobKnock {
					t.Fatalf("no knock: %#v", m)
				}
				a.answer(&ipc.StartAnswer{Job: 2})
				a.ends(0, "")
			}
			leave()
			back()
			if pass := a.BeginPass(); pass != c.pass {
				t.Fatalf("compared: %v, want %v", pass, c.pass)
			}
			if !c.pass {
				return
			}
			a.StartPass(nil, false)
			a.answer(&ipc.StartAnswer{Job: 3})
			a.ends(0, "")
			for _, rel := range []string{"a", "b", "c"} {
				a.Queue.Add(rel, queue.Content, a.h.now)
			}
			leave()
			back()
			if a.BeginPass() {
				t.Error("compared again at once")
			}
			a.h.now = a.h.now.Add(compareGap)
			a.Advance()
			if !a.Queue.Whole() {
				t.Error("and then not at all")
			}
		})
	}
}

// What a person must mend is tried slowly from the start.
func TestPersonIsTriedSlowly(t *testing.T) {
	for tail, want := range map[string][2]time.Duration{
		refused:                             {time.Second / 2, time.Second},
		"Host key verification failed.\r\n": {15 * time.Second, 30 * time.Second},
	} {
		a := newAway(t)
		a.next()
		a.answer(&ipc.StatAnswer{Stats: make([]ipc.PathStat, 3)})
		a.answer(&ipc.StartAnswer{Job: 1})
		a.ends(255, tail)
		if wait := a.Next().Sub(a.h.now); wait < want[0] || wait > want[1] {
			t.Errorf("%q: tried again after %v", tail, wait)
		}
		if len(a.h.said) == 0 || strings.ContainsAny(a.h.said[0], "\r\n") {
			t.Errorf("%q", a.h.said)
		}
	}
}

// The same failure is told again after a minute, another one at once.
func TestFailureIsToldOncePerState(t *testing.T) {
	a := newAway(t)
	lines := func(tail string) int {
		before := len(a.h.said)
		a.tell(&ipc.Exited{End: ipc.EndExited, Code: 255, Tail: []byte(tail)})
		return len(a.h.said) - before
	}
	a.fault = rsync.FaultUnreachable
	if lines(refused) == 0 || lines(refused) != 0 {
		t.Error("told twice, or not at all")
	}
	a.fault = rsync.FaultDenied
	if lines("") == 0 {
		t.Error("another fault was not told")
	}
	a.h.now = a.h.now.Add(sayAgain)
	if lines("") == 0 {
		t.Error("not told again")
	}
}
