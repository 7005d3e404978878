package resolve

import (
	"lockstep/config"
	"lockstep/config/circle"
	"lockstep/rootid"
)

// circles refuses syncs whose targets lead back to their own sources. What one of them
// copies is a change to the next: without skip_equal that never ends, and with it a
// file that changes again before its copy is back is overwritten by the old one, as a
// target is, and what was made anew is deleted by what went before.
func (r *resolver) circles() {
	equal := func(a, b string) bool { return r.mounts.Overlap(a, b) == rootid.Equal }
	for i, s := range r.Syncs {
		if back := circle.Back(r.Syncs, i, equal); back >= 0 {
			r.in = config.Section(i)
			r.add("targets", problem("the sync "+s.Name, "leads back to its own source, by way of the sync "+r.Syncs[back].Name,
				"mirror in one direction, or use one directory for each direction: what changes on the way round would be lost"))
		}
	}
}
