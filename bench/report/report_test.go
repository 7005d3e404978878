package report

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{nil, 0.5, 0},
		{[]float64{7}, 0.9, 7},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{1, 2, 3, 4}, 0.5, 2.5},
		{[]float64{4, 3, 2, 1}, 0, 1},
		{[]float64{4, 3, 2, 1}, 1, 4},
		{[]float64{0, 10}, 0.9, 9},
	} {
		if got := Quantile(c.values, c.q); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("Quantile(%v, %v) = %v, want %v", c.values, c.q, got, c.want)
		}
	}
	v := []float64{3, 1, 2}
	Quantile(v, 0.5)
	if v[0] != 3 {
		t.Error("Quantile has sorted what it was given")
	}
}

// sample is a run of two repetitions of two daemons.
func sample() *Results {
	r := &Results{Date: "2026-01-02T03:04:05Z", Commit: "abc", Daemons: []string{"lockstep", "lsyncd", twin},
		Versions: map[string]string{"lockstep": "1", "lsyncd": "2", "rsync": "rsync 3"}, Notes: map[string]string{"lockstep": "`--delay 0s`"},
		Settings: Settings{N: 2, Scale: "full", Sizes: map[string]int{"large tree, directories": 100000, "small tree, directories": 10000, "burst, files": 20000}},
		Times:    map[string]float64{"burst": 12}}
	for rep, v := range map[int][3]float64{1: {1, 4, 2}, 2: {3, 5, 2}} {
		r.Add("burst", "lockstep", "converged", "s", rep, v[0])
		r.Add("burst", "lockstep", "times rsync", "×", rep, v[0]/v[2])
		r.Add("burst", "lockstep", "daemon cpu", "s", rep, v[0])
		r.Add("burst", twin, "daemon cpu", "s", rep, v[0]/2)
		r.Add("burst", "lsyncd", "converged", "s", rep, v[1])
		r.Add("burst", "lsyncd", "times rsync", "×", rep, v[1]/v[2])
		r.Add("burst", "rsync -aH", "converged", "s", rep, v[2])
		r.Add("large tree", "lockstep", "watched", "ms", rep, 100*v[0])
		r.Add("large tree", "lockstep", "watched of floor", "×", rep, v[0])
		r.Add("large tree", "C program", "watched", "ms", rep, 100)
	}
	return r
}

func TestSummary(t *testing.T) {
	r := sample()
	if got, want := r.Summary(Key{"burst", "lockstep", "converged"}), (Summary{2, 2, 1, 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := r.Summary(Key{"burst", "nobody", "converged"}); got.N != 0 {
		t.Errorf("a daemon without samples has %+v", got)
	}
	// A ratio is of the same repetition: 1/1 and 3/1, not of medians.
	if got, want := r.Over(Key{"large tree", "lockstep", "watched"}, Key{"large tree", "C program", "watched"}), (Summary{2, 2, 1, 3}); got != want {
		t.Errorf("ratio %+v, want %+v", got, want)
	}
	// Several samples of one repetition count once.
	r.Add("burst", "rsync -aH", "converged", "s", 1, 4)
	if got := r.Values(Key{"burst", "rsync -aH", "converged"})[1]; got != 3 {
		t.Errorf("two samples of a repetition give %v, want their median 3", got)
	}
}

func row(t *testing.T, text, begin string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "| "+begin) {
			return strings.TrimSpace(line)
		}
	}
	t.Fatalf("no row %q in:\n%s", begin, text)
	return ""
}

func TestMarkdown(t *testing.T) {
	r := sample()
	md := r.Markdown()
	if got, want := row(t, md, "equal after, s"), "| equal after, s | **2.00 (1.00–3.00)** | 4.50 (4.00–5.00) | 2.00 |"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := row(t, md, "large tree watched / the C"), "| large tree watched / the C program | ≤ 1.5 | **missed** | 2.00 (1.00–3.00) | – |"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := row(t, md, "burst: CPU of the daemon"), "| burst: CPU of the daemon | ≤ 1.5 | **missed** | 2.00 | 2.00 (1.00–3.00) | 1.00 (0.50–1.50) |"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if strings.Contains(md, "## Idle") {
		t.Error("there is a table without a number")
	}
	if !strings.Contains(md, "## Burst of 20,000 files") {
		t.Error("a title has no number")
	}
}

// What lost something is never the best, whatever its number.
func TestMarkedIsNotRanked(t *testing.T) {
	r := sample()
	r.Mark("burst", "lockstep", 2, "lost 6", "a | b")
	md := r.Markdown()
	if got, want := row(t, md, "equal after, s"), "| equal after, s | 2.00 (1.00–3.00), lost 6 | 4.50 (4.00–5.00) | 2.00 |"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := row(t, md, "burst / one rsync"); !strings.Contains(got, "**missed** (lost 6)") {
		t.Errorf("a budget counts as met: %s", got)
	}
	if got, want := row(t, md, "burst | lockstep | 2"), `| burst | lockstep | 2 | lost 6 | a \| b |`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !strings.Contains(r.short(), "lost 6") {
		t.Error("the short table hides what was lost")
	}
}

func TestMarkThatIsTold(t *testing.T) {
	r := &Results{}
	r.Mark("burst", "x", 1, "3 times differ", "")
	r.Mark("burst", "x", 2, "lost 12", "")
	r.Mark("burst", "x", 3, "lost 9", "")
	if got := r.marked("burst", "x"); got != "lost 12" {
		t.Errorf("the worst of the marks is %q", got)
	}
	r.Mark("burst", "x", 3, "failed", "")
	if got := r.marked("burst", "x"); got != "failed" {
		t.Errorf("the worst of the marks is %q", got)
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		v      float64
		digits int
		want   string
	}{{1234567, 0, "1,234,567"}, {999, 0, "999"}, {9999.4, 0, "9999"}, {12.345, 2, "12.35"}, {0, 1, "0.0"}} {
		if got := number(c.v, c.digits); got != c.want {
			t.Errorf("number(%v, %d) = %q, want %q", c.v, c.digits, got, c.want)
		}
	}
}

// Whatever is in the tables can be computed again from the JSON.
func TestJSONHoldsAll(t *testing.T) {
	r := sample()
	path := filepath.Join(t.TempDir(), "results.json")
	if err := r.Write(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again := new(Results)
	if err := json.Unmarshal(text, again); err != nil {
		t.Fatal(err)
	}
	if again.Markdown() != r.Markdown() {
		t.Error("the tables of what was read differ from those of what was written")
	}
}

func TestPlots(t *testing.T) {
	r := sample()
	r.Mark("burst", "lsyncd", 1, "lost 6", "")
	dir := t.TempDir()
	for _, p := range parts(r.Settings) {
		text := r.plot(p, filepath.Join(dir, p.PlotName+".svg"))
		if (text != "") != (p.PlotName == "burst") {
			t.Errorf("%s: a script of %d bytes", p.PlotName, len(text))
		}
		if p.PlotName != "burst" {
			continue
		}
		for _, want := range []string{"burst of 20,000 files", `"lsyncd (lost 6)" 1`, `"lockstep" 0`, "0 2 0 1 3 "} {
			if !strings.Contains(text, want) {
				t.Errorf("the script has no %q:\n%s", want, text)
			}
		}
	}
	if _, err := exec.LookPath("gnuplot"); err != nil {
		return // only the benchmark needs it, and installs it; the script is checked above
	}
	if err := r.plots(dir); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "burst.svg")); err != nil || !strings.Contains(string(text), "lsyncd (lost 6)") {
		t.Errorf("the picture has no bar of lsyncd: %v", err)
	}
}
