package clock

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A file that is made now has a time of Since now or later, and one that was
// made long before has not.
func TestSinceHoldsForFiles(t *testing.T) {
	for range 200 {
		since := Since(time.Now())
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		if uint64(st.Ctim.Nano()) < since {
			t.Fatalf("made at %d, since %d", st.Ctim.Nano(), since)
		}
		if later := Since(time.Now().Add(10 * time.Second)); uint64(st.Ctim.Nano()) >= later {
			t.Fatalf("made at %d, ten seconds later is %d", st.Ctim.Nano(), later)
		}
	}
	if Since(time.Unix(-100, 0)) == 0 {
		t.Error("before 1970: 0 means that nothing is asked for")
	}
}

func TestStepped(t *testing.T) {
	now := time.Now()
	if Stepped(now, now.Add(time.Hour)) {
		t.Error("both clocks went on by an hour")
	}
	for _, c := range []struct {
		wall, monotonic time.Duration
		want            bool
	}{
		{time.Minute, time.Minute, false},
		{time.Minute, time.Minute + 90*time.Millisecond, false}, // read one after the other
		{59800 * time.Millisecond, time.Minute, true},           // set back
		{-time.Hour, time.Minute, true},
		{time.Hour, time.Minute, true}, // set forward, or the machine slept
	} {
		if got := apart(c.wall, c.monotonic); got != c.want {
			t.Errorf("%v of the wall clock, %v of the other: %v", c.wall, c.monotonic, got)
		}
	}
}

func TestLate(t *testing.T) {
	const since = 5_000_000_007
	for ctime, want := range map[uint64]bool{
		since: true, since + 1: true, since - 1: false, 6e9: true, 4e9: false,
		5e9:        true, // perhaps it was later in that second
		4999999999: false,
	} {
		if got := Late(ctime, since); got != want || got && ctime < Least(since) {
			t.Errorf("%d: %v", ctime, got)
		}
	}
}

func TestHeard(t *testing.T) {
	at := time.Now()
	if since := (Heard{}).Since(at); since != 0 {
		t.Error("never heard of anything:", since)
	}
	now := at.Add(time.Hour) // on both clocks
	want := Since(at.Add(-lag))
	if since := Heard(at).Since(now); since != want {
		t.Errorf("since %d, want %d", since, want)
	}
	// A clock set back shows an earlier time for what changes after; set forward, not.
	back, forward := at.Add(-time.Minute), at.Add(time.Hour)
	if got := since(at, back, time.Second); got != Since(back.Add(-time.Second-lag)) {
		t.Error("set back:", got)
	}
	if got := since(at, forward, time.Second); got != want {
		t.Error("set forward:", got)
	}
}
