package marks

import (
	"testing"

	"lockstep/console"
	"lockstep/ipc/status"
)

// The words are clsync's, whose users' programs read them.
func TestWord(t *testing.T) {
	in := func(s status.State) console.Part { return console.Part{Report: status.Report{State: s}} }
	why := func(why string) console.Part { return console.Part{Why: why} }
	for _, c := range []struct {
		part   console.Part
		ending bool
		want   string
	}{
		{console.Part{}, false, "starting"},
		{in(status.StateWalking), false, "initsync"},
		{in(status.StateInitial), false, "initsync"},
		{in(status.StateSyncing), false, "running"},
		{in(status.StateInStep), false, "running"},
		{in(status.StateRetrying), false, "synchandler error"},
		{in(status.StateHeld), false, "hold on"},
		{why("held: the source is another directory"), false, "hold on"},
		{why("held back: /run/hold is there"), false, "hold on"},
		{why("waiting to start again"), false, "starting"},
		{in(status.StateDraining), false, "terminating"},
		{in(status.StateInStep), true, "terminating"},
		{console.Part{Ended: true}, true, "exiting"},
	} {
		if got := word(c.part, c.ending); got != c.want {
			t.Errorf("%+v, ending %v: %q, want %q", c.part, c.ending, got, c.want)
		}
	}
}
