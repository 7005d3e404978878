package console

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

// A record has its line, its attributes, and nothing that a terminal would obey.
func TestRecords(t *testing.T) {
	var got []Record
	log := NewRecords(func(r Record) { got = append(got, r) }, false).With(RoleKey, "helper", "sync", "www")
	log.Warn("a\nb", "path", "x y\x1b", "took", 3*time.Second, slog.Group("g", "n", 1))
	log.Debug("not shown")
	NewRecords(func(r Record) { got = append(got, r) }, true).Error("bad", "name", "\xff")
	if len(got) != 2 {
		t.Fatalf("%+v", got)
	}
	if r := got[0]; r.Level != slog.LevelWarn || r.Time.IsZero() || r.Text != `warning: helper: a\x0ab sync=www path="x y\\x1b" took=3s n=1` {
		t.Errorf("%+v", r)
	}
	want := []Field{{RoleKey, "helper"}, {"sync", "www"}, {"path", `x y\x1b`}, {"took", "3s"}, {"n", "1"}}
	if !slices.Equal(got[0].Fields, want) {
		t.Errorf("%q, want %q", got[0].Fields, want)
	}
	var js map[string]any
	if err := json.Unmarshal([]byte(got[1].Text), &js); err != nil || js["msg"] != "bad" || js["name"] != `\xff` || got[1].Level != slog.LevelError {
		t.Errorf("%v: %+v", err, got[1])
	}
}

// Loggers that come of one logger do not share what is given to one of them alone.
func TestRecordsShareNothing(t *testing.T) {
	var got []Record
	base := NewRecords(func(r Record) { got = append(got, r) }, false).With("a", 1)
	one, two := base.With("b", 2), base.With("c", 3)
	one.Info("x")
	two.Info("y", "d", 4)
	one.Info("z", "e", 5)
	want := []string{"x a=1 b=2", "y a=1 c=3 d=4", "z a=1 b=2 e=5"}
	for i, r := range got {
		if fields := len(strings.Fields(r.Text)) - 1; r.Text != want[i] || len(r.Fields) != fields {
			t.Errorf("%+v, want %q", r, want[i])
		}
	}
}

func TestAtLeast(t *testing.T) {
	for least, want := range map[slog.Level]string{
		slog.LevelInfo:  "info warning: warn error: error ",
		slog.LevelWarn:  "warning: warn error: error ",
		slog.LevelError: "error: error ",
	} {
		var whole strings.Builder
		log := AtLeast(NewRecords(func(r Record) { whole.WriteString(strings.TrimSuffix(r.Text, " n=1") + " ") }, false), least).With("n", 1)
		log.Debug("debug")
		log.Info("info")
		log.Warn("warn")
		log.Error("error")
		if whole.String() != want {
			t.Errorf("%v: %q, want %q", least, whole.String(), want)
		}
		// Who has not asked is not heard either.
		if err := log.Handler().Handle(t.Context(), slog.NewRecord(time.Now(), least-1, "less", 0)); err != nil || whole.String() != want {
			t.Errorf("%v: %q", err, whole.String())
		}
	}
}
