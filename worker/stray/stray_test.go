package stray

import (
	"slices"
	"testing"
	"time"
)

func TestMarks(t *testing.T) {
	var m Marks
	if m.Any() || m.Concern(1, 1) {
		t.Error("something is noted in none")
	}
	m.Note(1, 5)
	if !m.Concern(1, 5) || m.Concern(1, 6) || m.Concern(2, 5) {
		t.Error("answers up to the noted one are concerned, of that descriptor")
	}
	m.Forget(1)
	if m.Any() {
		t.Error("it is forgotten")
	}
}

// Of too many descriptors, every answer under way is taken to be concerned.
func TestMarksAreBounded(t *testing.T) {
	var m Marks
	for wd := range int32(maxMarks + 1) {
		m.Note(wd, 7)
	}
	if len(m.at) > maxMarks {
		t.Errorf("%d noted", len(m.at))
	}
	if !m.Concern(0, 7) || !m.Concern(1<<30, 7) || m.Concern(0, 8) {
		t.Error("what was forgotten is not answered for")
	}
}

func TestOrphans(t *testing.T) {
	var o Orphans
	at := time.Unix(1, 0)
	for _, wd := range []int32{3, 1, 2, 1} {
		o.Add(wd, at)
		at = at.Add(time.Second)
	}
	if since, any := o.Since(); !any || !since.Equal(time.Unix(1, 0)) {
		t.Errorf("since %v", since)
	}
	o.Remove(1)
	var ended []int32
	o.End(func(wd int32) { ended = append(ended, wd) })
	if !slices.Equal(ended, []int32{3, 2}) {
		t.Errorf("ended %v", ended)
	}
	if _, any := o.Since(); any {
		t.Error("some are left")
	}
}
