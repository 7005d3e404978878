// Package report shows what an audit came to: as a table, and as a page with a
// picture of the processes.
//
// Trust: linked into the supervisor's program; pure. What it is given is escaped
// already as far as it is a process's own; the page is escaped again, by
// html/template.
//
// Invariant: a page loads nothing: its style and its picture are in it.
package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"lockstep/supervise/audit"
	"lockstep/supervise/audit/judge"
)

// Text writes a table: a line for each process and group of checks, and one for
// each deviation.
func Text(w io.Writer, r audit.Report, colour bool) error {
	var b strings.Builder
	for i, in := range r.Instances {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "lockstep in %s, control group %s\n\n", where(in), in.Group)
		fmt.Fprintf(&b, "%7s  %-22s %-14s %s\n", "PID", "PROCESS", "CHECK", "STATE")
		for _, p := range in.Processes {
			for n, c := range p.Checks {
				pid, name := "", ""
				if n == 0 {
					pid, name = fmt.Sprint(p.PID), Name(p)
				}
				line(&b, pid, name, c, colour)
			}
		}
		for _, note := range in.Notes {
			fmt.Fprintf(&b, "note: %s\n", note)
		}
	}
	if len(r.Instances) == 0 {
		b.WriteString("no lockstep runs on this host as root\n")
	}
	b.WriteByte('\n')
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	b.WriteString(Summary(r) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func where(in audit.Instance) string {
	if in.RuntimeDir == "" {
		return "a runtime directory that is not known"
	}
	return in.RuntimeDir
}

func line(b *strings.Builder, pid, name string, c judge.Result, colour bool) {
	text := string(c.State) + ": " + c.What
	if c.State == judge.Deviates {
		text = paint("DEVIATES", colour) + "; declared: " + c.What
	}
	// A name that is too long has a line of its own.
	const wide = 22
	if utf8.RuneCountInString(name) > wide {
		fmt.Fprintf(b, "%7s  %s\n", pid, name)
		pid, name = "", ""
	}
	fmt.Fprintf(b, "%7s  %-22s %-14s %s\n", pid, name, c.Check, text)
	for _, d := range c.Deviations {
		fmt.Fprintf(b, "%7s  %-22s %-14s   %s\n", "", "", "", paint(d, colour))
	}
}

func paint(text string, colour bool) string {
	if !colour {
		return text
	}
	return "\x1b[31m" + text + "\x1b[0m"
}

// Name is how a report calls a process.
func Name(p audit.Process) string {
	words := []string{p.Role}
	for _, w := range []string{p.Sync, p.Target} {
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}

// Summary is one line.
func Summary(r audit.Report) string {
	processes, checks := 0, 0
	for _, in := range r.Instances {
		processes += len(in.Processes)
		for _, p := range in.Processes {
			checks += len(p.Checks)
		}
	}
	text := "all as declared"
	if r.Deviations > 0 {
		text = fmt.Sprintf("%d DEVIATION(S)", r.Deviations)
	}
	return fmt.Sprintf("%d instance(s), %d processes, %d groups of checks, %d look(s), %.1f ms: %s", len(r.Instances), processes, checks, r.Looks, r.Took, text)
}
