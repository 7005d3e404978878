package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode"

	"lockstep/ipc/status"
)

type record struct {
	level slog.Level
	text  string
}

// feed writes data in pieces of n bytes, at one fixed time.
func feed(data []byte, n int, unlimited bool) []record {
	var out []record
	now := time.Unix(1, 0)
	l := newLines(func(level slog.Level, text string) { out = append(out, record{level, text}) },
		func() time.Time { return now }, unlimited)
	for len(data) > 0 {
		k := min(n, len(data))
		_, _ = l.Write(data[:k]) // never fails
		data = data[k:]
	}
	_ = l.Close() // never fails
	return out
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", maxLine+10)
	for in, want := range map[string][]record{
		"":                           nil,
		"\n\n":                       nil,
		"plain\n":                    {{slog.LevelInfo, "plain"}},
		"<3>bad\n<4>hm\n<7>dbg\n":    {{slog.LevelError, "bad"}, {slog.LevelWarn, "hm"}, {slog.LevelDebug, "dbg"}},
		"no end":                     {{slog.LevelInfo, "no end"}},
		"<6>\x1b[31mred\x07\n":       {{slog.LevelInfo, `\x1b[31mred\x07`}},
		"once escaped \\x1b[31m\n":   {{slog.LevelInfo, `once escaped \x1b[31m`}},
		"<9>odd\n<>\n":               {{slog.LevelInfo, "<9>odd"}, {slog.LevelInfo, "<>"}},
		"carriage\rreturn\n":         {{slog.LevelInfo, `carriage\x0dreturn`}},
		long + "\nnext\n":            {{slog.LevelInfo, long[:maxLine] + " […line cut]"}, {slog.LevelInfo, "next"}},
		"right\u202eto left\n":       {{slog.LevelInfo, `right\xe2\x80\xaeto left`}},
		"utf \xff broken\nlätt 漢字\n": {{slog.LevelInfo, `utf \xff broken`}, {slog.LevelInfo, "lätt 漢字"}},
	} {
		for _, n := range []int{1, 3, 1 << 20} {
			got := feed([]byte(in), n, false)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%.40q by %d: %.200v, want %.200v", in, n, got, want)
			}
		}
	}
}

func TestLinesRate(t *testing.T) {
	got := feed([]byte(strings.Repeat("x\n", burst+37)), 64, false)
	if len(got) != burst+1 {
		t.Fatalf("%d records, want %d", len(got), burst+1)
	}
	if last := got[burst]; last.level != slog.LevelWarn || !strings.HasPrefix(last.text, "37 lines dropped") {
		t.Errorf("last record is %v", last)
	}
	if got := feed([]byte(strings.Repeat("x\n", burst*3)), 64, true); len(got) != burst*3 {
		t.Errorf("unlimited gave %d records", len(got))
	}
}

func TestLinesRateRefills(t *testing.T) {
	now, n := time.Unix(1, 0), 0
	l := newLines(func(slog.Level, string) { n++ }, func() time.Time { return now }, false)
	for range 10 {
		_, _ = l.Write([]byte(strings.Repeat("x\n", burst*2))) // never fails
		now = now.Add(time.Hour)
	}
	_ = l.Close()          // never fails
	if n != 10*(burst+1) { // each round: a full burst and one word about the rest
		t.Errorf("%d records, want %d", n, 10*(burst+1))
	}
}

func TestLimited(t *testing.T) {
	var b bytes.Buffer
	log := Limited(NewLogger(&b, false, true))
	now := time.Unix(1, 0)
	log.Handler().(limited).limit.now = func() time.Time { return now }
	for range burst * 2 {
		log.Info("x", "n", 1)
	}
	full := strings.Count(b.String(), "\n")
	now = now.Add(365 * 24 * time.Hour * 100)
	log.Info("last", "n", 2)
	if n := strings.Count(b.String(), "\n"); full != burst || n != full+2 || !strings.Contains(b.String(), fmt.Sprintf("%d lines dropped", burst)) || !strings.Contains(b.String(), "last n=2") {
		t.Errorf("%d lines, then %d: %s", full, n, b.String()[max(0, b.Len()-200):])
	}
}

func FuzzLines(f *testing.F) {
	for _, s := range []string{"a\nb", "<3>x\n", "\x1b]0;t\x07\n", "\xff\xfe\n\n", "\u202e\n", "\\\n"} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, data []byte, n int) {
		if n < 1 {
			n = 1
		}
		lines := 0
		for _, line := range bytes.Split(data, []byte{'\n'}) {
			if len(line) > 0 {
				lines++
			}
		}
		got := feed(data, n, true)
		if len(got) != lines {
			t.Fatalf("%d lines became %d records", lines, len(got))
		}
		for _, r := range got {
			checkPrintable(t, r.text)
		}
		var text, js bytes.Buffer
		NewLogger(&text, false, true).Info(string(data), "key", string(data))
		NewLogger(&js, true, true).Info(string(data), "key", string(data))
		for _, out := range []string{text.String(), js.String()} {
			if strings.Count(out, "\n") != 1 || !strings.HasSuffix(out, "\n") {
				t.Fatalf("%q is not one line", out)
			}
			checkPrintable(t, strings.TrimSuffix(out, "\n"))
		}
		if !json.Valid(js.Bytes()) {
			t.Fatalf("%q is no JSON", js.String())
		}
	})
}

func checkPrintable(t *testing.T, s string) {
	t.Helper()
	for _, r := range s {
		if !unicode.IsPrint(r) {
			t.Fatalf("%q holds %U", s, r)
		}
	}
}

func TestTextLog(t *testing.T) {
	var b bytes.Buffer
	log := NewLogger(&b, false, true)
	log.Info("ready", "dirs", 3)
	log.With(RoleKey, "helper").Warn("hm", "path", "a b", "took", 3*time.Second)
	log.Debug("not shown")
	log.Error("bad", "name", "x\ny")
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		got = append(got, line[len("15:04:05 "):])
	}
	want := []string{"ready dirs=3", `warning: helper: hm path="a b" took=3s`, `error: bad name=x\x0ay`}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestScreen(t *testing.T) {
	var b bytes.Buffer
	s := &Screen{out: &b, terminal: true, width: func() int { return 12 }}
	steps := []struct {
		do   func() error
		want string
	}{
		{func() error { _, err := s.Write([]byte("one\n")); return err }, "one\n"},
		{func() error { return s.SetLine("live") }, erase + "live"},
		{func() error { return s.SetLine("live") }, ""},
		{func() error { _, err := s.Write([]byte("two\n")); return err }, erase + "two\nlive"},
		{func() error { return s.SetLine("0123456789abcdef") }, erase + "0123456789…"},
		{func() error { return s.SetLine("") }, erase},
		{func() error { _, err := s.Write([]byte("three\n")); return err }, "three\n"},
	}
	for i, step := range steps {
		b.Reset()
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if b.String() != step.want {
			t.Errorf("step %d wrote %q, want %q", i, b.String(), step.want)
		}
	}
	s.terminal = false
	b.Reset()
	if err := s.SetLine("x"); err != nil || b.Len() > 0 {
		t.Errorf("without a terminal: %v, %q", err, b.String())
	}
}

func TestLive(t *testing.T) {
	start := time.Unix(1000, 0)
	var l Live
	l.Update(status.Report{State: status.StateWalking, Walked: 1500, Dirs: 1}, start)
	if got, want := l.Line(start.Add(61*time.Second)), "1 dir · 1:01"; !strings.HasSuffix(got, want) {
		t.Errorf("%q does not end in %q", got, want)
	}
	l.Expected = 3000
	if got := l.Line(start); strings.Count(got, "█") != (barWidth-1)/2 {
		t.Errorf("half of the walk shows as %q", got)
	}
	l.Update(status.Report{State: status.StateInStep, Dirs: 1234, Synced: 10}, start)
	l.Update(status.Report{State: status.StateInStep, Dirs: 1234, Synced: 30, Doubt: 2}, start.Add(2*time.Second))
	if got, want := l.Line(start.Add(2*time.Second)), "in step · 1,234 dirs · queue 0 · in flight 0 · in doubt 2 · 15.0/s"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := l.Line(start.Add(time.Minute)); strings.Contains(got, "/s") {
		t.Errorf("%q shows an old rate", got)
	}
	l.Update(status.Report{State: status.StateStarting}, start.Add(time.Minute)) // a new worker
	if !l.Moving() || l.rate(start.Add(time.Minute)) != 0 {
		t.Error("a new worker is not taken as one")
	}
}

func TestBounceStaysInside(t *testing.T) {
	for i := range 200 {
		if bar := []rune(bounce(time.Duration(i) * 100 * time.Millisecond)); len(bar) != barWidth {
			t.Fatalf("step %d: %q", i, string(bar))
		}
	}
}
