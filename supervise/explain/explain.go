// Package explain says what a configuration decides for a path, and which pattern
// or rule does.
//
// Trust: linked into the supervisor. Paths are a person's; nothing is looked at.
package explain

import (
	"fmt"
	"io"
	"strings"

	"lockstep/config"
	"lockstep/internal/escape"
	"lockstep/rules"
	"lockstep/rules/ordered"
)

// Path is a place below the source of a sync; "" is the source itself.
type Path struct {
	Rel string
	Dir bool
}

// Decider has the patterns and rules of one sync, compiled.
type Decider struct {
	sync    config.Sync
	pattern *rules.Set
	ordered *ordered.Set
}

// New compiles them.
func New(s config.Sync) (*Decider, error) {
	patterns, err := rules.New(s.LeftOut())
	if err != nil {
		return nil, err
	}
	set, err := s.OrderedRules()
	return &Decider{s, patterns, set}, err
}

// Write tells of a path, and of each directory on the way to it up to the one that
// decides.
func (d *Decider) Write(w io.Writer, p Path) error {
	kind, what := ordered.File, "a file"
	if p.Dir {
		kind, what = ordered.Dir, "a directory"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, as %s\n", escape.Name(d.sync.Name), place(p.Rel), what)
	e := d.ordered.Explain(p.Rel, kind)
	out := ""
	for _, at := range e.Above {
		if out = d.step(&b, at, true); out == "" && !at.Walk.Permit {
			out = "not walked: " + place(at.Path)
		}
		if out != "" {
			break
		}
	}
	if out == "" {
		out = d.step(&b, ordered.Step{Path: p.Rel, Walk: e.Walk, Monitor: e.Monitor, Sync: e.Sync}, p.Dir)
	}
	switch {
	case out != "":
		fmt.Fprintf(&b, "  so it is left out: it is neither copied nor deleted on a target (%s)\n", out)
	case !e.Noticed:
		b.WriteString("  so it is copied, but a change of it alone only by the next whole pass\n")
	default:
		b.WriteString("  so it is copied\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// step tells of one place and says why it is left out; "": it is not.
func (d *Decider) step(b *strings.Builder, at ordered.Step, dir bool) (out string) {
	if excluded, i := d.pattern.Self(at.Path, dir); i >= 0 {
		verdict := "brought back by"
		if excluded {
			verdict, out = "left out by", "excluded: "+place(at.Path)
		}
		fmt.Fprintf(b, "  %-8s %s: %s exclude pattern %s\n", "exclude", place(at.Path), verdict, escape.Name(d.sync.LeftOut()[i]))
	}
	if d.ordered.Len() == 0 || out != "" {
		return out
	}
	fmt.Fprintf(b, "  %-8s %s: %s\n", "sync", place(at.Path), at.Sync)
	if !at.Sync.Permit {
		return "not synced: " + place(at.Path)
	}
	if dir {
		fmt.Fprintf(b, "  %-8s %s: %s\n  %-8s %s: %s\n", "walk", place(at.Path), at.Walk, "monitor", place(at.Path), at.Monitor)
	}
	return ""
}

func place(rel string) string {
	if rel == "" {
		return "the source itself"
	}
	return escape.Name(rel)
}
