package account

import (
	"reflect"
	"testing"
	"time"

	"lockstep/ipc/status"
)

// Each cause moves the sum and one number of its own; an unknown one the sum.
func TestCauses(t *testing.T) {
	for cause, want := range map[string]status.Report{
		Overflow:     {Rescans: 1, RescansOverflow: 1},
		Unwatched:    {Rescans: 1, RescansUnwatched: 1},
		Asked:        {Rescans: 1, RescansAsked: 1},
		Refused:      {Rescans: 1, RescansRefused: 1},
		Vanished:     {Rescans: 1, RescansForgotten: 1},
		Names:        {Rescans: 1, RescansForgotten: 1},
		"of the day": {Rescans: 1},
	} {
		var a Account
		var got status.Report
		a.Called(cause)
		a.Report(&got)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", cause, got)
		}
	}
}

func TestSpans(t *testing.T) {
	var a Account
	at := func(ms int) time.Time { return time.Unix(100, int64(ms)*1e6) }
	step := func(kind Kind, ms int, walks, repairs uint64, want Span) {
		t.Helper()
		if got := a.Step(kind, at(ms), walks, repairs); got != want {
			t.Errorf("at %d ms: %+v, want %+v", ms, got, want)
		}
	}
	step(First, 0, 1, 0, Span{})
	step(Nothing, 10, 5, 0, Span{First, 5, 10 * time.Millisecond, 0})
	step(Nothing, 20, 7, 1, Span{}) // a new directory
	step(Verify, 30, 8, 1, Span{})
	step(Verify, 40, 9, 3, Span{})
	step(Nothing, 50, 12, 3, Span{Verify, 5, 20 * time.Millisecond, 2})
	step(Verify, 60, 13, 3, Span{})
	step(Rescan, 70, 14, 3, Span{}) // an overflow meanwhile
	step(Verify, 80, 15, 3, Span{})
	step(Same, 85, 15, 3, Span{}) // what was found is walked
	step(Nothing, 90, 30, 3, Span{Rescan, 18, 30 * time.Millisecond, 0})
	step(Same, 100, 31, 3, Span{})
	step(Nothing, 110, 33, 3, Span{Rescan, 3, 10 * time.Millisecond, 0})
	step(Verify, 120, 34, 3, Span{})
	a.Called("overflow")
	step(Same, 130, 35, 3, Span{})
	step(Nothing, 140, 36, 3, Span{Rescan, 3, 20 * time.Millisecond, 0})
	var got status.Report
	a.Report(&got)
	want := status.Report{Rescans: 1, RescansOverflow: 1, VerifyDirs: 5, VerifyNanos: 20e6, RescanDirs: 24, RescanNanos: 60e6}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}
