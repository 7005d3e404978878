package report

import (
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// All writes everything into a directory, and a short table to out.
func All(r *Results, out io.Writer, dir string, plots bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := r.Write(filepath.Join(dir, "results.json")); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "table.md"), []byte(r.Markdown()), 0o644); err != nil {
		return err
	}
	if plots {
		if err := r.plots(dir); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "\n%s\nresults: %s\n", r.short(), dir)
	return err
}

// twin is the daemon that stands in the table of separation alone.
const twin = "lockstep-unsplit"

// columns are the daemons of the big tables.
func (r *Results) columns() []string {
	return slices.DeleteFunc(slices.Clone(r.Daemons), func(d string) bool { return d == twin })
}

// Markdown is the whole table.
func (r *Results) Markdown() string {
	var b strings.Builder
	b.WriteString("<!-- made by make bench: do not edit -->\n")
	r.head(&b)
	b.WriteString("\n## Budgets and ratios\n\nA ratio is of two numbers of the same repetition. " + legend + "\n\n")
	r.ratioTable(&b, ratios(), r.columns())
	if slices.Contains(r.Daemons, twin) {
		b.WriteString("\n## Cost of separation\n\nlockstep, divided by the same engine in one process with direct calls, in the same repetition.\n\n")
		r.separationTable(&b)
	}
	for _, p := range parts(r.Settings) {
		r.part(&b, p)
	}
	r.foot(&b)
	return b.String()
}

const legend = "Numbers are medians, with the least and the greatest repetition in brackets; the best is bold. A daemon that lost something or failed is marked and not ranked."

func (r *Results) head(b *strings.Builder) {
	m := r.Machine
	fmt.Fprintf(b, "\n%s, commit %s, %d repetitions (%s scale).\n", r.Date, r.Commit, r.Settings.N, r.Settings.Scale)
	fmt.Fprintf(b, "%s, %d cores, %d MiB; %s, Linux %s, %s; %s.\n\n", m.CPU, m.Cores, m.MemoryMiB, m.System, m.Kernel, m.FileSystem, r.Versions["rsync"])
	for _, d := range r.Daemons {
		fmt.Fprintf(b, "* **%s** (%s): %s\n", d, r.Versions[d], r.Notes[d])
	}
	for _, name := range slices.Sorted(maps.Keys(r.Settings.Kernel)) {
		fmt.Fprintf(b, "* %s = %d\n", name, r.Settings.Kernel[name])
	}
}

// foot lists marks and where the time went.
func (r *Results) foot(b *strings.Builder) {
	if len(r.Marks) > 0 {
		b.WriteString("\n## Not ranked\n\n| scenario | daemon | repetition | what | for example |\n|---|---|---|---|---|\n")
		for _, m := range r.Marks {
			why := strings.NewReplacer("|", "\\|", "\n", " ").Replace(m.Why)
			fmt.Fprintf(b, "| %s | %s | %d | %s | %s |\n", m.Scenario, m.Daemon, m.Rep, m.Text, why)
		}
	}
	b.WriteString("\n## Time of the run\n\n| part | s |\n|---|---|\n")
	for _, part := range slices.Sorted(maps.Keys(r.Times)) {
		fmt.Fprintf(b, "| %s | %.0f |\n", part, r.Times[part])
	}
}

func (r *Results) part(b *strings.Builder, p Part) {
	columns := slices.Concat(r.columns(), p.Floors)
	rows := make([][]string, 0, len(p.Rows))
	for _, row := range p.Rows {
		if cells, any := r.cells(row, columns); any {
			rows = append(rows, append([]string{row.Title}, cells...))
		}
	}
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n", p.Title)
	if p.Text != "" {
		b.WriteString(p.Text + "\n\n")
	}
	markdown(b, append([]string{""}, columns...), rows)
	if p.Plot != "" {
		fmt.Fprintf(b, "\n![%s](%s.svg)\n", p.PlotTitle, p.PlotName)
	}
}

func markdown(b *strings.Builder, head []string, rows [][]string) {
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, row := range rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
	}
}

// cells are a row's; any is false when there is no number in it.
func (r *Results) cells(row Row, columns []string) (cells []string, any bool) {
	best, ranked := math.Inf(1), 0
	for _, d := range r.columns() {
		if s := r.Summary(Key{row.Scenario, d, row.Metric}); s.N > 0 && r.spoiled(row, d) == "" {
			best, ranked = min(best, s.Median), ranked+1
		}
	}
	for _, d := range columns {
		s := r.Summary(Key{row.Scenario, d, row.Metric})
		mark := r.spoiled(row, d)
		any = any || s.N > 0
		daemon := slices.Contains(r.Daemons, d)
		switch {
		case s.N == 0 && mark != "":
			cells = append(cells, mark)
		case s.N == 0:
			cells = append(cells, "–")
		case mark != "":
			cells = append(cells, fmt.Sprintf("%s, %s", show(s, row.Digits), mark))
		case daemon && !row.Plain && ranked > 1 && s.Median == best:
			cells = append(cells, "**"+show(s, row.Digits)+"**")
		default:
			cells = append(cells, show(s, row.Digits))
		}
	}
	return cells, any
}

// spoiled is the mark that keeps a daemon from being ranked in a row.
func (r *Results) spoiled(row Row, daemon string) string {
	if row.Metric == "lost" || row.Metric == "times" {
		return "" // the number says it
	}
	if m := r.marked(row.Scenario, daemon); m != "" || row.Also == "" {
		return m
	}
	return r.marked(row.Also, daemon)
}

// show writes "median (min–max)".
func show(s Summary, digits int) string {
	mid := number(s.Median, digits)
	low, high := number(s.Min, digits), number(s.Max, digits)
	if low == high {
		return mid
	}
	return fmt.Sprintf("%s (%s–%s)", mid, low, high)
}

func number(v float64, digits int) string {
	if digits == 0 && math.Abs(v) >= 10_000 {
		return grouped(int(math.Round(v)))
	}
	return fmt.Sprintf("%.*f", digits, v)
}
