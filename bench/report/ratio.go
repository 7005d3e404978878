package report

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// of is a ratio for one daemon.
func (r *Results) of(q Ratio, daemon string) Summary {
	a := q.A
	if a.Daemon == "" {
		a.Daemon = daemon
	}
	if q.B == (Key{}) {
		return r.Summary(a)
	}
	return r.Over(a, q.B)
}

// limited says which ratios have a budget: nothing may be lost at all.
func (q Ratio) limited() bool { return q.Limit > 0 || q.A.Metric == "lost" || q.A.Metric == "times" }

func (q Ratio) budget() string {
	if !q.limited() {
		return ""
	}
	return "≤ " + strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", q.Limit), "0"), ".")
}

// met says how lockstep stands to a budget.
func (q Ratio) met(s Summary, mark string) string {
	switch {
	case s.N == 0 || !q.limited():
		return ""
	case mark != "":
		return "**missed** (" + mark + ")"
	case s.Median > q.Limit:
		return "**missed**"
	}
	return "met"
}

func (r *Results) ratioTable(b *strings.Builder, all []Ratio, daemons []string) {
	head := append([]string{"", "budget", ""}, daemons...)
	var rows [][]string
	for _, q := range all {
		cells, any := r.ratioCells(q, daemons)
		if any {
			rows = append(rows, cells)
		}
	}
	markdown(b, head, rows)
}

func (r *Results) ratioCells(q Ratio, daemons []string) (cells []string, any bool) {
	cells = []string{q.Title, q.budget(), q.met(r.of(q, "lockstep"), r.marked(q.Marks, "lockstep"))}
	for _, d := range daemons {
		s, mark := r.of(q, d), r.marked(q.Marks, d)
		any = any || s.N > 0
		switch {
		case s.N == 0 && mark != "":
			cells = append(cells, mark)
		case s.N == 0:
			cells = append(cells, "–")
		case mark != "":
			cells = append(cells, show(s, q.Digits)+", "+mark)
		default:
			cells = append(cells, show(s, q.Digits))
		}
	}
	return cells, any
}

// separationTable shows both numbers and their ratio.
func (r *Results) separationTable(b *strings.Builder) {
	var rows [][]string
	for _, q := range separation() {
		s := r.Over(q.A, q.B)
		if s.N == 0 {
			continue
		}
		digits := 1
		if r.Summary(q.A).Median < 10 {
			digits = 2
		}
		rows = append(rows, []string{q.Title, q.budget(), q.met(s, r.marked(q.Marks, "lockstep")), show(s, 2),
			show(r.Summary(q.A), digits), show(r.Summary(q.B), digits)})
	}
	markdown(b, []string{"", "budget", "", "ratio", "lockstep", twin}, rows)
}

// short is the table for a terminal.
func (r *Results) short() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	columns := r.columns()
	fmt.Fprintf(w, "\tbudget\t%s\n", strings.Join(columns, "\t"))
	for _, q := range ratios() {
		if cells, any := r.ratioCells(q, columns); any {
			fmt.Fprintln(w, plain(append([]string{cells[0], strings.TrimSpace(cells[1] + " " + cells[2])}, cells[3:]...)))
		}
	}
	if slices.Contains(r.Daemons, twin) {
		for _, q := range separation() {
			if s := r.Over(q.A, q.B); s.N > 0 {
				fmt.Fprintln(w, plain([]string{"separation, " + q.Title, strings.TrimSpace(q.budget() + " " + q.met(s, "")), show(s, 2)}))
			}
		}
	}
	w.Flush() // into memory: it cannot fail
	return b.String()
}

func plain(cells []string) string { return strings.ReplaceAll(strings.Join(cells, "\t"), "**", "") }
