// Package desk does what the control socket is asked for, and says what came of it.
//
// Trust: linked into the supervisor. A request is two numbers that were checked, and
// a uid that the gate tells, which is shown and decides nothing.
//
// Invariants: a reader changes nothing; each request that does is told to the log,
// with who asked; each is answered once.
package desk

import (
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"lockstep/config"
	"lockstep/console"
	"lockstep/ipc/control"
	asked "lockstep/supervise/control"
	"lockstep/supervise/dump"
	"lockstep/supervise/picture"
	"lockstep/supervise/scribe"
)

// Service is what the desk can have done, of the sync with a name; "" is all.
type Service interface {
	Told() config.Set
	Parts() []console.Part
	Signal(sig os.Signal, sync string)
	Pause(on bool, sync string)
}

// Desk serves one service. Answer and Dump are of one goroutine.
type Desk struct {
	Log     *slog.Logger
	Service Service
	// Later calls f after a while, in whatever goroutine.
	Later func(d time.Duration, f func())
	Trail *scribe.Scribe

	dumping atomic.Bool
	writes  sync.WaitGroup
}

// Said is the result of what has nothing to show.
type Said struct {
	Text string `json:"text"`
}

// Dumped is the result of a dump.
type Dumped struct {
	Path string `json:"path"`
}

// Answer does what is asked for, and has reply called once with a line of JSON, or
// why there is none.
func (d *Desk) Answer(q asked.Request) {
	r, reply, only := q.Command, q.Reply, q.Sync
	say := func(v any) {
		text, err := picture.Line(v)
		reply(text, err)
	}
	if only != "" && len(d.parts(only)) == 0 {
		reply(nil, errors.New("there is no sync of that name any more"))
		return
	}
	if !r.Reads() {
		attrs := []any{"uid", q.UID}
		if only != "" {
			attrs = append(attrs, "of", only)
		}
		d.Log.Info("asked by the control socket: "+r.Kind().Name, attrs...)
		d.Trail.Asked("control socket", r.Kind().Name, only, &q.UID)
	}
	switch r {
	case control.Version:
		say(picture.Running())
	case control.Info:
		say(picture.Of(d.Service.Told(), os.Getpid(), only))
	case control.Status:
		say(picture.Syncs(d.parts(only)))
	case control.Dump:
		d.dump(only, func(path string, err error) {
			if err != nil {
				reply(nil, err)
				return
			}
			say(Dumped{path})
		})
	case control.Resync:
		say(Said{"a whole pass was asked for"})
		d.Service.Signal(syscall.SIGUSR2, only)
	case control.Reload:
		say(Said{"the log says what comes of it, as after SIGHUP"})
		d.Service.Signal(syscall.SIGHUP, "")
	case control.Pause:
		d.Service.Pause(true, only)
		say(Said{"no further command begins before resume"})
	case control.Resume:
		d.Service.Pause(false, only)
		say(Said{"commands begin again"})
	case control.Quit:
		say(Said{"ends when running commands have ended"})
		d.Service.Signal(syscall.SIGTERM, "")
	case control.Die:
		say(Said{"ends at once"})
		d.Service.Signal(syscall.SIGTERM, "")
		d.Later(secondSignal, func() { d.Service.Signal(syscall.SIGINT, "") })
	default:
		reply(nil, errors.New("this lockstep cannot do that"))
	}
}

// secondSignal is after how long a second signal is not taken for the first one
// once more.
const secondSignal = 200 * time.Millisecond

func (d *Desk) parts(only string) []console.Part {
	return slices.DeleteFunc(d.Service.Parts(), func(p console.Part) bool { return only != "" && p.Name != only })
}

// Dump writes a dump because a signal asked for it.
func (d *Desk) Dump() {
	if !d.dump("", func(string, error) {}) {
		d.Log.Warn("a dump is being written; the signal asks for no other one")
	}
}

// dump writes a dump of what is so now, while the service goes on. There is one at a
// time: begun is false if this is none.
func (d *Desk) dump(only string, done func(path string, err error)) (begun bool) {
	if !d.dumping.CompareAndSwap(false, true) {
		done("", errors.New("a dump is being written; ask again"))
		return false
	}
	shown, dir, now := picture.Syncs(d.parts(only)), d.Service.Told().RuntimeDir, time.Now()
	d.writes.Go(func() {
		path, err := dump.Write(dir, now, shown)
		d.dumping.Store(false) // who hears of the end may ask again
		if err != nil {
			d.Log.Error("the dump could not be written", "error", err.Error())
		} else {
			d.Log.Info("the state was written into files", "dump", path)
		}
		done(path, err)
	})
	return true
}

// Close waits for a dump that is being written.
func (d *Desk) Close() error {
	d.writes.Wait()
	return nil
}
