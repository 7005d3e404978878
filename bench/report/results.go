// Package report keeps what was measured and shows it: JSON, Markdown, plots,
// a short table.
//
// Trust: linked into the benchmark only.
//
// Invariants: every number that is shown comes from samples that are in the
// JSON; a daemon that lost something, or failed, is marked and never ranked.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"lockstep/bench/meter"
)

// Sample is what one repetition showed.
type Sample struct {
	Scenario string    `json:"scenario"`
	Daemon   string    `json:"daemon"`
	Metric   string    `json:"metric"`
	Unit     string    `json:"unit"`
	Rep      int       `json:"rep"`
	Values   []float64 `json:"values"` // one, or each of many
}

// Mark is why a daemon is not ranked in a scenario.
type Mark struct {
	Scenario string `json:"scenario"`
	Daemon   string `json:"daemon"`
	Rep      int    `json:"rep"`
	Text     string `json:"text"` // short: it stands in tables
	Why      string `json:"why"`
}

// Settings are what was asked for.
type Settings struct {
	N      int            `json:"repetitions"`
	Scale  string         `json:"scale"`
	Only   string         `json:"only,omitempty"`
	Sizes  map[string]int `json:"sizes"`
	Kernel map[string]int `json:"kernel_variables"`
}

// Results are everything of one run.
type Results struct {
	Date     string             `json:"date"`
	Commit   string             `json:"commit"`
	Machine  meter.Machine      `json:"machine"`
	Versions map[string]string  `json:"versions"`
	Notes    map[string]string  `json:"how_daemons_are_called"`
	Settings Settings           `json:"settings"`
	Daemons  []string           `json:"daemons"` // in the order of tables
	Times    map[string]float64 `json:"seconds_of_the_run"`
	Samples  []Sample           `json:"samples"`
	Marks    []Mark             `json:"marks"`

	mu sync.Mutex
}

// Add records one repetition's number.
func (r *Results) Add(scenario, daemon, metric, unit string, rep int, value float64) {
	r.AddEach(scenario, daemon, metric, unit, rep, []float64{value})
}

// AddEach records many numbers of one repetition. They are kept, not
// summarised: add what stands in a table by Add.
func (r *Results) AddEach(scenario, daemon, metric, unit string, rep int, values []float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Samples = append(r.Samples, Sample{scenario, daemon, metric, unit, rep, values})
}

// Mark records that a daemon cannot be ranked.
func (r *Results) Mark(scenario, daemon string, rep int, text, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Marks = append(r.Marks, Mark{scenario, daemon, rep, text, why})
}

// Spent adds to the time that a part of the run took.
func (r *Results) Spent(part string, seconds float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Times[part] += seconds
}

// Values are a metric's numbers by repetition: of several in one repetition
// the median.
func (r *Results) Values(k Key) map[int]float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	byRep := map[int][]float64{}
	for _, s := range r.Samples {
		if s.Scenario == k.Scenario && s.Daemon == k.Daemon && s.Metric == k.Metric {
			byRep[s.Rep] = append(byRep[s.Rep], s.Values...)
		}
	}
	out := map[int]float64{}
	for rep, v := range byRep {
		out[rep] = Quantile(v, 0.5)
	}
	return out
}

// Summary says how a metric came out over the repetitions.
func (r *Results) Summary(k Key) Summary {
	return summarise(r.Values(k))
}

// Over divides one metric by another one of the same repetition.
func (r *Results) Over(a, b Key) Summary {
	num, den := r.Values(a), r.Values(b)
	out := map[int]float64{}
	for rep, v := range num {
		if d := den[rep]; d != 0 {
			out[rep] = v / d
		}
	}
	return summarise(out)
}

// Key names a metric of a daemon in a scenario.
type Key struct{ Scenario, Daemon, Metric string }

// marked is what stands in tables about a daemon that is not ranked: the worst
// is told; "" when there is nothing.
func (r *Results) marked(scenario, daemon string) string {
	worst, weight := "", -1
	for _, m := range r.Marks {
		if w := m.weight(); m.Scenario == scenario && m.Daemon == daemon && w > weight {
			worst, weight = m.Text, w
		}
	}
	return worst
}

// weight orders marks: a failure is worse than what was lost, that is worse
// than times that differ, and more is worse than less.
func (m Mark) weight() int {
	var n int
	if _, err := fmt.Sscanf(m.Text, "lost %d", &n); err == nil {
		return 1<<40 + n
	}
	if _, err := fmt.Sscanf(m.Text, "%d times", &n); err == nil {
		return n
	}
	return 1 << 50
}

// Write writes the JSON.
func (r *Results) Write(path string) error {
	b, err := json.MarshalIndent(r, "", " ")
	return errors.Join(err, os.WriteFile(path, append(b, '\n'), 0o644))
}
