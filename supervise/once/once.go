// Package once says when --once and --dry-run have ended, and what they came to.
//
// Trust: linked into the supervisor; pure.
package once

import (
	"errors"
	"strings"

	"lockstep/ipc/status"
	"lockstep/rsync"
	"lockstep/supervise/exit"
	"lockstep/supervise/words"
)

// Target is how one target stands.
type Target struct {
	About   string // is put before what is said of it
	Held    string // why nothing may be written to it; "" when it may
	Passed  bool   // a whole pass has been made, perhaps not of all paths
	Tries   int    // in a row that ended without a runner
	Trouble string // what kept the way to it from being found
	Last    status.Report
}

// maxTries is how many failures in a row --once bears.
const maxTries = 3

// Over says whether there is nothing more to wait for: each target is in step,
// or cannot come to be, which is the error.
func Over(targets []Target, dry bool) (done bool, err error) {
	var failed []string
	for _, t := range targets {
		why, done := t.outcome(dry)
		if !done {
			return false, nil
		}
		if why != "" {
			failed = append(failed, t.About+why)
		}
	}
	if len(failed) > 0 {
		return true, exit.Error{Code: exit.Failed, Err: errors.New("ended without being in step: " + strings.Join(failed, "; "))}
	}
	return true, nil
}

// outcome says whether a target need not be waited for any more, and why it is
// not in step.
func (t Target) outcome(dry bool) (why string, done bool) {
	r := &t.Last
	switch {
	case t.Held != "":
		return "held: " + t.Held, true
	case r.Held != 0:
		return "a pass is held", true
	case t.Tries >= maxTries && t.Trouble != "":
		return t.Trouble, true
	case t.Tries >= maxTries:
		return "its runner could not be started", true
	case r.Attempts >= maxTries, r.Attempts > 0 && (dry || rsync.FaultOf(r.Fault).Class() == rsync.Person):
		return words.Failure(*r), true
	}
	return "", t.Passed && (dry || r.State == status.StateInStep)
}

// Result is what --once ends with: of its own accord, or stopped by a person.
func Result(last status.Report, itself bool) error {
	bad := words.NotInStep(last)
	if !itself {
		bad = append(bad, "it was stopped before the end")
	}
	if len(bad) == 0 {
		return nil
	}
	return exit.Error{Code: exit.Failed, Err: errors.New("not all is in step: " + strings.Join(bad, ", "))}
}
