package resolve

import (
	"fmt"
	"path"
	"strings"

	"lockstep/config"
	"lockstep/rootid"
)

// between finds syncs that would undo each other's work: one target of two, a
// target inside another, a target inside the source of another. (A source that
// is another's target is a chain, which is meant, but for circles.)
func (r *resolver) between() {
	for i, s := range r.Syncs {
		for k, t := range s.Targets {
			for j, other := range r.Syncs[:i+1] {
				targets := other.Targets
				if j == i {
					targets = targets[:k]
				}
				for _, o := range targets {
					if why := r.clash(t, o); why != "" {
						r.in = config.Section(i)
						r.add("targets", problem("target "+show(t.String()), r.clashText(why, i, j, o), "each would delete what the other copies; name two directories apart"))
					}
				}
			}
			r.insideSources(i, t)
		}
	}
}

func (r *resolver) clashText(why string, i, j int, o config.Target) string {
	if i == j {
		return why + " another target of this sync, " + show(o.String())
	}
	return fmt.Sprintf("%s a target of the sync %q, %s", why, r.Syncs[j].Name, show(o.String()))
}

// insideSources: what one sync copies into the source of another is copied on,
// but what it deletes there is the work of a person.
func (r *resolver) insideSources(i int, t config.Target) {
	if t.Kind != config.Local || t.Path == "" {
		return
	}
	for j, other := range r.Syncs {
		if j == i || other.Source == "" {
			continue
		}
		switch r.mounts.Overlap(t.Path, other.Source) {
		case rootid.FirstInside:
			r.in = config.Section(i)
			r.add("targets", problem("target "+show(t.Path), fmt.Sprintf("is inside the source of the sync %q, %s", other.Name, show(other.Source)),
				"name a directory outside it, or mirror that source whole in one sync"))
		case rootid.OtherInside:
			r.in = config.Section(i)
			r.add("targets", problem("target "+show(t.Path), fmt.Sprintf("holds the source of the sync %q, %s, and would delete it", other.Name, show(other.Source)),
				"name a directory that holds no source"))
		}
	}
}

// clash says how two targets are in each other's way, or "".
func (r *resolver) clash(a, b config.Target) string {
	if a.Kind != b.Kind || a.Path == "" || b.Path == "" {
		return ""
	}
	if a.Kind == config.Local {
		switch r.mounts.Overlap(a.Path, b.Path) {
		case rootid.Equal:
			return "is also"
		case rootid.FirstInside:
			return "is inside"
		case rootid.OtherInside:
			return "holds"
		}
		return ""
	}
	if a.Host != b.Host || a.Port != b.Port {
		return ""
	}
	if a.Kind == config.SSHTarget && a.User != b.User && (a.Path[0] != '/' || b.Path[0] != '/') {
		return "" // below two login directories
	}
	switch x, y := path.Clean(a.Path), path.Clean(b.Path); {
	case x == y:
		return "is also"
	case strings.HasPrefix(x, y+"/"):
		return "is inside"
	case strings.HasPrefix(y, x+"/"):
		return "holds"
	}
	return ""
}
