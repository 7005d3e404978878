package deliver

import (
	"testing"
	"time"

	"lockstep/ipc"
	"lockstep/worker/links"
	"lockstep/worker/queue"
)

// A path whose transfer ends the other side, while passes go through: it is tried
// ever more slowly, and so is what is done on its account.
func TestStorm(t *testing.T) {
	for _, code := range []uint8{12, 30, 15} {
		h := &reviewHost{now: time.Now(), idx: links.New()}
		tg := New(h, 1, "t", queue.Config{RetryMin: time.Second, RetryMax: 5 * time.Minute})
		tg.live = true
		a := &away{tg, h, t}
		tg.Queue.Add("a", queue.Content, h.now)
		begin, passes, lists, knocks := h.now, 0, 0, 0
		for h.now.Sub(begin) < time.Hour {
			at := tg.Next()
			if at.IsZero() {
				t.Fatal("nothing due")
			}
			if at.After(h.now) {
				h.now = at
			}
			if tg.BeginPass() {
				passes++
				tg.StartPass(nil, false)
				a.answer(&ipc.StartAnswer{Job: 1})
				a.ends(0, "")
				tg.CaughtUp()
				continue
			}
			tg.Advance()
			k := tg.lanes[laneNormal]
			if k == nil {
				continue
			}
			if k.knocking() {
				knocks++
				a.answer(&ipc.StartAnswer{Job: 1})
				a.ends(0, "")
				continue
			}
			a.answer(&ipc.StatAnswer{Stats: []ipc.PathStat{{Kind: ipc.KindFile, Nlink: 1, Ino: 7}}})
			a.answer(&ipc.StartAnswer{Job: 1})
			lists++
			a.ends(code, "rsync error\n")
		}
		if most := 60; passes > most || lists > most || knocks > most || lists == 0 {
			t.Errorf("code %d: in an hour %d passes, %d lists, %d knocks", code, passes, lists, knocks)
		}
	}
}
