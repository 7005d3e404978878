package nudge

import (
	"testing"
	"testing/synctest"
	"time"

	"lockstep/ipc"
)

// A list is looked at after 1, 2, 4 and 8 seconds, and then every five.
func TestNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var at []time.Duration
		for len(at) < 6 {
			<-Next(ipc.JobList, time.Since(begin))
			at = append(at, time.Since(begin))
		}
		if at[0] != time.Second || at[1] != 2*time.Second || at[3] != 8*time.Second || at[5] != 18*time.Second {
			t.Errorf("%v", at)
		}
		for _, kind := range []ipc.JobKind{ipc.JobInitial, ipc.JobContent} {
			begin := time.Now()
			if <-Next(kind, 0); time.Since(begin) != 5*time.Second {
				t.Errorf("a pass is looked at after %v", time.Since(begin))
			}
		}
	})
}

// A pass, and a list that has run for long, is nudged only when it does nothing.
func TestDue(t *testing.T) {
	for _, c := range []struct {
		kind      ipc.JobKind
		ran, took time.Duration
		want      bool
	}{
		{ipc.JobList, time.Second, time.Second, true},
		{ipc.JobList, time.Hour, time.Second, false},
		{ipc.JobList, time.Hour, 0, true},
		{ipc.JobInitial, time.Second, time.Second, false},
		{ipc.JobInitial, time.Hour, 100 * time.Microsecond, true},
		{ipc.JobContent, time.Hour, 2 * time.Millisecond, false},
	} {
		if got := Due(c.kind, c.ran, c.took); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
