package outline

import (
	"fmt"
	"io"
	"strings"

	"lockstep/config"
	"lockstep/config/field"
	"lockstep/internal/escape"
	"lockstep/supervise/words"
)

// Write writes the plan for a person.
func (p Plan) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "lockstep %s (%s): the configuration is good\n", p.Version, p.Build)
	for _, f := range p.Files {
		fmt.Fprintf(&b, "  %s sha256 %s\n", escape.Name(f.Path), f.SHA256)
	}
	b.WriteString("\nservice\n")
	for _, s := range p.Service {
		s.write(&b)
	}
	for _, s := range p.Syncs {
		s.write(&b)
	}
	b.WriteString("\nprocesses (each sync has its own)\n")
	for _, r := range p.Roles {
		r.write(&b)
	}
	p.Machine.write(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (s Setting) write(b *strings.Builder) {
	value := strings.TrimPrefix(words.Shell(s.Values), " ")
	if value == "" {
		value = "-"
	}
	fmt.Fprintf(b, "  %-20s %s\n", s.Name, value)
}

func (s Sync) write(b *strings.Builder) {
	fmt.Fprintf(b, "\nsync %s\n  %-20s %s\n", s.Name, "source", escape.Name(s.Source))
	fmt.Fprintf(b, "  %-20s %s\n", "", s.Watching.text)
	for _, t := range s.Targets {
		note := t.Kind
		if t.Port != 0 {
			note += fmt.Sprintf(", port %d", t.Port)
		}
		if t.Kind == config.None.String() {
			note = "there is no directory for it"
		}
		if t.Missing {
			note += ", is made"
		}
		fmt.Fprintf(b, "  %-20s %s (%s)\n", "target", escape.Name(t.Target), note)
		for _, text := range t.Warnings {
			fmt.Fprintf(b, "  %-20s %s\n", "  warning", text)
		}
	}
	for _, one := range s.Settings {
		one.write(b)
	}
	for _, t := range s.Targets {
		fmt.Fprintf(b, "  commands to %s\n", escape.Name(t.Target))
		for _, one := range []struct{ name, when string }{
			{"initial", "a whole pass"}, {"count", "what it would delete, before it"}, {"prune", "deletions of a whole pass"},
			{"list", "paths that changed"}, {"attributes", "paths whose attributes changed"},
			{"content", "after a queue had grown too long"}, {"knock", "is a target that was away there again?"}, {"handler", "what changed, and at the start all; its own words if none are shown"},
		} {
			if argv := t.Commands[one.name]; argv != nil {
				fmt.Fprintf(b, "    %-12s (%s)\n       %s\n", one.name, one.when, words.Shell(argv))
			}
		}
	}
}

func (r Role) write(b *strings.Builder) {
	fmt.Fprintf(b, "  %-8s %d system calls allowed, %d more on other kernels; any other: %s", r.Role, r.Calls, r.Fallbacks, r.others())
	fmt.Fprintf(b, "; at most %s%d threads\n", memory(r.Memory), r.Processes)
}

func (r Role) others() string {
	if r.Refused > 0 {
		return fmt.Sprintf("as on a kernel without it (%s), and %d that serve an attacker end it", r.Others, r.Refused)
	}
	return "ends it (" + r.Others + ")"
}

func memory(n int64) string {
	if n <= 0 {
		return ""
	}
	return field.FormatSize(uint64(n)>>20<<20) + " of memory and "
}

func (m MachinePlan) write(b *strings.Builder) {
	fmt.Fprintf(b, "\nthis machine\n  %-20s %s\n  %-20s %d\n", "kernel", escape.Name(m.Kernel), "landlock", m.Landlock)
	for _, f := range m.Missing {
		note := "run refuses to start"
		switch {
		case f.Allowed:
			note = "allowed by allow_missing"
		case f.Name != "":
			note += fmt.Sprintf(" without allow_missing = [%q]", f.Name)
		}
		fmt.Fprintf(b, "  %-20s %s; %s\n", "missing", f.What, note)
	}
	for _, text := range m.Lacks {
		fmt.Fprintf(b, "  %-20s %s\n", "too old for", text)
	}
	for _, text := range m.Unchecked {
		fmt.Fprintf(b, "  %-20s %s\n", "not checked", escape.Name(text))
	}
}
