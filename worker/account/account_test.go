package account

import (
	"fmt"
	"reflect"
	"strings"
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

func at(ms int) time.Time { return time.Unix(100, int64(ms)*1e6) }

// What is going on, as it is seen.
func none() Now      { return Now{Ready: true} }
func starting() Now  { return Now{Listing: true} }
func passing() Now   { return Now{Ready: true, Listing: true, Passing: true, Verifying: true} }
func verifying() Now { return Now{Ready: true, Listing: true, Verifying: true} }
func listing() Now   { return Now{Ready: true, Listing: true} }

func TestCosts(t *testing.T) {
	var a Account
	step := func(n Now, ms int, walks, repairs uint64, want string) {
		t.Helper()
		n.At, n.Walks, n.Repairs = at(ms), walks, repairs
		begin, told := a.Step(n)
		if begin || !strings.Contains(told, want) || (told == "") != (want == "") {
			t.Errorf("at %d ms: %v %q, want %q", ms, begin, told, want)
		}
	}
	step(starting(), 0, 1, 0, "")
	step(none(), 10, 5, 0, "")
	step(none(), 20, 7, 1, "") // a new directory
	step(verifying(), 30, 8, 1, "")
	step(verifying(), 40, 9, 3, "")
	step(none(), 50, 12, 3, "") // a person asked
	step(verifying(), 60, 13, 3, "")
	step(passing(), 70, 14, 3, "")
	step(verifying(), 80, 15, 3, "")
	step(listing(), 85, 15, 3, "") // what was found is walked
	step(none(), 90, 30, 5, "18 directories in 30ms, 2 differences mended")
	step(listing(), 100, 31, 5, "") // an overflow
	step(none(), 110, 33, 5, "3 directories in 10ms, 0 differences mended")
	step(verifying(), 120, 34, 5, "")
	a.Called(Overflow) // meanwhile
	step(listing(), 130, 35, 5, "")
	step(none(), 140, 36, 5, "3 directories in 20ms")
	var got status.Report
	a.Report(&got)
	want := status.Report{Rescans: 1, RescansOverflow: 1, VerifyDirs: 5, VerifyNanos: 20e6, RescanDirs: 24, RescanNanos: 60e6}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// A verification is due so long after everything was listed, for whatever reason.
func TestEvery(t *testing.T) {
	a := Account{Every: time.Second}
	step := func(n Now, ms int, want bool, told string) {
		t.Helper()
		n.At = at(ms)
		if got, said := a.Step(n); got != want || said == "" != (told == "") || !strings.Contains(said, told) {
			t.Errorf("at %d ms: %v %q", ms, got, said)
		}
	}
	step(starting(), 0, false, "")
	step(none(), 100, false, "")
	if next := a.Next(none()); !next.Equal(at(1100)) {
		t.Errorf("next at %v", next)
	}
	step(none(), 1099, false, "")
	step(none(), 1100, true, "")
	step(verifying(), 1101, false, "")
	step(listing(), 1150, false, "") // what was found is walked
	if next := a.Next(verifying()); !next.IsZero() {
		t.Errorf("next at %v while one is under way", next)
	}
	step(none(), 1200, false, "0 stale, 0 missing, 0 mended")
	step(passing(), 1300, false, "")
	step(passing(), 2300, false, "") // it verifies, too
	step(none(), 2400, false, "listed again")
	step(none(), 3399, false, "")
	draining := none()
	draining.Draining = true
	step(draining, 3500, false, "")
	if next := a.Next(draining); !next.IsZero() {
		t.Errorf("next at %v while nothing new is begun", next)
	}
	a.Every = 0
	step(none(), 9000, false, "")
	if next := a.Next(none()); !next.IsZero() {
		t.Errorf("next at %v, and it is off", next)
	}
}

func TestWatchLimit(t *testing.T) {
	for _, c := range []struct {
		limit uint64
		every time.Duration
		want  string
	}{
		{1000, time.Minute, "3 of 9 directories are not watched; they are compared every 1m0s. Set sysctl fs.inotify.max_user_watches to at least 1003 (it was 1000), or monitor = \"fanotify\""},
		{0, time.Minute, "to at least 3 more than now"},
		{1000, 0, "CHANGES IN THEM ARE NOT SEEN"},
	} {
		if got := WatchLimit(c.limit, c.every)(3, 9); !strings.Contains(got, c.want) {
			t.Errorf("%q", got)
		}
	}
}

// It is told at once, then once a minute at most, and the tree compared at the
// interval.
func TestLimit(t *testing.T) {
	l := Limit{Every: time.Second, Text: func(unwatched, _ uint64) string { return fmt.Sprint(unwatched) }}
	step := func(unwatched uint64, quiet, walking bool, ms int, compare bool, tells string) {
		t.Helper()
		if got, told := l.Step(unwatched, 9, quiet, walking, at(ms)); got != compare || told != tells {
			t.Errorf("at %d ms: %v %q", ms, got, told)
		}
	}
	next := func(want time.Time) {
		t.Helper()
		if next := l.Next(); !next.Equal(want) {
			t.Errorf("next at %v, not %v", next, want)
		}
	}
	step(0, true, false, 0, false, "")
	step(3, false, false, 100, false, "")
	step(3, true, false, 200, false, "3")
	step(3, true, false, 300, false, "")
	step(3, true, true, 1200, false, "")
	step(3, true, false, 1300, true, "")
	step(4, true, false, 1400, false, "")
	next(at(2300))
	step(0, true, false, 2400, false, "")
	next(time.Time{})
	l.Every = 0
	step(5, true, false, 2500, false, "")
	next(at(60200))
	step(5, true, false, 60199, false, "")
	step(5, true, false, 60200, false, "5")
	next(time.Time{})
	step(5, true, false, 999999, false, "")
}
