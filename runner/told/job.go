package told

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"strings"

	"lockstep/handler"
	"lockstep/internal/escape"
	"lockstep/ipc"
	"lockstep/runner/survey"
)

// Host is the runner, as a job of a handler sees it.
type Host struct {
	Target  string // of which a whole pass of an empty source is held; "": there is none
	Entries uint64 // that the source had when it was last walked
	Consent bool   // a person accepts that
	Over    func() bool
	Call    func(Call) (ipc.RunExited, error) // makes a call and waits for its end
	Logf    func(format string, args ...any)
}

// Job does a job: call after call. A list ends with the first that fails, and all of
// it is told again; a whole pass goes on, so that one path cannot keep the others from
// being told, and ends with the worst of the failures. An error is a job that could not
// be done.
func (t *Teller) Job(kind ipc.JobKind, from io.Reader, h Host) (ipc.RunExited, error) {
	list, err := io.ReadAll(from)
	if err != nil {
		return ipc.RunExited{}, fmt.Errorf("read the list: %w", err)
	}
	if kind == ipc.JobInitial && !h.Consent {
		if hold, err := t.holds(h); hold || err != nil {
			n := uint64(1) // nobody has counted the target
			if h.Target == "" {
				n = h.Entries
			}
			return ipc.RunExited{End: ipc.EndHeldEmpty, Deletes: n, Entries: n}, err
		}
	}
	if err := t.tidy(); err != nil {
		return ipc.RunExited{}, fmt.Errorf("what an earlier run of the handler left: %w", err)
	}
	if kind == ipc.JobInitial && !t.mode.Rsync() {
		if t.passed { // why it is made again only the worker knows
			h.Logf("<4>a whole pass again: mode %v tells what is there, and not what is gone since the last one if events were lost or too many changes waited; the handler has to compare where that matters", t.mode)
		}
		t.passed = true
	}
	d := &doing{Teller: t, h: h, goOn: kind == ipc.JobInitial, all: ipc.RunExited{End: ipc.EndExited}}
	before := t.unsaid
	left, err := t.Tell(kind, list, h.Over, d)
	tellLeft(h, left)
	t.tellUnsaid(h, before)
	if t.unkept != nil {
		h.Logf("<4>%v", t.unkept)
		t.unkept = nil
	}
	switch {
	case errors.Is(err, ErrEnded):
		return d.all, nil
	case err != nil && h.Over():
		return ipc.RunExited{End: ipc.EndStopped}, nil
	}
	return d.all, err
}

// tellUnsaid counts what was not told because no field of it has changed that the
// handler asked for: each time that the number has doubled.
func (t *Teller) tellUnsaid(h Host, before uint64) {
	if bits.Len64(before) != bits.Len64(t.unsaid) {
		h.Logf("<6>%d times a path was not told so far: %s is what it was", t.unsaid, strings.Join(t.c.Changes, ", "))
	}
}

// doing is one job's calls, and what they came to.
type doing struct {
	*Teller
	h      Host
	goOn   bool // after a call that failed
	failed int
	all    ipc.RunExited
}

// tidy empties the directory of lists, where a handler has its own files too: what
// it leaves there must not add up.
func (t *Teller) tidy() error {
	names, err := os.ReadDir(t.c.Lists)
	for _, n := range names {
		err = errors.Join(err, os.RemoveAll(filepath.Join(t.c.Lists, n.Name())))
	}
	return err
}

// Call makes one call, and adds what it took to all.
func (d *doing) Call(c Call) error {
	if d.h.Over() {
		d.all.End = ipc.EndStopped
		return ErrEnded
	}
	one, err := d.h.Call(c)
	if err != nil {
		return err
	}
	d.all.CPU += one.CPU
	d.all.MaxRSS = max(d.all.MaxRSS, one.MaxRSS)
	if one.End == ipc.EndExited && d.Fine(one.Code) {
		for line := range bytes.Lines(one.Tail) { // with a success it would be a doubt
			d.h.Logf("<5>%s", bytes.TrimRight(line, "\n"))
		}
		return nil
	}
	if !d.goOn || one.End != ipc.EndExited && one.End != ipc.EndSignalled && one.End != ipc.EndTimeout {
		d.all.End, d.all.Code, d.all.Tail = one.End, one.Code, one.Tail
		return ErrEnded
	}
	d.worse(one)
	return nil
}

// worse notes a failure after which the job goes on: of several the one that was no
// exit, or has the highest code.
func (d *doing) worse(one ipc.RunExited) {
	d.failed++
	first := d.all.End == ipc.EndExited && d.all.Code == 0
	if first || d.all.End == ipc.EndExited && (one.End != ipc.EndExited || one.Code > d.all.Code) {
		d.all.End, d.all.Code, d.all.Tail = one.End, one.Code, one.Tail
	}
	const some = 5
	if d.failed > some {
		return
	}
	d.h.Logf("<4>the handler failed at a call of a whole pass, which goes on: end %d, code %d", one.End, one.Code)
	for line := range bytes.Lines(one.Tail) {
		d.h.Logf("<4>%s", bytes.TrimRight(line, "\n"))
	}
}

// Lost says what could not be told. A list of which that is so is none.
func (d *doing) Lost(err error) error {
	if !d.goOn {
		return err
	}
	d.worse(ipc.RunExited{End: ipc.EndExited, Code: lostCode, Tail: []byte(err.Error() + "\n")})
	return nil
}

// lostCode is that of a pass in which not all could be told.
const lostCode = 1

// tellLeft says what could not be handed over. To try again would change nothing.
func tellLeft(h Host, left []handler.Left) {
	const some = 5
	for i, l := range left {
		if i == some {
			h.Logf("<4>%d more paths were not handed to the handler", len(left)-some)
			return
		}
		what := "is not handed to the handler"
		if l.Rejected {
			what = "is left out with all that is in the directory above it"
		}
		h.Logf("<4>%s %s: %v", escape.Name(l.Path), what, l.Why)
	}
}

// holds says that the source is empty and the target is not: what a handler would
// delete there cannot be counted. Where there is no target, rsync's lists would have
// all deleted that the source once had; other modes tell what is there, and an empty
// source is no more than itself.
func (t *Teller) holds(h Host) (bool, error) {
	source, err := survey.EmptyDir(t.source)
	if err != nil || !source {
		return false, err
	}
	if h.Target == "" {
		return t.mode.Rsync() && h.Entries > 0, nil
	}
	empty, err := survey.EmptyDir(h.Target)
	return !empty, err
}
