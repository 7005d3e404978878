package picture

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"lockstep/config"
	"lockstep/console"
	"lockstep/ipc/status"
)

func TestSyncs(t *testing.T) {
	step := status.Report{State: status.StateInStep, Queue: 1, Target: 1}
	target := func(why string) []console.PartTarget {
		return []console.PartTarget{{Name: "/t", Report: step, Why: why}}
	}
	for _, c := range []struct {
		part         console.Part
		state, there string
	}{
		{console.Part{Report: step, Targets: target("")}, "in step", "in step"},
		{console.Part{Report: step, Targets: target("gone")}, "in step", "held"},
		{console.Part{Why: "held: gone", Targets: target("")}, "held", "in step"},
		{console.Part{Report: step, Why: "held back: paused", Paused: true, Targets: target("")}, "paused", "in step"},
		{console.Part{Report: step, Ended: true, Targets: target("gone")}, "ended", "ended"},
	} {
		s := Syncs([]console.Part{c.part}).Syncs[0]
		if s.State != c.state || s.Targets[0].State != c.there {
			t.Errorf("%+v: %s, %s; want %s, %s", c.part, s.State, s.Targets[0].State, c.state, c.there)
		}
	}
	n := Numbers(step)
	if n["queue"] != 1 || len(n) != 46 {
		t.Errorf("%d numbers: %v", len(n), n)
	}
}

// All that is made is one printable line, whatever bytes a path has.
func TestLines(t *testing.T) {
	hostile := "/a\xff\n\x1b\u202e\"b"
	set := config.Set{Files: []config.File{{Path: hostile}}, Syncs: []config.Sync{
		{Name: "a", Source: hostile, Targets: []config.Target{{Path: hostile}}}, {Name: "b"}}}
	for _, v := range []any{Of(set, 7, ""), Of(set, 7, "b"), Running(), Syncs(nil),
		Syncs([]console.Part{{Name: "a", Why: hostile, Targets: []console.PartTarget{{Name: hostile, Why: hostile}}}})} {
		text, err := Line(v)
		if err != nil || !json.Valid(text) || strings.ContainsAny(string(text), "\n\x1b\u202e") || !utf8.Valid(text) {
			t.Errorf("%q, %v", text, err)
		}
	}
	if i := Of(set, 7, "b"); i.Label != "b" || len(i.Syncs) != 1 || i.Syncs[0].Name != "b" || i.PID != 7 {
		t.Errorf("%+v", i)
	}
}
