package watch

import (
	"strings"
	"testing"
	"time"

	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/monitor"
)

// A path that is longer than the kernel takes can be made, one directory at a time,
// by whoever can write in the root. What happens there is told as far as events say
// it, and asked for by no request: it cannot be sent, and that would end the worker.
func TestPathsTooLong(t *testing.T) {
	for _, by := range []settings.Monitor{settings.MonitorInotify, settings.MonitorFanotify} {
		r := newRig(t, 1, settings.Watch{Monitor: by})
		dir := strings.Repeat("d", 50)
		for len(r.path(dir)) < 4090-51 {
			dir += "/" + strings.Repeat("d", 50)
		}
		r.mkdir(dir)
		r.start()
		at := r.want(0)
		wd := r.root.track.Tree().WD(r.root.track.Tree().Find(dir))
		happens := func(mask monitor.Op, cookie uint32, name string) {
			if by == settings.MonitorInotify {
				r.root.Event(monitor.Event{WD: wd, Mask: mask, Cookie: cookie, Name: []byte(name)})
			} else {
				r.root.Path(monitor.PathEvent{Root: 1, Mask: mask, Cookie: cookie, Dir: []byte(dir), Name: []byte(name)})
			}
			r.root.Advance()
		}
		file, one, two := strings.Repeat("f", 255), strings.Repeat("1", 255), strings.Repeat("2", 255)
		if len(dir)+1+len(file) < ipc.MaxRel {
			t.Fatalf("a path of %d bytes is none to be tested", len(dir)+1+len(file))
		}
		happens(monitor.Create, 0, file)
		happens(monitor.Create|monitor.IsDir, 0, one)
		happens(monitor.MovedFrom|monitor.IsDir, 1, one)
		happens(monitor.MovedTo|monitor.IsDir, 1, two)
		happens(monitor.Delete|monitor.IsDir, 0, two)
		happens(monitor.Modify, 0, file)
		dir += "/"
		r.settle(time.Second)
		r.want(at, "create "+dir+file, "create "+dir+one, "move "+dir+two+" "+dir+one, "delete "+dir+two, "modify "+dir+file)
		if n := len(r.root.fresh); n > 0 || r.report().TooLong == 0 {
			t.Errorf("%v: %d new directories are not listed yet, %+v", by, n, r.report())
		}
	}
}
