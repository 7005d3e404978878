package kaudit

import (
	"bytes"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"lockstep/internal/testenv"
	"lockstep/trail"
)

// One record is one message with one outcome, whatever its names hold.
func TestText(t *testing.T) {
	form := regexp.MustCompile(`^op=lockstep-[a-z?-]+ seq=8 outcome=[a-z?]+ actor=\S+( (sync|target|object|rule|reason)=("[!#-~]*"|[0-9A-F]*))* sum=[0-9a-f?]* res=(success|failed)$`)
	for _, hostile := range []string{"www", "a b", "a\nb", `" res=success op="x`, "\x1b[31m", "\xff\x9b", "漢字", "res=success", strings.Repeat("x y", 5000)} {
		r := trail.Record{Event: trail.Event{Type: trail.CommandEnd, Outcome: trail.Failure, Actor: trail.Actor{Role: hostile},
			Object: trail.Object{Sync: hostile, Target: hostile, Name: hostile}, Why: trail.Why{Rule: hostile, Reason: hostile}}}
		text := Text(8, trail.Zero, r)
		if len(text) > 8000 || !form.MatchString(text) || !strings.HasSuffix(text, " res=failed") || strings.ContainsAny(text, "\n\x1b\x00") {
			t.Errorf("%.20q: %.300q", hostile, text)
		}
	}
	if got := field("a b"); got != "612062" {
		t.Errorf("%s", got)
	}
	if got := Text(1, "ab", trail.Record{Event: trail.Event{Type: trail.Start, Outcome: trail.Success, Actor: trail.Actor{Role: "supervisor"}}}); got != `op=lockstep-start seq=1 outcome=success actor="supervisor" sum=ab res=success` {
		t.Errorf("%s", got)
	}
}

// The real kernel takes records; when it keeps none, although it acknowledges them, that
// is said.
func TestKernel(t *testing.T) {
	testenv.NeedRoot(t)
	var said bytes.Buffer
	s, err := Open(slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		testenv.Lacks(t, err.Error()) // as in containers
	}
	enabled, err := (&Sink{fd: s.fd, seq: 1000}).enabled() // nobody sends yet
	if err != nil {
		t.Fatal(err)
	}
	if warns := strings.Contains(said.String(), "keeps none"); warns == enabled {
		t.Errorf("enabled %v, and it says %q", enabled, said.String())
	}
	before := said.Len()
	for i := range uint64(100) {
		s.Send(i, trail.Zero, trail.Record{Event: trail.Event{Type: trail.Control, Outcome: trail.Success, Actor: trail.Actor{Role: "test"}, Object: trail.Object{Name: "a\nb"}}})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if said.Len() != before {
		t.Errorf("not all was taken: %s", said.String())
	}
	var none *Sink
	none.Send(1, "", trail.Record{})
	if err := none.Close(); err != nil {
		t.Error(err)
	}
}
