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
