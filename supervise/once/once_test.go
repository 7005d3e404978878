package once

import (
	"strings"
	"testing"

	"lockstep/ipc/status"
	"lockstep/supervise/exit"
)

func TestOver(t *testing.T) {
	inStep := Target{Passed: true, Last: status.Report{State: status.StateInStep}}
	for name, c := range map[string]struct {
		targets []Target
		dry     bool
		done    bool
		want    string // in the error
	}{
		"in step":          {[]Target{inStep, inStep}, false, true, ""},
		"no pass yet":      {[]Target{inStep, {Last: inStep.Last}}, false, false, ""},
		"not yet in step":  {[]Target{{Passed: true}}, false, false, ""},
		"dry, passed":      {[]Target{{Passed: true}}, true, true, ""},
		"held target":      {[]Target{inStep, {About: "b: ", Held: "gone"}}, false, true, "b: held: gone"},
		"held pass":        {[]Target{{Last: status.Report{Held: 1}}}, false, true, "a pass is held"},
		"no way":           {[]Target{{Tries: maxTries, Trouble: "no such host"}}, false, true, "no such host"},
		"no way yet":       {[]Target{{Tries: maxTries - 1, Trouble: "no such host"}}, false, false, ""},
		"no runner":        {[]Target{{Tries: maxTries}}, false, true, "could not be started"},
		"fails":            {[]Target{{Last: status.Report{Attempts: maxTries}}}, false, true, "ended without being in step"},
		"fails once":       {[]Target{{Last: status.Report{Attempts: 1}}}, false, false, ""},
		"fails once, dry":  {[]Target{{Last: status.Report{Attempts: 1}}}, true, true, "ended without being in step"},
		"others not ended": {[]Target{{Held: "gone"}, {}}, false, false, ""},
	} {
		done, err := Over(c.targets, c.dry)
		if done != c.done || (err == nil) != (c.want == "") {
			t.Errorf("%s: %v %v", name, done, err)
		}
		if err != nil && (!strings.Contains(err.Error(), c.want) || exit.Code(err) != exit.Failed) {
			t.Errorf("%s: %v, exit code %d, want %q", name, err, exit.Code(err), c.want)
		}
	}
}

func TestResult(t *testing.T) {
	if err := Result(status.Report{}, true); err != nil {
		t.Error(err)
	}
	if err := Result(status.Report{}, false); exit.Code(err) != exit.Failed || !strings.Contains(err.Error(), "stopped before the end") {
		t.Error(err)
	}
}
