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
	patterns, err := rules.New(s.Exclude)
	if err != nil {
		return nil, err
	}
	set, err := s.OrderedRules()
	return &Decider{s, patterns, set}, err
}

// Write tells of a path, and of each directory on the way to it up to the one that
// decides.
func (d *Decider) Write(w io.Writer, p Path) error {
	kind := "a file"
	if p.Dir {
		kind = "a directory"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, as %s\n", escape.Name(d.sync.Name), place(p.Rel), kind)
	out := ""
	for _, at := range way(p) {
		if out = d.step(&b, at, at == p); out != "" {
			break
		}
	}
	switch {
	case out != "":
		fmt.Fprintf(&b, "  so it is left out: it is neither copied nor deleted on a target (%s)\n", out)
	case !d.heard(p.Rel):
		b.WriteString("  so it is copied, but a change of it alone only by the next whole pass\n")
	default:
		b.WriteString("  so it is copied\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// way are the source, each directory above the path, and the path.
func way(p Path) []Path {
	var all []Path
	if p.Rel != "" {
		all = append(all, Path{"", true})
	}
	for i := range len(p.Rel) {
		if p.Rel[i] == '/' {
			all = append(all, Path{p.Rel[:i], true})
		}
	}
	return append(all, p)
}

// step tells of one place and says why what is below it, or it itself, is left
// out; "": it is not.
func (d *Decider) step(b *strings.Builder, at Path, last bool) (out string) {
	if excluded, i := d.pattern.Self(at.Rel, at.Dir); i >= 0 {
		verdict := "brought back by"
		if excluded {
			verdict, out = "left out by", "excluded: "+place(at.Rel)
		}
		fmt.Fprintf(b, "  %-8s %s: %s exclude pattern %s\n", "exclude", place(at.Rel), verdict, escape.Name(d.sync.Exclude[i]))
	}
	if d.ordered.Len() == 0 || out != "" {
		return out
	}
	kind := ordered.File
	if at.Dir {
		kind = ordered.Dir
	}
	e := d.ordered.Explain(at.Rel, kind)
	fmt.Fprintf(b, "  %-8s %s: %s\n", "sync", place(at.Rel), e.Sync)
	if !e.Sync.Permit {
		return "not synced: " + place(at.Rel)
	}
	if !at.Dir {
		return ""
	}
	fmt.Fprintf(b, "  %-8s %s: %s\n  %-8s %s: %s\n", "walk", place(at.Rel), e.Walk, "monitor", place(at.Rel), e.Monitor)
	if !e.Walk.Permit && !last {
		return "not walked: " + place(at.Rel)
	}
	return ""
}

// heard says whether changes in the directory that holds a path are heard of.
func (d *Decider) heard(rel string) bool {
	return !d.pattern.With(d.ordered).Unheard(rel)
}

func place(rel string) string {
	if rel == "" {
		return "the source itself"
	}
	return escape.Name(rel)
}
