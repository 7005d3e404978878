package console

import (
	"testing"

	"lockstep/ipc/status"
)

func TestSeveral(t *testing.T) {
	got := Several([]Part{
		{Name: "www", Report: status.Report{State: status.StateInStep}},
		{Name: "mail", Report: status.Report{State: status.StateRetrying, Queue: 1200, Big: 34, InFlight: 5}},
		{Name: "db", Why: "held: /srv/db is not mounted"},
		{Name: "\x1b[31m", Ended: true},
		{Name: "new", Report: status.Report{State: status.StateInStep, Queue: 1}},
	})
	const want = "5 syncs · 1 held · 1 ended · 1 retrying · 2 in step · queue 1,235 · in flight 5 · first: mail retrying"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := Several([]Part{{Name: "\x1b[31m", Why: "held: x"}}); got != `1 syncs · 1 held · queue 0 · in flight 0 · first: \x1b[31m held` {
		t.Errorf("%q", got)
	}
}
