package deliver

import (
	"fmt"
	"testing"
	"time"

	"lockstep/ipc"
	"lockstep/worker/links"
	"lockstep/worker/plan"
	"lockstep/worker/queue"
)

type reviewHost struct {
	now   time.Time
	asked []ipc.Message
	opt   plan.Options
	idx   *links.Index
	last  Flight
	said  []string
}

func (h *reviewHost) Now() time.Time                        { return h.now }
func (h *reviewHost) Random() float64                       { return 0.5 }
func (h *reviewHost) Draining() bool                        { return false }
func (h *reviewHost) Ask(m ipc.Message, _ []byte, f Flight) { h.asked = append(h.asked, m); h.last = f }
func (h *reviewHost) Running(ipc.JobID, *Task)              {}
func (h *reviewHost) Printf(_, format string, args ...any) {
	h.said = append(h.said, fmt.Sprintf(format, args...))
}
func (h *reviewHost) ID() ipc.RootID             { return 1 }
func (h *reviewHost) Name() string               { return "r" }
func (h *reviewHost) Options() plan.Options      { return h.opt }
func (h *reviewHost) Links() *links.Index        { return h.idx }
func (h *reviewHost) Dirs() []string             { return nil }
func (h *reviewHost) Skipped(string)             {}
func (h *reviewHost) TooLong(string)             {}
func (h *reviewHost) FullSync(*Target) time.Time { return time.Time{} }
func (h *reviewHost) PassBegins()                {}
func (h *reviewHost) PassEnded(*Target)          {}

func reviewTarget() (*Target, *reviewHost) {
	h := &reviewHost{now: time.Now(), idx: links.New()}
	return New(h, 1, "t", queue.Config{RetryMin: time.Minute, RetryMax: time.Hour}), h
}

// The first whole pass is held or has failed, and a change waits: Next must not
// say "now" all through the back-off, in which Advance does nothing.
func TestNoTimerBeforeTheFirstPass(t *testing.T) {
	tg, h := reviewTarget()
	tg.Queue.AddWhole(h.now)
	if !tg.Queue.BeginWhole(h.now) {
		t.Fatal("not begun")
	}
	tg.StartPass(nil, false)
	tg.lanes[laneNormal].Exited(ipc.Exited{End: ipc.EndHeldMany})
	tg.Queue.Add("f", queue.Content, h.now)
	for range 3 {
		h.now = h.now.Add(time.Second)
		tg.Advance()
		if at := tg.Next(); !at.IsZero() && !at.After(h.now) {
			t.Fatalf("due at once (%v), but Advance does nothing", at.Sub(h.now))
		}
	}
}

// A live target whose later pass is held, and a batch that only a pass can
// bring up to date: it must not be taken, planned and returned without end while
// every other path of the lane waits with it.
func TestBatchThatNeedsAPassDoesNotStarveOthers(t *testing.T) {
	tg, h := reviewTarget()
	tg.live = true
	tg.Queue.AddWhole(h.now)
	tg.Queue.BeginWhole(h.now)
	tg.StartPass(nil, false)
	tg.lanes[laneNormal].Exited(ipc.Exited{End: ipc.EndHeldMany})
	h.opt.InexactExcludes = true
	h.asked = nil
	tg.Queue.Add("d", queue.Name|queue.Replaced, h.now)
	for range 1000 { // one wake-up of the loop each; no time goes by
		tg.Advance()
		if tg.lanes[laneNormal] == nil {
			break
		}
		n := len(h.asked[len(h.asked)-1].(*ipc.Stat).Rels)
		stats := make([]ipc.PathStat, n)
		for i := range stats {
			stats[i] = ipc.PathStat{Kind: ipc.KindDir, Ino: 7, Nlink: 2}
		}
		if err := h.last(&ipc.StatAnswer{Stats: stats}, true); err != nil {
			t.Fatal(err)
		}
	}
	if len(h.asked) > 10 {
		t.Errorf("%d Stat requests within no time", len(h.asked))
	}
}
