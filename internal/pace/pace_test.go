package pace

import (
	"testing"
	"time"
)

// A single change, which is a few events, meets no timer; a stream is read in
// rests that grow as long as little comes, and a flood without any.
func TestPace(t *testing.T) {
	now := time.Now()
	var p Pace
	for i := range FreeReads {
		if wait := p.After(32, now); wait > 0 {
			t.Fatalf("read %d after a rest is followed by %v", i, wait)
		}
	}
	for _, want := range []time.Duration{leastRest, 2 * leastRest, 4 * leastRest, MostRest, MostRest} {
		wait := p.After(32, now)
		if wait != want {
			t.Fatalf("%v, want %v", wait, want)
		}
		now = now.Add(wait)
	}
	if wait := p.After(many, now); wait != MostRest/2 {
		t.Errorf("much to read, and %v", wait)
	}
	if wait := p.After(flood, now); wait != 0 {
		t.Errorf("a flood, and %v", wait)
	}
	now = now.Add(100 * time.Millisecond)
	for i := range FreeReads {
		if wait := p.After(32, now); wait > 0 {
			t.Fatalf("read %d after another rest is followed by %v", i, wait)
		}
	}
}
