package nudge

import (
	"testing"
	"testing/synctest"
	"time"

	"lockstep/ipc"
)

func TestNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var at []time.Duration
		for c := Next(ipc.JobList, 0); c != nil; c = Next(ipc.JobList, time.Since(begin)) {
			<-c
			at = append(at, time.Since(begin))
		}
		if len(at) != 7 || at[0] != time.Second || at[1] != 2*time.Second || at[6] != 64*time.Second {
			t.Errorf("%v", at)
		}
	})
	for _, kind := range []ipc.JobKind{ipc.JobInitial, ipc.JobContent} {
		if Next(kind, 0) != nil {
			t.Errorf("a pass is nudged: %d", kind)
		}
	}
}
