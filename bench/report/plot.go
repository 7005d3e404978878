package report

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// plots draws one picture per part by gnuplot. Bars are medians, whiskers the
// least and the greatest repetition.
func (r *Results) plots(dir string) error {
	for _, p := range parts(r.Settings) {
		script := r.plot(p, filepath.Join(dir, p.PlotName+".svg"))
		if script == "" {
			continue
		}
		cmd := exec.Command("gnuplot")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("gnuplot of %s: %w: %s", p.PlotName, err, bytes.TrimSpace(out))
		}
		if err := trim(filepath.Join(dir, p.PlotName+".svg")); err != nil {
			return err
		}
	}
	return nil
}

// bar is one of a plot.
type bar struct {
	name  string
	s     Summary
	class int // colour: 1 ours, 2 others, 3 floors, 4 not ranked
}

// plot is the script for one picture; "" when there is nothing to draw.
func (r *Results) plot(p Part, file string) string {
	if p.Plot == "" {
		return ""
	}
	i := slices.IndexFunc(p.Rows, func(row Row) bool { return row.Metric == p.Plot })
	row := p.Rows[i]
	var bars []bar
	for _, d := range slices.Concat(r.columns(), p.Floors) {
		s := r.Summary(Key{row.Scenario, d, row.Metric})
		if s.N == 0 {
			continue
		}
		b := bar{d, s, 2}
		switch mark := r.spoiled(row, d); {
		case mark != "":
			b.name, b.class = d+" ("+mark+")", 4
		case d == "lockstep":
			b.class = 1
		case slices.Contains(p.Floors, d):
			b.class = 3
		}
		bars = append(bars, b)
	}
	if len(bars) == 0 {
		return ""
	}
	return script(p, row, file, bars)
}

func script(p Part, row Row, file string, bars []bar) string {
	var b strings.Builder
	fmt.Fprintf(&b, "set terminal svg size 760,%d font 'sans,13' background '#ffffff'\nset output %q\n", 90+44*len(bars), file)
	fmt.Fprintf(&b, "set title %q noenhanced\nset grid xtics lc '#dddddd'\nset border 3 lc '#888888'\nunset key\n", p.PlotTitle)
	b.WriteString("set style fill solid 0.9 noborder\nset xtics nomirror\nset rmargin 14\n")
	most := 0.0
	for _, x := range bars {
		most = max(most, x.s.Max)
	}
	fmt.Fprintf(&b, "set yrange [%.1f:-0.5]\n", float64(len(bars))-0.5)
	low := 0.0
	if p.LogScale {
		low = 1
		fmt.Fprintf(&b, "set logscale x\nset xrange [1:%g]\n", max(most*2, 10))
	} else {
		fmt.Fprintf(&b, "set xrange [0:%g]\n", max(most*1.08, 1))
	}
	b.WriteString("set ytics nomirror (")
	for i, x := range bars {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q %d", x.name, i)
	}
	b.WriteString(") noenhanced\n$data << END\n")
	for i, x := range bars {
		fmt.Fprintf(&b, "%d %g %g %g %g %d %s\n", i, x.s.Median, low, x.s.Min, x.s.Max, colour(x.class), number(x.s.Median, row.Digits))
	}
	b.WriteString("END\nplot $data using ($3):1:3:2:($1-0.32):($1+0.32):6 with boxxyerror lc rgb variable, \\\n")
	b.WriteString("  '' using 2:1:4:5 with xerrorbars lc '#222222' pt 0, \\\n  '' using 5:1:7 with labels left offset 0.8,0 noenhanced\n")
	return b.String()
}

func colour(class int) int {
	switch class {
	case 1:
		return 0x1f6f54
	case 3:
		return 0xb8b8b8
	case 4:
		return 0xc9564b
	}
	return 0x5b8db8
}

// trim ends lines where their text ends: gnuplot leaves blanks there.
func trim(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		out.WriteString(strings.TrimRight(line, " \t\r\n") + "\n")
	}
	return os.WriteFile(path, []byte(out.String()), 0o644)
}
