//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// The benchmark works: lockstep alone, at the smallest scale, loses nothing and
// gets a number in each scenario that was asked for.
func TestBench(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "rsync")
	testenv.NeedTool(t, "gcc")
	bin := filepath.Dir(program(t, "lockstep"))
	dir := t.TempDir()
	bench := filepath.Join(dir, "bench")
	if out, err := exec.Command("go", "build", "-o", bench, "../../bench").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bench, "-scale", "small", "-n", "1", "-only", "small-tree,latency,burst,overflow/lockstep", "-plots=false", "-out", dir)
	cmd.Dir = filepath.Dir(bin) // programs are below it, in bin
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Samples []struct{ Scenario, Daemon, Metric string }
		Marks   []any
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, s := range r.Samples {
		have[s.Scenario+"/"+s.Metric] = have[s.Scenario+"/"+s.Metric] || s.Daemon == "lockstep"
	}
	for _, want := range []string{"small tree/ready", "small tree/watched", "latency/p50", "burst/times rsync", "overflow/converged"} {
		if !have[want] {
			t.Errorf("no number for %s", want)
		}
	}
	if len(r.Marks) > 0 {
		t.Errorf("lockstep is marked: %v\n%s", r.Marks, out)
	}
	if table, err := os.ReadFile(filepath.Join(dir, "table.md")); err != nil || !strings.Contains(string(table), "## Budgets and ratios") {
		t.Errorf("no table: %v", err)
	}
}

// The benchmark of the monitors works; in the long run with as much as `make
// bench-monitors` does, once. No decoder allocates anything for an event; the
// resolver does for a directory that it has not known.
func TestBenchMonitors(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "rsync")
	testenv.NeedTool(t, "gcc")
	bin := filepath.Dir(program(t, "lockstep"))
	dir := t.TempDir()
	bench, here := filepath.Join(dir, "bench-monitors"), filepath.Join(dir, "bin")
	command(t, "go", "build", "-o", bench, "../../bench/monitors")
	command(t, "cp", "-a", bin, here)
	command(t, "go", "build", "-tags", "unsplit", "-o", filepath.Join(here, "lockstep-decode"), "../../bench/decode")
	floor, err := filepath.Abs("../../bench/floor/floor.c")
	if err != nil {
		t.Fatal(err)
	}
	words := []string{"-events", "50000", "-dirs", "2000"}
	if scaled().full { // make bench-monitors has ten times as many
		words = []string{"-events", "1000000", "-dirs", "100000"}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bench, append(words, "-n", "1", "-floor", floor, "-out", dir)...)
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	t.Logf("%s", out)
	text, err := os.ReadFile(filepath.Join(dir, "monitors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Decoded []struct {
			Decoder             string
			Events, Allocations float64
		}
		Watched []struct {
			Watcher string
			Dirs    int
		}
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Decoded) != 8 || len(r.Watched) != 7 {
		t.Errorf("%d decoders and %d that watch", len(r.Decoded), len(r.Watched))
	}
	for _, d := range r.Decoded {
		most := d.Events / 1000
		if d.Decoder == "resolver-cold" { // what it remembers of each directory
			most = 8 * d.Events
		}
		if d.Allocations > most {
			t.Errorf("%s: %.0f allocations for %.0f events", d.Decoder, d.Allocations, d.Events)
		}
	}
}
