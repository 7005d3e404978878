package plan

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"lockstep/ipc"
	"lockstep/rsync"
	"lockstep/worker/omit"
	"lockstep/worker/queue"
)

// unit is what must go into one list together.
type unit struct {
	rels    []string
	entries []queue.Entry
}

// pack makes the jobs. What does not fit into any list asks for a whole pass.
func (p *Plan) pack() {
	d := &p.draft
	if len(d.search) > 0 || d.whole {
		return
	}
	if p.opt.Tell != TellNothing {
		p.toldJobs()
		return
	}
	var force, linked, attr []unit
	ride := d.ride()
	for _, o := range d.ops {
		u := unit{[]string{o.rel}, o.entries}
		if o.force || (o.dir && ride) {
			force = append(force, u)
		} else {
			attr = append(attr, u)
		}
	}
	for _, g := range d.groups {
		u := unit{g.names, g.entries}
		switch {
		case len(g.names) == 0:
			// All names went away between two stats: look again.
			d.failed = append(d.failed, g.entries...)
		case g.force:
			linked = append(linked, u)
		default:
			attr = append(attr, u)
		}
	}
	if clears := p.pruneJobs(d.clears); len(clears) > 0 {
		d.jobs = append(append(d.jobs, p.listJobs(ipc.JobList, ways(d.clears))...), clears...)
	}
	linked = append(linked, ways(d.prunes, force, linked)...)
	if p.opt.Wide > 0 && len(force) >= p.opt.Wide {
		// The directories of the groups are made by it.
		d.jobs = append(d.jobs, p.listJobs(ipc.JobWide, force)...)
		force = nil
	}
	d.jobs = append(d.jobs, p.listJobs(ipc.JobList, append(force, linked...))...)
	d.jobs = append(d.jobs, p.pruneJobs(d.prunes)...)
	d.jobs = append(d.jobs, p.listJobs(ipc.JobAttr, attr)...)
	d.rootJob()
	if d.whole {
		d.jobs = nil
	}
}

// ways are the directories that hold what is pruned, but those which a list makes
// in any case. Each of them and above is to be a directory on the target before: a
// prune follows a link that it meets there, and gives anything else, and each other
// name of it, the times of a directory.
func ways(prunes map[string]*prune, lists ...[]unit) []unit {
	if len(prunes) == 0 {
		return nil
	}
	made := map[string]bool{"": true}
	for _, u := range slices.Concat(lists...) {
		for _, rel := range u.rels {
			made[rel] = true
			for _, dir := range above(rel) {
				made[dir] = true
			}
		}
	}
	dirs := map[string]*unit{}
	for rel, pr := range prunes {
		dir := parent(rel)
		switch u := dirs[dir]; {
		case made[dir]:
		case u == nil:
			dirs[dir] = &unit{[]string{dir}, slices.Clone(pr.entries)}
		default:
			u.entries = append(u.entries, pr.entries...)
		}
	}
	var units []unit
	for _, u := range dirs {
		units = append(units, *u)
	}
	return units
}

// ride says whether directories with new attributes go along with a list that
// there is anyway: to them the two kinds of list mean the same, and each new
// name gives its directory new attributes. Not where a prune follows the list:
// what it deletes sets their times again.
func (d *draft) ride() bool {
	if len(d.prunes) > 0 {
		return false
	}
	for _, o := range d.ops {
		if o.force {
			return true
		}
	}
	for _, g := range d.groups {
		if g.force {
			return true
		}
	}
	return false
}

// nobody is a name that no tree has: to list it is to delete it on the target.
const nobody = ".lockstep-none"

// Knock is the list of a JobKnock: it names nothing that any tree has.
func Knock() []byte { return appendRel(nil, nobody) }

// rootJob sees to the root's own attributes, which come with any entry of a
// list. (The root itself must not be listed: rsync takes "." for all that is
// in it.)
func (d *draft) rootJob() {
	if len(d.root) == 0 {
		return
	}
	for i := range d.jobs {
		if j := &d.jobs[i]; j.Kind != ipc.JobPrune {
			j.Entries = append(slices.Clone(d.root), j.Entries...)
			return
		}
	}
	d.jobs = append(d.jobs, Job{Kind: ipc.JobAttr, List: Knock(), Entries: d.root})
}

func appendRel(b []byte, rel string) []byte { return append(append(append(b, "./"...), rel...), 0) }

// listJobs fills lists with units, in order of their first paths.
func (p *Plan) listJobs(kind ipc.JobKind, units []unit) []Job {
	slices.SortFunc(units, func(a, b unit) int { return cmp.Compare(a.rels[0], b.rels[0]) })
	var jobs []Job
	var rels []string
	var entries []queue.Entry
	size := 0
	flush := func() {
		if len(rels) == 0 {
			return
		}
		slices.Sort(rels)
		list := make([]byte, 0, size)
		for _, rel := range rels {
			list = appendRel(list, rel)
		}
		jobs = append(jobs, Job{Kind: kind, List: list, Entries: unique(entries)})
		rels, entries, size = nil, nil, 0
	}
	for _, u := range units {
		cost := 0
		for _, rel := range u.rels {
			cost += len(rel) + len("./\x00")
		}
		if cost > ipc.MaxList {
			p.draft.whole = true
			return nil
		}
		if size+cost > ipc.MaxList {
			flush()
		}
		rels = append(rels, u.rels...)
		entries = append(entries, u.entries...)
		size += cost
	}
	flush()
	return jobs
}

func unique(entries []queue.Entry) []queue.Entry {
	slices.SortFunc(entries, func(a, b queue.Entry) int { return cmp.Compare(a.Rel, b.Rel) })
	return slices.CompactFunc(entries, func(a, b queue.Entry) bool { return a.Rel == b.Rel })
}

// ruleSet grows into the stdin of one JobPrune. rsync takes the first rule that
// matches: what is protected, what is to be treated as missing, the ways to
// what may be deleted, and nothing else.
type ruleSet struct {
	hides, includes []string
	seen            map[string]bool
	entries         []queue.Entry
	size            int
}

// rest ends every rule list: all else is neither read nor deleted.
const rest = "- *\x00"

func (s *ruleSet) include(rule string) {
	if !s.seen[rule] {
		s.seen[rule] = true
		s.includes = append(s.includes, rule)
		s.size += len(rule) + 1
	}
}

// pruneJobs makes the rules that have rsync delete what the prunes name and
// nothing else.
func (p *Plan) pruneJobs(prunes map[string]*prune) []Job {
	d := &p.draft
	if len(prunes) == 0 {
		return nil
	}
	head, ok := p.spared(slices.Sorted(maps.Keys(prunes)))
	if !ok {
		d.whole = true
		return nil
	}
	var jobs []Job
	set := &ruleSet{seen: map[string]bool{}}
	flush := func() {
		if len(set.entries) == 0 && len(set.includes) == 0 {
			return
		}
		list := slices.Clone(head)
		for _, rule := range slices.Concat(set.hides, set.includes) {
			list = append(append(list, rule...), 0)
		}
		jobs = append(jobs, Job{Kind: ipc.JobPrune, List: append(list, rest...), Entries: unique(set.entries)})
		set = &ruleSet{seen: map[string]bool{}}
	}
	for _, rel := range slices.Sorted(maps.Keys(prunes)) {
		pr := prunes[rel]
		hides, includes, ok := pr.rules()
		if !ok {
			d.whole = true
			return nil
		}
		cost := 0
		for _, rule := range slices.Concat(hides, includes) {
			cost += len(rule) + 1
		}
		if len(head)+set.size+cost+len(rest) > ipc.MaxList {
			flush()
		}
		for _, rule := range hides {
			set.hides = append(set.hides, rule)
			set.size += len(rule) + 1
		}
		for _, rule := range includes {
			set.include(rule)
		}
		set.entries = append(set.entries, pr.entries...)
	}
	flush()
	return jobs
}

// spared are the rules for what no prune of some sorted paths touches; false says
// that there are none that are exact enough, or too many.
func (p *Plan) spared(pruned []string) (rules []byte, ok bool) {
	var l omit.List
	for _, m := range slices.Sorted(slices.Values(p.opt.Mounts)) {
		rule := rsync.Rule(rsync.Exclude, m, rsync.Itself)
		if rule == "" {
			return nil, false
		}
		l.Leave(m, rule)
	}
	if p.opt.Unknown != nil {
		for _, rel := range p.opt.Unknown() {
			if near(rel, pruned) { // into all else rsync does not look
				l.All(rel)
			}
		}
	}
	rules, over := l.Rules()
	return rules, !over && len(rules) <= ipc.MaxList/2
}

// near says whether rel, or what is above or below it, is one of some sorted paths.
func near(rel string, sorted []string) bool {
	for at := rel; ; at = at[:max(strings.LastIndexByte(at, '/'), 0)] {
		if _, found := slices.BinarySearch(sorted, at); found {
			return true
		}
		if at == "" {
			break
		}
	}
	i, _ := slices.BinarySearch(sorted, rel+"/")
	return i < len(sorted) && strings.HasPrefix(sorted[i], rel+"/")
}

// rules of one prune; false when one is too long for rsync.
func (pr *prune) rules() (hides, includes []string, ok bool) {
	if pr.hide {
		hides = append(hides, rsync.Rule(rsync.Hide, pr.rel, rsync.Itself))
	}
	for _, dir := range above(pr.rel) {
		includes = append(includes, rsync.Rule(rsync.Include, dir, rsync.Directory))
	}
	// A name as it is, a directory with what is in it, or both: "/***" alone
	// does not match what is no directory, and the bare name matches a
	// directory without its contents, which then keep it.
	if pr.asFile {
		includes = append(includes, rsync.Rule(rsync.Include, pr.rel, rsync.Itself))
	}
	if pr.asDir || pr.tree {
		includes = append(includes, rsync.Rule(rsync.Include, pr.rel, rsync.ItselfBelow))
	}
	return hides, includes, !slices.Contains(hides, "") && !slices.Contains(includes, "")
}

// Reject is the rules, for a whole pass, that leave out what the source has at
// rel and the patterns exclude. excluded answers for rel as one kind or the
// other: what is excluded as a directory only is protected on the target as a
// directory only, so that a file copied under that name before is deleted. An
// empty string among them is a rule that rsync cannot take.
func Reject(rel string, isDir bool, excluded func(rel string, isDir bool) bool) []string {
	switch {
	case excluded(rel, !isDir):
		return []string{rsync.Rule(rsync.Exclude, rel, rsync.Itself)}
	case isDir:
		return []string{rsync.Rule(rsync.Exclude, rel, rsync.Directory)}
	}
	return []string{rsync.Rule(rsync.Include, rel, rsync.ItselfBelow), rsync.Rule(rsync.Exclude, rel, rsync.Itself)}
}
